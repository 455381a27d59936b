"""A server per module; every test uses names of its own."""

from __future__ import annotations

import pytest

import recorder
from harness import Server, unique
from sinks import SmtpSink, WebhookSink

recorder.install()


@pytest.fixture(scope="module")
def webhooks():
    with WebhookSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def network():
    """The rest of the internet, as far as mail goes."""
    with SmtpSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Settings of the module's server; modules override it."""
    return {}


@pytest.fixture(scope="module")
def server(network, settings):
    with Server(outbound=network.route, settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    return server.client()


@pytest.fixture
def inbox(client) -> str:
    return client.pods.inboxes.create(client.auth.me().organization_id, username=unique("box")).inbox_id


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    server = item.funcargs.get("server") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and server is not None:
        report.sections.append(("the server's log", server.log()))
