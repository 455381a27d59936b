"""Mail from the internet, handed over by swaks and, where it must be wrong, through a raw socket."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from agentmail.inboxes import CreateInboxRequest

import mailer
from harness import DEADLINE, unique


@pytest.fixture
def box(client) -> str:
    return client.inboxes.create(request=CreateInboxRequest(username=unique("in"))).inbox_id


def subjects(client, inbox: str) -> list[str]:
    return sorted(message.subject or "" for message in client.inboxes.messages.list(inbox).messages)


def talk(server, *lines: bytes) -> bytes:
    """Says these bytes to the server, each after the answer to the one before, and returns all that it says."""
    host, port = server.smtp.split(":")
    answers = b""
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        for line in (b"", *lines):
            connection.sendall(line)
            answer = b""
            while not re.search(rb"(^|\n)\d{3} [^\n]*\r\n$", answer):
                received = connection.recv(4096)
                if not received:
                    return answers + answer
                answer += received
            answers += answer
        connection.shutdown(socket.SHUT_WR)
        while received := connection.recv(4096):
            answers += received
    return answers


def test_mail_is_readable_when_the_dialogue_ends(client, server, box):
    message_id = mailer.send(server, box, subject="Grüße", text="Hé").ok().message_id
    message = client.inboxes.messages.get(box, message_id)
    assert (message.subject, message.text.strip(), message.from_) == ("Grüße", "Hé", "Ada <ada@client.example>")
    assert (message.to, message.labels) == ([box], ["received", "unread"])


def test_starttls_is_offered_and_works(client, server, box):
    if mailer.swaks_speaks_tls():
        sent = mailer.send(server, box, "--tls", subject="Over TLS").ok()
        assert "TLS started" in sent.transcript
    else:
        host, port = server.smtp.split(":")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP(host, int(port), timeout=DEADLINE) as session:
            session.starttls(context=context)
            session.sendmail("ada@client.example", [box], mailer.compose(box, subject="Over TLS")[0])
    assert subjects(client, box) == ["Over TLS"]


def test_a_plus_address_leads_to_the_inbox_unless_it_is_one_itself(client, server, box):
    user, domain = box.split("@")
    own = client.inboxes.create(request=CreateInboxRequest(username=f"{user}+own")).inbox_id
    message_id = mailer.send(server, f"{user}+tag@{domain}", subject="Tagged").ok().message_id
    mailer.send(server, own, subject="Own").ok()
    assert (subjects(client, box), subjects(client, own)) == (["Tagged"], ["Own"])
    assert client.inboxes.messages.get(box, message_id).to == [f"{user}+tag@{domain}"]


@pytest.mark.parametrize("address", ["nobody@mail.podmail.example", "x@elsewhere.example"])
def test_an_unknown_recipient_is_refused_with_550(server, address):
    sent = mailer.send(server, address)
    assert sent.code == mailer.REFUSED_RECIPIENT
    assert "550 5.1.1" in sent.transcript or "550 5.7.1" in sent.transcript


def test_one_unknown_recipient_does_not_stop_the_others(client, server, box):
    data, message_id = mailer.compose(box, subject="Both")
    sent = mailer.deliver(server, [f"nobody@{server.domain}", box], data, message_id)
    assert "550 5.1.1" in sent.transcript
    assert subjects(client, box) == ["Both"]


def test_a_deleted_inbox_takes_no_mail(client, server, box):
    client.inboxes.delete(box)
    assert mailer.send(server, box).code == mailer.REFUSED_RECIPIENT


def test_too_large_a_mail_is_refused_with_552(client, server, box):
    announced = talk(server, b"EHLO client.example\r\n", b"MAIL FROM:<ada@client.example> SIZE=40000000\r\n", b"QUIT\r\n")
    assert b"\r\n552 5.3.4" in announced and b"SIZE 31457280" in announced
    line = b"x" * 76 + b"\r\n"
    with smtplib.SMTP(*server.smtp.split(":"), timeout=DEADLINE) as session:
        session.ehlo("client.example")
        # Not announced: only the bytes themselves tell.
        session.mail("ada@client.example")
        session.rcpt(box)
        code, text = session.data(b"Subject: Large\r\n\r\n" + line * (32 * 1024 * 1024 // len(line)))
    assert (code, text[:5]) == (552, b"5.3.4")
    assert subjects(client, box) == []


def test_the_same_mail_is_stored_once_and_another_with_its_id_too(client, server, box):
    data, message_id = mailer.compose(box, subject="Once")
    with ThreadPoolExecutor(4) as pool:
        for sent in pool.map(lambda _: mailer.deliver(server, box, data, message_id), range(8)):
            sent.ok()
    assert subjects(client, box) == ["Once"]
    mailer.send(server, box, subject="Other", text="Something else", message_id=message_id).ok()
    assert subjects(client, box) == ["Once", "Other"]
    assert client.inboxes.messages.get(box, message_id).subject == "Once"


def test_a_paused_inbox_takes_mail_and_keeps_none(client, server, box):
    client.inboxes.update(box, status="paused")
    mailer.send(server, box, subject="While paused").ok()
    client.inboxes.update(box, status="active")
    mailer.send(server, box, subject="Afterwards").ok()
    assert subjects(client, box) == ["Afterwards"]


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r"], ids=["lf", "lf-crlf", "crlf-lf", "cr", "crlf-cr"]
)
def test_a_false_end_of_data_smuggles_no_second_mail(client, server, box, end):
    smuggled = (
        b"MAIL FROM:<root@victim.example>\r\nRCPT TO:<" + box.encode() + b">\r\nDATA\r\n"
        b"Subject: Smuggled\r\n\r\nEvil\r\n.\r\n"
    )
    talk(
        server, b"EHLO client.example\r\n", b"MAIL FROM:<ada@client.example>\r\n", b"RCPT TO:<" + box.encode() + b">\r\n",
        b"DATA\r\n", b"Subject: Carrier\r\n\r\nText" + end + smuggled + b"QUIT\r\n",
    )
    found = subjects(client, box)
    # Refusing the whole is as safe as taking it as one; two are never right.
    assert found in (["Carrier"], []), found
    mailer.send(server, box, subject="Next").ok()
    assert subjects(client, box) == sorted(found + ["Next"])


BROKEN = {
    "unclosed multipart": (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: text/plain\r\n\r\nStill readable", "Still readable",
    ),
    "bad base64": (
        b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"U3RpbGwgcmVhZGFibGU\r\n", "Still readable",
    ),
    "unknown charset": (
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=x-klingon\r\n\r\nStill readable", "Still readable",
    ),
    "wrong charset": (
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nStill readable \xff\xfe", "Still readable",
    ),
    "no header": (b"\r\nStill readable", "Still readable"),
    "deep nesting": (
        b"MIME-Version: 1.0\r\n"
        + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(2000))
        + b"Content-Type: text/plain\r\n\r\nDeep", None,
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_malformed_mail_stays_readable(client, server, box, kind):
    content, text = BROKEN[kind]
    data = (b"From: ada@client.example\r\nSubject: Broken\r\n" if kind != "no header" else b"") + content
    with smtplib.SMTP(*server.smtp.split(":"), timeout=DEADLINE) as session:
        session.sendmail("ada@client.example", [box], data)
    (item,) = client.inboxes.messages.list(box).messages
    message = client.inboxes.messages.get(box, item.message_id)
    assert text is None or text in message.text
    raw = httpx.get(client.inboxes.messages.get_raw(box, item.message_id).download_url, timeout=DEADLINE).content
    assert content.strip() in raw
    assert client.inboxes.threads.get(box, item.thread_id).message_count == 1


@pytest.mark.parametrize("hostile", ["<a/../../b@x.example>", "<a?b#c@x.example>", "<a%2Fb@x.example>", "<no-at-sign>"])
def test_an_id_that_would_lead_a_client_astray_is_replaced(client, server, box, hostile):
    mailer.send(server, box, message_id=hostile).ok()
    (item,) = client.inboxes.messages.list(box).messages
    assert item.message_id.endswith(f"@{server.domain}>")
    message = client.inboxes.messages.get(box, item.message_id)
    assert message.headers["Message-ID"] == hostile
    mailer.send(server, box, subject="Answer", headers={"In-Reply-To": hostile}).ok()
    assert client.threads.get(message.thread_id).message_count == 2


def test_an_id_with_slashes_stays_and_works_on_every_route(client, server, box):
    message_id = "<owner/repo/pull/7@x.example>"
    mailer.send(server, box, message_id=message_id).ok()
    assert client.inboxes.messages.get(box, message_id).message_id == message_id
    assert client.inboxes.messages.get_raw(box, message_id).message_id == message_id
    assert "seen" in client.inboxes.messages.update(box, message_id, add_labels=["seen"]).labels
    assert client.inboxes.messages.reply(box, message_id, text="Yes").thread_id
    client.inboxes.messages.delete(box, message_id)
    assert [m.labels for m in client.inboxes.messages.list(box).messages][0][0] == "sent"


def test_headers_of_the_sender_thread_mail_and_subjects_do_not(client, server, box):
    first = mailer.send(server, box, subject="Topic").ok().message_id
    second = mailer.send(server, box, subject="Unrelated", headers={"References": f"<x@y.example> {first}"}).ok().message_id
    third = mailer.send(server, box, subject="Topic").ok().message_id
    threads = [client.inboxes.messages.get(box, each).thread_id for each in (first, second, third)]
    assert threads[0] == threads[1] != threads[2]


def test_one_mail_for_many_inboxes_is_in_each(client, server):
    inboxes = [client.inboxes.create().inbox_id for _ in range(5)]
    data, message_id = mailer.compose(inboxes[0], subject="All")
    mailer.deliver(server, inboxes, data, message_id).ok()
    assert {client.inboxes.messages.get(inbox, message_id).inbox_id for inbox in inboxes} == set(inboxes)


def test_mail_that_was_taken_survives_a_kill(client, server, box):
    message_id = mailer.send(server, box, subject="Durable").ok().message_id
    server.kill()
    server.start()
    assert server.client().inboxes.messages.get(box, message_id).subject == "Durable"
