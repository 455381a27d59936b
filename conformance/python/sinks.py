"""What the tests' servers talk to: a webhook receiver and an SMTP server, both on loopback."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable, TypeVar

from svix.webhooks import Webhook

from harness import DEADLINE

T = TypeVar("T")


class _Recorder:
    """Lets tests wait until what was recorded satisfies a condition."""

    def __init__(self) -> None:
        self.changed = threading.Condition()

    def wait(self, check: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
        end = time.monotonic() + deadline
        with self.changed:
            while True:
                value = check()
                if value:
                    return value
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{what}: not within {deadline:.0f} s")
                self.changed.wait(left)


@dataclass
class Post:
    """One request that a webhook made."""

    path: str
    headers: dict[str, str]
    body: bytes
    # Every header as it came, for those that may come twice.
    raw_headers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def event(self) -> dict:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["svix-id"]

    def verify(self, secret: str) -> dict:
        """Checks the signature with the official verifier, which raises when it is wrong."""
        Webhook(secret).verify(self.body, self.headers)
        return self.event


class WebhookSink(_Recorder):
    """Records every request; `answer` decides the status per path, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.posts: list[Post] = []
        self._answers: dict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)
        self._always: dict[str, tuple[int, dict[str, str]]] = {}
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with sink.changed:
                    sink.posts.append(Post(self.path, headers, body, list(self.headers.items())))
                    answers = sink._answers[self.path]
                    status, extra = answers.pop(0) if answers else sink._always.get(self.path, (200, {}))
                    sink.changed.notify_all()
                self.send_response(status)
                for name, value in extra.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self._server = _HttpServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> WebhookSink:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def answer(self, path: str, *statuses: int, **headers: str) -> None:
        """The next requests for `path` get these statuses; 200 follows."""
        with self.changed:
            self._answers[path] += [(status, headers) for status in statuses]

    def always(self, path: str, status: int) -> None:
        with self.changed:
            self._always[path] = (status, {})

    def at(self, path: str) -> list[Post]:
        with self.changed:
            return [post for post in self.posts if post.path == path]

    def wait_for(self, path: str, count: int, deadline: float = DEADLINE) -> list[Post]:
        """The first requests for `path`, when there are `count`."""
        return self.wait(
            lambda: len(self.at(path)) >= count and self.at(path), f"{count} requests for {path}", deadline
        )

    def wait_for_event(self, path: str, event_type: str, **facts: str) -> Post:
        """The request for `path` with an event of that type, whose payload has these members."""

        def look() -> Post | None:
            for post in self.at(path):
                event = post.event
                payload = next((v for k, v in event.items() if k in PAYLOADS), {})
                if event["event_type"] == event_type and all(payload.get(k) == v for k, v in facts.items()):
                    return post
            return None

        return self.wait(look, f"{event_type} {facts} at {path}")


PAYLOADS = ("message", "send", "delivery", "bounce", "complaint", "reject", "open", "domain")


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@dataclass
class Mail:
    """One message that the SMTP server took."""

    sender: str
    recipients: list[str]
    data: bytes

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.data, policy=email.policy.default)


class SmtpSink(_Recorder):
    """An SMTP server that keeps what it gets; `refuse` makes it refuse a recipient."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Mail] = []
        # Every address that was offered, taken or refused, in order.
        self.offered: list[str] = []
        self._refusals: dict[str, list[str]] = {}
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    sink._serve(self)
                except (ConnectionError, TimeoutError):
                    pass

        self._server = _SmtpServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> SmtpSink:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def route(self) -> str:
        """As the server's setting for outbound mail."""
        return f"smtp://127.0.0.1:{self._server.server_address[1]}"

    def refuse(self, address: str, *replies: str) -> None:
        """The next times that `address` is offered it gets these replies; then it is taken."""
        with self.changed:
            self._refusals[address.lower()] = list(replies)

    def offers(self, address: str) -> int:
        with self.changed:
            return self.offered.count(address.lower())

    def to(self, address: str) -> list[Mail]:
        with self.changed:
            return [mail for mail in self.mails if address.lower() in mail.recipients]

    def wait_for(self, address: str, count: int = 1) -> list[Mail]:
        return self.wait(lambda: len(self.to(address)) >= count and self.to(address), f"mail for {address}")

    def wait_for_offers(self, address: str, count: int) -> None:
        self.wait(lambda: self.offers(address) >= count, f"attempt {count} for {address}")

    def _serve(self, connection: socketserver.StreamRequestHandler) -> None:
        def say(line: str) -> None:
            connection.wfile.write(f"{line}\r\n".encode())

        sender, recipients = "", []
        say("220 sink.example ESMTP")
        while line := connection.rfile.readline(4096):
            verb = line.strip().decode("latin-1")
            command = verb.upper()
            if command.startswith("EHLO"):
                say("250-sink.example")
                say("250-SIZE 41943040")
                say("250-8BITMIME")
                say("250-SMTPUTF8")
                say("250 ENHANCEDSTATUSCODES")
            elif command.startswith("MAIL FROM:"):
                sender, recipients = _address(verb), []
                say("250 2.1.0 Ok")
            elif command.startswith("RCPT TO:"):
                address = _address(verb).lower()
                with self.changed:
                    self.offered.append(address)
                    refusals = self._refusals.get(address)
                    reply = refusals.pop(0) if refusals else "250 2.1.5 Ok"
                    self.changed.notify_all()
                if reply.startswith("2"):
                    recipients.append(address)
                say(reply)
            elif command == "DATA" and not recipients:
                say("554 5.5.1 No valid recipients")
            elif command == "DATA":
                say("354 Go ahead")
                data = bytearray()
                while (line := connection.rfile.readline()) != b".\r\n":
                    if not line:
                        return
                    data += line[1:] if line.startswith(b".") else line
                with self.changed:
                    self.mails.append(Mail(sender, recipients, bytes(data)))
                    self.changed.notify_all()
                say("250 2.0.0 Ok: queued")
                recipients = []
            elif command == "RSET":
                recipients = []
                say("250 2.0.0 Ok")
            elif command == "QUIT":
                say("221 2.0.0 Bye")
                return
            elif command in ("NOOP", "HELO") or command.startswith("HELO "):
                say("250 2.0.0 Ok")
            else:
                say("502 5.5.1 Not implemented")


class _SmtpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def _address(command: str) -> str:
    return command.partition("<")[2].partition(">")[0]
