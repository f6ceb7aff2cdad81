"""A registry with models in it, and everything that reads counters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from neuralstream_core.monitoring.evaluation import Alarms, Evaluation
from neuralstream_core.monitoring.profile import ProfileCache
from neuralstream_core.monitoring.reader import Archive, CounterReader
from neuralstream_core.monitoring.recorder import RedisRecorder
from neuralstream_core.monitoring.reports import Reports
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.records import (
    Format,
    ModelRecord,
    Signature,
    Stage,
    VersionRecord,
    VersionStatus,
    model_item,
    version_item,
)
from neuralstream_core.registry.registry import Registry
from neuralstream_core.time import from_micros
from tests.support.guards import guards
from tests.support.monitoring import NAMESPACE, Clockwork, Watched

__all__ = ["Bench", "bench", "guards"]

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Bench:
    """One namespace on real storage, with a clock of its own."""

    port: Any
    table: Any
    s3: Any
    bucket: str
    clock: Clockwork

    def __post_init__(self) -> None:
        self.registry = Registry(self.table, NAMESPACE, self.clock)
        self.artifacts = ArtifactStore(self.s3, self.bucket)
        self.profiles = ProfileCache(self.artifacts.get_profile)
        self.archive = Archive(self.s3, self.bucket, NAMESPACE)
        self.reader = CounterReader(self.port, NAMESPACE, self.archive)
        self.alarms = Alarms(self.table, NAMESPACE)
        self.reports = Reports(
            self.registry, self.reader, self.profiles, self.alarms, clock=self.clock
        )
        self.emitted: list[tuple[Any, ...]] = []
        self.evaluation = Evaluation(
            self.registry,
            self.reader,
            self.profiles,
            self.alarms,
            clock=self.clock,
            emit=lambda *metrics: self.emitted.append(metrics),
        )
        self.recorder = RedisRecorder(self.port, self.profiles, NAMESPACE, self.clock)

    def add_model(self, name: str = "m", **changes: Any) -> None:
        """A model; ``updated_at`` is long ago unless given."""
        fields: dict[str, Any] = {"salt": "s", "created_at": LONG_AGO, "updated_at": LONG_AGO}
        record = ModelRecord(name=name, **{**fields, **changes})
        self.table.put(model_item(NAMESPACE, record))

    def add_version(
        self, watched: Watched, *, baseline: bool = True, stage: Stage = Stage.PRODUCTION
    ) -> None:
        """A ready version of a model, with its profile stored."""
        digest = self.artifacts.put_profile(watched.profile.to_json()) if baseline else None
        record = VersionRecord(
            model=watched.model,
            version=watched.version,
            status=VersionStatus.READY,
            stage=stage,
            format=Format.ONNX,
            digest="0" * 64,
            size=1,
            features=watched.features,
            signature=Signature(kind="classifier", inputs=(), outputs=(), classes=(0, 1)),
            profile=digest,
            created_at=from_micros(self.clock.now),
            created_by="test",
        )
        self.table.put(version_item(NAMESPACE, record))


@pytest.fixture
def bench(redis_port, table, s3, bucket) -> Bench:
    return Bench(redis_port, table, s3, bucket, Clockwork())
