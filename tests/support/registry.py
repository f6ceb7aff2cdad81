"""A registry on real storage with a validator and profiler that say yes: these tests are about its rules."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from neuralstream_core.errors import ArtifactRejected, NotFound
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.attempts import By, countdown
from neuralstream_core.registry.records import Signature, Tensor
from neuralstream_core.registry.registrar import Registered, Registrar
from neuralstream_core.registry.registry import Registry
from neuralstream_core.registry.requests import Registration
from neuralstream_core.registry.views import Column, View
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock

NAMESPACE = "tests"
SIGNATURE = Signature(
    kind="regressor",
    inputs=(Tensor(name="x", datatype="FP32", shape=(-1, 1)),),
    outputs=(Tensor(name="y", datatype="FP32", shape=(-1, 1)),),
)


class Accepts:
    """A validator that looks only for the word ``bad``."""

    def validate(self, _format: Any, data: bytes, _features: Any) -> Signature:
        if b"bad" in data:
            raise ArtifactRejected("the artifact is bad")
        return SIGNATURE


class Sums:
    """A profiler whose profile is the baseline itself."""

    def profile(self, baseline: Any, _features: Any, _signature: Any) -> bytes:
        return baseline.model_dump_json().encode()


@dataclass
class StoredViews:
    """Feature views as items with the catalog's keys."""

    table: Table

    def put(self, name: str, *features: str, generation: str = "g1") -> None:
        self.table.put(
            {
                "PK": f"VIEW#{NAMESPACE}#{name}",
                "SK": "META",
                "generation": generation,
                "names": list(features),
            }
        )

    def item(self, name: str) -> dict[str, Any] | None:
        return self.table.get(f"VIEW#{NAMESPACE}#{name}", "META")

    def view(self, name: str) -> View:
        item = self.item(name)
        if item is None:
            raise NotFound(f"no view {name}")
        return View(name, 1, item["generation"], {n: Column("float64", 1) for n in item["names"]})


@dataclass
class Clock:
    """The real time plus what a test adds."""

    ahead: int = 0

    def __call__(self) -> int:
        return system_clock() + self.ahead


@dataclass
class House:
    """A registry and what it stands on; ``on`` gives one whose clients are other objects."""

    table: Table
    s3: Any
    bucket: str
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.views = StoredViews(self.table)
        self.artifacts = ArtifactStore(self.s3, self.bucket)
        self.registry = Registry(self.table, NAMESPACE, self.clock)
        self.registrar = Registrar(self.registry, self.artifacts, self.views, Accepts(), Sums())

    def on(self, dynamodb: Any, s3: Any) -> House:
        return House(Table(dynamodb, self.table.name), s3, self.bucket, self.clock)

    def register(self, model: str = "m", data: bytes = b"model", **more: Any) -> Registered:
        by = more.pop("by", None) or ada()
        return self.registrar.register(model, inline(data, **more), by)


def ada(key: str | None = None, seconds: float = 20.0) -> By:
    """A caller."""
    return By("ada", key, countdown(seconds))


def inline(data: bytes = b"model", **more: Any) -> Registration:
    return Registration.model_validate(
        {"format": "onnx", "artifact_base64": base64.b64encode(data).decode(), **more}, strict=False
    )


def announced(data: bytes, **more: Any) -> Registration:
    artifact = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return Registration.model_validate(
        {"format": "onnx", "artifact": artifact, **more}, strict=False
    )


@pytest.fixture
def house(table: Table, s3: Any, bucket: str) -> House:
    return House(table, s3, bucket)
