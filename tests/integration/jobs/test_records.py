"""Records of jobs of several kinds, in the emulated table."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field

from neuralstream_core.errors import Conflict, NotFound
from neuralstream_core.jobs.records import Failure, JobKind, JobRecord, JobStatus, NewJob
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.serving.batch.records import PredictJob, new_job
from neuralstream_core.serving.batch.requests import JobSpec
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock
from neuralstream_core.types import Frozen, Record

NAMESPACE = "jobs"


class Spec(Frozen):
    feature_view: str
    entity: dict[str, str] = Field(default_factory=dict)


class Outcome(Record):
    online: int


class Backfill(JobRecord):
    kind: Literal[JobKind.BACKFILL] = JobKind.BACKFILL
    feature_view: str
    entity: dict[str, str]
    outcome: Outcome | None = None


@pytest.fixture
def predicting(table: Table) -> Jobs[PredictJob]:
    return Jobs(table, NAMESPACE, system_clock, {JobKind.PREDICT: PredictJob})


@pytest.fixture
def every(table: Table) -> Jobs[JobRecord]:
    kinds = {JobKind.PREDICT: PredictJob, JobKind.BACKFILL: Backfill}
    return Jobs(table, NAMESPACE, system_clock, kinds)


def predict(**more: Any) -> NewJob:
    spec = {"model": "m", "input": "s3://b/in.csv", "output": "s3://b/out", **more}
    return new_job(JobSpec.model_validate(spec), "csv")


def backfill(**more: Any) -> NewJob:
    return NewJob(JobKind.BACKFILL, Spec.model_validate({"feature_view": "users", **more}))


def test_jobs_of_every_kind_are_listed_newest_first_with_what_their_kind_adds(
    every: Jobs[JobRecord],
) -> None:
    first = every.submit(predict(), "ann")
    second = every.submit(backfill(entity={"user_id": "uid"}), "ann")
    every.submit(backfill(), "bob")
    assert every.list(owner="ann").jobs == [second, first]
    assert [job.kind for job in every.list().jobs] == ["backfill", "backfill", "predict"]
    assert isinstance(second, Backfill)
    assert second.entity == {"user_id": "uid"}


def test_who_sees_one_kind_neither_finds_nor_lists_another(
    every: Jobs[JobRecord], predicting: Jobs[PredictJob]
) -> None:
    other = every.submit(backfill(), "ann")
    own = predicting.submit(predict(), "ann")
    assert predicting.list().jobs == predicting.list(owner="ann").jobs == [own]
    with pytest.raises(NotFound, match=other.job_id):
        predicting.get(other.job_id)


def test_the_outbox_names_the_kind_until_the_first_task(
    every: Jobs[JobRecord], table: Table
) -> None:
    job = every.submit(backfill(), "ann")
    item = table.get(f"JOB#{NAMESPACE}#{job.job_id}", "JOB") or {}
    assert item["outbox"] == {"kind": "start_job", "job_id": job.job_id, "job": "backfill"}
    _, pins = every.begin(job.job_id, Outcome(online=7))
    _, again = every.begin(job.job_id, Outcome(online=8))
    assert (pins, again) == (Outcome(online=7), Outcome(online=7))
    assert "outbox" not in (table.get(f"JOB#{NAMESPACE}#{job.job_id}", "JOB") or {})


def test_a_finished_job_has_the_outcome_of_its_kind(every: Jobs[JobRecord]) -> None:
    job = every.submit(backfill(), "ann")
    every.finish(job.job_id, Outcome(online=3), None)
    late = every.finish(job.job_id, None, Failure(code="late", detail="too late"))
    assert isinstance(late, Backfill)
    assert (late.status, late.outcome) == (JobStatus.SUCCEEDED, Outcome(online=3))


def test_a_record_without_a_kind_predicts(predicting: Jobs[PredictJob], table: Table) -> None:
    """Releases that knew one kind of job stored neither a kind nor whether the input may be empty."""
    job = predicting.submit(predict(), "ann", key="k")
    item = table.get(f"JOB#{NAMESPACE}#{job.job_id}", "JOB") or {}
    table.put({name: v for name, v in item.items() if name not in ("kind", "allow_empty")})
    assert predicting.get(job.job_id) == job
    assert predicting.list().jobs == [job]
    assert predicting.submit(predict(), "ann", key="k") == job


def test_one_idempotency_key_makes_one_job_of_one_kind(every: Jobs[JobRecord]) -> None:
    columns = {"user_id": "uid"}
    job = every.submit(backfill(entity=columns), "ann", key="k")
    assert every.submit(backfill(entity=columns), "ann", key="k") == job
    for different in (backfill(), predict()):
        with pytest.raises(Conflict) as caught:
            every.submit(different, "ann", key="k")
        assert caught.value.code == "idempotency_conflict"
    assert len(every.list().jobs) == 1
