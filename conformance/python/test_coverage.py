"""Every operation of the areas that this server has, through both clients of the SDK, and every documented error.

Each scenario runs twice, with the synchronous and with the asynchronous client. The last test asks the recorder
which operations were called: an operation that the server serves and that nobody called here is a failure.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import re
from typing import Any, AsyncIterator

import httpx
import pytest
from agentmail import CreateBearerApiKeyRequest, SendAttachment
from agentmail.api_keys import ApiKeyPermissions
from agentmail.core.api_error import ApiError
from agentmail.errors import ConflictError, NotFoundError, UnprocessableError, ValidationError
from agentmail.inboxes import CreateInboxRequest
from agentmail.messages import MessageRejectedError

import recorder
from harness import DEADLINE, unique

KINDS = ("sync", "async")
# Parts of the identifiers of operations that belong to other areas.
ELSEWHERE = ("accounts", "agent", "apps", "calendar", "files", "metrics")
# What these areas have and this server has not; what is in its OpenAPI document is not excused by standing here.
PLANNED = re.compile(
    r"(?:.*\.)?webhooks\.polling\.\w+|inboxes\.authorize"
    r"|inboxes\.messages\.\w*agent_armor\w*"
)
# The SDK repeats a 409 by itself, which takes three seconds.
ONCE = {"max_retries": 0}
TO = "x@client.example"
RECEIVED = ["message.received"]
URL = "http://127.0.0.1:9/hook"
ABSENT = "absent"


class Api:
    """Operations by their identifiers, alike for both clients."""

    def __init__(self, server, kind: str, api_key: str | None = None):
        self.server, self.kind = server, kind
        self._client = server.client(api_key) if kind == "sync" else server.async_client(api_key)

    async def __call__(self, operation: str, *arguments: Any, **options: Any) -> Any:
        method: Any = self._client
        for name in operation.split("."):
            method = getattr(method, name)
        answer = method(*arguments, **options)
        if inspect.isawaitable(answer):
            answer = await answer
        if inspect.isasyncgen(answer):
            return b"".join([chunk async for chunk in answer])
        return b"".join(answer) if inspect.isgenerator(answer) else answer

    async def pages(self, operation: str, items: str, *scope: str, **options: Any) -> list:
        """Follows the tokens to the last page, which has none."""
        return [item async for item in self._pages(operation, items, *scope, **options)]

    async def _pages(self, operation: str, items: str, *scope: str, **options: Any) -> AsyncIterator[Any]:
        token, tokens = None, set()
        while True:
            page = await self(operation, *scope, page_token=token, **options)
            found = getattr(page, items)
            assert page.count == len(found)
            for item in found:
                yield item
            token = page.next_page_token
            if token is None:
                return
            assert token not in tokens, "the pages go round in a circle"
            tokens.add(token)

    async def fails(self, kind: type[ApiError], status: int, operation: str, *arguments: Any, **options: Any) -> str:
        """The call fails with exactly this class and status; answers the code."""
        with pytest.raises(ApiError) as caught:
            await self(operation, *arguments, request_options=ONCE, **options)
        error = caught.value
        assert (type(error), error.status_code) == (kind, status), f"{operation}: {error}"
        body = error.body if isinstance(error.body, dict) else error.body.dict()
        assert body["name"] and body["message"], operation
        if kind is ValidationError:
            assert body["errors"] and all(issue["message"] for issue in body["errors"]), operation
        return body["code"]


class Place:
    """A pod with an inbox in it."""

    def __init__(self, pod: str, inbox: str):
        self.pod, self.inbox = pod, inbox

    @property
    def levels(self) -> list[tuple[str, tuple[str, ...]]]:
        """What comes before the name of an operation, and its first arguments."""
        return [("", ()), ("pods.", (self.pod,)), ("inboxes.", (self.inbox,))]


@pytest.fixture(params=KINDS)
def api(server, request) -> Api:
    return Api(server, request.param)


def scenario(body):
    """A test whose body is asynchronous and gets the client and a place of its own."""

    def test(api):
        async def run():
            pod = await api("pods.create", name=unique("Pod"))
            inbox = await api("pods.inboxes.create", pod.pod_id, username=unique("box"))
            await body(api, Place(pod.pod_id, inbox.inbox_id))

        asyncio.run(run())

    test.__name__, test.__doc__ = body.__name__, body.__doc__
    return test


async def is_gone(api: Api, operation: str, *scope: str) -> None:
    assert await api.fails(NotFoundError, 404, operation, *scope) == "not_found"


def download(url: str) -> bytes:
    answer = httpx.get(url, timeout=DEADLINE)
    assert answer.status_code == 200, answer.text
    return answer.content


# ---- identity, pods, keys, domains -----------------------------------------------------------------------


@scenario
async def test_identity_tells_whose_key_it_is(api, place):
    me = await api("auth.me")
    organization = await api("organizations.get")
    assert me.organization_id == organization.organization_id
    assert organization.inbox_count >= 1
    joined = await api("organizations.join_labs")
    assert joined.enabled and joined.enabled_at is not None
    assert await api("organizations.get_labs") == joined
    key = await api("inboxes.api_keys.create", place.inbox, request=CreateBearerApiKeyRequest(name="narrow"))
    narrow = await Api(api.server, api.kind, key.api_key)("auth.me")
    assert (narrow.scope_type, narrow.scope_id, narrow.inbox_id) == ("inbox", place.inbox, place.inbox)


@scenario
async def test_pods_are_made_read_listed_and_deleted(api, place):
    pods = [(await api("pods.create", name=f"Pod {n}", client_id=unique("pod"))).pod_id for n in range(3)]
    assert (await api("pods.get", pods[0])).name == "Pod 0"
    listed = [pod.pod_id for pod in await api.pages("pods.list", "pods", limit=2)]
    assert len(listed) == len(set(listed)) and [pod for pod in listed if pod in pods] == pods[::-1]
    await api("pods.delete", pods[0])
    await is_gone(api, "pods.get", pods[0])


@scenario
async def test_keys_are_made_read_changed_listed_and_deleted_at_every_level(api, place):
    for prefix, scope in place.levels:
        made = [
            await api(
                f"{prefix}api_keys.create", *scope,
                request=CreateBearerApiKeyRequest(
                    name=f"key {number}", permissions=ApiKeyPermissions(inbox_read=True, message_read=True)
                ),
            )
            for number in range(3)
        ]
        ids = [key.api_key_id for key in made]
        listed = await api.pages(f"{prefix}api_keys.list", "api_keys", *scope, limit=2)
        assert [key.api_key_id for key in listed if key.api_key_id in ids] == ids[::-1]
        assert all(getattr(key, "api_key", None) is None for key in listed)
        assert (await api("api_keys.get", ids[0])).name == "key 0"
        changed = await api(
            f"{prefix}api_keys.update", *scope, ids[0], name="renamed", permissions=ApiKeyPermissions(inbox_read=True)
        )
        assert (changed.name, changed.permissions.inbox_read, changed.permissions.message_read) == ("renamed", True, None)
        weak = Api(api.server, api.kind, made[0].api_key)
        assert (await weak("inboxes.get", place.inbox)).inbox_id == place.inbox
        assert await weak.fails(ApiError, 403, "inboxes.update", place.inbox, display_name="x") == "missing_permission"
        await api(f"{prefix}api_keys.delete", *scope, ids[0])
        assert await weak.fails(ApiError, 401, "inboxes.get", place.inbox) == "unknown_api_key"
        await is_gone(api, "api_keys.get", ids[0])


@scenario
async def test_domains_are_made_read_changed_listed_checked_and_deleted_in_both_scopes(api, place):
    for prefix, scope in place.levels[:2]:
        names = sorted(f"{unique('d')}.example" for _ in range(3))
        for name in names:
            made = await api(f"{prefix}domains.create", *scope, domain=name)
            assert (made.domain_id, made.status) == (name, "NOT_STARTED")
        listed = [domain.domain_id for domain in await api.pages(f"{prefix}domains.list", "domains", *scope, limit=2)]
        assert sorted(domain for domain in listed if domain in names) == names and len(listed) == len(set(listed))
        got = await api(f"{prefix}domains.get", *scope, names[0])
        zone = (await api(f"{prefix}domains.get_zone_file", *scope, names[0])).decode()
        for record in got.records:
            assert record.name in zone
        changed = await api(f"{prefix}domains.update", *scope, names[0], subdomains_enabled=True, feedback_enabled=False)
        assert (changed.subdomains_enabled, changed.feedback_enabled) == (True, False)
        assert await api(f"{prefix}domains.verify", *scope, names[0]) is None
        assert (await api("domains.get_setup_link", names[0])).supported is False
        await api(f"{prefix}domains.delete", *scope, names[0])
        await is_gone(api, f"{prefix}domains.get", *scope, names[0])


# ---- inboxes, messages, threads, drafts ------------------------------------------------------------------


@scenario
async def test_inboxes_are_made_read_changed_found_and_deleted_in_both_scopes(api, place):
    for prefix, scope in place.levels[:2]:
        names = [unique("agent") for _ in range(3)]
        made = []
        for name in names:
            options = {"username": name, "display_name": "Ann", "metadata": {"plan": "pro"}}
            if scope:
                inbox = await api("pods.inboxes.create", *scope, **options)
            else:
                inbox = await api("inboxes.create", request=CreateInboxRequest(**options))
            made.append(inbox.inbox_id)
        listed = [inbox.inbox_id for inbox in await api.pages(f"{prefix}inboxes.list", "inboxes", *scope, limit=2)]
        assert [inbox for inbox in listed if inbox in made] == made[::-1] and len(listed) == len(set(listed))
        found = await api.pages(f"{prefix}inboxes.search", "inboxes", *scope, q=names[1], limit=1)
        assert made[1] in [inbox.inbox_id for inbox in found]
        changed = await api(f"{prefix}inboxes.update", *scope, made[0], display_name="Eve", metadata={"plan": None})
        assert changed.display_name == "Eve" and not changed.metadata
        assert await api(f"{prefix}inboxes.get", *scope, made[0]) == changed
        await api(f"{prefix}inboxes.delete", *scope, made[0])
        await is_gone(api, f"{prefix}inboxes.get", *scope, made[0])


@scenario
async def test_messages_are_sent_answered_read_listed_labelled_and_deleted(api, place):
    box = place.inbox
    file = SendAttachment(filename="a.txt", content_type="text/plain", content=base64.b64encode(b"hello").decode())
    sent = await api("inboxes.messages.send", box, to=TO, subject="Plan", text="Hé", html="<p>Hé</p>", attachments=[file])
    reply = await api("inboxes.messages.reply", box, sent.message_id, text="one")
    everyone = await api("inboxes.messages.reply_all", box, sent.message_id, text="two")
    forward = await api("inboxes.messages.forward", box, sent.message_id, to="y@client.example", text="three")
    assert {answer.thread_id for answer in (reply, everyone, forward)} == {sent.thread_id}
    ids = [answer.message_id for answer in (sent, reply, everyone, forward)]
    for options in ({"limit": 1}, {"limit": 3}, {"limit": 2, "ascending": True}):
        listed = await api.pages("inboxes.messages.list", "messages", box, **options)
        assert sorted(message.message_id for message in listed) == sorted(ids)
        times = [message.timestamp for message in listed]
        assert times == sorted(times, reverse=not options.get("ascending"))
    message = await api("inboxes.messages.get", box, sent.message_id)
    assert (message.subject, message.text, message.html, message.from_) == ("Plan", "Hé", "<p>Hé</p>", box)
    attachment = message.attachments[0].attachment_id
    found = await api("inboxes.messages.get_attachment", box, sent.message_id, attachment)
    assert (found.filename, found.size, download(found.download_url)) == ("a.txt", 5, b"hello")
    raw = await api("inboxes.messages.get_raw", box, sent.message_id)
    assert b"Subject: Plan\r\n" in download(raw.download_url)
    assert "vip" in (await api("inboxes.messages.update", box, ids[0], add_labels=["VIP"])).labels
    batch = await api("inboxes.messages.batch_update", box, message_ids=ids[:2], add_labels=["batch"], remove_labels=["vip"])
    assert [update.message_id for update in batch.updates] == ids[:2]
    for update in batch.updates:
        assert set(update.labels) - {"delivered"} == {"sent", "batch"}
    both = await api("inboxes.messages.batch_get", box, message_ids=[ids[1], "<no@where>", ids[0]])
    assert [message.message_id for message in both.messages] == [ids[1], ids[0]]
    await api("inboxes.messages.delete", box, forward.message_id)
    await is_gone(api, "inboxes.messages.get", box, forward.message_id)


@scenario
async def test_the_label_history_is_paged_to_its_end(api, place):
    sent = await api("inboxes.messages.send", place.inbox, to=TO, text="x")
    for number in range(3):
        await api("inboxes.messages.update", place.inbox, sent.message_id, add_labels=[f"l{number}"])
    await api("inboxes.messages.update", place.inbox, sent.message_id, remove_labels=["l0"])
    history = await api.pages("inboxes.events.list", "events", place.inbox, limit=2, ascending=True)
    # The mail is delivered meanwhile.
    changes = [(event.event_type, event.label) for event in history if event.label not in ("sent", "delivered")]
    assert changes == [("label.added", "l0"), ("label.added", "l1"), ("label.added", "l2"), ("label.removed", "l0")]
    assert {event.message_id for event in history} == {sent.message_id}


@scenario
async def test_threads_are_read_listed_labelled_and_deleted_at_every_level(api, place):
    file = SendAttachment(filename="a.txt", content=base64.b64encode(b"hello").decode())
    for prefix, scope in place.levels:
        sent = [
            await api("inboxes.messages.send", place.inbox, to=TO, subject=f"T{n}", text="x", attachments=[file])
            for n in range(3)
        ]
        last = await api("inboxes.messages.reply", place.inbox, sent[0].message_id, text="y")
        ids = {answer.thread_id for answer in sent}
        listed = [thread.thread_id for thread in await api.pages(f"{prefix}threads.list", "threads", *scope, limit=2)]
        assert ids <= set(listed) and len(listed) == len(set(listed))
        thread = await api(f"{prefix}threads.get", *scope, sent[0].thread_id)
        assert (thread.message_count, thread.last_message_id) == (2, last.message_id)
        attachment = thread.attachments[0].attachment_id
        found = await api(f"{prefix}threads.get_attachment", *scope, sent[0].thread_id, attachment)
        assert download(found.download_url) == b"hello"
        changed = await api(f"{prefix}threads.update", *scope, sent[0].thread_id, add_labels=["done"])
        assert set(changed.labels) - {"delivered"} == {"sent", "done"}
        assert [t.thread_id for t in await api.pages(f"{prefix}threads.list", "threads", *scope, labels=["done"])] == [
            sent[0].thread_id
        ]
        await api(f"{prefix}threads.delete", *scope, sent[0].thread_id)
        await is_gone(api, f"{prefix}threads.get", *scope, sent[0].thread_id)


@scenario
async def test_drafts_are_made_changed_read_listed_sent_and_deleted(api, place):
    box = place.inbox
    file = SendAttachment(filename="a.txt", content=base64.b64encode(b"hello").decode())
    made = [await api("inboxes.drafts.create", box, to=[TO], subject=f"D{n}", attachments=[file]) for n in range(3)]
    ids = [draft.draft_id for draft in made]
    changed = await api("inboxes.drafts.update", box, ids[0], text="second", add_labels=["mine"])
    assert (changed.text, changed.subject) == ("second", "D0") and "mine" in changed.labels
    for prefix, scope in place.levels:
        listed = [draft.draft_id for draft in await api.pages(f"{prefix}drafts.list", "drafts", *scope, limit=2)]
        assert set(ids) <= set(listed) and len(listed) == len(set(listed))
        assert await api(f"{prefix}drafts.get", *scope, ids[0]) == changed
        attachment = changed.attachments[0].attachment_id
        found = await api(f"{prefix}drafts.get_attachment", *scope, ids[0], attachment)
        assert download(found.download_url) == b"hello"
    sent = await api("inboxes.drafts.send", box, ids[0])
    assert (await api("inboxes.messages.get", box, sent.message_id)).text == "second"
    await api("inboxes.drafts.delete", box, ids[1])
    for gone in ids[:2]:
        await is_gone(api, "drafts.get", gone)


# ---- search ----------------------------------------------------------------------------------------------


@scenario
async def test_messages_and_threads_are_found_by_their_words_at_every_level(api, place):
    word = unique("zanzibar").replace("-", "")
    sent = [
        await api("inboxes.messages.send", place.inbox, to=TO, subject=f"Number {n}", text=f"All about {word}")
        for n in range(3)
    ]
    await api("inboxes.messages.send", place.inbox, to=TO, subject="Else", text="All about nothing")
    found = await api.pages("inboxes.messages.search", "messages", place.inbox, q=word, limit=2)
    assert sorted(message.message_id for message in found) == sorted(answer.message_id for answer in sent)
    for prefix, scope in place.levels:
        threads = await api.pages(f"{prefix}threads.search", "threads", *scope, q=word, limit=2)
        assert sorted(thread.thread_id for thread in threads) == sorted(answer.thread_id for answer in sent)


# ---- lists, webhooks -------------------------------------------------------------------------------------


@scenario
async def test_entries_of_lists_are_kept_read_listed_and_removed_at_every_level(api, place):
    for prefix, scope in place.levels:
        for direction, kind in (("send", "block"), ("receive", "allow"), ("reply", "block")):
            names = sorted(f"{unique('a')}.example" for _ in range(3))
            for name in names:
                made = await api(f"{prefix}lists.create", *scope, direction, kind, entry=name, reason="why")
                assert (made.entry, made.entry_type, made.reason) == (name, "domain", "why")
            listed = await api.pages(f"{prefix}lists.list", "entries", *scope, direction, kind, limit=2)
            assert [entry.entry for entry in listed if entry.entry in names] == names
            assert await api(f"{prefix}lists.get", *scope, direction, kind, names[0]) in listed
            for name in names:
                await api(f"{prefix}lists.delete", *scope, direction, kind, name)
                await is_gone(api, f"{prefix}lists.get", *scope, direction, kind, name)


@scenario
async def test_webhooks_are_made_read_changed_listed_and_deleted_at_every_level(api, place):
    for prefix, scope in place.levels:
        made = [
            await api(
                f"{prefix}webhooks.create", *scope, url=f"{URL}/{number}", event_types=RECEIVED, headers={"X-A": "1"}
            )
            for number in range(3)
        ]
        ids = [hook.webhook_id for hook in made]
        listed = [hook.webhook_id for hook in await api.pages(f"{prefix}webhooks.list", "webhooks", *scope, limit=2)]
        assert [hook for hook in listed if hook in ids] == ids[::-1] and len(listed) == len(set(listed))
        assert (await api(f"{prefix}webhooks.get", *scope, ids[0])).url == f"{URL}/0"
        changed = await api(f"{prefix}webhooks.update", *scope, ids[0], enabled=False, event_types=["message.sent"])
        assert (changed.enabled, changed.event_types) == (False, ["message.sent"])
        await api(f"{prefix}webhooks.update_headers", *scope, ids[0], headers={"X-B": "2"})
        names = await api(f"{prefix}webhooks.get_headers", *scope, ids[0])
        assert sorted(names.header_names) == ["X-A", "X-B"]
        await api(f"{prefix}webhooks.delete", *scope, ids[0])
        await is_gone(api, f"{prefix}webhooks.get", *scope, ids[0])


# ---- errors ----------------------------------------------------------------------------------------------

KEY = {"request": CreateBearerApiKeyRequest(name="x")}
# Bodies that are right, by the last two parts of an operation's identifier; the others need none.
RIGHT: dict[str, dict] = {
    "api_keys.create": KEY, "api_keys.update": {"name": "x"}, "domains.update": {"feedback_enabled": True},
    "drafts.update": {"text": "x"}, "inboxes.update": {"display_name": "x"},
    "messages.send": {"to": TO, "text": "x"}, "messages.forward": {"to": TO}, "messages.reply": {"text": "x"},
    "messages.reply_all": {"text": "x"}, "messages.search": {"q": "x"}, "messages.update": {"add_labels": ["x"]},
    "threads.search": {"q": "x"}, "threads.update": {"add_labels": ["x"]}, "inboxes.search": {"q": "x"},
    "webhooks.update": {"enabled": True}, "webhooks.update_headers": {"headers": {"X-A": "1"}},
}
# Bodies that are not.
WRONG: dict[str, dict] = {
    "api_keys.create": {"request": {"name": 7}}, "api_keys.update": {"name": 7},
    "domains.create": {"domain": "no domain"}, "drafts.create": {"text": 7}, "drafts.update": {"text": 7},
    "drafts.send": {"add_labels": ["sent"]}, "inboxes.create": {"username": "a b"}, "inboxes.search": {"q": "x", "limit": 0},
    "inboxes.update": {"display_name": 7}, "lists.create": {"entry": "*.example"}, "messages.batch_get": {"message_ids": []},
    "messages.batch_update": {"message_ids": [], "add_labels": ["x"]}, "messages.forward": {"to": TO, "text": 7},
    "messages.reply": {"text": 7}, "messages.reply_all": {"text": 7}, "messages.send": {"to": TO, "text": 7},
    "messages.search": {"q": ""}, "messages.update": {"add_labels": ["sent"]}, "pods.create": {"name": 7},
    "threads.search": {"q": ""}, "threads.update": {"add_labels": ["sent"]},
    "webhooks.create": {"url": "nowhere", "event_types": RECEIVED}, "webhooks.update": {"enabled": 7},
    "webhooks.update_headers": {"headers": {}},
}


def body(bodies: dict[str, dict], operation: str) -> dict:
    options = bodies.get(".".join(operation.split(".")[-2:]), {})
    # Only this call takes its members in an object.
    return {"request": CreateInboxRequest(**options)} if operation == "inboxes.create" else options


def served(server) -> set[tuple[str, str]]:
    """Method and path, without names of parameters, of every route in the server's OpenAPI document."""
    paths = httpx.get(f"{server.url}/openapi.json", timeout=DEADLINE).json()["paths"]
    return {(method.upper(), re.sub(r"\{\w+\}", "{}", path)) for path, methods in paths.items() for method in methods}


def required(server) -> list[recorder.Operation]:
    """The operations of the areas that the server has."""
    routes = served(server)
    operations = [o for o in recorder.operations() if not set(o.id.split(".")) & set(ELSEWHERE)]
    missing = [o.id for o in operations if o.route not in routes and not PLANNED.fullmatch(o.id)]
    assert missing == [], "gone from the server"
    return [o for o in operations if o.route in routes]


class Real:
    """Something of every kind, to be named in paths."""

    @classmethod
    async def make(cls, api: Api, place: Place) -> Real:
        real = cls()
        file = SendAttachment(filename="a.txt", content="")
        sent = await api("inboxes.messages.send", place.inbox, to=TO, text="x", attachments=[file])
        draft = await api("inboxes.drafts.create", place.inbox, to=[TO], text="x")
        hook = await api("inboxes.webhooks.create", place.inbox, url=URL, event_types=RECEIVED)
        # The route tells the level of the key that is meant.
        real.keys = {
            prefix: (await api(f"{prefix}api_keys.create", *scope, **KEY)).api_key_id for prefix, scope in place.levels
        }
        domain = await api("pods.domains.create", place.pod, domain=f"{unique('d')}.example")
        real.names = {
            "pod_id": place.pod, "inbox_id": place.inbox, "message_id": sent.message_id, "thread_id": sent.thread_id,
            "draft_id": draft.draft_id, "webhook_id": hook.webhook_id, "domain_id": domain.domain_id,
            "direction": "send", "type": "block",
        }
        return real

    def path(self, operation: recorder.Operation, absent: bool) -> list[str]:
        """Arguments for the path; the last is of nothing if `absent`."""
        names = re.findall(r"\{(\w+)\}", operation.path)
        level = operation.id.rpartition("api_keys.")[0]
        arguments = [self.keys[level] if name == "api_key_id" else self.names.get(name, ABSENT) for name in names]
        if absent:
            last = {"message_id": "<no@where>", "entry": "no@where.example"}
            arguments[-1] = last.get(names[-1], ABSENT)
        return arguments


@scenario
async def test_every_operation_raises_not_found_where_the_sdk_documents_it(api, place):
    real = await Real.make(api, place)
    tried = 0
    for operation in required(api.server):
        if 404 in operation.statuses and "{" in operation.path:
            arguments = real.path(operation, absent=True)
            code = await api.fails(NotFoundError, 404, operation.id, *arguments, **body(RIGHT, operation.id))
            assert code == "not_found", operation.id
            tried += 1
    assert tried > 70


@scenario
async def test_every_operation_raises_a_validation_error_where_the_sdk_documents_it(api, place):
    real = await Real.make(api, place)
    tried = 0
    for operation in required(api.server):
        # Joining Labs has no body, so nothing in it can be wrong.
        if 400 in operation.statuses and operation.id != "organizations.join_labs":
            arguments = real.path(operation, absent=False)
            options = body(WRONG, operation.id)
            assert options, f"no wrong body for {operation.id}"
            code = await api.fails(ValidationError, 400, operation.id, *arguments, **options)
            assert code == "validation_error", operation.id
            tried += 1
    assert tried > 30


SENDING = ("messages.send", "messages.reply", "messages.reply_all", "messages.forward", "drafts.send")


@scenario
async def test_every_sending_operation_raises_conflict_for_a_key_that_was_used_for_another(api, place):
    real = await Real.make(api, place)
    key = unique("key")
    await api("inboxes.messages.send", place.inbox, to=TO, text="first", idempotency_key=key)
    for operation in required(api.server):
        if operation.id.removeprefix("inboxes.") in SENDING:
            options = {**body(RIGHT, operation.id), "idempotency_key": key}
            arguments = real.path(operation, absent=False)
            assert await api.fails(ConflictError, 409, operation.id, *arguments, **options) == "conflict", operation.id


@scenario
async def test_every_sending_operation_raises_rejected_for_a_paused_inbox(api, place):
    real = await Real.make(api, place)
    await api("inboxes.update", place.inbox, status="paused")
    for operation in required(api.server):
        if operation.id.removeprefix("inboxes.") in SENDING:
            arguments = real.path(operation, absent=False)
            await api.fails(MessageRejectedError, 403, operation.id, *arguments, **body(RIGHT, operation.id))


@scenario
async def test_inboxes_on_a_domain_without_subdomains_are_unprocessable(api, place):
    for prefix, scope in place.levels[:2]:
        domain = f"{unique('d')}.example"
        await api(f"{prefix}domains.create", *scope, domain=domain)
        api.server.verify_domain(domain)
        options = {"username": "bot", "domain": f"sub.{domain}"}
        options = options if scope else {"request": CreateInboxRequest(**options)}
        await api.fails(UnprocessableError, 422, f"{prefix}inboxes.create", *scope, **options)


# ---- the last test ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_operation_of_these_areas_was_called(server, request, kind):
    here = [item for item in request.session.items if item.path == request.path]
    tests = [name for name in vars(request.module) if name.startswith("test_")]
    if {item.originalname for item in here} != set(tests):
        pytest.skip("only some of the tests of this file were asked for")
    operations = required(server)
    assert len(operations) > 115
    assert [o.id for o in operations if o.id not in recorder.called[kind]] == []
