"""Twenty-five tenants at once, again, and with a server that is killed in between."""

from __future__ import annotations

import copy
import os
import random
import threading
from collections import Counter
from dataclasses import dataclass

import httpx
import pytest

import onboarding
from harness import DEADLINE, Server
from onboarding import Onboarding, Record, Store

NAMES = [f"tenant-{number:02}" for number in range(25)]
STEPS = 10
KILLS = int(os.environ.get("PODMAIL_CONFORMANCE_KILLS", "3"))
SEED = int(os.environ.get("PODMAIL_CONFORMANCE_SEED", "20260101"))


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    # What a killed process had in hand is out of reach for this long.
    return {"WORK_LEASE": "2s", "WEBHOOKS_RETRY_DELAYS": "1s,1s,1s,2s,2s,2s", "DELIVERY_RETRY_DELAYS": "1s"}


@pytest.fixture(scope="module")
def store(server, webhooks) -> Store:
    store = Store()
    Onboarding(server, webhooks.url, store).run(NAMES)
    return store


def census(server: Server) -> dict[str, list]:
    """Everything that the installation holds, by id and time of the last change."""
    client = server.client()
    pods = client.pods.list(limit=500).pods
    inboxes = client.inboxes.list(limit=500).inboxes
    return {
        "pods": sorted((pod.pod_id, pod.updated_at) for pod in pods),
        "inboxes": sorted((inbox.inbox_id, inbox.pod_id, inbox.updated_at) for inbox in inboxes),
        "domains": sorted((domain.domain_id, domain.updated_at) for domain in client.domains.list(limit=500).domains),
        "keys": sorted((key.api_key_id, key.name) for key in client.api_keys.list(limit=500).api_keys),
        "webhooks": sorted((hook.webhook_id, hook.updated_at) for hook in client.webhooks.list(limit=500).webhooks),
        "threads": sorted((t.thread_id, t.updated_at, t.message_count) for t in client.threads.list(limit=500).threads),
    }


def counts(census: dict[str, list]) -> dict[str, int]:
    return {name: len(entries) for name, entries in census.items()}


# The default pod and the operator's key come on top.
EXPECTED = {"pods": 26, "inboxes": 25, "domains": 25, "keys": 51, "webhooks": 50, "threads": 25}


def events(webhooks, path: str) -> dict[str, list[dict]]:
    """The events that arrived at `path`, each once, by type."""
    seen: dict[str, dict] = {post.id: post.event for post in webhooks.at(path)}
    by_type: dict[str, list[dict]] = {}
    for event in seen.values():
        by_type.setdefault(event["event_type"], []).append(event)
    return by_type


def check_events(webhooks, record: Record) -> None:
    """Each sink has exactly the events of its tenant, signed with its own secret."""
    webhooks.wait(
        lambda: sum(map(len, events(webhooks, record.pod_path).values())) >= 3
        and events(webhooks, record.inbox_path),
        f"events of {record.name}",
    )
    for path, (_, secret) in ((record.pod_path, record.pod_webhook), (record.inbox_path, record.inbox_webhook)):
        for post in webhooks.at(path):
            post.verify(secret)
    at_pod = events(webhooks, record.pod_path)
    (received,) = at_pod.pop("message.received")
    (sent,) = at_pod.pop("message.sent")
    (delivered,) = at_pod.pop("message.delivered")
    assert at_pod == {}
    assert (received["message"]["inbox_id"], received["message"]["message_id"]) == (record.inbox_id, record.message_id)
    assert received["message"]["from"] == f"Customer <{record.customer}>"
    for payload in (sent["send"], delivered["delivery"]):
        assert (payload["inbox_id"], payload["message_id"]) == (record.inbox_id, record.reply_id)
        assert payload["recipients"] == [record.customer]
    assert events(webhooks, record.inbox_path) == {"message.received": [received]}


@dataclass
class Theirs:
    """Paths of one tenant's things, each behind the level of the key that may read it."""

    pod: list[str]
    inbox: list[str]
    # Whether or not the server has them already, they show nothing to others.
    more: list[str]


def paths(record: Record, server: Server) -> Theirs:
    agent = server.client(record.inbox_key[1])
    thread_id = agent.inboxes.threads.list(record.inbox_id).threads[0].thread_id
    pod, inbox = f"/v0/pods/{record.pod_id}", f"/v0/inboxes/{record.inbox_id}"
    message = f"{inbox}/messages/{record.message_id}"
    return Theirs(
        pod=[
            pod, f"{pod}/inboxes", f"{pod}/inboxes/{record.inbox_id}", f"{pod}/inboxes/search?q=desk", f"{pod}/threads",
            f"{pod}/threads/{thread_id}", f"{pod}/domains", f"{pod}/domains/{record.domain_id}",
            f"{pod}/domains/{record.domain_id}/zone-file", f"{pod}/api-keys", f"{pod}/webhooks",
            f"{pod}/webhooks/{record.pod_webhook[0]}", f"/v0/domains/{record.domain_id}",
            f"/v0/domains/{record.domain_id}/zone-file", f"/v0/webhooks/{record.pod_webhook[0]}",
            f"/v0/webhooks/{record.pod_webhook[0]}/headers", f"/v0/api-keys/{record.pod_key[0]}",
        ],
        inbox=[
            inbox, f"{inbox}/messages", message, f"{message}/raw", f"{inbox}/threads",
            f"{inbox}/threads/{thread_id}", f"{inbox}/api-keys",
            f"{inbox}/webhooks", f"{inbox}/webhooks/{record.inbox_webhook[0]}",
            f"/v0/threads/{thread_id}", f"/v0/webhooks/{record.inbox_webhook[0]}", f"/v0/api-keys/{record.inbox_key[0]}",
        ],
        more=[
            f"{inbox}/messages/search?q=question", f"{inbox}/threads/search?q=question",
            f"{pod}/threads/search?q=question", f"{inbox}/events", f"{inbox}/drafts", f"{pod}/drafts", f"{inbox}/metrics",
            f"{pod}/metrics", f"{inbox}/lists/send/block", f"{pod}/lists/send/block", f"{inbox}/files", f"{inbox}/calendar",
        ],
    )


# (method, suffix of the inbox's path, body)
CHANGES = [
    ("PATCH", "", {"display_name": "Mine"}),
    ("DELETE", "", None),
    ("POST", "/messages/send", {"to": "x@client.example", "text": "x"}),
    ("POST", "/messages/{message}/reply", {"text": "x"}),
    ("POST", "/messages/{message}/reply-all", {"text": "x"}),
    ("POST", "/messages/{message}/forward", {"to": "x@client.example"}),
    ("PATCH", "/messages/{message}", {"add_labels": ["mine"]}),
    ("DELETE", "/messages/{message}", None),
    ("POST", "/messages/batch-get", {"message_ids": ["{message}"]}),
    ("POST", "/messages/batch-update", {"message_ids": ["{message}"], "add_labels": ["mine"]}),
    ("POST", "/api-keys", {"name": "mine"}),
    ("POST", "/webhooks", {"url": "http://127.0.0.1:9/", "event_types": ["message.received"]}),
]


def refuse_everything(http: httpx.Client, key: str, theirs: Theirs, record: Record, of_inbox: bool) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    # A key of an inbox may not read pods and domains at all, whether they exist or not.
    above = ("/v0/pods/", "/v0/domains/")
    for path in theirs.pod + theirs.inbox + theirs.more:
        wanted = {403} if of_inbox and path.startswith(above) else {404}
        if path in theirs.more:
            wanted.add(404)
        answer = http.get(path, headers=headers)
        assert answer.status_code in wanted, f"{path}: {answer.status_code} {answer.text}"
    for method, suffix, body in CHANGES:
        path = f"/v0/inboxes/{record.inbox_id}{suffix.format(message=record.message_id)}"
        answer = http.request(method, path, headers=headers, json=body)
        assert (method, path, answer.status_code) == (method, path, 404), answer.text
    for path in (f"/v0/webhooks/{record.pod_webhook[0]}", f"/v0/api-keys/{record.pod_key[0]}"):
        assert http.delete(path, headers=headers).status_code == 404


def test_the_first_run_makes_each_thing_once(server, store):
    assert counts(census(server)) == EXPECTED
    inboxes = {record.inbox_id for record in store.records.values()}
    assert len(inboxes) == len(NAMES)
    assert f"desk@{server.domain}" in inboxes


def test_each_sink_has_exactly_its_own_events(webhooks, store):
    for record in store.records.values():
        check_events(webhooks, record)
    assert len(webhooks.posts) == 4 * len(NAMES)


def test_replies_went_out_once_and_carry_the_inbox_as_sender(network, store):
    for record in store.records.values():
        (mail,) = network.wait_for(record.customer)
        message = mail.message
        assert message["From"] == f"Desk of {record.name} <{record.inbox_id}>"
        assert (message["Message-ID"], message["In-Reply-To"]) == (record.reply_id, record.mail_id)
        assert onboarding.REPLY in message.get_content()


def test_owners_reach_their_things(server, store):
    with httpx.Client(base_url=server.url, timeout=DEADLINE) as http:
        for record in list(store.records.values())[:5]:
            theirs = paths(record, server)
            for path in theirs.pod + theirs.inbox:
                answer = http.get(path, headers={"Authorization": f"Bearer {record.pod_key[1]}"})
                assert (path, answer.status_code) == (path, 200), answer.text
            for path in theirs.inbox:
                answer = http.get(path, headers={"Authorization": f"Bearer {record.inbox_key[1]}"})
                assert (path, answer.status_code) == (path, 200), answer.text


def test_no_tenant_reaches_anything_of_another(server, store):
    records = list(store.records.values())
    before = census(server)
    with httpx.Client(base_url=server.url, timeout=DEADLINE) as http:
        for number, record in enumerate(records):
            theirs = paths(record, server)
            neighbour = records[number - 1]
            refuse_everything(http, neighbour.pod_key[1], theirs, record, of_inbox=False)
            refuse_everything(http, neighbour.inbox_key[1], theirs, record, of_inbox=True)
    assert census(server) == before


def test_what_belongs_to_others_looks_like_what_does_not_exist(server, store):
    mine, theirs = list(store.records.values())[:2]
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {mine.pod_key[1]}"}) as http:
        foreign = http.get(f"/v0/inboxes/{theirs.inbox_id}").json()
        absent = http.get(f"/v0/inboxes/nobody@{server.domain}").json()
    assert foreign == absent
    assert (foreign["code"], foreign["message"]) == ("not_found", "Inbox not found")


def test_lists_of_a_pod_key_show_its_own_pod_only(server, store):
    for record in store.records.values():
        own = server.client(record.pod_key[1])
        assert [pod.pod_id for pod in own.pods.list().pods] == [record.pod_id]
        assert [inbox.inbox_id for inbox in own.inboxes.list().inboxes] == [record.inbox_id]
        assert [domain.domain_id for domain in own.domains.list().domains] == [record.domain_id]
        assert {thread.inbox_id for thread in own.threads.list().threads} == {record.inbox_id}
        assert {hook.webhook_id for hook in own.webhooks.list().webhooks} == {
            record.pod_webhook[0], record.inbox_webhook[0]
        }


def test_a_second_run_changes_nothing_and_makes_nothing(server, webhooks, network, store):
    before, records = census(server), copy.deepcopy(store.records)
    posts, mails = len(webhooks.posts), len(network.mails)
    Onboarding(server, webhooks.url, store).run(NAMES)
    assert census(server) == before
    assert store.records == records
    # Events are in order per endpoint's work: one more mail, and whatever a second run caused is there too.
    server.client().inboxes.messages.send(
        store.records[NAMES[0]].inbox_id, to="end@client.example", subject="End", text="End"
    )
    network.wait_for("end@client.example")
    webhooks.wait(lambda: len(webhooks.posts) >= posts + 2, "events of the last mail")
    assert (len(webhooks.posts), len(network.mails)) == (posts + 2, mails + 1)


def test_a_server_killed_at_any_moment_lets_the_program_complete(network, settings, webhooks):
    moments = sorted(random.Random(SEED).sample(range(1, STEPS * len(NAMES)), KILLS))
    names = [f"killed-{number:02}" for number in range(25)]
    store = Store()
    problems: list[BaseException] = []
    with Server(outbound=network.route, settings=settings) as server:

        def kill() -> None:
            try:
                for moment in moments:
                    if not store.wait_for_steps(moment, onboarding.STEP_DEADLINE):
                        raise AssertionError(f"step {moment} was never reached")
                    server.kill()
                    server.start()
            except BaseException as problem:
                problems.append(problem)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        Onboarding(server, webhooks.url, store).run(names)
        killer.join(DEADLINE)
        assert (problems, server.starts) == ([], 1 + KILLS), server.log()

        assert counts(census(server)) == EXPECTED
        for record in store.records.values():
            check_events(webhooks, record)
            mails = network.wait_for(record.customer)
            # Killed between the other side's answer and its own note of it, the server sends the same again.
            assert {mail.message["Message-ID"] for mail in mails} == {record.reply_id}
        assert max(Counter(tuple(mail.recipients) for mail in network.mails).values()) <= 1 + KILLS

        before, records = census(server), copy.deepcopy(store.records)
        Onboarding(server, webhooks.url, store).run(names)
        assert census(server) == before
        assert store.records == records
