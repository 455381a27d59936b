"""The guide in docs/api.md claims only what runs: its shell blocks, as they stand, in one shell."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from harness import DEADLINE, DOMAIN, Database

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_the_guide_runs_from_the_first_block_to_the_last(tmp_path):
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) >= 12
    http, smtp = free_port(), free_port()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "podmail").symlink_to(Path(os.environ["PODMAIL_BINARY"]).resolve())
    assert all(shutil.which(tool) for tool in ("curl", "jq", "swaks"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PODMAIL_")}
    environment.update(
        PATH=f"{tmp_path / 'bin'}:{environment['PATH']}",
        PODMAIL_HTTP=f"127.0.0.1:{http}",
        PODMAIL_SMTP=f"127.0.0.1:{smtp}",
        PODMAIL_DOMAIN=DOMAIN,
    )
    script = "".join(blocks).replace("127.0.0.1:8080", f"127.0.0.1:{http}").replace("127.0.0.1:2525", f"127.0.0.1:{smtp}")
    database = Database(os.environ.get("PODMAIL_ENGINE", "sqlite"))
    if database.url:
        environment["PODMAIL_DATABASE_URL"] = database.url
    shell = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    try:
        output, _ = shell.communicate(timeout=DEADLINE)
    finally:
        # The server of the first block is in the same session.
        os.killpg(shell.pid, signal.SIGTERM)
        database.drop()
    log = tmp_path / "podmail.log"
    assert shell.returncode == 0, output + (log.read_text() if log.exists() else "")
    for said in (
        '"organization"', f"support@{DOMAIN}", '"Ann <ann@customer.example>"', "Are you there?", "Yes, always.",
        '"There is more."', '"whsec_', '"code": "not_found"', "/docs/errors#not_found",
    ):
        assert said in output, f"{said} is missing in\n{output}"
