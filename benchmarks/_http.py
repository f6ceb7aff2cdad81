"""The laptop stack and its functions as the feature benchmarks call them: over HTTP, and as handlers."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from _harness import ROOT  # noqa: F401 - puts the project on the path

from neuralstream_local.functions import load
from neuralstream_local.laptop import laptop_template
from neuralstream_local.stack import Stack

__all__ = ["Http", "Laptop", "laptop"]


class Http:
    """One keep-alive connection; the same client for every server that is measured."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of a 2xx answer; anything else fails the run."""
        headers = {"content-type": "application/json"}
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            # The server ended an idle connection between two groups; the first call is warm-up.
            self.connection.close()
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:500]!r}")
        return data


@dataclass
class Laptop:
    """A running stack without an example."""

    stack: Stack
    http: Http

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of a route, parsed."""
        data = None if body is None else json.dumps(body).encode()
        return json.loads(self.http.request(method, path, data))

    def put_view(self, name: str, width: int) -> None:
        """Declare ``width`` float64 features with a TTL of a day."""
        features = [{"name": f"f{i}", "dtype": "float64"} for i in range(width)]
        spec = {"entity": "user_id", "ttl_seconds": 86_400, "features": features}
        self.call("PUT", f"/features/views/{name}", spec)

    def handler(self, function: str, route: str, body: bytes) -> Callable[[], dict[str, Any]]:
        """A call of a function's handler in this process, with the event of one request.

        Args:
            function: logical id in template.yaml.
            route: its route key.
        """
        os.environ.update(self.stack.environ)
        declared = laptop_template(self.stack.redis.port).functions()[function]
        handle = getattr(load(declared), declared.attribute)
        scopes = {"principal": "bench", "scopes": "features:read features:write"}
        event = {
            "version": "2.0",
            "routeKey": route,
            "headers": {"content-type": "application/json"},
            "requestContext": {"requestId": "r", "authorizer": {"lambda": scopes}},
            "body": body.decode(),
            "isBase64Encoded": False,
        }
        context = SimpleNamespace(
            aws_request_id="bench", get_remaining_time_in_millis=lambda: 30_000
        )

        def call() -> dict[str, Any]:
            answer: dict[str, Any] = handle(event, context)
            if answer["statusCode"] != 200:
                raise RuntimeError(answer["body"])
            return answer

        return call


@contextmanager
def laptop() -> Iterator[Laptop]:
    """The stack of `make run` with an empty store."""
    with Stack() as stack:
        yield Laptop(stack, Http(stack.port))
