"""Fixtures: the whole laptop stack, over real HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest

from examples.flights.load import load, put_job_inputs
from neuralstream_local.stack import Stack


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    def json(self) -> Any:
        return json.loads(self.data)


class Http(Protocol):
    """How `request` is called."""

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply: ...


def request(
    url: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """One request on a connection of its own; ``bytes`` and ``str`` are sent as they are, else JSON."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    sent = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    if body is not None:
        sent.setdefault("content-type", "application/json")
    try:
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        received = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, received, answer.read())
    finally:
        connection.close()


@dataclass
class RunningStack:
    """The stack under test: ``url`` of the API, ``aws_endpoint``, and `request` against it."""

    running: Stack
    url: str = field(init=False)
    aws_endpoint: str = field(init=False)
    _clients: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.url = self.running.url
        self.aws_endpoint = self.running.aws_endpoint

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        return request(self.url, method, path, body, headers)

    def client(self, service: str) -> Any:
        """A boto3 client of the stack's own AWS emulation; built once a service."""
        if service not in self._clients:
            self._clients[service] = self._build(service)
        return self._clients[service]

    def _build(self, service: str) -> Any:
        import boto3

        environ = self.running.environ
        build: Any = boto3.client
        return build(
            service,
            endpoint_url=self.aws_endpoint,
            region_name=environ["AWS_REGION"],
            aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        )


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """One stack for each xdist worker; tests use names of their own in it and never stop a part."""
    with Stack() as running:
        yield RunningStack(running)


@contextmanager
def laptop_stack() -> Iterator[RunningStack]:
    """A stack as `make run` leaves it, with the flights example, for a suite that changes it."""
    with Stack() as running:
        load(running.url)
        put_job_inputs(running.aws_endpoint)
        yield RunningStack(running)


@pytest.fixture(scope="session")
def stack_with_keys() -> Iterator[RunningStack]:
    """A stack that asks for API keys."""
    with Stack(auth=True) as running:
        yield RunningStack(running)
