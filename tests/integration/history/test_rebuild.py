"""A rebuild: Redis is lost, and filled from the history as it was."""

from __future__ import annotations

import random

import pytest

from neuralstream_core.backfill.view_jobs import ViewJobs
from neuralstream_core.errors import Conflict, NotFound
from neuralstream_core.features import ViewSpec
from neuralstream_core.jobs.records import JobKind
from tests.support.rebuilding import ENTITIES, Rebuilding


def test_values_statuses_and_event_times_are_those_before(rebuilding: Rebuilding) -> None:
    rebuilding.view(a="float64", b="string", c=("float32", 3), d="timestamp", e="bool", f="int64")
    rebuilding.write("e1", -30, a=1.5, b="ä€", c=[1.0, 2.5, -3.0], d="2026-01-02T03:04:05Z", e=True)
    rebuilding.write("e1", -20, a=None, f=7)
    rebuilding.write("e1", -40, b="older", f=6)
    rebuilding.write("e2", -10, c=None, b="")
    rebuilding.house.compact()
    rebuilding.write("e2", 0, f=-1)
    rebuilding.write("e3", 0, e=False)
    before = rebuilding.rows()
    rebuilding.redis.flush()
    assert not any(rebuilding.rows())
    job = rebuilding.rebuild()
    assert rebuilding.rows() == before
    assert job.outcome is not None
    assert (job.status, job.outcome.tail, job.outcome.history_version) == ("SUCCEEDED", 2, 1)


def test_random_writes_are_rebuilt_as_they_were(rebuilding: Rebuilding) -> None:
    """Partial writes, NULL, ties of event time, late and stale rows, schema versions, forgotten entities."""
    chance = random.Random(16)
    names = {"a": "float64", "b": "int64", "c": "string"}
    rebuilding.view(**names)
    makes = {
        "a": chance.random,
        "b": lambda: chance.randrange(-9, 9),
        "c": lambda: "x" * chance.randrange(4),
        "d": lambda: chance.random() < 0.5,
    }
    for step in range(4):
        for _ in range(60):
            chosen = chance.sample(sorted(names), chance.randrange(1, len(names) + 1))
            values = {n: None if chance.random() < 0.2 else makes[n]() for n in chosen}
            rebuilding.write(chance.choice(ENTITIES), -chance.randrange(6), **values)
            rebuilding.later(chance.choice([0, 0.5]))
        if step == 1:
            names["d"] = "bool"
            rebuilding.view(**names)
        if step < 3:
            rebuilding.forget(chance.choice(ENTITIES))
            rebuilding.later(1)
            rebuilding.house.compact()
    rebuilding.forget("e0")
    rebuilding.later(1)
    rebuilding.write("e0", a=1.0)
    rebuilding.forget("e1")
    before = rebuilding.rows()
    rebuilding.redis.flush()
    rebuilding.rebuild()
    assert rebuilding.rows() == before
    rebuilding.rebuild()  # of a store that lost nothing
    assert rebuilding.rows() == before


def test_a_view_whose_history_is_not_in_files_yet_is_rebuilt_from_the_log(
    rebuilding: Rebuilding,
) -> None:
    rebuilding.view(a="float64")
    rebuilding.write("e1", a=1.0)
    before = rebuilding.rows()
    rebuilding.redis.flush()
    job = rebuilding.rebuild()
    assert rebuilding.rows() == before
    assert job.outcome is not None
    assert (job.outcome.rows, job.outcome.tail) == (0, 1)


def test_what_is_written_meanwhile_stays(rebuilding: Rebuilding) -> None:
    """Also with the event time of what is restored: the later write has the last word."""
    rebuilding.view(a="float64", b="float64")
    rebuilding.write("e1", -10, a=1.0, b=1.0)
    at = rebuilding.house.clock.now
    rebuilding.write("e2", 0, a=1.0)
    rebuilding.house.compact()
    rebuilding.redis.flush()
    job, chunks = rebuilding.begun()
    since = (at - rebuilding.house.clock.now) / 1e6
    rebuilding.write("e2", since, a=2.0)
    rebuilding.write("e1", since, a=3.0)
    for chunk in chunks:
        rebuilding.work.chunk(job.job_id, chunk)
    rebuilding.work.finish(job.job_id)
    e1, e2 = rebuilding.rows(entities=["e1", "e2"])
    assert e1 is not None
    assert e2 is not None
    assert (e1.values, e2.values[0]) == ((3.0, 1.0), 2.0)


def test_a_forgotten_entity_does_not_come_back(rebuilding: Rebuilding) -> None:
    rebuilding.view(a="float64")
    rebuilding.write("e1", a=1.0)
    rebuilding.write("e2", a=2.0)
    rebuilding.house.compact()
    rebuilding.forget("e1")
    job, chunks = rebuilding.begun()
    for chunk in chunks:
        rebuilding.work.chunk(job.job_id, chunk)
        assert rebuilding.rows(entities=["e1"]) == [None]
    rebuilding.forget("e2")  # while it is rebuilt
    rebuilding.work.finish(job.job_id)
    assert rebuilding.rows(entities=["e1", "e2"]) == [None, None]


def test_rows_that_would_be_gone_by_now_stay_gone(rebuilding: Rebuilding) -> None:
    """A row lives for twice the TTL and an hour: until then its cells are EXPIRED, then NOT_FOUND."""
    rebuilding.view(ttl=60, a="float64")
    rebuilding.write("e1", a=1.0)
    rebuilding.house.compact()
    rebuilding.later(600)
    before = rebuilding.rows(entities=["e1"])
    rebuilding.redis.flush()
    rebuilding.rebuild()
    assert rebuilding.rows(entities=["e1"]) == before
    rebuilding.later(3600)
    rebuilding.redis.flush()
    job = rebuilding.rebuild()
    assert rebuilding.rows(entities=["e1"]) == [None]
    assert job.outcome is not None
    assert job.outcome.rows == 0


def test_a_task_done_again_changes_nothing(rebuilding: Rebuilding) -> None:
    rebuilding.view(a="float64")
    rebuilding.write("e1", a=1.0)
    rebuilding.house.compact()
    before = rebuilding.rows()
    rebuilding.redis.flush()
    job, chunks = rebuilding.begun()
    for chunk in [*chunks, *chunks]:
        rebuilding.work.chunk(job.job_id, chunk)
    rebuilding.work.plan(job.job_id)
    done = rebuilding.work.finish(job.job_id)
    assert rebuilding.work.finish(job.job_id) == done
    assert (done.progress.chunks_done, done.progress.rows) == (1, 1)
    assert rebuilding.rows() == before


def test_a_view_that_is_gone_or_keeps_no_history_is_refused(rebuilding: Rebuilding) -> None:
    accept = ViewJobs(rebuilding.jobs, rebuilding.house.catalog, JobKind.REBUILD)
    with pytest.raises(NotFound):
        accept.submit("nobody", "tests")
    spec = {"entity": "id", "features": [{"name": "a", "dtype": "bool"}], "history": False}
    rebuilding.house.catalog.put("brief", ViewSpec.model_validate(spec))
    with pytest.raises(Conflict, match="keeps no history"):
        accept.submit("brief", "tests")
