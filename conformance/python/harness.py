"""Runs a podmail binary for the tests: its own folder, its own database, free ports on loopback.

Nothing here sleeps for a fixed time. Whatever has to be awaited is polled with a deadline that a busy machine
with two cores can meet.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Callable, TypeVar

from agentmail import AgentMail, AsyncAgentMail
from agentmail.environment import AgentMailEnvironment

# Seconds after which something that should happen did not.
DEADLINE = 60.0
# Seconds between two looks at something that is awaited.
PAUSE = 0.1

DOMAIN = "mail.podmail.example"

T = TypeVar("T")


def wait_until(check: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """Calls `check` until it answers something true, which is returned."""
    end = time.monotonic() + deadline
    pause = threading.Event()
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline:.0f} s")
        pause.wait(PAUSE)


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


class EmptyDns:
    """A name server that knows no name at all."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                query, client = self._socket.recvfrom(4096)
            except OSError:
                return
            if len(query) < 17:
                continue
            question = query[12 : query.index(0, 12) + 5]
            # A response without recursion (RFC 1035 section 4.1.1): NXDOMAIN, the question, no records.
            header = query[:2] + bytes([0x80 | query[2] & 0x79, 0x83]) + bytes([0, 1, 0, 0, 0, 0, 0, 0])
            self._socket.sendto(header + question, client)


class Database:
    """A fresh database: a file of the data folder, or one on the PostgreSQL server that the environment names."""

    def __init__(self, engine: str):
        self.url: str | None = None
        self._admin: str | None = None
        self._name = ""
        if engine == "sqlite":
            return
        if engine != "postgres":
            raise ValueError(f"unknown engine {engine}")
        self._admin = os.environ["PODMAIL_TEST_POSTGRES"]
        self._name = f"conformance_{uuid.uuid4().hex}"
        self._psql(f"CREATE DATABASE {self._name}")
        self.url = f"{self._admin.rsplit('/', 1)[0]}/{self._name}"

    def drop(self) -> None:
        if self.url:
            self._psql(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")

    def _psql(self, statement: str) -> None:
        psql = shutil.which("psql") or sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/psql")))[-1]
        command = [psql, "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-c", statement, str(self._admin)]
        subprocess.run(command, check=True, timeout=DEADLINE)


class Server:
    """One installation; it can be stopped, killed and started again on the same ports."""

    def __init__(
        self,
        *,
        outbound: str = "capture",
        settings: dict[str, str] | None = None,
        domain: str = DOMAIN,
        binary: str | None = None,
        engine: str | None = None,
    ):
        self.domain = domain
        self.dns = EmptyDns()
        self.binary = binary or os.environ["PODMAIL_BINARY"]
        self.folder = Path(tempfile.mkdtemp(prefix="podmail-conformance-"))
        self.database = Database(engine or os.environ.get("PODMAIL_ENGINE", "sqlite"))
        self.http = self.smtp = "127.0.0.1:0"
        self.api_key = ""
        self.starts = 0
        self._process: subprocess.Popen[str] | None = None
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith(("PODMAIL_", "AGENTMAIL_"))}
        self._environment.update(
            PODMAIL_DATA_DIR=str(self.folder / "data"),
            PODMAIL_DOMAIN=domain,
            PODMAIL_OUTBOUND=outbound,
            # No question may leave this machine; `verify_domain` decides about domains instead.
            PODMAIL_DOMAINS_CHECK_INTERVAL="off",
            PODMAIL_DNS=self.dns.address,
        )
        if self.database.url:
            self._environment["PODMAIL_DATABASE_URL"] = self.database.url
        for name, value in (settings or {}).items():
            self._environment[f"PODMAIL_{name}"] = value
        for listener in ("SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS"):
            self._environment.setdefault(f"PODMAIL_{listener}", "off")

    def __enter__(self) -> Server:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Starts the binary and returns when it serves."""
        assert self._process is None, "it runs already"
        log = (self.folder / "log").open("a")
        self._process = subprocess.Popen(
            [self.binary, "dev", "--http", self.http, "--smtp", self.smtp],
            env=self._environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
        )
        log.close()
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_drain, args=(self._process.stdout, lines), daemon=True).start()
        end = time.monotonic() + DEADLINE
        while True:
            try:
                line = lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                self.kill()
                raise AssertionError(f"the server did not get ready:\n{self.log()}")
            if line.startswith("ready "):
                break
        listening = json.loads((self.folder / "data" / "listening.json").read_text())
        self.http, self.smtp = listening["http"], listening["smtp"]
        if not self.api_key:
            self.api_key = (self.folder / "data" / "bootstrap-key").read_text().strip()
        self.starts += 1

    def kill(self) -> None:
        """Ends the process at once, like a machine that loses power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE)
            self._process = None

    def stop(self) -> int:
        """Asks the process to end, and returns its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(DEADLINE)
        self._process = None
        return code

    def close(self) -> None:
        self.kill()
        self.dns.close()
        self.database.drop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, lines: int = 40) -> str:
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-lines:])

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    @property
    def environment(self) -> AgentMailEnvironment:
        return AgentMailEnvironment(http=self.url, websockets=f"ws://{self.http}")

    def client(self, api_key: str | None = None) -> AgentMail:
        return AgentMail(environment=self.environment, api_key=api_key or self.api_key, timeout=DEADLINE)

    def async_client(self, api_key: str | None = None) -> AsyncAgentMail:
        return AsyncAgentMail(environment=self.environment, api_key=api_key or self.api_key, timeout=DEADLINE)

    def cli(self, *arguments: str) -> str:
        """Runs a command of the binary on this installation and returns what it prints."""
        done = subprocess.run(
            [self.binary, *arguments], env=self._environment, cwd=self.folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=DEADLINE,
        )
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def verify_domain(self, domain: str) -> None:
        self.cli("domain", "verify", domain, "--force")


def _drain(stream, lines: queue.Queue[str | None]) -> None:
    # Reading to the end keeps the pipe from filling up.
    for line in stream:
        lines.put(line.rstrip("\n"))
    lines.put(None)
