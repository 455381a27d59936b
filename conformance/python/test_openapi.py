"""The served document against the server, with generated requests: no failure of the server, nothing undocumented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mailer

# Seconds that one run may take.
RUN_TIME = 110
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def generated(server, folder: Path, config: str, *arguments: str) -> None:
    """One run of the generator, with a fixed seed so that it says the same every time."""
    (folder / "schemathesis.toml").write_text(config)
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(folder / "schemathesis.toml"),
        "run", f"http://{server.http}/openapi.json",
        "-H", f"Authorization: Bearer {server.api_key}", "--checks", CHECKS, "--phases", "examples,fuzzing",
        "--seed", "1", "--continue-on-failure", "--no-color", *arguments,
    ]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=RUN_TIME)
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
    config = "[parameters]\n" + "".join(f'"path.{name}" = "{value}"\n' for name, value in known.items())
    # What exists has to go on existing, and the key to work.
    generated(
        server, tmp_path, config, "--max-examples", "4", "--exclude-method", "DELETE",
        "--exclude-path-regex", r"/api-keys/\{api_key_id\}$",
    )
