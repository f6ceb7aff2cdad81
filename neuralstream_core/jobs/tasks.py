"""The tasks of a job, as ``statemachines/batch_predict.asl.json`` calls them, for every kind of job."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import Field

from neuralstream_core.errors import NeuralStreamError, Unavailable
from neuralstream_core.jobs.records import Failure, JobKind, JobRecord, JobStatus
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.types import Record

__all__ = ["ChunkCounts", "JobTask", "Planned", "TaskRunner", "Work"]


class Planned(NamedTuple):
    """A planned job.

    Attributes:
        chunks: their number.
        bucket, key: the JSON array that lists them, which the state machine reads.
        engine, query: of a training set: what runs its join, and Athena's statement if that does.
    """

    chunks: int
    bucket: str
    key: str
    engine: str = ""
    query: str = ""


class ChunkCounts(NamedTuple):
    """What a chunk task reports."""

    chunk: int
    rows: int
    failed: int


class Work(Protocol):
    """What the tasks of one kind of job do. Each may be called again after it has succeeded.

    Raises (every method):
        NeuralStreamError: the job's own input, output or request is at fault; it fails.
        Unavailable: a dependency is down; try again.
    """

    def plan(self, job_id: str) -> Planned:
        """Pin what the job works with and cut it into chunks."""

    def chunk(self, job_id: str, chunk: Mapping[str, Any]) -> ChunkCounts:
        """Do one of the listed chunks and count it once."""

    def finish(self, job_id: str) -> JobRecord:
        """End the job after all of its chunks."""

    def fail(self, job_id: str, failure: Failure) -> JobRecord:
        """End the job as failed. A job that has ended stays as it is."""


class JobTask(Record):
    """What the state machine asks for."""

    task: Literal["plan", "chunk", "finish", "fail"]
    job_id: str
    chunk: Mapping[str, Any] | None = None
    """Of a ``chunk``: the listed entry."""
    error: Mapping[str, Any] = Field(default_factory=dict)
    """Of a ``fail``: Step Functions' ``Error`` and ``Cause``."""


@dataclass(frozen=True, slots=True)
class TaskRunner:
    """Runs the tasks of jobs.

    Attributes:
        works: makes the work of each kind; called for every task.
        concurrency: chunks of one job that the state machine runs at once.
    """

    jobs: Jobs[JobRecord]
    works: Mapping[JobKind, Callable[[], Work]]
    concurrency: int = field(default=1)

    def run(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Run one task.

        An error that the caller's request, input or output causes fails the job, with its reason in the
        record, and the task succeeds: it must count neither as an error of the function nor fail the
        execution.

        Args:
            event: a `JobTask`, or EventBridge's "Step Functions Execution Status Change".

        Returns:
            What the state machine reads next.

        Raises:
            Unavailable: a dependency is down; try again.
            NotFound: no such job.
            Exception: a defect.
        """
        if event.get("source") == "aws.states":
            event = _ended(event)
        task = JobTask.model_validate(event)
        job = self.jobs.get(task.job_id)
        work = self.works[job.kind]()
        try:
            return self._run(task, job, work)
        except Unavailable:
            raise
        except NeuralStreamError as error:
            if task.task == "fail":
                raise
            failure = Failure(code=error.code, detail=error.detail)
            return _answer(work.fail(task.job_id, failure))

    def _run(self, task: JobTask, job: JobRecord, work: Work) -> dict[str, Any]:
        match task.task:
            case "plan":
                planned = work.plan(task.job_id)
                return {
                    "job_id": task.job_id,
                    "status": JobStatus.RUNNING,
                    "chunks": planned.chunks,
                    "bucket": planned.bucket,
                    "key": planned.key,
                    "concurrency": self.concurrency,
                    "engine": planned.engine,
                    "query": planned.query,
                }
            case "chunk":
                if task.chunk is None:
                    raise ValueError("a chunk task without its chunk")
                if job.status.done:  # another chunk has failed the job
                    return _answer(job)
                return work.chunk(task.job_id, task.chunk)._asdict()
            case "finish":
                return _answer(work.finish(task.job_id))
            case "fail":
                return _answer(work.fail(task.job_id, _failure(task.error)))


def _ended(event: Mapping[str, Any]) -> dict[str, Any]:
    """The task for an execution that was stopped, timed out or could not run its own failure path."""
    detail = event["detail"]
    status = str(detail["status"])
    cause = detail.get("cause") or f"the state machine's execution ended as {status}"
    error = {"Error": detail.get("error") or f"execution_{status.lower()}", "Cause": cause}
    return {"task": "fail", "job_id": detail["name"], "error": error}


def _answer(job: JobRecord) -> dict[str, Any]:
    """A job's status, with the fields of a plan's answer: the state machine reads both by one path."""
    return {
        "job_id": job.job_id,
        "status": job.status,
        "chunks": 0,
        "bucket": "",
        "key": "",
        "concurrency": 1,
        "engine": "",
        "query": "",
        "error": "" if job.failure is None else job.failure.code,
        "cause": "" if job.failure is None else job.failure.detail,
    }


def _failure(error: Mapping[str, Any]) -> Failure:
    """What Step Functions caught; a Lambda error's cause is JSON with ``errorMessage``."""
    cause = str(error.get("Cause", ""))
    try:
        detail = str(json.loads(cause).get("errorMessage") or cause)
    except (ValueError, AttributeError):
        detail = cause
    return Failure(code=str(error.get("Error") or "failed"), detail=detail or "a task failed")
