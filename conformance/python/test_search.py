"""Full-text search through the SDK: consistent right after the write, at every level."""

from __future__ import annotations

import asyncio

import pytest
from agentmail.core.api_error import ApiError

import mailer
from harness import unique


def test_what_was_just_sent_and_received_is_found(client, server, inbox):
    word = unique("needle").replace("-", "")
    mailer.send(server, inbox, subject=f"About {word}", text="Nothing else.").ok()
    client.inboxes.messages.send(inbox, to="a@else.example", subject="Other", text=f"The {word}s are here")
    found = client.inboxes.messages.search(inbox, q=word.upper())
    assert [message.subject for message in found.messages] == [f"About {word}", "Other"]
    assert found.messages[0].highlights.subject == [f"About **{word}**"]
    assert found.messages[1].highlights.text == [f"The **{word}s** are here"]
    pod = client.auth.me().organization_id
    for search in (
        lambda **o: client.threads.search(**o),
        lambda **o: client.pods.threads.search(pod, **o),
        lambda **o: client.inboxes.threads.search(inbox, **o),
    ):
        first = search(q=word, limit=1)
        rest = search(q=word, limit=1, page_token=first.next_page_token)
        assert rest.next_page_token is None
        assert {first.threads[0].subject, rest.threads[0].subject} == {f"About {word}", "Other"}
    message = found.messages[0]
    client.inboxes.messages.update(inbox, message.message_id, add_labels=["trash"])
    assert [m.subject for m in client.inboxes.messages.search(inbox, q=word).messages] == ["Other"]


def test_a_search_needs_words(client, inbox):
    with pytest.raises(ApiError) as refused:
        client.inboxes.messages.search(inbox, q=" ")
    assert refused.value.status_code == 400


def test_the_async_client_searches_too(server, inbox):
    async def run():
        client = server.async_client()
        await client.inboxes.messages.send(inbox, to="a@else.example", subject="Quarterly figures")
        return await client.inboxes.messages.search(inbox, q="quarterly")

    assert len(asyncio.run(run()).messages) == 1
