"""Mail that leaves through a relay: signed, tried again, bounced, and what never leaves."""

from __future__ import annotations

import base64
import re

import dkim
import httpx
import pytest
from agentmail import SendAttachment
from agentmail.core.api_error import ApiError
from agentmail.errors import NotFoundError
from agentmail.inboxes import CreateInboxRequest
from agentmail.messages import MessageRejectedError

from harness import unique, wait_until

EVENTS = ["message.sent", "message.delivered", "message.bounced", "message.rejected", "message.received"]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"DELIVERY_RETRY_DELAYS": "1s,1s", "WEBHOOKS_RETRY_DELAYS": "1s,1s", "WORK_LEASE": "2s"}


@pytest.fixture
def address() -> str:
    return f"{unique('to')}@client.example"


@pytest.fixture(scope="module")
def domain(client, server):
    """A customer's domain, in service."""
    name = f"{unique('acme')}.example"
    client.domains.create(domain=name)
    server.verify_domain(name)
    return client.domains.get(name)


@pytest.fixture
def box(client, domain) -> str:
    return client.inboxes.create(
        request=CreateInboxRequest(username=unique("out"), domain=domain.domain, display_name="Agent")
    ).inbox_id


@pytest.fixture
def hook(client, box, webhooks):
    path = f"/{box}"
    client.inboxes.webhooks.create(box, url=webhooks.url(path), event_types=EVENTS)
    return path


def published(domain) -> dict[bytes, bytes]:
    """The DNS as the domain's owner would set it up from what the API lists."""
    return {f"{r.name}.".encode(): r.value.encode() for r in domain.records if r.type == "TXT"}


def test_the_signature_verifies_with_the_record_that_the_api_lists(client, box, domain, network, address):
    client.inboxes.messages.send(
        box, to=address, subject="Grüße " * 20, text="Hé\n.dot\n" + "long " * 400, html="<p>Hé</p>",
        attachments=[SendAttachment(filename="b.bin", content=base64.b64encode(bytes(range(256))).decode())],
    )
    (mail,) = network.wait_for(address)
    records = published(domain)
    verified = dkim.verify(mail.data, dnsfunc=lambda name, timeout=5: records.get(name))
    assert verified
    tags = dict(re.findall(r"(\w+)=([^;]+)", re.sub(r"\s+", "", mail.message["DKIM-Signature"])))
    assert (tags["d"], tags["a"], tags["c"]) == (domain.domain, "rsa-sha256", "relaxed/relaxed")
    assert {"from", "to", "subject", "date", "message-id"} <= set(tags["h"].lower().split(":"))
    assert mail.sender.endswith(f"@mail.{domain.domain}")
    changed = mail.data.replace(b"Hello", b"Hullo").replace(b"long", b"lung", 1)
    assert not dkim.verify(changed, dnsfunc=lambda name, timeout=5: records.get(name))


def test_message_id_and_visible_recipients_are_on_the_wire_and_bcc_is_not(client, box, network, address):
    hidden = f"hidden-{address}"
    sent = client.inboxes.messages.send(
        box, to=address, cc=f"cc-{address}", bcc=hidden, subject="Who", text="Sees whom"
    )
    for each in (address, f"cc-{address}", hidden):
        (mail,) = network.wait_for(each)
        message = mail.message
        assert message["Message-ID"] == sent.message_id
        assert (message["To"], message["Cc"], message["Bcc"]) == (address, f"cc-{address}", None)
        assert message["From"] == f"Agent <{box}>"
        assert hidden.encode() not in mail.data
    assert client.inboxes.messages.get(box, sent.message_id).bcc == [hidden]


def test_a_delivery_is_reported_by_events_and_a_label(client, box, hook, webhooks, address):
    sent = client.inboxes.messages.send(box, to=address, subject="Report", text="x")
    facts = {"message_id": sent.message_id, "thread_id": sent.thread_id, "inbox_id": box}
    left = webhooks.wait_for_event(hook, "message.sent", **facts)
    taken = webhooks.wait_for_event(hook, "message.delivered", **facts)
    assert left.event["send"]["recipients"] == taken.event["delivery"]["recipients"] == [address]
    wait_until(lambda: "delivered" in client.inboxes.messages.get(box, sent.message_id).labels, "label delivered")


def test_mail_between_two_inboxes_stays_inside(client, box, domain, network):
    other = client.inboxes.create(request=CreateInboxRequest(username=unique("in"), domain=domain.domain)).inbox_id
    sent = client.inboxes.messages.send(box, to=other, subject="Inside", text="x")

    def look():
        try:
            return client.inboxes.messages.get(other, sent.message_id)
        except NotFoundError:
            return None

    got = wait_until(look, "the mail in the other inbox")
    assert (got.from_, got.to, got.labels) == (f"Agent <{box}>", [other], ["received", "unread"])
    assert network.offers(other) == 0
    own = client.inboxes.messages.send(box, to=box, subject="Myself", text="x")
    assert client.inboxes.messages.get(box, own.message_id).labels[0] == "sent"


def test_a_recipient_refused_with_550_bounces_once(client, box, hook, network, webhooks, address):
    network.refuse(address, *["550 5.1.1 No such user"] * 5)
    sent = client.inboxes.messages.send(box, to=address, subject="Gone", text="x")
    post = webhooks.wait_for_event(hook, "message.bounced", message_id=sent.message_id)
    bounce = post.event["bounce"]
    assert (bounce["type"], bounce["sub_type"]) == ("Permanent", "NoEmail")
    assert bounce["recipients"] == [{"address": address, "status": "bounced"}]
    labels = wait_until(
        lambda: (labels := client.inboxes.messages.get(box, sent.message_id).labels) and "bounced" in labels and labels,
        "label bounced",
    )
    assert "delivered" not in labels
    assert network.offers(address) == 1


def test_a_recipient_that_bounced_gets_no_more_mail(client, box, server, hook, network, webhooks, address):
    lists = httpx.get(f"{server.url}/v0/lists/send/block", headers={"Authorization": f"Bearer {server.api_key}"})
    if lists.status_code == 404:
        pytest.skip("this server has no lists")
    network.refuse(address, "550 5.1.1 No such user")
    sent = client.inboxes.messages.send(box, to=address, subject="Gone", text="x")
    webhooks.wait_for_event(hook, "message.bounced", message_id=sent.message_id)
    with pytest.raises(MessageRejectedError) as refused:
        client.inboxes.messages.send(box, to=address, subject="Again", text="x")
    assert (refused.value.status_code, refused.value.body.code) == (403, "message_rejected")
    assert network.offers(address) == 1


def test_one_refused_recipient_does_not_stop_the_other(client, box, hook, network, webhooks, address):
    gone = f"gone-{address}"
    network.refuse(gone, *["550 5.1.1 No such user"] * 5)
    sent = client.inboxes.messages.send(box, to=[address, gone], subject="Half", text="x")
    assert len(network.wait_for(address)) == 1
    bounced = webhooks.wait_for_event(hook, "message.bounced", message_id=sent.message_id).event["bounce"]
    taken = webhooks.wait_for_event(hook, "message.delivered", message_id=sent.message_id).event["delivery"]
    assert ([r["address"] for r in bounced["recipients"]], taken["recipients"]) == ([gone], [address])
    left = webhooks.wait_for_event(hook, "message.sent", message_id=sent.message_id).event["send"]
    assert sorted(left["recipients"]) == sorted([address, gone])


def test_a_451_is_tried_again_until_it_is_taken(client, box, hook, network, webhooks, address):
    network.refuse(address, "451 4.3.0 Later", "451 4.3.0 Later")
    sent = client.inboxes.messages.send(box, to=address, subject="Patience", text="x")
    (mail,) = network.wait_for(address)
    assert mail.message["Message-ID"] == sent.message_id
    webhooks.wait_for_event(hook, "message.delivered", message_id=sent.message_id)
    assert network.offers(address) == 3
    assert not [post for post in webhooks.at(hook) if post.event["event_type"] == "message.bounced"]


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_restart_between_two_attempts_loses_nothing(client, box, server, network, address, end):
    network.refuse(address, *["451 4.3.0 Later"] * 2)
    sent = client.inboxes.messages.send(box, to=address, subject="Restart", text="x")
    network.wait_for_offers(address, 1)
    if end == "kill":
        server.kill()
    else:
        assert server.stop() == 0
    server.start()
    assert {mail.message["Message-ID"] for mail in network.wait_for(address)} == {sent.message_id}


def test_an_inbox_whose_domain_is_gone_sends_nothing(client, server):
    name = f"{unique('gone')}.example"
    client.domains.create(domain=name)
    server.verify_domain(name)
    inbox = client.inboxes.create(request=CreateInboxRequest(username="a", domain=name)).inbox_id
    client.domains.delete(name)
    with pytest.raises(ApiError) as refused:
        client.inboxes.messages.send(inbox, to="x@client.example", text="x")
    assert (refused.value.status_code, refused.value.body.code) == (403, "domain_not_verified")
