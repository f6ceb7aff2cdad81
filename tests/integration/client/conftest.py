"""Fixtures: the client against the laptop stack."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from neuralstream_client import NeuralStream
from tests.support.stack import RunningStack

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart" / "register.json"


@pytest.fixture(scope="session")
def ns(stack: RunningStack) -> Iterator[NeuralStream]:
    with NeuralStream(stack.url) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def registration() -> dict[str, Any]:
    """The README's model, which reads three features of ``user_features``."""
    body: dict[str, Any] = json.loads(QUICKSTART.read_text())
    return body


@pytest.fixture
def served(
    ns: NeuralStream, name: str, registration: dict[str, Any]
) -> Callable[..., tuple[str, str]]:
    """``served(versions=1)`` → a new view, and a new model that reads it, with v1 in production."""

    def make(versions: int = 1) -> tuple[str, str]:
        names = ["tenure_months", "monthly_charges", "support_tickets"]
        dtypes = ["int64", "float64", "int64"]
        ns.features.apply(
            {"name": name, "entity": "user_id", "features": dict(zip(names, dtypes, strict=True))}
        )
        body = {
            **registration,
            "features": [f"{name}:{feature}" for feature in names],
            "missing": "error",
        }
        body.pop("check", None)
        for _ in range(versions):
            ns.models.register(name, body)
        ns.models.promote(name, "v1")
        return name, name

    return make
