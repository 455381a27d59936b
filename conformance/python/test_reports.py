"""What is learned of a message after it was delivered: bounce reports, complaints, unsubscribing."""

from __future__ import annotations

import re

import dkim
import httpx
import pytest
from agentmail.inboxes import CreateInboxRequest
from agentmail.messages import MessageRejectedError

import mailer
from harness import unique, wait_until

EVENTS = ["message.received", "message.bounced", "message.complained"]


@pytest.fixture(scope="module")
def domain(client, server) -> str:
    """A customer's domain, in service."""
    name = f"{unique('acme')}.example"
    client.domains.create(domain=name)
    server.verify_domain(name)
    return name


@pytest.fixture
def address() -> str:
    return f"{unique('to')}@client.example"


@pytest.fixture(params=["own", "shared"])
def box(request, client, domain) -> str:
    """An inbox on the customer's domain, and one on the shared domain."""
    own = domain if request.param == "own" else None
    return client.inboxes.create(request=CreateInboxRequest(username=unique("out"), domain=own)).inbox_id


@pytest.fixture
def hook(client, box, webhooks) -> str:
    path = f"/{box}"
    client.inboxes.webhooks.create(box, url=webhooks.url(path), event_types=EVENTS)
    return path


@pytest.fixture
def sent(client, box, network, address):
    """A message that a server took: what the API answered, and the mail as that server has it."""
    answer = client.inboxes.messages.send(box, to=address, subject="Hello", text="Hi")
    (mail,) = network.wait_for(address)
    return answer, mail


def report(kind: str, parts: list[tuple[str, str]]) -> bytes:
    lines = [
        "From: Mail Delivery System <MAILER-DAEMON@mx.client.example>", "To: whoever@sent.it",
        "Subject: A report", f"Message-ID: <{unique('report')}@mx.client.example>",
        "Date: Mon, 02 Nov 2026 09:21:10 +0000", "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type={kind}; boundary="b1"', "",
    ]
    for content_type, text in parts:
        lines += ["--b1", f"Content-Type: {content_type}", "", *text.splitlines(), ""]
    return "\r\n".join([*lines, "--b1--", ""]).encode()


def bounce(recipient: str, action: str = "failed", status: str = "5.1.1") -> bytes:
    return report("delivery-status", [
        ("text/plain", "It could not be delivered."),
        ("message/delivery-status", "Reporting-MTA: dns; mx.client.example\n\n"
         f"Final-Recipient: rfc822; {recipient}\nAction: {action}\nStatus: {status}\n"
         f"Diagnostic-Code: smtp; 550 {status} No such user"),
        ("text/rfc822-headers", "Subject: Hello"),
    ])


def complaint(mail) -> bytes:
    return report("feedback-report", [
        ("text/plain", "This is an abuse report."),
        ("message/feedback-report", "Feedback-Type: abuse\nUser-Agent: Loop/1.0\nVersion: 1\n"
         f"Original-Mail-From: <{mail.sender}>\nOriginal-Rcpt-To: <{mail.recipients[0]}>"),
        ("message/rfc822", mail.data.decode()),
    ])


def feedback(client, box) -> list:
    return client.inboxes.messages.list(box, labels=["feedback"]).messages


def refused(client, box: str, to: str) -> str:
    with pytest.raises(MessageRejectedError) as error:
        client.inboxes.messages.send(box, to=to, subject="Again", text="x")
    assert (error.value.status_code, error.value.body.code) == (403, "message_rejected")
    return error.value.body.message


def test_a_bounce_report_is_listed_as_feedback_and_announced_as_a_bounce(
    client, box, server, hook, webhooks, sent, address
):
    answer, mail = sent
    mailer.deliver(server, mail.sender, bounce(address), sender="<>").ok()
    event = webhooks.wait_for_event(hook, "message.bounced", message_id=answer.message_id).event["bounce"]
    assert (event["type"], event["sub_type"]) == ("Permanent", "NoEmail")
    assert event["recipients"] == [{"address": address, "status": "bounced"}]
    (shown,) = wait_until(lambda: feedback(client, box), "the report in the inbox")
    assert (shown.labels, shown.thread_id) == (["received", "feedback"], answer.thread_id)
    assert "bounced" in client.inboxes.messages.get(box, answer.message_id).labels
    assert f"{address} (bounced)" in refused(client, box, address)
    # The log is in order: what would have been announced is before an event that comes now.
    mailer.send(server, box, subject="Later").ok()
    webhooks.wait_for_event(hook, "message.received")
    types = [post.event["event_type"] for post in webhooks.at(hook)]
    assert types == ["message.bounced", "message.received"]


def test_a_report_for_a_path_that_nobody_sent_from_is_refused(server, sent, address):
    _, mail = sent
    user, host = mail.sender.split("@")
    forged = f"{user[:-1]}{'1' if user[-1] == '0' else '0'}@{host}"
    assert mailer.deliver(server, forged, bounce(address), sender="<>").code == mailer.REFUSED_RECIPIENT
    # An inbox beside it still gets its mail.
    assert mailer.deliver(server, mail.sender, bounce("stranger@client.example"), sender="<>").code == 0


def test_a_complaint_blocks_the_recipient_for_good(client, box, server, hook, webhooks, sent, address):
    answer, mail = sent
    mailer.deliver(server, f"complaints@{server.domain}", complaint(mail), sender="fbl@loop.example").ok()
    event = webhooks.wait_for_event(hook, "message.complained", message_id=answer.message_id).event["complaint"]
    assert (event["type"], event["sub_type"], event["recipients"]) == ("abuse", "spam", [address])
    assert f"{address} (complained)" in refused(client, box, address)
    assert len(wait_until(lambda: feedback(client, box), "the report in the inbox")) == 1
    prose, _ = mailer.compose(f"abuse@{server.domain}", text="Your mail annoys me")
    assert mailer.deliver(server, f"abuse@{server.domain}", prose).code == mailer.REFUSED_DATA


def test_one_click_and_mail_unsubscribe(client, box, server, domain, network, address):
    own = domain if box.endswith(domain) else server.domain
    server.cli("domain", "unsubscribe", own, "on")
    client.inboxes.messages.send(box, to=address, subject="News", text="Hi")
    (mail,) = network.wait_for(address)
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link, path = re.findall(r"<(https?://[^>]+)>,\s*<mailto:([^>]+)>", mail.message["List-Unsubscribe"])[0]
    assert link.startswith(f"{server.url}/u/")
    signature = re.sub(r"\s+", "", mail.message["DKIM-Signature"]).lower()
    covered = re.search(r";h=([^;]+)", signature).group(1).split(":")
    assert {"list-unsubscribe", "list-unsubscribe-post"} <= set(covered)
    if own == domain:
        records = {f"{r.name}.".encode(): r.value.encode() for r in client.domains.get(domain).records if r.type == "TXT"}
        assert dkim.verify(mail.data, dnsfunc=lambda name, timeout=5: records.get(name))

    assert httpx.get(link).status_code == 200
    assert httpx.post(link).status_code == 400
    client.inboxes.messages.send(box, to=address, subject="Still there", text="Hi")
    assert httpx.post(link, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert "Unsubscribed via List-Unsubscribe" in refused(client, box, address)

    other = f"other-{address}"
    client.inboxes.messages.send(box, to=other, subject="News", text="Hi")
    (mail,) = network.wait_for(other)
    path = re.search(r"<mailto:([^>]+)>", mail.message["List-Unsubscribe"]).group(1)
    mailer.send(server, path, sender=other, subject="unsubscribe").ok()
    assert "Unsubscribed via List-Unsubscribe" in refused(client, box, other)
    server.cli("domain", "unsubscribe", own, "off")
    third = f"third-{address}"
    client.inboxes.messages.send(box, to=third, subject="News", text="Hi")
    assert network.wait_for(third)[0].message["List-Unsubscribe"] is None
