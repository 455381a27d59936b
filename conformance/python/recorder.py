"""Which operations of the API the official SDK has called, and which there are.

The operations are those that the server's own tests compare it with (`operations.jsonl`); an operation counts as
called when the SDK got a 2xx for it.
"""

from __future__ import annotations

import functools
import json
import re
from collections import defaultdict
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import agentmail.core.http_client as sdk

FACTS = Path(__file__).resolve().parents[2] / "crates/api/tests/it/sdk/operations.jsonl"
# "sync" or "async" -> the ids of the operations that the SDK's client of this kind has called.
called: dict[str, set[str]] = defaultdict(set)


class Operation:
    """One operation as the SDK knows it."""

    def __init__(self, facts: dict):
        self.id: str = facts["id"]
        self.method: str = facts["method"]
        self.path: str = facts["path"]
        self.statuses: list[int] = facts["statuses"]
        self._pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", self.path.lstrip("/")))

    @property
    def route(self) -> tuple[str, str]:
        """The method and the path without the names of its parameters."""
        return self.method, re.sub(r"\{\w+\}", "{}", self.path)

    def matches(self, method: str, path: str) -> bool:
        return method == self.method and self._pattern.fullmatch(path) is not None


@functools.cache
def operations() -> list[Operation]:
    """Every operation; of two that match one path, the more literal comes first."""
    found = [Operation(json.loads(line)) for line in FACTS.read_text().splitlines()]
    return sorted(found, key=lambda operation: operation.path.count("{"))


def _note(kind: str, method: str, path: str | None, status: int) -> None:
    if not 200 <= status < 300:
        return
    for operation in operations():
        if operation.matches(method, (path or "").lstrip("/")):
            called[kind].add(operation.id)
            return


def install() -> None:
    """Wraps the one place of the SDK, per kind of client, through which every request goes."""
    request, stream = sdk.HttpClient.request, sdk.HttpClient.stream
    async_request, async_stream = sdk.AsyncHttpClient.request, sdk.AsyncHttpClient.stream

    @functools.wraps(request)
    def noted(self, path=None, *, method, **options):
        answer = request(self, path, method=method, **options)
        _note("sync", method, path, answer.status_code)
        return answer

    @functools.wraps(async_request)
    async def async_noted(self, path=None, *, method, **options):
        answer = await async_request(self, path, method=method, **options)
        _note("async", method, path, answer.status_code)
        return answer

    @contextmanager
    def noted_stream(self, path=None, *, method, **options):
        with stream(self, path, method=method, **options) as answer:
            _note("sync", method, path, answer.status_code)
            yield answer

    @asynccontextmanager
    async def async_noted_stream(self, path=None, *, method, **options):
        async with async_stream(self, path, method=method, **options) as answer:
            _note("async", method, path, answer.status_code)
            yield answer

    sdk.HttpClient.request, sdk.HttpClient.stream = noted, noted_stream
    sdk.AsyncHttpClient.request, sdk.AsyncHttpClient.stream = async_noted, async_noted_stream
