"""Webhooks: signatures, attempts, headers, and when an endpoint is given up."""

from __future__ import annotations

import pytest
from agentmail import CreateBearerApiKeyRequest
from agentmail.api_keys import ApiKeyPermissions
from agentmail.core.api_error import ApiError
from agentmail.errors import NotFoundError, ValidationError
from agentmail.inboxes import CreateInboxRequest
from svix.webhooks import Webhook, WebhookVerificationError

import mailer
from harness import unique, wait_until

RECEIVED = ["message.received"]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"WEBHOOKS_RETRY_DELAYS": "1s,1s,1s", "WEBHOOKS_DISABLE_AFTER": "2s", "WORK_LEASE": "2s"}


@pytest.fixture
def box(client) -> str:
    return client.inboxes.create(request=CreateInboxRequest(username=unique("hook"))).inbox_id


@pytest.fixture
def hook(client, box, webhooks):
    """A webhook of the inbox, and its path at the sink."""
    path = f"/{box}"
    return client.inboxes.webhooks.create(box, url=webhooks.url(path), event_types=RECEIVED), path


def test_the_official_verifier_accepts_a_delivery_and_nothing_else(server, box, hook, webhooks):
    made, path = hook
    assert made.secret.startswith("whsec_") and made.enabled
    sent = mailer.send(server, box, subject="Signed", text="Hé").ok()
    (post,) = webhooks.wait_for(path, 1)
    event = post.verify(made.secret)
    assert (event["type"], event["event_type"]) == ("event", "message.received")
    assert (event["message"]["message_id"], event["message"]["text"].strip()) == (sent.message_id, "Hé")
    assert event["thread"]["message_count"] == 1
    assert post.headers["content-type"].startswith("application/json")
    for body, headers in (
        (post.body + b" ", post.headers),
        (post.body, post.headers | {"svix-id": "other"}),
        (post.body, post.headers | {"svix-timestamp": "1700000000"}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(made.secret).verify(body, headers)


def test_the_event_has_what_the_api_shows(client, server, box, hook, webhooks):
    message_id = mailer.send(server, box, subject="Same").ok().message_id
    (post,) = webhooks.wait_for(hook[1], 1)
    shown = client.inboxes.messages.with_raw_response.get(box, message_id)
    event = post.event["message"]
    assert (event["subject"], event["from"], event["to"], event["labels"], event["size"]) == (
        shown.data.subject, shown.data.from_, shown.data.to, shown.data.labels, shown.data.size
    )


def test_a_failed_attempt_is_repeated_with_the_same_id_and_bytes(client, server, box, hook, webhooks):
    made, path = hook
    webhooks.answer(path, 500, 503)
    message_id = mailer.send(server, box, subject="Again").ok().message_id
    webhooks.wait_for(path, 1)
    # What happens to the message meanwhile does not change what is delivered.
    client.inboxes.messages.update(box, message_id, add_labels=["meanwhile"])
    posts = webhooks.wait_for(path, 3)
    assert len({(post.id, post.body) for post in posts}) == 1
    times = [int(post.headers["svix-timestamp"]) for post in posts]
    assert times == sorted(times) and times[0] < times[2]
    for post in posts:
        post.verify(made.secret)
    # The third was taken: the next request is about the next mail.
    mailer.send(server, box, subject="Next").ok()
    assert webhooks.wait_for(path, 4)[3].event["message"]["subject"] == "Next"


def test_an_attempt_survives_a_restart(server, box, hook, webhooks):
    made, path = hook
    webhooks.answer(path, 500)
    mailer.send(server, box, subject="Restart").ok()
    webhooks.wait_for(path, 1)
    server.kill()
    server.start()
    posts = webhooks.wait_for(path, 2)
    assert posts[0].body == posts[1].body and posts[0].id == posts[1].id


def test_a_redirect_is_a_failure_and_not_followed(server, box, hook, webhooks):
    _, path = hook
    target = f"/target-of-{box}"
    webhooks.answer(path, 302, location=webhooks.url(target))
    mailer.send(server, box).ok()
    webhooks.wait_for(path, 2)
    assert webhooks.at(target) == []


def test_a_receiver_can_stop_the_attempts(server, box, hook, webhooks):
    _, path = hook
    webhooks.answer(path, 500, **{"webhook-delivery": "abort-message"})
    mailer.send(server, box, subject="Stop").ok()
    webhooks.wait_for(path, 1)
    mailer.send(server, box, subject="Next").ok()
    posts = webhooks.wait_for(path, 2)
    assert [post.event["message"]["subject"] for post in posts] == ["Stop", "Next"]


def test_custom_headers_are_sent_changed_and_never_shown(client, server, box, webhooks):
    path = f"/headers-{box}"
    made = client.inboxes.webhooks.create(
        box, url=webhooks.url(path), event_types=RECEIVED, headers={"Authorization": "Bearer s1", "X-Tenant": "7"}
    )
    mailer.send(server, box).ok()
    (post,) = webhooks.wait_for(path, 1)
    assert (post.headers["authorization"], post.headers["x-tenant"]) == ("Bearer s1", "7")
    assert sorted(client.webhooks.get_headers(made.webhook_id).header_names) == ["Authorization", "X-Tenant"]
    shown = client.webhooks.with_raw_response.get(made.webhook_id)
    assert "s1" not in shown.data.model_dump_json()
    client.webhooks.update_headers(made.webhook_id, headers={"authorization": "Bearer s2"}, remove_headers=["x-tenant"])
    mailer.send(server, box).ok()
    post = webhooks.wait_for(path, 2)[1]
    assert [value for name, value in post.raw_headers if name.lower() == "authorization"] == ["Bearer s2"]
    assert "x-tenant" not in post.headers
    for wrong in ({"headers": {}}, {}, {"headers": {"X-A": "1"}, "remove_headers": ["x-a"]}, {"headers": {"X-A": "a\r\nb"}}):
        with pytest.raises(ValidationError):
            client.webhooks.update_headers(made.webhook_id, **wrong)


def test_an_endpoint_that_only_fails_is_disabled_and_can_be_enabled_again(client, server, box, hook, webhooks):
    made, path = hook
    webhooks.always(path, 500)
    mailer.send(server, box, subject="Fails").ok()
    # Failures over at least two seconds, of more than one mail.
    webhooks.wait_for(path, 3)
    mailer.send(server, box, subject="Fails too").ok()
    wait_until(lambda: client.webhooks.get(made.webhook_id).enabled is False, "the endpoint is disabled")
    webhooks.always(path, 200)
    mailer.send(server, box, subject="Missed").ok()
    assert client.webhooks.update(made.webhook_id, enabled=True).enabled
    mailer.send(server, box, subject="Back").ok()
    webhooks.wait(lambda: webhooks.at(path)[-1].event["message"]["subject"] == "Back", "the mail after")
    assert "Missed" not in [post.event["message"]["subject"] for post in webhooks.at(path)]


def test_a_slow_or_failing_endpoint_holds_up_no_other(client, server, box, hook, webhooks):
    _, path = hook
    good = f"/good-{box}"
    client.inboxes.webhooks.create(box, url=webhooks.url(good), event_types=RECEIVED)
    client.inboxes.webhooks.create(box, url="http://127.0.0.1:9/closed", event_types=RECEIVED)
    webhooks.answer(path, 500)
    for number in range(3):
        mailer.send(server, box, subject=str(number)).ok()
    webhooks.wait_for(good, 3)
    webhooks.wait_for(path, 4)
    ids = lambda where: {post.event["event_id"] for post in webhooks.at(where)}  # noqa: E731
    assert ids(path) == ids(good) and len(ids(good)) == 3


def test_channels_decide_and_two_that_match_deliver_once(client, server, webhooks):
    pod = client.pods.create(name="Channels")
    first, second = (client.pods.inboxes.create(pod.pod_id).inbox_id for _ in range(2))
    other = client.inboxes.create().inbox_id
    both, one = f"/both-{pod.pod_id}", f"/one-{pod.pod_id}"
    client.webhooks.create(url=webhooks.url(both), event_types=RECEIVED, pod_ids=[pod.pod_id], inbox_ids=[first])
    made = client.webhooks.create(url=webhooks.url(one), event_types=RECEIVED, inbox_ids=[second])
    for inbox in (other, first, second):
        mailer.send(server, inbox).ok()
    webhooks.wait_for(both, 2)
    webhooks.wait_for(one, 1)
    assert sorted(post.event["message"]["inbox_id"] for post in webhooks.at(both)) == sorted([first, second])
    assert [post.event["message"]["inbox_id"] for post in webhooks.at(one)] == [second]
    with pytest.raises(ValidationError):
        client.webhooks.update(made.webhook_id, remove_inbox_ids=[second])
    assert client.webhooks.update(made.webhook_id, event_types=[]).event_types == RECEIVED


def test_creates_with_one_client_id_make_one_webhook(client, webhooks):
    client_id = unique("hook")
    first = client.webhooks.create(url=webhooks.url("/first"), event_types=RECEIVED * 2, client_id=client_id)
    again = client.webhooks.create(url=webhooks.url("/second"), event_types=["message.sent"], client_id=client_id)
    assert again == first and first.event_types == RECEIVED
    client.webhooks.delete(first.webhook_id)
    with pytest.raises(NotFoundError):
        client.webhooks.get(first.webhook_id)


def test_filtered_events_need_the_permission_to_see_them(client, server, box):
    key = client.inboxes.api_keys.create(
        box, request=CreateBearerApiKeyRequest(permissions=ApiKeyPermissions(webhook_create=True))
    )
    weak = server.client(key.api_key)
    for kind in ("spam", "blocked", "unauthenticated"):
        with pytest.raises(ApiError) as refused:
            weak.webhooks.create(url="http://127.0.0.1:9/", event_types=[f"message.received.{kind}"])
        assert refused.value.status_code == 403
        assert refused.value.body["message"] == f"label_{kind}_read is forbidden"
