"""What a function does for prediction jobs: accept them and run their tasks, the last of which completes the
output."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuralstream_core.errors import NeuralStreamError, NotFound, Unavailable
from neuralstream_core.jobs.records import Failure, JobStatus, Run
from neuralstream_core.jobs.rows import concluded, shared_counts
from neuralstream_core.jobs.tasks import ChunkCounts, Planned
from neuralstream_core.objects import Objects
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.registry import Registry
from neuralstream_core.serving.batch.chunks import ChunkWorker
from neuralstream_core.serving.batch.locations import (
    FORMATS,
    Buckets,
    input_format,
)
from neuralstream_core.serving.batch.manifest import (
    ChunkResult,
    JobPlan,
    Manifest,
    predict_files,
)
from neuralstream_core.serving.batch.planning import Planner, served
from neuralstream_core.serving.batch.records import JobResult, PredictJob, PredictJobs, new_job
from neuralstream_core.serving.batch.requests import JobSpec
from neuralstream_core.serving.batch.splitting import Chunk
from neuralstream_core.time import from_micros

__all__ = ["Finisher", "PredictWork", "Submission"]

_log = logging.getLogger("neuralstream.batch")


@dataclass(frozen=True, slots=True)
class Submission:
    """Accepts jobs."""

    jobs: PredictJobs
    objects: Objects
    buckets: Buckets
    registry: Registry

    def submit(
        self, spec: JobSpec, actor: str, *, key: str | None = None, run: Run | None = None
    ) -> PredictJob:
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
        return self.jobs.submit(new_job(spec, kind), actor, key=key, run=run)

    def submit_scheduled(
        self, spec: JobSpec, actor: str, *, key: str | None = None, run: Run | None = None
    ) -> PredictJob:
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
            job = self.jobs.submit(new_job(spec, kind), actor, key=key, run=run, refused=refused)
            if job.failure is not None:  # an earlier delivery may have started it
                _tell(self.registry, job)
            return job


@dataclass(frozen=True, slots=True)
class Finisher:
    """Ends jobs."""

    jobs: PredictJobs
    objects: Objects
    data_bucket: str
    registry: Registry

    def finish(self, job_id: str) -> PredictJob:
        """Complete the job's output, or fail the job when it has no rows or too many of them failed.

        Raises:
            RuntimeError: a chunk left no result, or the role may not write the manifest.
        """
        job = self.jobs.get(job_id)
        if job.status.done:
            _tell(self.registry, job)
            return job
        files = predict_files(self.objects, self.data_bucket, job_id)
        plan = files.plan()
        manifest = _manifest(plan, files.results())
        result, failure = concluded(
            job, files, plan.output, manifest, JobResult, failed="failed.json"
        )
        return self._end(job_id, result, failure)

    def fail(self, job_id: str, failure: Failure) -> PredictJob:
        """Fail the job. A job that has ended stays as it is."""
        return self._end(job_id, None, failure)

    def _end(self, job_id: str, result: JobResult | None, failure: Failure | None) -> PredictJob:
        job = self.jobs.finish(job_id, result, failure)
        _tell(self.registry, job)
        return job


@dataclass(frozen=True, slots=True)
class PredictWork:
    """The tasks of prediction jobs."""

    planner: Planner
    worker: ChunkWorker
    finisher: Finisher

    def plan(self, job_id: str) -> Planned:
        return self.planner.plan(job_id)

    def chunk(self, job_id: str, chunk: Mapping[str, Any]) -> ChunkCounts:
        result = self.worker.run(job_id, Chunk.model_validate(chunk))
        return ChunkCounts(result.chunk, result.rows, result.failed)

    def finish(self, job_id: str) -> PredictJob:
        return self.finisher.finish(job_id)

    def fail(self, job_id: str, failure: Failure) -> PredictJob:
        return self.finisher.fail(job_id, failure)


def _tell(registry: Registry, job: PredictJob) -> None:
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
    versions = Counter[str]()
    for result in results:
        versions.update(result.versions)
    return Manifest(
        job_id=plan.job_id,
        model=plan.model,
        input=plan.input,
        input_etag=plan.pins.etag,
        format=plan.output_format,
        versions=dict(sorted(versions.items())),
        parts=[result.part for result in results],
        **shared_counts(results),
        as_of=from_micros(plan.pins.as_of),
    )
