"""Allow and block lists through the SDK, at three levels."""

from __future__ import annotations

import pytest
from agentmail.core.api_error import ApiError
from agentmail.errors import NotFoundError, ValidationError
from agentmail.messages import MessageRejectedError

import mailer
from harness import unique, wait_until


def levels(client, inbox):
    """The same calls at every level."""
    pod = client.auth.me().organization_id
    return [
        (client.lists, ()),
        (client.pods.lists, (pod,)),
        (client.inboxes.lists, (inbox,)),
    ]


def test_entries_are_kept_listed_and_removed_at_every_level(client, inbox):
    for lists, scope in levels(client, inbox):
        name = f"{unique('a')}@else.example"
        entry = lists.create(*scope, "send", "block", entry=f"Ann <{name.upper()}>", reason="asked to")
        assert (entry.entry, entry.entry_type, entry.reason) == (name, "email", "asked to")
        assert (entry.direction, entry.list_type, entry.read_only) == ("send", "block", None)
        assert lists.get(*scope, "send", "block", name) == entry
        assert lists.create(*scope, "send", "block", entry=name) == entry
        token, found = None, []
        while True:
            page = lists.list(*scope, "send", "block", limit=1, page_token=token)
            found += [e.entry for e in page.entries]
            token = page.next_page_token
            if token is None:
                break
        assert name in found and found == sorted(found)
        with pytest.raises(MessageRejectedError) as refused:
            client.inboxes.messages.send(inbox, to=name, text="x")
        assert name in str(refused.value.body)
        lists.delete(*scope, "send", "block", name)
        with pytest.raises(NotFoundError):
            lists.get(*scope, "send", "block", name)
        client.inboxes.messages.send(inbox, to=name, text="x")


def test_bad_entries_are_validation_errors(client):
    with pytest.raises(ValidationError):
        client.lists.create("send", "block", entry="*.example.com")
    with pytest.raises(ApiError) as refused:
        client.lists.list("sideways", "block")
    assert refused.value.status_code == 400


def test_mail_from_a_blocked_sender_is_hidden(client, server, inbox):
    client.inboxes.lists.create(inbox, "receive", "block", entry="bad.example")
    mailer.send(server, inbox, sender="Bad <a@bad.example>").ok()

    def blocked():
        return client.inboxes.messages.list(inbox, include_blocked=True).messages

    message = wait_until(blocked, "the mail is stored")[0]
    assert "blocked" in message.labels
    assert client.inboxes.messages.list(inbox).messages == []
