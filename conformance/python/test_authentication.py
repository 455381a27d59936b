"""Who arriving mail is from: records in a name server, signatures made by dkimpy, answers in the SMTP dialogue."""

from __future__ import annotations

import base64
import smtplib
import socket
import subprocess
import threading

import dkim
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import httpx
import pytest

from harness import DEADLINE, unique


class ZoneDns:
    """A name server with the TXT records of a table; names in `broken` get SERVFAIL."""

    def __init__(self) -> None:
        self.txt: dict[str, str] = {}
        self.broken: set[str] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                packet, client = self._socket.recvfrom(4096)
            except OSError:
                return
            query = dns.message.from_wire(packet)
            answer = dns.message.make_response(query, recursion_available=True)
            question = query.question[0]
            name = question.name.to_text(omit_final_dot=True).lower()
            value = self.txt.get(name)
            if name in self.broken:
                answer.set_rcode(dns.rcode.SERVFAIL)
            elif value is None:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            elif question.rdtype == dns.rdatatype.TXT:
                parts = " ".join(f'"{value[at:at + 255]}"' for at in range(0, len(value), 255))
                answer.answer.append(dns.rrset.from_text(question.name, 0, "IN", "TXT", parts))
            self._socket.sendto(answer.to_wire(), client)


@pytest.fixture(scope="module")
def zone():
    zone = ZoneDns()
    yield zone
    zone.close()


@pytest.fixture(scope="module")
def settings(zone) -> dict[str, str]:
    return {"INBOUND_AUTHENTICATION": "standard", "INBOUND_TRUSTED_ARC_SEALERS": "forwarder.example", "DNS": zone.address}


@pytest.fixture(scope="module")
def key(zone, tmp_path_factory) -> bytes:
    """A private key whose public half is published for the signers of this module."""
    path = tmp_path_factory.mktemp("dkim") / "key.pem"
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", str(path), "2048"], check=True, capture_output=True)
    public = subprocess.run(
        ["openssl", "rsa", "-in", str(path), "-pubout", "-outform", "DER"], check=True, capture_output=True
    ).stdout
    record = f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"
    for domain in ("signed.example", "reject.example", "forwarder.example"):
        zone.txt[f"s._domainkey.{domain}"] = record
    zone.txt["_dmarc.reject.example"] = "v=DMARC1; p=reject"
    zone.txt["_dmarc.quarantine.example"] = "v=DMARC1; p=quarantine"
    zone.txt["pass.example"] = "v=spf1 ip4:127.0.0.1 -all"
    zone.txt["fail.example"] = "v=spf1 -all"
    return path.read_bytes()


def deliver(server, box: str, sender: str, message: bytes) -> tuple[int, str]:
    """The answer to DATA."""
    host, port = server.smtp.split(":")
    with smtplib.SMTP(host, int(port), timeout=DEADLINE) as session:
        session.ehlo("client.example")
        session.mail(sender)
        session.rcpt(box)
        code, text = session.data(message)
        return code, text.decode()


def compose(box: str, sender: str, body: str = "Hello") -> tuple[bytes, str]:
    message_id = f"<{unique('m')}@client.example>"
    lines = (f"From: {sender}", f"To: {box}", "Subject: Checked", f"Message-ID: {message_id}", "", body, "")
    return "\r\n".join(lines).encode(), message_id


def signed(message: bytes, domain: str, key: bytes, **options) -> bytes:
    headers = [b"from", b"to", b"subject", b"message-id"]
    return dkim.sign(message, b"s", domain.encode(), key, include_headers=headers, **options) + message


def found(server, box: str, message_id: str) -> dict:
    response = httpx.get(
        f"http://{server.http}/v0/inboxes/{box}/messages/{message_id}",
        headers={"Authorization": f"Bearer {server.api_key}"},
        timeout=DEADLINE,
    )
    response.raise_for_status()
    return response.json()


@pytest.mark.parametrize("form", [(b"relaxed", b"relaxed"), (b"simple", b"simple"), (b"relaxed", b"simple")])
def test_a_signature_of_dkimpy_passes_and_a_broken_one_is_refused(server, inbox, key, form):
    message, message_id = compose(inbox, "a@signed.example")
    mail = signed(message, "signed.example", key, canonicalize=form)
    assert deliver(server, inbox, "bounce@elsewhere.example", mail)[0] == 250
    stored = found(server, inbox, message_id)
    assert stored["authentication_results"] == {"spf": "none", "dkim": "pass", "dmarc": "none"}
    assert stored["labels"] == ["received", "unread"]

    message, _ = compose(inbox, "a@signed.example")
    mail = signed(message, "signed.example", key, canonicalize=form).replace(b"Hello", b"Hullo")
    code, text = deliver(server, inbox, "bounce@elsewhere.example", mail)
    assert code == 550 and text.startswith("5.7.26 "), text


def test_spf_confirms_denies_or_says_nothing(server, inbox, key):
    for domain, want, labels in (
        ("pass.example", (250, "pass"), ["received", "unread"]),
        ("fail.example", (550, ""), []),
        ("silent.example", (250, "none"), ["received", "unread", "unauthenticated"]),
    ):
        message, message_id = compose(inbox, f"a@{domain}")
        code, text = deliver(server, inbox, f"a@{domain}", message)
        assert code == want[0], text
        if code == 250:
            stored = found(server, inbox, message_id)
            assert (stored["authentication_results"]["spf"], stored["labels"]) == (want[1], labels)


def test_dmarc_refuses_quarantines_or_puts_off(server, inbox, zone, key):
    message, message_id = compose(inbox, "a@reject.example")
    assert deliver(server, inbox, "b@pass.example", signed(message, "reject.example", key))[0] == 250
    assert found(server, inbox, message_id)["authentication_results"] == {"spf": "pass", "dkim": "pass", "dmarc": "pass"}

    message, _ = compose(inbox, "a@reject.example")
    code, text = deliver(server, inbox, "b@pass.example", message)
    assert code == 550 and text.startswith("5.7.1 ") and "DMARC" in text and "reject.example" in text, text

    message, message_id = compose(inbox, "a@quarantine.example")
    assert deliver(server, inbox, "b@pass.example", message)[0] == 250
    assert found(server, inbox, message_id)["labels"] == ["received", "unread", "spam"]

    zone.broken.add("s._domainkey.reject.example")
    try:
        message, _ = compose(inbox, "a@reject.example")
        code, text = deliver(server, inbox, "b@pass.example", signed(message, "reject.example", key))
        assert code == 451 and text.startswith("4.7.0 "), text
    finally:
        zone.broken.clear()


def test_a_trusted_forwarder_is_believed(server, inbox, key):
    for domain, want in (("forwarder.example", 250), ("signed.example", 550)):
        message, _ = compose(inbox, "a@reject.example")
        results = f"Authentication-Results: {domain}; dmarc=pass header.from=reject.example; arc=none\r\n".encode()
        mail = results + message
        seal = dkim.arc_sign(
            mail, b"s", domain.encode(), key, domain.encode(), include_headers=[b"from", b"to", b"subject"]
        )
        code, text = deliver(server, inbox, f"list@{domain}", b"".join(seal) + mail)
        assert code == want, text
