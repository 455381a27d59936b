"""The onboarding flow of a platform: many tenants at once, each step safe to repeat.

Every step first looks for what an earlier run made, and is repeated when the connection breaks. A platform
keeps a record of its own; here it is `Store`. What the server tells only once, the secret of a key, is in the
record or the key is replaced. Running the program again with the same record makes nothing new.
"""

from __future__ import annotations

import time
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Callable, TypeVar

import httpx
from agentmail import AgentMail, CreateBearerApiKeyRequest
from agentmail.core.api_error import ApiError

import mailer
from harness import Server, wait_until

# Seconds in which a step has to succeed, restarts of the server included. A request whose answer got lost
# with its server may hold its idempotency key for a minute.
STEP_DEADLINE = 150.0
WORKERS = 8
POD_EVENTS = ["message.received", "message.sent", "message.delivered"]
INBOX_EVENTS = ["message.received"]
REPLY = "Thanks, we got your message."

T = TypeVar("T")


@dataclass
class Record:
    """What the platform remembers of one tenant."""

    name: str
    # Fixed, so that sending the mail again sends the same mail.
    mail_id: str = ""
    mail_date: str = ""
    pod_id: str = ""
    inbox_id: str = ""
    domain_id: str = ""
    # api_key_id and secret
    pod_key: tuple[str, str] = ("", "")
    inbox_key: tuple[str, str] = ("", "")
    # webhook_id and secret
    pod_webhook: tuple[str, str] = ("", "")
    inbox_webhook: tuple[str, str] = ("", "")
    message_id: str = ""
    reply_id: str = ""

    @property
    def customer(self) -> str:
        return f"customer@{self.name}.client.example"

    @property
    def pod_path(self) -> str:
        return f"/{self.name}/pod"

    @property
    def inbox_path(self) -> str:
        return f"/{self.name}/inbox"


@dataclass
class Store:
    """The platform's own record, and how far it is."""

    records: dict[str, Record] = field(default_factory=dict)
    steps: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def record(self, name: str) -> Record:
        with self.changed:
            if name not in self.records:
                self.records[name] = Record(name, mailer.new_id(), formatdate(time.time()))
            return self.records[name]

    def count(self) -> None:
        with self.changed:
            self.steps += 1
            self.changed.notify_all()

    def wait_for_steps(self, steps: int, deadline: float) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.steps >= steps, deadline)


class Onboarding:
    """One run of the program against a server that may go away at any moment."""

    def __init__(self, server: Server, webhooks: Callable[[str], str], store: Store):
        self.server = server
        self.webhook_url = webhooks
        self.store = store

    def run(self, names: list[str]) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            for done in [pool.submit(self.tenant, name) for name in names]:
                done.result()

    def tenant(self, name: str) -> None:
        record = self.store.record(name)
        # Ports stay the same over restarts, so one client serves the whole run.
        client = self.server.client()
        self.step("pod", lambda: self.pod(client, record))
        self.step("inbox", lambda: self.inbox(client, record))
        self.step("domain", lambda: self.domain(client, record))
        self.step("pod key", lambda: self.pod_key(client, record))
        self.step("inbox key", lambda: self.inbox_key(client, record))
        self.step("pod webhook", lambda: self.pod_webhook(client, record))
        self.step("inbox webhook", lambda: self.inbox_webhook(client, record))
        self.step("mail", lambda: self.mail(record))
        agent = self.server.client(record.inbox_key[1])
        self.step("arrival", lambda: self.arrival(agent, record))
        self.step("reply", lambda: self.reply(agent, record))

    def step(self, what: str, action: Callable[[], T]) -> None:
        """Repeats `action` while the server is away, starting, or still busy with a lost request."""

        def attempt() -> bool:
            try:
                action()
            except (httpx.TransportError, mailer.Unreachable):
                return False
            except ApiError as error:
                # 409: the server may still hold what a request that it forgot had begun.
                if error.status_code in (409, 500, 502, 503, 504):
                    return False
                raise
            self.store.count()
            return True

        wait_until(attempt, f"step {what}", STEP_DEADLINE)

    # ---- steps -------------------------------------------------------------------------------------------

    def pod(self, client: AgentMail, record: Record) -> None:
        record.pod_id = client.pods.create(name=record.name, client_id=record.name).pod_id

    def inbox(self, client: AgentMail, record: Record) -> None:
        record.inbox_id = client.pods.inboxes.create(
            record.pod_id, username="desk", display_name=f"Desk of {record.name}", client_id=f"{record.name}-desk"
        ).inbox_id

    def domain(self, client: AgentMail, record: Record) -> None:
        # The SDK has no `client_id` for domains: the name itself tells that it is there.
        name = f"{record.name}.example"
        try:
            domain = client.pods.domains.create(record.pod_id, domain=name)
        except ApiError as error:
            if error.status_code != 403 or error.body["code"] != "already_exists":
                raise
            domain = client.pods.domains.get(record.pod_id, name)
        record.domain_id = domain.domain_id

    def pod_key(self, client: AgentMail, record: Record) -> None:
        keys = client.pods.api_keys
        record.pod_key = self.key(
            record.pod_key, keys.list(record.pod_id).api_keys,
            create=lambda request: keys.create(record.pod_id, request=request),
            delete=lambda key_id: keys.delete(record.pod_id, key_id),
        )

    def inbox_key(self, client: AgentMail, record: Record) -> None:
        keys = client.inboxes.api_keys
        record.inbox_key = self.key(
            record.inbox_key, keys.list(record.inbox_id).api_keys,
            create=lambda request: keys.create(record.inbox_id, request=request),
            delete=lambda key_id: keys.delete(record.inbox_id, key_id),
        )

    def key(self, known: tuple[str, str], present: list, create: Callable, delete: Callable) -> tuple[str, str]:
        if any(key.api_key_id == known[0] for key in present):
            return known
        # One that was made although the answer got lost: its secret is nowhere.
        for key in present:
            delete(key.api_key_id)
        made = create(CreateBearerApiKeyRequest(name="platform"))
        return made.api_key_id, made.api_key

    def pod_webhook(self, client: AgentMail, record: Record) -> None:
        made = client.pods.webhooks.create(
            record.pod_id, url=self.webhook_url(record.pod_path), event_types=POD_EVENTS,
            client_id=f"{record.name}-pod",
        )
        record.pod_webhook = made.webhook_id, made.secret

    def inbox_webhook(self, client: AgentMail, record: Record) -> None:
        made = client.inboxes.webhooks.create(
            record.inbox_id, url=self.webhook_url(record.inbox_path), event_types=INBOX_EVENTS,
            client_id=f"{record.name}-inbox",
        )
        record.inbox_webhook = made.webhook_id, made.secret

    def mail(self, record: Record) -> None:
        """A customer writes; the same mail a second time is stored once."""
        mailer.send(
            self.server, record.inbox_id, sender=f"Customer <{record.customer}>", subject=f"Question of {record.name}",
            message_id=record.mail_id, date=record.mail_date,
        ).reached().ok()

    def arrival(self, agent: AgentMail, record: Record) -> None:
        message = agent.inboxes.messages.get(record.inbox_id, record.mail_id)
        record.message_id = message.message_id

    def reply(self, agent: AgentMail, record: Record) -> None:
        record.reply_id = agent.inboxes.messages.reply(
            record.inbox_id, record.message_id, text=REPLY, idempotency_key=f"reply-{record.name}"
        ).message_id
