"""Hooks of the generator. What a request deletes, sends off or changes for good is made right before it, at the same
place: so every such request meets something that exists, and nothing is taken from the others or from the key in use.

Runs inside the generator's process, which gets the server and the key through its environment."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
import uuid
from urllib.parse import quote, unquote

import schemathesis

URL, KEY = os.environ["PODMAIL_URL"], os.environ["PODMAIL_KEY"]

# What makes one of a collection, by the parameter that names it.
BODIES = {
    "api_key_id": lambda: {"name": "Fresh"},
    "domain_id": lambda: {"domain": f"d{uuid.uuid4().hex}.example"},
    "draft_id": lambda: {"subject": "Fresh", "to": ["someone@elsewhere.example"], "text": "Fresh"},
    "inbox_id": lambda: {"username": f"fresh-{uuid.uuid4().hex}"},
    "pod_id": lambda: {"name": "Fresh"},
    "webhook_id": lambda: {"url": "http://127.0.0.1:9/", "event_types": ["message.received"]},
    "entry": lambda: {"entry": f"e{uuid.uuid4().hex}@elsewhere.example"},
}


def post(path: str, body: dict) -> dict:
    request = urllib.request.Request(
        URL + path, json.dumps(body).encode(), {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{error.code} to POST {path}: {error.read().decode()}") from error


# Exist only at the level at which they were made, so that each request gets one of its own level.
LEVELLED = ("api_key_id", "domain_id", "webhook_id")


def segment(value) -> str:
    """A value as a part of a path. Some come encoded from the generator, some as they are."""
    return quote(unquote(str(value)), safe="")


def made(path: str, name: str, parameters: dict) -> str:
    """Makes what that parameter of the path names."""
    if name in ("message_id", "thread_id"):
        inbox = parameters.get("inbox_id") or os.environ["PODMAIL_INBOX"]
        mail = {"subject": "Fresh", "to": ["someone@elsewhere.example"], "text": "Fresh"}
        return post(f"/v0/inboxes/{segment(inbox)}/messages/send", mail)[name]
    if name == "entry":
        parameters |= {"direction": "send", "type": "allow"}
    collection, _, _ = path.partition(f"/{{{name}}}")
    filled = {key: segment(value) for key, value in parameters.items()}
    return post(collection.format(**filled), BODIES[name]())[name]


@schemathesis.hook
def before_call(context, case, kwargs):
    # A copy: cases share what the configuration gives.
    path, parameters = case.operation.path, dict(case.path_parameters)
    names = re.findall(r"{(\w+)}", path)
    ends = path.endswith("/drafts/{draft_id}/send") or (case.method == "DELETE" and path.endswith("}"))
    for name in names:
        if name in LEVELLED or (ends and name == names[-1]):
            parameters[name] = made(path, name, parameters)
    case.path_parameters = parameters
