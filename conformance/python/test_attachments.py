"""Attachments: given as Base64 or by URL, inline pictures, and the plain text that is taken out of files."""

from __future__ import annotations

import base64
import io
import threading
import zipfile
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from agentmail import SendAttachment
from agentmail.messages import MessageRejectedError

from harness import unique, wait_until

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")
FILES = {"/files/report.csv": b"name,price\ntea,2\n", "/large.txt": b"a" * (11 * 1024 * 1024)}


class Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/files/report.csv")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = FILES.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def docx(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", f'<w:document xmlns:w="w"><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:document>')
    return file.getvalue()


def sent(client, inbox, *attachments):
    made = client.inboxes.messages.send(
        inbox, to=[f"{unique('to')}@client.example"], subject="Files", html='<img src="cid:logo">',
        attachments=list(attachments),
    )
    return client.inboxes.messages.get(inbox, made.message_id)


def test_a_file_is_served_by_a_link_without_a_key(client, inbox):
    message = sent(client, inbox, SendAttachment(content="aGVsbG8=", filename="a.txt"))
    (shown,) = message.attachments
    assert (shown.size, shown.content_type, shown.content_disposition) == (5, "text/plain", "attachment")
    got = client.inboxes.messages.get_attachment(inbox, message.message_id, shown.attachment_id)
    answer = httpx.get(got.download_url)
    assert (answer.status_code, answer.text) == (200, "hello")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    part = httpx.get(got.download_url, headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.text, part.headers["content-range"]) == (206, "el", "bytes 1-2/5")


def test_a_picture_is_referred_to_by_its_content_id(client, inbox):
    picture = SendAttachment(content=encoded(PNG), filename="logo.png", content_id="logo")
    message = sent(client, inbox, picture)
    (shown,) = message.attachments
    assert (shown.content_id, shown.content_disposition) == ("logo", "inline")
    assert "cid:logo" in message.html


def test_files_are_fetched_by_url(client, inbox, site):
    message = sent(client, inbox, SendAttachment(url=f"{site}/files/report.csv"), SendAttachment(url=f"{site}/moved"))
    assert [(file.filename, file.size) for file in message.attachments] == [("report.csv", 17), ("moved", 17)]
    with pytest.raises(MessageRejectedError):
        sent(client, inbox, SendAttachment(url=f"{site}/none"))


def test_the_text_of_files_is_offered(client, inbox, site):
    message = sent(
        client, inbox,
        SendAttachment(url=f"{site}/large.txt"),
        SendAttachment(content=encoded(PNG), filename="logo.png"),
        SendAttachment(content=encoded(b"%PDF-1.4 broken"), filename="broken.pdf"),
        SendAttachment(content=encoded("é".encode() * 300_000), filename="long.txt"),
        SendAttachment(content=encoded(docx("Hello")), filename="a.docx"),
    )
    large, picture, broken, long, word = (file.attachment_id for file in message.attachments)

    def text_url(attachment: str) -> str | None:
        return client.threads.get_attachment(message.thread_id, attachment).text_url

    # All texts of a message appear together.
    answer = httpx.get(wait_until(lambda: text_url(word), "the text of a document"))
    assert (answer.status_code, answer.text.strip()) == (200, "Hello")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert len(httpx.get(text_url(long)).text) == 250_000
    assert [text_url(file) for file in (large, picture, broken)] == [None] * 3
    client.inboxes.messages.delete(inbox, message.message_id)
    assert httpx.get(answer.url).status_code == 404


def archive(members: dict[str, list[bytes]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as container:
        for name, pieces in members.items():
            with container.open(name, "w") as member:
                for piece in pieces:
                    member.write(piece)
    return file.getvalue()


def xlsx() -> bytes:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

    def links(kind: str, target: str) -> str:
        return (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="r1" Type="{office}/{kind}" Target="{target}"/></Relationships>'
        )

    row = '<row r="1"><c r="A1" t="inlineStr"><is><t>tea</t></is></c><c r="B1"><v>2</v></c></row>'
    members = {
        "_rels/.rels": links("officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="Prices" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": links("worksheet", "worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{row}</sheetData></worksheet>',
    }
    return archive({name: [text.encode()] for name, text in members.items()})


def pdf(content: bytes) -> bytes:
    """A page that draws this content, which is compressed."""
    stream = zlib.compress(content)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    file, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    start = len(file)
    file += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return file + b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start


def test_bombs_and_files_that_never_end_cost_only_their_own_text(client, inbox):
    word = b'<w:document xmlns:w="w"><w:p><w:r><w:t>'
    # A hundred megabytes behind a hundred kilobytes: of a tag that never ends, of strings of a spreadsheet, of a page.
    million = b"a" * (1024 * 1024)
    bomb = archive({"word/document.xml": [word, b"<", *[million] * 100]})
    endless = pdf(b"BT /F1 2 Tf " + b"1 0 0 1 0 0 Tm (x) Tj " * 5_000_000)
    message = sent(
        client, inbox,
        SendAttachment(content=encoded(bomb), filename="bomb.docx"),
        SendAttachment(content=encoded(endless), filename="endless.pdf"),
        SendAttachment(content=encoded(pdf(b"BT /F1 24 Tf 72 700 Td (Hello) Tj ET")), filename="page.pdf"),
        SendAttachment(content=encoded(xlsx()), filename="prices.xlsx"),
    )

    def text_url(n: int) -> str | None:
        attachment = message.attachments[n].attachment_id
        return client.inboxes.messages.get_attachment(inbox, message.message_id, attachment).text_url

    answer = httpx.get(wait_until(lambda: text_url(2), "the text of a page", deadline=60))
    assert answer.text.strip() == "Hello"
    assert httpx.get(text_url(3)).text == "Prices\ntea\t2\n"
    assert [text_url(0), text_url(1)] == [None, None]
