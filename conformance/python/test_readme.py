"""The README claims only what runs: its Python blocks, as they stand, against this server's addresses."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_first_mail_of_the_readme_arrives_and_is_answered(server, capsys, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "podmail-data").mkdir()
    (tmp_path / "podmail-data" / "bootstrap-key").write_text(server.api_key + "\n")
    monkeypatch.chdir(tmp_path)
    host, port = server.smtp.rsplit(":", 1)
    code = "\n".join(blocks).replace("127.0.0.1:8080", server.http).replace('"127.0.0.1", 2525', f'"{host}", {port}')
    exec(compile(code, str(README), "exec"), {})  # noqa: S102 - our own file
    assert capsys.readouterr().out.splitlines() == [
        "Ann <ann@customer.example> Hello Are you there?",
        "2 messages in the thread",
    ]
