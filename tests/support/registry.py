"""A registry on real storage with a validator and profiler that say yes: these tests are about its rules."""

from __future__ import annotations

import base64
import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from neuralstream_core.errors import ArtifactRejected, NotFound
from neuralstream_core.features import Dtype, Feature, FeatureView
from neuralstream_core.features.services import FeatureServices
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.issuer import Issuer, countdown
from neuralstream_core.registry.pages import Listing
from neuralstream_core.registry.records import Signature, Tensor, VersionStatus, number_of
from neuralstream_core.registry.registrar import Registered, Registrar, Validated
from neuralstream_core.registry.registration import Registration
from neuralstream_core.registry.registry import Registry
from neuralstream_core.table import Table
from neuralstream_core.time import EPOCH, system_clock
from neuralstream_local.storage import create_registry_table
from tests.support.aws import Aws

T = TypeVar("T")
NAMESPACE = "tests"
SIGNATURE = Signature(
    kind="regressor",
    inputs=(Tensor(name="x", datatype="FP32", shape=(-1, 1)),),
    outputs=(Tensor(name="y", datatype="FP32", shape=(-1, 1)),),
)


class Accepts:
    """A validator that looks only for the word ``bad``."""

    def validate(self, _version: Any, data: bytes, _asked: Any) -> Validated:
        if b"bad" in data:
            raise ArtifactRejected("the artifact is bad")
        return Validated(SIGNATURE)


class Sums:
    """A profiler whose profile is the baseline itself."""

    def fetched(self, baseline: Any, _features: Any) -> Any:
        return baseline

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

    def delete(self, name: str) -> None:
        """As the catalog does: only while nothing depends on it."""
        self.table.delete(
            f"VIEW#{NAMESPACE}#{name}", "META", condition="attribute_not_exists(dependents)"
        )

    def fetch(self, name: str) -> FeatureView:
        item = self.item(name)
        if item is None:
            raise NotFound(f"no view {name}")
        return FeatureView(
            name=name,
            keys=("id",),
            features=tuple(Feature(name=n, dtype=Dtype.FLOAT64) for n in item["names"]),
            generation=item["generation"],
            created_at=EPOCH,
            updated_at=EPOCH,
        )


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
    dynamodb: Any
    s3: Any
    bucket: str
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.views = StoredViews(self.table)
        self.artifacts = ArtifactStore(self.s3, self.bucket)
        self.registry = Registry(self.table, NAMESPACE, self.clock)
        self.services = FeatureServices(self.table, NAMESPACE, self.clock, self.views)
        self.registrar = Registrar(
            self.registry, self.artifacts, self.views, self.services, Accepts(), Sums()
        )

    def on(self, dynamodb: Any, s3: Any) -> House:
        return House(Table(dynamodb, self.table.name), dynamodb, s3, self.bucket, self.clock)

    @contextmanager
    def copy(self) -> Iterator[House]:
        """The same items in a table of their own, for the time being."""
        name = f"copy-{uuid.uuid4().hex}"
        create_registry_table(self.dynamodb, name)
        puts = [
            {"PutRequest": {"Item": item}}
            for item in self.dynamodb.scan(TableName=self.table.name)["Items"]
        ]
        if puts:
            self.dynamodb.batch_write_item(RequestItems={name: puts})  # at most 25
        yield House(Table(self.dynamodb, name), self.dynamodb, self.s3, self.bucket, self.clock)
        self.dynamodb.delete_table(TableName=name)

    def register(self, model: str = "m", data: bytes = b"model", **more: Any) -> Registered:
        by = more.pop("by", None) or ada()
        return self.registrar.register(model, inline(data, **more), by)


def ada(key: str | None = None, seconds: float = 20.0) -> Issuer:
    """A caller."""
    return Issuer("ada", key, countdown(seconds))


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
def house(aws: Aws, table: Table, s3: Any, bucket: str) -> House:
    return House(table, aws.client("dynamodb"), s3, bucket)


@dataclass
class Told:
    """What an audit trail says happened, event by event."""

    stages: dict[str, str] = field(default_factory=dict)
    production: str | None = None
    split: dict[str, float] | None = None
    ready: set[str] = field(default_factory=set)


def replay(house: House, model: str = "m") -> Told:
    """The state that the audit trail alone leads to; its revisions must be 1, 2, 3, …"""
    events = every(lambda token: house.registry.events(model, token=token, limit=50))
    assert [event.revision for event in events] == list(range(1, len(events) + 1))
    told = Told()
    for event in events:
        if event.version and (
            event.kind is EventKind.READY or event.data.get("status") == VersionStatus.READY
        ):
            told.ready.add(event.version)
        told.stages |= {version: stage.value for version, stage in event.stages.items()}
        in_production = [v for v, stage in told.stages.items() if stage == "production"]
        assert in_production == ([event.production_version] if event.production_version else [])
        told.production, told.split = event.production_version, event.ab_split
    return told


def observe(house: House, model: str = "m") -> Told:
    """The state as the queries give it."""
    found = house.registry.model(model)
    versions = every(lambda token: house.registry.versions(model, token=token, limit=50))
    assert found.latest_version == (versions[0].version if versions else None)
    numbers = [number_of(version.version) for version in versions]
    assert numbers == list(range(len(versions), 0, -1))
    return Told(
        {version.version: version.stage.value for version in versions},
        found.production_version,
        found.ab_split,
        {version.version for version in versions if version.status is VersionStatus.READY},
    )


def every(page: Callable[[str | None], Listing[T]]) -> list[T]:
    """All records of a paged listing."""
    records: list[T] = []
    token: str | None = None
    while True:
        found = page(token)
        records += found.records
        if (token := found.next_token) is None:
            return records


def race(count: int, run: Callable[[int], T]) -> list[T | Exception]:
    """``run(0)`` … ``run(count - 1)`` at once, each in a thread; what each gave or raised."""
    start = threading.Barrier(count)

    def go(number: int) -> T | Exception:
        start.wait()
        try:
            return run(number)
        except Exception as error:  # noqa: BLE001 - the outcome of a race is what the test is about
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(go, range(count)))
