"""Drafts through the SDK: every operation at every level, schedules by the real clock."""

from __future__ import annotations

import asyncio
import base64
from datetime import datetime, timedelta, timezone

import httpx
import pytest
from agentmail import SendAttachment
from agentmail.errors import ConflictError, NotFoundError, ValidationError
from agentmail.messages import MessageRejectedError

from harness import DEADLINE, unique, wait_until


def pages(call, **options):
    """Every item of a list, page by page."""
    token = None
    while True:
        page = call(page_token=token, **options)
        yield from page.drafts
        token = page.next_page_token
        if token is None:
            return


def test_a_draft_is_made_changed_listed_and_sent(client, inbox, network):
    drafts = client.inboxes.drafts
    draft = drafts.create(
        inbox,
        to=["Bob <bob@else.example>"],
        subject=unique("draft"),
        text="first",
        labels=["review"],
        attachments=[SendAttachment(filename="a.txt", content=base64.b64encode(b"hello").decode())],
    )
    assert draft.labels == ["draft", "review"] and draft.send_status is None
    assert draft.attachments[0].size == 5
    changed = drafts.update(
        inbox,
        draft.draft_id,
        text="second",
        add_attachments=[SendAttachment(filename="b.txt", content="")],
        remove_attachments=[draft.attachments[0].attachment_id],
        add_labels=["done"],
        remove_labels=["review"],
    )
    assert [a.filename for a in changed.attachments] == ["b.txt"]
    assert changed.labels == ["draft", "done"] and changed.text == "second" and changed.subject == draft.subject
    assert drafts.get(inbox, draft.draft_id) == changed
    pod = client.auth.me().organization_id
    assert client.drafts.get(draft.draft_id) == changed == client.pods.drafts.get(pod, draft.draft_id)
    for call in (lambda **o: drafts.list(inbox, **o), client.drafts.list, lambda **o: client.pods.drafts.list(pod, **o)):
        assert draft.draft_id in [item.draft_id for item in pages(call, limit=1)]
    file = client.drafts.get_attachment(draft.draft_id, changed.attachments[0].attachment_id)
    assert httpx.get(file.download_url, timeout=DEADLINE).content == b""
    sent = drafts.send(inbox, draft.draft_id, add_labels=["sent-by-me"])
    message = client.inboxes.messages.get(inbox, sent.message_id)
    assert message.labels[:1] == ["sent"] and {"done", "sent-by-me"} <= set(message.labels)
    assert message.text == "second" and message.thread_id == sent.thread_id
    with pytest.raises(NotFoundError):
        drafts.get(inbox, draft.draft_id)


def test_a_reply_draft_goes_on_the_conversation(client, inbox):
    source = client.inboxes.messages.send(inbox, to="ann@else.example", subject="Plan", text="Shall we?")
    draft = client.inboxes.drafts.create(inbox, in_reply_to=source.message_id, text="Reminder")
    assert (draft.to, draft.subject, draft.in_reply_to) == (["ann@else.example"], "Re: Plan", source.message_id)
    sent = client.inboxes.drafts.send(inbox, draft.draft_id)
    assert sent.thread_id == source.thread_id
    assert "> Shall we?" in client.inboxes.messages.get(inbox, sent.message_id).text
    forward = client.inboxes.drafts.create(inbox, forward_of=source.message_id, to=["b@else.example"])
    assert forward.subject == "Fwd: Plan"
    client.inboxes.drafts.delete(inbox, forward.draft_id)


def test_a_scheduled_draft_is_sent_at_its_time(client, inbox):
    at = datetime.now(timezone.utc) + timedelta(seconds=2)
    draft = client.inboxes.drafts.create(inbox, to=["a@else.example"], subject="later", send_at=at)
    assert draft.send_status == "scheduled" and "scheduled" in draft.labels
    assert draft.draft_id in [d.draft_id for d in client.inboxes.drafts.list(inbox, labels=["scheduled"]).drafts]

    def gone():
        try:
            client.inboxes.drafts.get(inbox, draft.draft_id)
        except NotFoundError:
            return True
        return False

    wait_until(gone, "the draft is sent")
    assert datetime.now(timezone.utc) >= at
    messages = client.inboxes.messages.list(inbox).messages
    assert len(messages) == 1 and messages[0].labels[0] == "sent" and "draft" not in messages[0].labels


def test_the_sdk_raises_what_it_documents(client, inbox):
    drafts = client.inboxes.drafts
    with pytest.raises(ValidationError):
        drafts.create(inbox, labels=["sent"])
    with pytest.raises(NotFoundError):
        drafts.create(inbox, in_reply_to="<absent@else.example>")
    draft = drafts.create(inbox, to=["a@else.example"], client_id=unique("d"))
    assert drafts.create(inbox, client_id=draft.client_id) == draft
    key = unique("key")
    first = drafts.send(inbox, draft.draft_id, idempotency_key=key)
    assert drafts.send(inbox, draft.draft_id, idempotency_key=key) == first
    once = {"max_retries": 0}
    other = drafts.create(inbox, to=["a@else.example"])
    with pytest.raises(ConflictError):
        drafts.send(inbox, other.draft_id, idempotency_key=key, request_options=once)
    client.inboxes.update(inbox, status="paused")
    with pytest.raises(MessageRejectedError):
        drafts.send(inbox, other.draft_id)


def test_the_async_client_does_the_same(server, inbox):
    async def run():
        client = server.async_client()
        draft = await client.inboxes.drafts.create(inbox, to=["a@else.example"], subject="async")
        listed = await client.inboxes.drafts.list(inbox)
        assert [d.draft_id for d in listed.drafts] == [draft.draft_id]
        return await client.inboxes.drafts.send(inbox, draft.draft_id)

    assert asyncio.run(run()).message_id.startswith("<")
