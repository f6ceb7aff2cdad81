"""Requests of one caller about one model and one view."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import pytest

from tests.support import artifacts
from tests.support.stack import Reply, RunningStack

__all__ = ["Caller", "caller", "registered"]


class Caller:
    """Requests about one model and one view of names of their own."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.model = f"model-{uuid.uuid4().hex[:12]}"
        self.view = f"view-{uuid.uuid4().hex[:12]}"
        self.features = [f"{self.view}:age", f"{self.view}:size"]
        features = [{"name": "age", "dtype": "float64"}, {"name": "size", "dtype": "int64"}]
        self.ok("PUT", f"/features/views/{self.view}", {"entity": "id", "features": features})

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        return self.stack.request(
            method, path, body, {k.replace("_", "-"): v for k, v in headers.items()}
        )

    def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        reply = self.send(method, path, body, **headers)
        assert reply.status in (200, 201), reply.data
        return reply.json()

    def about(self, method: str, path: str = "", body: Any = None, **headers: str) -> Any:
        return self.ok(method, f"/models/{self.model}{path}", body, **headers)

    def refused(self, status: int, method: str, path: str, body: Any = None, **headers: str) -> Any:
        reply = self.send(method, f"/models/{self.model}{path}", body, **headers)
        assert reply.status == status, reply.data
        assert reply.headers["content-type"] == "application/problem+json"
        return reply.json()

    def registration(self, data: bytes | None = None, **more: Any) -> dict[str, Any]:
        data = artifacts.linear() if data is None else data
        text = base64.b64encode(data).decode()
        body = {"format": "linear", "artifact_base64": text, "features": self.features}
        return body | more

    def register(self, **more: Any) -> Any:
        return self.about("POST", "/versions", self.registration(**more))


@pytest.fixture
def caller(stack: RunningStack) -> Caller:
    return Caller(stack)


@pytest.fixture(scope="module")
def registered(stack: RunningStack) -> Caller:
    """One with a version that no test changes."""
    caller = Caller(stack)
    caller.register()
    return caller
