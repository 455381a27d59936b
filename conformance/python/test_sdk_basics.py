"""Inboxes, messages and threads through the SDK, and the classes and codes of errors."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import httpx
import pytest
from agentmail import CreateBearerApiKeyRequest, SendAttachment
from agentmail.api_keys import ApiKeyPermissions
from agentmail.core.api_error import ApiError
from agentmail.errors import ConflictError, NotFoundError, UnprocessableError, ValidationError
from agentmail.inboxes import CreateInboxRequest
from agentmail.messages import MessageRejectedError

import mailer
from harness import DEADLINE, unique, wait_until

# The SDK repeats a 409 by itself, which takes three seconds.
ONCE = {"max_retries": 0}
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def box(client) -> str:
    return client.inboxes.create(request=CreateInboxRequest(username=unique("box"))).inbox_id


def download(url: str) -> bytes:
    """As any HTTP client would, without a key."""
    answer = httpx.get(url, timeout=DEADLINE)
    assert answer.status_code == 200, answer.text
    return answer.content


def arrived(client, inbox: str, message_id: str):
    """The message, once it is there: mail between inboxes takes the way through the queue."""

    def look():
        try:
            return client.inboxes.messages.get(inbox, message_id)
        except NotFoundError:
            return None

    return wait_until(look, f"{message_id} in {inbox}")


# ---- inboxes ---------------------------------------------------------------------------------------------


def test_an_inbox_needs_no_arguments(client, server):
    inbox = client.inboxes.create()
    assert inbox.inbox_id == inbox.email and inbox.inbox_id.endswith(f"@{server.domain}")
    assert (inbox.status, inbox.metadata, inbox.client_id) == (None, None, None)


def test_an_inbox_can_be_read_changed_searched_and_deleted(client):
    name = unique("Mixed.Case")
    inbox = client.inboxes.create(
        request=CreateInboxRequest(username=name, display_name='Ann "Boss" <x>', metadata={"plan": "pro", "seats": 5})
    )
    assert inbox.inbox_id.startswith(f"{name.lower()}@")
    assert inbox.display_name == "Ann Boss x"
    changed = client.inboxes.update(inbox.inbox_id, display_name="Ann", metadata={"plan": None, "free": True})
    assert (changed.display_name, changed.metadata) == ("Ann", {"seats": 5, "free": True})
    assert client.inboxes.get(inbox.inbox_id.upper()) == changed
    assert client.inboxes.search(q=inbox.inbox_id).inboxes[0].inbox_id == inbox.inbox_id
    client.inboxes.delete(inbox.inbox_id)
    with pytest.raises(NotFoundError):
        client.inboxes.get(inbox.inbox_id)


def test_twenty_parallel_creates_with_one_client_id_make_one_inbox(client):
    client_id = unique("client")
    request = CreateInboxRequest(client_id=client_id)
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda _: client.inboxes.create(request=request), range(20)))
    assert len({inbox.inbox_id for inbox in made}) == 1
    everything = pages(lambda token: client.inboxes.list(limit=500, page_token=token), "inboxes")
    assert [inbox.client_id for inbox in everything].count(client_id) == 1


def pages(page, items: str, most: int = 100) -> list:
    """Follows the tokens to the last page, which has none."""
    found, token = [], None
    for _ in range(most):
        answer = page(token)
        assert answer.count == len(getattr(answer, items))
        found += getattr(answer, items)
        token = answer.next_page_token
        if token is None:
            return found
    raise AssertionError(f"more than {most} pages")


def test_pages_of_inboxes_hold_each_once_and_in_order(client):
    pod = client.pods.create(name="Pages")
    made = [client.pods.inboxes.create(pod.pod_id, username=unique("page")).inbox_id for _ in range(7)]
    listed = pages(lambda token: client.pods.inboxes.list(pod.pod_id, limit=3, page_token=token), "inboxes")
    assert [inbox.inbox_id for inbox in listed] == made[::-1]
    upwards = pages(
        lambda token: client.pods.inboxes.list(pod.pod_id, limit=2, page_token=token, ascending=True), "inboxes"
    )
    assert [inbox.inbox_id for inbox in upwards] == made


# ---- sending ---------------------------------------------------------------------------------------------


def test_a_message_goes_out_and_is_readable_at_once(client, box, network):
    to = f"{unique('to')}@client.example"
    sent = client.inboxes.messages.send(
        box, to=f"Bob <{to}>", cc=["carol@client.example"], subject="Grüße", text="Hé\nthere", html="<p>Hé</p>",
        labels=["Campaign"], headers={"X-Ticket": "7"},
    )
    message = client.inboxes.messages.get(box, sent.message_id)
    assert (message.thread_id, message.subject, message.text, message.html) == (
        sent.thread_id, "Grüße", "Hé\nthere", "<p>Hé</p>"
    )
    assert (message.from_, message.to, message.cc) == (box, [f"Bob <{to}>"], ["carol@client.example"])
    assert message.labels[:2] == ["sent", "campaign"]
    assert message.headers == {"X-Ticket": "7"}
    outside = network.wait_for(to)[0].message
    assert (outside["Message-ID"], outside["Subject"], outside["X-Ticket"]) == (sent.message_id, "Grüße", "7")
    assert outside.get_body(("plain",)).get_content().replace("\r\n", "\n").strip() == "Hé\nthere"


def test_reply_reply_all_and_forward_join_the_thread_and_find_their_recipients(client, box, server, network):
    letter = mailer.send(
        server, box, sender="Dora <dora@client.example>", subject="Plan",
        headers={"Cc": "erik@client.example", "Reply-To": "desk@client.example"},
    ).ok()
    source = client.inboxes.messages.get(box, letter.message_id)
    reply = client.inboxes.messages.reply(box, letter.message_id, text="Yes")
    everyone = client.inboxes.messages.reply_all(box, letter.message_id, text="All")
    third = f"{unique('third')}@client.example"
    forward = client.inboxes.messages.forward(box, letter.message_id, to=third, text="See below")
    got = {answer.message_id: client.inboxes.messages.get(box, answer.message_id) for answer in (reply, everyone, forward)}
    assert {message.thread_id for message in got.values()} == {source.thread_id}
    assert (got[reply.message_id].to, got[reply.message_id].subject) == (["desk@client.example"], "Re: Plan")
    assert (got[everyone.message_id].to, got[everyone.message_id].cc) == (["desk@client.example"], ["erik@client.example"])
    assert got[reply.message_id].in_reply_to == letter.message_id
    assert got[reply.message_id].references == [letter.message_id]
    assert "> How do you do?" in got[reply.message_id].text and got[reply.message_id].extracted_text == "Yes"
    outside = network.wait_for(third)[0].message
    assert outside["Subject"] == "Fwd: Plan"
    assert "---------- Forwarded message" in outside.get_content() and "How do you do?" in outside.get_content()
    thread = client.inboxes.threads.get(box, source.thread_id)
    assert (thread.message_count, len(thread.messages)) == (4, 4)
    assert thread.messages[0].message_id == letter.message_id


def test_attachments_come_back_byte_for_byte(client, box, network):
    to = f"{unique('to')}@client.example"
    sent = client.inboxes.messages.send(
        box, to=to, subject="Files", text="Two of them",
        attachments=[
            SendAttachment(filename="bytes.bin", content=base64.b64encode(CONTENT).decode()),
            SendAttachment(filename="prüfung.csv", content_type="text/csv", content=base64.b64encode(b"a,b\n").decode()),
        ],
    )
    message = client.inboxes.messages.get(box, sent.message_id)
    assert [(a.filename, a.content_type, a.size) for a in message.attachments] == [
        ("bytes.bin", "application/octet-stream", len(CONTENT)), ("prüfung.csv", "text/csv", 4)
    ]
    for attachment, content in zip(message.attachments, (CONTENT, b"a,b\n"), strict=True):
        found = client.inboxes.messages.get_attachment(box, sent.message_id, attachment.attachment_id)
        assert download(found.download_url) == content
        found = client.inboxes.threads.get_attachment(box, sent.thread_id, attachment.attachment_id)
        assert download(found.download_url) == content
    forward = client.inboxes.messages.forward(box, sent.message_id, to=f"again-{to}")
    assert [a.filename for a in client.inboxes.messages.get(box, forward.message_id).attachments] == [
        "bytes.bin", "prüfung.csv"
    ]
    outside = list(network.wait_for(f"again-{to}")[0].message.iter_attachments())
    assert [part.get_content() for part in outside][0] == CONTENT


def test_the_raw_message_of_a_sent_mail_is_what_went_out(client, box, network):
    to = f"{unique('to')}@client.example"
    sent = client.inboxes.messages.send(box, to=to, subject="Raw", text="Line")
    raw = client.inboxes.messages.get_raw(box, sent.message_id)
    content = download(raw.download_url)
    assert raw.size == len(content) == client.inboxes.messages.get(box, sent.message_id).size
    # The signature and trace lines come on top when it leaves.
    assert network.wait_for(to)[0].data.endswith(content.split(b"\r\n\r\n", 1)[1])


def test_the_raw_message_of_a_received_mail_holds_the_senders_bytes(client, box, server):
    data, message_id = mailer.compose(box, subject="Raw in", text=".dots\r\n..and more")
    with smtplib.SMTP(*server.smtp.split(":"), timeout=DEADLINE) as session:
        session.sendmail("ada@client.example", [box], data)
    content = download(client.inboxes.messages.get_raw(box, message_id).download_url)
    assert content.endswith(data)


def test_twenty_parallel_sends_with_one_idempotency_key_send_one_message(client, box, network):
    to, key = f"{unique('once')}@client.example", unique("key")

    def send(_: int):
        def attempt():
            try:
                return client.inboxes.messages.send(
                    box, to=to, subject="Once", text="Once", idempotency_key=key, request_options=ONCE
                )
            except ConflictError:
                # The first call still runs.
                return None

        return wait_until(attempt, "the result of the first send")

    with ThreadPoolExecutor(20) as pool:
        assert len({sent.message_id for sent in pool.map(send, range(20))}) == 1
    assert len(client.inboxes.messages.list(box).messages) == 1
    client.inboxes.messages.send(box, to=to, subject="Last", text="Last")
    assert sorted(mail.message["Subject"] for mail in network.wait_for(to, 2)) == ["Last", "Once"]
    with pytest.raises(ConflictError) as clash:
        client.inboxes.messages.send(box, to=to, subject="Else", idempotency_key=key, request_options=ONCE)
    assert clash.value.body.code == "conflict"


def test_two_inboxes_can_talk(client):
    first, second = (client.inboxes.create().inbox_id for _ in range(2))
    sent = client.inboxes.messages.send(first, to=second, subject="Ping", text="Ping")
    got = arrived(client, second, sent.message_id)
    assert (got.from_, got.labels) == (first, ["received", "unread"])
    answer = client.inboxes.messages.reply(second, got.message_id, text="Pong")
    back = arrived(client, first, answer.message_id)
    assert back.thread_id == sent.thread_id
    thread = client.inboxes.threads.get(first, sent.thread_id)
    # A received mail has the seconds of its Date, so that within one second either may be first.
    assert {message.message_id for message in thread.messages} == {sent.message_id, answer.message_id}
    assert {"sent", "received", "unread"} <= set(thread.labels)


# ---- lists, labels, threads ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(client, server):
    """An inbox with seven mails, oldest first."""
    inbox = client.inboxes.create().inbox_id
    ids = [
        mailer.send(
            server, inbox, sender=f"Sender {number} <s{number}@client.example>", subject=f"Number {number}",
            date=formatdate(time.time() - 3600 * (7 - number)),
        ).ok().message_id
        for number in range(7)
    ]
    return inbox, ids


def test_pages_of_messages_hold_each_once_and_in_order(client, archive):
    inbox, ids = archive
    for limit in (1, 2, 3, 7, 50):
        listed = pages(lambda token: client.inboxes.messages.list(inbox, limit=limit, page_token=token), "messages")
        times = [message.timestamp for message in listed]
        assert sorted(message.message_id for message in listed) == sorted(ids)
        assert times == sorted(times, reverse=True)
    upwards = pages(
        lambda token: client.inboxes.messages.list(inbox, limit=2, page_token=token, ascending=True), "messages"
    )
    assert [message.timestamp for message in upwards] == times[::-1]


def test_filters_of_messages_are_anded(client, archive):
    inbox, ids = archive
    messages = client.inboxes.messages
    assert [m.message_id for m in messages.list(inbox, subject=["number 3"]).messages] == [ids[3]]
    assert [m.message_id for m in messages.list(inbox, from_=["SENDER 4", "s4@"]).messages] == [ids[4]]
    assert messages.list(inbox, from_=["s4@"], subject=["3"]).count == 0
    assert messages.list(inbox, to=[inbox]).count == 7
    assert messages.list(inbox, labels=["received", "unread"]).count == 7
    assert messages.list(inbox, labels=["received", "nothing"]).count == 0
    assert messages.list(inbox, labels=[]).count == 7
    middle = messages.get(inbox, ids[3]).timestamp
    before, after = messages.list(inbox, before=middle).messages, messages.list(inbox, after=middle).messages
    assert ids[3] in [m.message_id for m in after] and ids[3] not in [m.message_id for m in before]
    assert len(before) + len(after) == 7


def test_labels_are_added_removed_and_filtered(client, archive):
    inbox, ids = archive
    messages = client.inboxes.messages
    assert messages.update(inbox, ids[0], add_labels=["VIP", "vip"], remove_labels="unread").labels == ["received", "vip"]
    batch = messages.batch_update(inbox, message_ids=ids[:3], add_labels="batch")
    assert [(update.message_id, "batch" in update.labels) for update in batch.updates] == [(i, True) for i in ids[:3]]
    assert {m.message_id for m in messages.list(inbox, labels=["batch"]).messages} == set(ids[:3])
    found = messages.batch_get(inbox, message_ids=[ids[2], "<no@where>", ids[0]])
    assert ([m.message_id for m in found.messages], found.count, found.limit) == ([ids[2], ids[0]], 2, 3)
    messages.update(inbox, ids[6], add_labels=["trash"])
    assert ids[6] not in [m.message_id for m in messages.list(inbox).messages]
    assert ids[6] in [m.message_id for m in messages.list(inbox, include_trash=True).messages]
    messages.update(inbox, ids[6], remove_labels=["trash"])
    assert ids[6] in [m.message_id for m in messages.list(inbox).messages]


def test_the_history_of_labels_shows_each_change_once(client, server, box):
    url = f"{server.url}/v0/inboxes/{box}/events"
    if httpx.get(url, headers={"Authorization": f"Bearer {server.api_key}"}).status_code == 404:
        pytest.skip("this server has no label history")
    message_id = mailer.send(server, box).ok().message_id
    for _ in range(2):
        client.inboxes.messages.update(box, message_id, add_labels=["vip"])
    client.inboxes.messages.update(box, message_id, remove_labels=["vip"])
    history = pages(lambda token: client.inboxes.events.list(box, limit=1, page_token=token), "events")
    changes = [(event.event_type, event.label) for event in history]
    assert changes[:2] == [("label.removed", "vip"), ("label.added", "vip")]
    assert set(changes[2:]) == {("label.added", "received"), ("label.added", "unread")} and len(changes) == 4


def test_threads_are_listed_changed_and_deleted_at_every_level(client):
    pod = client.pods.create(name="Threads")
    inbox = client.pods.inboxes.create(pod.pod_id).inbox_id
    sent = client.inboxes.messages.send(inbox, to="x@client.example", subject="Start", text="1")
    again = client.inboxes.messages.reply(inbox, sent.message_id, text="2")
    assert again.thread_id == sent.thread_id
    for threads in (
        client.threads.list(limit=500).threads, client.pods.threads.list(pod.pod_id).threads,
        client.inboxes.threads.list(inbox).threads,
    ):
        (thread,) = [thread for thread in threads if thread.thread_id == sent.thread_id]
        assert (thread.message_count, thread.subject, thread.last_message_id) == (2, "Start", again.message_id)
        assert (thread.senders, thread.recipients) == ([inbox], ["x@client.example"])
    assert "done" in client.threads.update(sent.thread_id, add_labels=["done"]).labels
    assert "done" in client.inboxes.messages.get(inbox, again.message_id).labels
    client.pods.threads.delete(pod.pod_id, sent.thread_id)
    with pytest.raises(NotFoundError):
        client.threads.get(sent.thread_id)
    with pytest.raises(NotFoundError):
        client.inboxes.messages.get(inbox, sent.message_id)


def test_a_deleted_message_leaves_its_thread(client, box):
    sent = client.inboxes.messages.send(box, to="x@client.example", subject="Start", text="1")
    reply = client.inboxes.messages.reply(box, sent.message_id, text="2")
    client.inboxes.messages.delete(box, reply.message_id)
    assert client.threads.get(sent.thread_id).message_count == 1
    client.inboxes.messages.delete(box, sent.message_id)
    with pytest.raises(NotFoundError):
        client.threads.get(sent.thread_id)


# ---- errors ----------------------------------------------------------------------------------------------


def fails(call, kind: type[ApiError], status: int, code: str):
    """The call fails with exactly this class, status and code."""
    with pytest.raises(ApiError) as caught:
        call()
    error = caught.value
    body = error.body if isinstance(error.body, dict) else error.body.dict()
    assert (type(error), error.status_code, body["code"]) == (kind, status, code), error
    assert body["name"] and body["message"]
    return body


def test_400_is_a_validation_error_and_names_the_fields(client, box):
    body = fails(
        lambda: client.inboxes.create(request=CreateInboxRequest(username="a b")), ValidationError, 400, "validation_error"
    )
    assert [issue["path"] for issue in body["errors"]] == [["username"]]
    fails(lambda: client.inboxes.messages.send(box, text="x"), ValidationError, 400, "validation_error")
    own = client.inboxes.messages.send(box, to=box, text="x").message_id
    body = fails(
        lambda: client.inboxes.messages.update(box, own, add_labels=["sent"]), ValidationError, 400, "validation_error"
    )
    assert body["errors"][0]["path"][:1] == ["add_labels"]


def test_401_tells_an_unknown_key(server):
    fails(lambda: server.client("am_us_" + "0" * 64).inboxes.list(), ApiError, 401, "unknown_api_key")


def test_403_tells_what_the_key_lacks(client, server, box):
    key = client.inboxes.api_keys.create(
        box, request=CreateBearerApiKeyRequest(permissions=ApiKeyPermissions(inbox_read=True))
    )
    weak = server.client(key.api_key)
    assert weak.inboxes.get(box).inbox_id == box
    body = fails(
        lambda: weak.inboxes.messages.send(box, to="x@client.example"), MessageRejectedError, 403, "missing_permission"
    )
    assert body["message"] == "Forbidden" and "message_send" in body["fix"]
    # No class of its own outside of sending.
    fails(lambda: client.inboxes.create(request=CreateInboxRequest(username=box.split("@")[0])), ApiError, 403, "already_exists")


def test_404_is_the_same_for_what_is_absent(client, box, server):
    fails(lambda: client.inboxes.get(f"nobody@{server.domain}"), NotFoundError, 404, "not_found")
    fails(lambda: client.inboxes.messages.get(box, "<no@where>"), NotFoundError, 404, "not_found")
    fails(lambda: client.threads.get("no-such-thread"), NotFoundError, 404, "not_found")


def test_409_tells_that_a_pod_is_not_empty(client):
    pod = client.pods.create(name="Full")
    inbox = client.pods.inboxes.create(pod.pod_id)
    # The SDK knows no 409 of this call; for one that it knows see the clash of idempotency keys.
    body = fails(lambda: client.pods.delete(pod.pod_id, request_options=ONCE), ApiError, 409, "cannot_delete")
    assert "existing inboxes" in body["message"]
    client.inboxes.delete(inbox.inbox_id)
    client.pods.delete(pod.pod_id)


def test_413_tells_that_a_request_is_too_large(client, box):
    text = "x" * (6 * 1024 * 1024)
    fails(lambda: client.inboxes.messages.send(box, to="x@client.example", text=text), ApiError, 413, "payload_too_large")


def test_422_tells_that_a_domain_takes_no_subdomains(client, server):
    domain = f"{unique('company')}.example"
    client.domains.create(domain=domain)
    fails(lambda: client.inboxes.create(request=CreateInboxRequest(domain=domain)), ApiError, 403, "domain_not_verified")
    server.verify_domain(domain)
    assert client.domains.get(domain).status == "VERIFIED"
    request = CreateInboxRequest(username="bot", domain=f"sub.{domain}")
    fails(lambda: client.inboxes.create(request=request), UnprocessableError, 422, "unprocessable")
    assert client.inboxes.create(request=CreateInboxRequest(username="bot", domain=domain)).inbox_id == f"bot@{domain}"


def test_every_error_is_json_even_where_no_route_is(server):
    for method, path in (("GET", "/v0/nothing"), ("PUT", "/v0/inboxes"), ("GET", "/v0/inboxes/")):
        answer = httpx.request(method, server.url + path, headers={"Authorization": f"Bearer {server.api_key}"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path


# ---- the asynchronous client -----------------------------------------------------------------------------


def test_the_asynchronous_client_does_the_same(server):
    async def program() -> tuple[int, set[str]]:
        client = server.async_client()
        inbox = (await client.inboxes.create()).inbox_id
        sent = await asyncio.gather(
            *(client.inboxes.messages.send(inbox, to="x@client.example", subject=str(n), text="x") for n in range(5))
        )
        first = await client.inboxes.messages.list(inbox, limit=3)
        second = await client.inboxes.messages.list(inbox, limit=3, page_token=first.next_page_token)
        assert second.next_page_token is None
        with pytest.raises(NotFoundError):
            await client.inboxes.get(f"nobody@{server.domain}")
        return len({answer.message_id for answer in sent}), {m.subject for m in first.messages + second.messages}

    assert asyncio.run(program()) == (5, {"0", "1", "2", "3", "4"})
