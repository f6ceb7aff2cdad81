"""Rows that are online only, taken into the history."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from neuralstream_core.backfill.adopt_records import AdoptJob, AdoptJobs
from neuralstream_core.backfill.adopt_work import AdoptWork
from neuralstream_core.backfill.consistency import ConsistencyCheck
from neuralstream_core.backfill.view_jobs import ViewJobs
from neuralstream_core.errors import Conflict, Unavailable
from neuralstream_core.features import OnlineStore, ViewSpec
from neuralstream_core.features.upkeep import Upkeep
from neuralstream_core.features.writes import Batch, GivenRows, Recorded, WriteLog
from neuralstream_core.history.consistency import CellCounts, ConsistencyReports
from neuralstream_core.jobs.records import JobKind
from neuralstream_core.jobs.store import Jobs
from tests.support.rebuilding import ENTITIES, Rebuilding


@dataclass
class Adopting:
    """A store whose rows a former release wrote, and the tasks of adoptions."""

    inner: Rebuilding

    def __post_init__(self) -> None:
        house = self.inner.house
        # it writes to Redis alone, as releases without a history did
        self.former = OnlineStore(self.inner.port, house.catalog, house.clock, "test")
        self.jobs: AdoptJobs = Jobs(house.registry, "test", house.clock, {JobKind.ADOPT: AdoptJob})
        self.meanwhile: Callable[[], None] = lambda: None
        self.work = AdoptWork(
            self.jobs,
            house.history,
            self.inner.upkeep,
            house.objects,
            house.bucket,
            house.clock,
            self._pause,
            entities=5,
        )

    def _pause(self) -> None:
        self.meanwhile()

    def view(self, ttl: int | None = None, *, history: bool = True, **dtypes: Any) -> None:
        """Declare ``user`` as it was before there were histories: without a note that its own is complete."""
        house = self.inner.house
        features = [
            {"name": name, "dtype": dtype[0], "shape": [dtype[1]]}
            if isinstance(dtype, tuple)
            else {"name": name, "dtype": dtype}
            for name, dtype in dtypes.items()
        ]
        spec = {"entity": "id", "features": features, "ttl_seconds": ttl}
        for kept in (False, history):
            house.catalog.put("user", ViewSpec.model_validate(spec | {"history": kept}))

    def write(self, entity: str, at: float = 0.0, **features: Any) -> None:
        moment = self.inner.house.clock.at(at)
        row = {"entity_id": entity, "features": features, "event_timestamp": moment}
        self.former.write("user", [row])

    def begun(self) -> tuple[str, list[Any]]:
        job = ViewJobs(self.jobs, self.inner.house.catalog, JobKind.ADOPT).submit("user", "tests")
        planned = self.work.plan(job.job_id)
        return job.job_id, [{"chunk": number} for number in range(planned.chunks)]

    def adopt(self) -> AdoptJob:
        job_id, chunks = self.begun()
        for chunk in chunks:
            self.work.chunk(job_id, chunk)
        return self.work.finish(job_id)

    def checked(self) -> dict[str, CellCounts]:
        """What the consistency check finds by feature."""
        house = self.inner.house
        reports = ConsistencyReports(house.registry, "test")
        check = ConsistencyCheck(
            house.history, self.inner.upkeep, reports, house.clock, lambda: None
        )
        (found,) = check.run(0)
        return found.features

    def rebuilt(self) -> list[Any]:
        """The rows after the cache was lost and filled from the history."""
        self.inner.redis.flush()
        self.inner.rebuild()
        return self.inner.rows()


@dataclass
class BreaksOff:
    """A log that fails once, after so many entries."""

    log: WriteLog
    after: int

    def record(self, batches: Sequence[Batch]) -> Recorded:
        self.after -= 1
        if self.after == -1:
            raise Unavailable("the log is away", dependency="history")
        return self.log.record(batches)


@pytest.fixture
def adopting(rebuilding: Rebuilding) -> Adopting:
    return Adopting(rebuilding)


def test_rows_of_a_release_without_history_survive_the_loss_of_the_cache(
    adopting: Adopting,
) -> None:
    chance = random.Random(19)
    adopting.view(a="float32", b="string", c=("int64", 2), d="timestamp", e="bool")
    values: dict[str, Callable[[], Any]] = {
        "a": chance.random,
        "b": lambda: "ß" * chance.randrange(3),
        "c": lambda: [chance.randrange(9), -(2**63)],
        "d": lambda: f"1969-01-0{chance.randrange(1, 9)}T00:00:00Z",
        "e": lambda: chance.random() < 0.5,
    }
    for step in range(60):
        names = chance.sample(sorted(values), chance.randrange(1, 6))
        row = {n: None if chance.random() < 0.2 else values[n]() for n in names}
        entity, at = chance.choice(ENTITIES), -chance.randrange(5)
        if step < 30:  # from then on the new release writes, and the former one a little longer
            adopting.write(entity, at, **row)
        elif step < 40 or step % 2:
            adopting.inner.write(entity, at, **row)
        else:
            adopting.write(entity, at, **row)
    before = adopting.inner.rows()
    found = adopting.checked()
    assert sum(counts.wrong for counts in found.values()) == 0
    assert sum(counts.unadopted for counts in found.values()) > 20
    adopting.inner.house.compact()
    done = adopting.adopt()
    assert done.outcome is not None
    assert done.outcome.entities == sum(row is not None for row in before)
    assert done.outcome.history_complete
    assert all(counts.unadopted == counts.wrong == 0 for counts in adopting.checked().values())
    assert adopting.rebuilt() == before


def test_each_value_is_in_the_history_once_however_often_it_is_adopted(adopting: Adopting) -> None:
    adopting.view(a="float64", b="float64")
    for number, entity in enumerate(ENTITIES):
        adopting.write(entity, -10, a=float(number), b=1.0)
        adopting.write(entity, -5, b=2.0)
    job_id, chunks = adopting.begun()
    for chunk in (*chunks, *chunks):  # Step Functions may call a chunk again after it has succeeded
        adopting.work.chunk(job_id, chunk)
    first = adopting.work.finish(job_id).outcome
    adopting.inner.house.compact()
    second = adopting.adopt().outcome
    assert first is not None
    assert second is not None
    assert (first.rows, first.entities) == (2 * len(ENTITIES), len(ENTITIES))
    assert (second.rows, second.entities) == (0, len(ENTITIES))
    adopting.inner.house.compact()
    view = adopting.inner.house.catalog.get("user")
    records = adopting.inner.house.records(view)
    assert sorted(tuple(sorted(each["features"].items())) for each in records) == sorted(
        [(("a", float(number)),) for number in range(len(ENTITIES))]
        + [(("b", 2.0),)] * len(ENTITIES)
    )


def test_a_chunk_that_broke_off_loses_and_doubles_no_row_of_the_same_event_time(
    adopting: Adopting,
) -> None:
    adopting.view(a="float64")
    for number, entity in enumerate(ENTITIES[:5]):
        adopting.write(entity, a=float(number))
    house = adopting.inner.house
    failing = Upkeep(
        adopting.inner.store,
        adopting.inner.port,
        BreaksOff(house.log, after=1),
        house.clock,
        "test",
    )
    work = replace(adopting.work, upkeep=failing, appended=2)
    job_id, chunks = adopting.begun()
    with pytest.raises(Unavailable):
        work.chunk(job_id, chunks[0])
    assert work.chunk(job_id, chunks[0]).rows == 5
    house.compact()
    records = house.records(house.catalog.get("user"))
    assert sorted(each["features"]["a"] for each in records) == [0, 1, 2, 3, 4]


def test_values_beyond_their_ttl_are_history_too(adopting: Adopting) -> None:
    adopting.view(ttl=3600, a="float64")
    adopting.write("e1", -5000, a=1.0)
    done = adopting.adopt()
    assert done.outcome is not None
    assert done.outcome.rows == 1
    adopting.inner.house.compact()
    (record,) = adopting.inner.house.records(adopting.inner.house.catalog.get("user"))
    assert record["features"] == {"a": 1.0}


def test_a_correction_of_the_same_event_time_during_the_adoption_has_the_last_word(
    adopting: Adopting,
) -> None:
    adopting.view(a="float64")
    adopting.write("e1", a=1.0)
    # a writer whose entry in the log is older than the adoption's, and whose value reaches Redis later
    house = adopting.inner.house
    row = {"entity_id": "e1", "features": {"a": 2.0}, "event_timestamp": house.clock.at(0)}
    batch = adopting.inner.store.prepare("user", _given(row))
    adopting.inner.upkeep.record([batch])
    adopting.inner.later(0.001)

    def merged() -> None:
        adopting.inner.later(0.001)
        adopting.inner.upkeep.merge(batch)

    adopting.meanwhile = merged
    adopting.adopt()
    assert adopting.checked()["a"] == CellCounts(match=1)
    assert [row and row.values for row in adopting.rebuilt()][1] == (2.0,)


def test_an_entity_that_is_forgotten_during_the_adoption_stays_forgotten(
    adopting: Adopting,
) -> None:
    adopting.view(a="float64")
    for entity in ("e1", "e2", "e3"):
        adopting.write(entity, a=1.0)

    def gone() -> None:
        house = adopting.inner.house
        batch = adopting.inner.store.prepare(
            "user", _given({"entity_id": "e2", "features": {"a": 0}})
        )
        adopting.inner.upkeep.remove(batch)  # evicted: still in the history
        house.clock.now -= 1000  # forgotten a millisecond before its row was adopted
        adopting.inner.forget("e1")
        house.clock.now += 2000

    adopting.meanwhile = gone
    adopting.adopt()
    house = adopting.inner.house
    house.compact()
    assert {each["entity"] for each in house.records(house.catalog.get("user"))} == {"e2", "e3"}


def test_a_view_whose_history_was_off_for_a_while_is_not_complete(adopting: Adopting) -> None:
    adopting.view(a="float64")
    adopting.write("e1", a=1.0)
    job_id, chunks = adopting.begun()
    adopting.inner.later(1)
    adopting.view(a="float64")  # off, and on again
    for chunk in chunks:
        adopting.work.chunk(job_id, chunk)
    done = adopting.work.finish(job_id)
    assert done.outcome is not None
    assert not done.outcome.history_complete
    again = adopting.adopt().outcome
    assert again is not None
    assert again.history_complete


def test_a_view_without_history_adopts_nothing(adopting: Adopting) -> None:
    adopting.view(history=False, a="float64")
    with pytest.raises(Conflict, match="keeps no history"):
        adopting.begun()


def _given(row: dict[str, Any]) -> GivenRows:
    return GivenRows([row])
