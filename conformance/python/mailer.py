"""Mail from outside, handed to the server with swaks."""

from __future__ import annotations

import functools
import subprocess
import time
from dataclasses import dataclass
from email.utils import formatdate

from harness import DEADLINE, Server, unique

# swaks' exit codes, as its manual lists them.
REFUSED_RECIPIENT = 24
REFUSED_DATA = 26
NO_CONNECTION = 2
LOST_CONNECTION = 6


class Unreachable(Exception):
    """There was no server, or it went away in the middle."""


@dataclass
class Sent:
    """What swaks did."""

    code: int
    transcript: str
    message_id: str

    def reached(self) -> Sent:
        if self.code in (NO_CONNECTION, LOST_CONNECTION) or self.code and "lost connection" in self.transcript.lower():
            raise Unreachable(self.transcript)
        return self

    def ok(self) -> Sent:
        assert self.code == 0, f"swaks ended with {self.code}:\n{self.transcript}"
        return self


@functools.cache
def swaks_speaks_tls() -> bool:
    """Debian's package only recommends the library that it needs for TLS."""
    done = subprocess.run(["swaks", "--support"], capture_output=True, text=True, timeout=DEADLINE)
    return "=== TLS supported" in done.stdout


def new_id() -> str:
    return f"<{unique('mail')}@client.example>"


def compose(
    to: str,
    *,
    sender: str = "Ada <ada@client.example>",
    subject: str = "Hello",
    text: str = "How do you do?",
    message_id: str | None = None,
    date: str | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[bytes, str]:
    """A plain message and its Message-ID."""
    message_id = message_id or new_id()
    lines = [
        f"From: {sender}", f"To: {to}", f"Subject: {subject}", f"Message-ID: {message_id}",
        f"Date: {date or formatdate(time.time())}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
        "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "", text, "",
    ]
    return "\r\n".join(lines).encode(), message_id


def deliver(
    server: Server, to: str | list[str], data: bytes, message_id: str = "", *options: str,
    sender: str = "ada@client.example",
) -> Sent:
    """Hands over these bytes."""
    recipients = to if isinstance(to, str) else ",".join(to)
    command = [
        "swaks", "--server", server.smtp, "--from", sender, "--to", recipients, "--helo", "client.example",
        "--timeout", "60", "--data", "-", *options,
    ]
    done = subprocess.run(command, input=data, capture_output=True, timeout=2 * DEADLINE)
    return Sent(done.returncode, (done.stdout + done.stderr).decode(errors="replace")[-4000:], message_id)


def send(server: Server, to: str, *options: str, **parts) -> Sent:
    """Composes and hands over a message."""
    data, message_id = compose(to, **parts)
    return deliver(server, to, data, message_id, *options)
