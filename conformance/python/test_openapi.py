"""The served document against the server, with generated requests: no failure of the server, nothing undocumented."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import mailer

# Seconds that one run may take.
RUN_TIME = 180
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def generated(server, folder: Path, config: str, *arguments: str, **environment: str) -> None:
    """One run of the generator, with a fixed seed so that it says the same every time."""
    (folder / "schemathesis.toml").write_text(config)
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(folder / "schemathesis.toml"),
        "run", f"http://{server.http}/openapi.json",
        "-H", f"Authorization: Bearer {server.api_key}", "--checks", CHECKS, "--phases", "examples,fuzzing",
        "--seed", "1", "--continue-on-failure", "--no-color", *arguments,
    ]
    run = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=RUN_TIME
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]


def test_requests_made_up_from_the_document_never_surprise(server, tmp_path):
    generated(server, tmp_path, "", "--max-examples", "3")


def test_requests_about_things_that_exist_never_surprise(server, client, inbox, tmp_path):
    message = mailer.send(server, inbox, subject="Generated").ok()
    stored = client.inboxes.messages.get(inbox, message.message_id)
    webhook = client.webhooks.create(url="http://127.0.0.1:9/", event_types=["message.received"])
    draft = client.inboxes.drafts.create(inbox, subject="Generated")
    domain = client.domains.create(domain="generated.example")
    known = {
        "inbox_id": inbox, "pod_id": client.auth.me().organization_id, "message_id": stored.message_id,
        "thread_id": stored.thread_id, "webhook_id": webhook.webhook_id, "draft_id": draft.draft_id,
        "domain_id": domain.domain_id, "api_key_id": client.api_keys.list().api_keys[0].api_key_id,
    }
    hooks = Path(__file__).with_name("fresh.py")
    config = f'hooks = "{hooks}"\n[parameters]\n'
    config += "".join(f'"path.{name}" = "{value}"\n' for name, value in known.items())
    # What is deleted is made for it, and so is every key that is read, changed or deleted: see `fresh`.
    generated(
        server, tmp_path, config, "--max-examples", "6",
        PODMAIL_URL=server.url, PODMAIL_KEY=server.api_key, PODMAIL_INBOX=inbox,
    )
    # By the server's own counters: no request was about nothing.
    rows = re.findall(r'^podmail_api_requests_total\{method="(\w+)",route="([^"]+)",status="2xx"\}',
                      fetch(server, "/metrics"), re.MULTILINE)
    paths = json.loads(fetch(server, "/openapi.json"))["paths"]
    levelled = ("{api_key_id}", "{domain_id}", "{webhook_id}")
    wanted = {
        (method.upper(), path) for path, item in paths.items() for method in item
        if method == "delete" or (method == "get" and any(name in path for name in levelled))
    }
    assert len(wanted) > 30, wanted
    assert wanted - set(rows) == set(), "met nothing that exists"


def fetch(server, path: str) -> str:
    with urllib.request.urlopen(server.url + path, timeout=30) as answer:
        return answer.read().decode()
