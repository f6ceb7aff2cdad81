"""What a function does for jobs: accept them and run their tasks, the last of which completes the output."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import Field

from neuralstream_core.errors import NeuralStreamError, NotFound, Unavailable
from neuralstream_core.objects import Location, Objects
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.registry import Registry
from neuralstream_core.serving.batch.chunks import ChunkWorker
from neuralstream_core.serving.batch.jobs import (
    Failure,
    JobRecord,
    JobResult,
    Jobs,
    JobStatus,
    Run,
)
from neuralstream_core.serving.batch.locations import FORMATS, Buckets, input_format
from neuralstream_core.serving.batch.manifest import (
    Chunk,
    ChunkResult,
    JobFiles,
    JobPlan,
    Manifest,
)
from neuralstream_core.serving.batch.planning import Planner, served
from neuralstream_core.serving.batch.requests import JobSpec
from neuralstream_core.time import from_micros
from neuralstream_core.types import Record

__all__ = ["Finisher", "JobTask", "Submission", "TaskRunner"]

_READERS: Final = 8
"""Chunk results that are read at once."""
_LISTED: Final = 100
"""Error files named in the job record; the manifest has all."""
_log = logging.getLogger("neuralstream.batch")


@dataclass(frozen=True, slots=True)
class Submission:
    """Accepts jobs."""

    jobs: Jobs
    objects: Objects
    buckets: Buckets
    registry: Registry

    def submit(
        self, spec: JobSpec, actor: str, *, key: str | None = None, run: Run | None = None
    ) -> JobRecord:
        """Accept a job; arguments as `Jobs.submit`.

        Raises:
            NotFound: no such model, version or input.
            Invalid: a location that jobs may not use, or an unknown format.
            Conflict: the model has no version to predict with, or ``key`` was used for another spec.
        """
        source = self.buckets.check(spec.input, "input")
        self.buckets.check(spec.output, "output", folder=True)
        kind = input_format(source, spec.input_format)
        served(self.registry, spec.model, spec.version)
        self.objects.stat(source)
        return self.jobs.submit(spec, kind, actor, key=key, run=run)

    def submit_scheduled(
        self, spec: JobSpec, actor: str, *, key: str | None = None, run: Run | None = None
    ) -> JobRecord:
        """Accept the job of a schedule. One that `submit` refuses is stored as failed with its reason.

        Raises:
            Unavailable: try again.
            Conflict: ``key`` was used for another spec.
        """
        try:
            return self.submit(spec, actor, key=key, run=run)
        except Unavailable:
            raise
        except NeuralStreamError as error:
            if error.code == "idempotency_conflict":
                raise
            kind = spec.input_format or FORMATS.get(spec.input.rpartition(".")[2].lower())
            refused = Failure(code=error.code, detail=error.detail)
            job = self.jobs.submit(spec, kind, actor, key=key, run=run, refused=refused)
            if job.failure is not None:  # an earlier delivery may have started it
                _tell(self.registry, job)
            return job


@dataclass(frozen=True, slots=True)
class Finisher:
    """Ends jobs."""

    jobs: Jobs
    objects: Objects
    data_bucket: str
    registry: Registry

    def finish(self, job_id: str) -> JobRecord:
        """Complete the job's output, or fail the job when it has no rows or too many of them failed.

        Raises:
            RuntimeError: a chunk left no result, or the role may not write the manifest.
        """
        job = self.jobs.get(job_id)
        if job.status.done:
            _tell(self.registry, job)
            return job
        files = JobFiles(self.objects, self.data_bucket, job_id)
        plan = files.plan()
        with ThreadPoolExecutor(_READERS) as pool:
            results = list(pool.map(lambda chunk: files.result(chunk.chunk), files.chunks()))
        manifest = _manifest(plan, results)
        failure = _verdict(manifest, job)
        at = Location.parse(plan.output) / ("manifest.json" if failure is None else "failed.json")
        files.write_manifest(at, manifest)
        result = JobResult(
            manifest=str(at),
            errors=[file.uri for file in manifest.errors[:_LISTED]],
            **manifest.model_dump(include={"rows", "failed", "versions", "reasons"}),
        )
        return self._end(job_id, result, failure)

    def fail(self, job_id: str, failure: Failure) -> JobRecord:
        """Fail the job. A job that has ended stays as it is."""
        return self._end(job_id, None, failure)

    def _end(self, job_id: str, result: JobResult | None, failure: Failure | None) -> JobRecord:
        job = self.jobs.finish(job_id, result, failure)
        _tell(self.registry, job)
        return job


class JobTask(Record):
    """What the state machine asks for."""

    task: Literal["plan", "chunk", "finish", "fail"]
    job_id: str
    chunk: Chunk | None = None
    error: Mapping[str, Any] = Field(default_factory=dict)
    """Of a ``fail``: Step Functions' ``Error`` and ``Cause``."""


@dataclass(frozen=True, slots=True)
class TaskRunner:
    """Runs the tasks of jobs.

    Attributes:
        concurrency: chunks of one job that the state machine runs at once.
    """

    jobs: Jobs
    planner: Planner
    worker: ChunkWorker
    finisher: Finisher
    concurrency: int

    def run(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Run one task.

        An error that the caller's model, input or output causes fails the job, with its reason in the record,
        and the task succeeds: it must count neither as an error of the function nor fail the execution.

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
        try:
            return self._run(task)
        except Unavailable:
            raise
        except NeuralStreamError as error:
            if task.task == "fail":
                raise
            failure = Failure(code=error.code, detail=error.detail)
            return _answer(self.finisher.fail(task.job_id, failure))

    def _run(self, task: JobTask) -> dict[str, Any]:
        match task.task:
            case "plan":
                chunks, listed = self.planner.plan(task.job_id)
                return {
                    "job_id": task.job_id,
                    "status": JobStatus.RUNNING,
                    "chunks": chunks,
                    "bucket": listed.bucket,
                    "key": listed.key,
                    "concurrency": self.concurrency,
                }
            case "chunk":
                if task.chunk is None:
                    raise ValueError("a chunk task without its chunk")
                job = self.jobs.get(task.job_id)
                if job.status.done:  # another chunk has failed the job
                    return _answer(job)
                result = self.worker.run(task.job_id, task.chunk)
                return {"chunk": result.chunk, "rows": result.rows, "failed": result.failed}
            case "finish":
                return _answer(self.finisher.finish(task.job_id))
            case "fail":
                return _answer(self.finisher.fail(task.job_id, _failure(task.error)))


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


def _tell(registry: Registry, job: JobRecord) -> None:
    """Write the end of a job into the history of its model, once however often it is called.

    A model that was deleted meanwhile is logged; the job stays as it is.
    """
    done = job.status is JobStatus.SUCCEEDED
    data: dict[str, Any] = {"job_id": job.job_id, "input": job.input, "output": job.output}
    if job.outcome is not None:
        data |= job.outcome.model_dump(include={"manifest", "rows", "failed", "versions"})
    try:
        registry.record_event(
            job.model,
            EventKind.BATCH_FINISHED if done else EventKind.BATCH_FAILED,
            Issuer(job.created_by, key=job.job_id),
            version=job.version,
            reason=None if job.failure is None else job.failure.code,
            data=data,
        )
    except NotFound:
        _log.warning("the model of job %s is gone", job.job_id)


def _manifest(plan: JobPlan, results: Sequence[ChunkResult]) -> Manifest:
    versions, reasons = Counter[str](), Counter[str]()
    for result in results:
        versions.update(result.versions)
        reasons.update(result.reasons)
    return Manifest(
        job_id=plan.job_id,
        model=plan.model,
        input=plan.input,
        input_etag=plan.pins.etag,
        format=plan.output_format,
        rows=sum(result.rows for result in results),
        failed=sum(result.failed for result in results),
        versions=dict(sorted(versions.items())),
        reasons=dict(sorted(reasons.items())),
        parts=[result.part for result in results],
        errors=[result.errors for result in results if result.errors is not None],
        as_of=from_micros(plan.pins.as_of),
    )


def _verdict(manifest: Manifest, job: JobRecord) -> Failure | None:
    """Why the job failed, if it did."""
    if not manifest.rows and not job.allow_empty:
        # usually the export that made the input has failed
        return Failure(
            code="empty_input",
            detail=f"{manifest.input} has no rows; with allow_empty such a job succeeds",
        )
    if manifest.failed <= job.max_failed_fraction * manifest.rows:
        return None
    worst, times = Counter(manifest.reasons).most_common(1)[0]
    return Failure(
        code="too_many_failed_rows",
        detail=(
            f"{manifest.failed} of {manifest.rows} rows failed, more than the allowed share of"
            f" {job.max_failed_fraction:g}; most often {worst} ({times} times)"
        ),
    )
