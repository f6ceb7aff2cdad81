"""A store with a history, its rebuilds and its checks, under a clock that tests move."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from neuralstream_core.backfill.rebuild_records import RebuildJob, RebuildJobs
from neuralstream_core.backfill.rebuild_work import RebuildWork
from neuralstream_core.backfill.view_jobs import ViewJobs
from neuralstream_core.features import OnlineStore, Row, ViewSpec
from neuralstream_core.features.upkeep import Upkeep
from neuralstream_core.jobs.records import JobKind
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.objects import Location
from neuralstream_core.redis import RedisPort
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.history import HistoryHouse
from tests.support.redis_cluster import EmbeddedCluster

__all__ = ["ENTITIES", "Rebuilding", "rebuilding", "rebuilding_on_a_cluster"]

ENTITIES = [f"e{i}" for i in range(12)]


@dataclass
class Rebuilding:
    """A store with a history, and the tasks of rebuilds as the state machine calls them."""

    house: HistoryHouse
    port: RedisPort
    redis: EmbeddedRedis | EmbeddedCluster

    def __post_init__(self) -> None:
        house = self.house
        self.store = OnlineStore(self.port, house.catalog, house.clock, "test", log=house.log)
        self.upkeep = Upkeep(self.store, self.port, house.log, house.clock, "test")
        self.jobs: RebuildJobs = Jobs(
            house.registry, "test", house.clock, {JobKind.REBUILD: RebuildJob}
        )
        self.work = RebuildWork(
            self.jobs, house.history, self.upkeep, house.objects, house.bucket, house.clock
        )

    def view(self, name: str = "user", ttl: int | None = None, **dtypes: Any) -> None:
        features = [
            {"name": feature, "dtype": dtype[0], "shape": [dtype[1]]}
            if isinstance(dtype, tuple)
            else {"name": feature, "dtype": dtype}
            for feature, dtype in dtypes.items()
        ]
        spec = {"entity": "id", "features": features, "ttl_seconds": ttl}
        self.house.catalog.put(name, ViewSpec.model_validate(spec))

    def write(self, entity: str, at: float = 0.0, view: str = "user", **features: Any) -> None:
        self.house.clock.now += (
            1  # of writes in one microsecond nobody could say which was the later
        )
        moment = self.house.clock.at(at)
        row = {"entity_id": entity, "features": features, "event_timestamp": moment}
        self.store.write(view, [row])

    def forget(self, entity: str) -> None:
        self.upkeep.forget("user", lambda _view: [entity], "forget")

    def later(self, seconds: float) -> None:
        self.house.clock.now += round(seconds * 1_000_000)

    def rows(self, view: str = "user", entities: Sequence[str] = ENTITIES) -> list[Row | None]:
        return self.store.read_many(view, list(entities)).rows

    def begun(self, view: str = "user") -> tuple[RebuildJob, list[Any]]:
        """A job that is planned, and its chunks."""
        job = ViewJobs(self.jobs, self.house.catalog, JobKind.REBUILD).submit(view, "tests")
        planned = self.work.plan(job.job_id)
        listed = self.house.objects.read(Location(planned.bucket, planned.key))
        return job, json.loads(listed)

    def rebuild(self, view: str = "user") -> RebuildJob:
        job, chunks = self.begun(view)
        for chunk in chunks:
            self.work.chunk(job.job_id, chunk)
        return self.work.finish(job.job_id)


@pytest.fixture
def rebuilding(
    house: HistoryHouse, redis_port: RedisPort, redis_server: EmbeddedRedis
) -> Rebuilding:
    redis_server.flush()
    return Rebuilding(house, redis_port, redis_server)


@pytest.fixture
def rebuilding_on_a_cluster(
    house: HistoryHouse, cluster_port: RedisPort, redis_cluster: EmbeddedCluster
) -> Rebuilding:
    return Rebuilding(house, cluster_port, redis_cluster)
