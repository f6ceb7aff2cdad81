"""The last task of a job: add up its chunks, complete its output by a manifest, tell the model's history."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from neuralstream_core.errors import NotFound
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.records import EventKind
from neuralstream_core.registry.registry import Registry
from neuralstream_core.serving.batch.jobs import Failure, JobRecord, JobResult, Jobs, JobStatus
from neuralstream_core.serving.batch.locations import Location, Objects
from neuralstream_core.serving.batch.manifest import ChunkResult, JobFiles, JobPlan, Manifest
from neuralstream_core.time import from_micros

__all__ = ["Finisher", "tell"]

_READERS: Final = 8
_LISTED: Final = 100
"""Error files named in the job record; the manifest has all."""
_log = logging.getLogger("neuralstream.batch")


class Finisher:
    """Ends jobs."""

    def __init__(self, jobs: Jobs, objects: Objects, data_bucket: str, registry: Registry) -> None:
        self._jobs, self._objects = jobs, objects
        self._data_bucket, self._registry = data_bucket, registry

    def finish(self, job_id: str) -> JobRecord:
        """Complete the job's output, or fail the job when it has no rows or too many of them failed.

        Raises:
            RuntimeError: a chunk left no result, or the role may not write the manifest.
        """
        job = self._jobs.get(job_id)
        if job.status.done:
            tell(self._registry, job)
            return job
        files = JobFiles(self._objects, self._data_bucket, job_id)
        plan = files.plan()
        with ThreadPoolExecutor(_READERS) as pool:
            results = list(pool.map(lambda chunk: files.result(chunk.chunk), files.chunks()))
        manifest = _manifest(plan, results)
        failure = _empty(manifest, job) or _too_many(manifest, job.max_failed_fraction)
        at = Location.parse(plan.output) / ("manifest.json" if failure is None else "failed.json")
        files.write_manifest(at, manifest)
        result = JobResult(
            manifest=str(at),
            rows=manifest.rows,
            failed=manifest.failed,
            versions=manifest.versions,
            reasons=manifest.reasons,
            errors=[file.uri for file in manifest.errors[:_LISTED]],
        )
        return self._end(job_id, result, failure)

    def fail(self, job_id: str, failure: Failure) -> JobRecord:
        """Fail the job. A job that has ended stays as it is."""
        return self._end(job_id, None, failure)

    def _end(self, job_id: str, result: JobResult | None, failure: Failure | None) -> JobRecord:
        job = self._jobs.finish(job_id, result, failure)
        tell(self._registry, job)
        return job


def tell(registry: Registry, job: JobRecord) -> None:
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
    versions: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
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


def _empty(manifest: Manifest, job: JobRecord) -> Failure | None:
    """An input without rows is more often a broken export than a day without customers."""
    if manifest.rows or job.allow_empty:
        return None
    return Failure(
        code="empty_input",
        detail=f"{manifest.input} has no rows; with allow_empty such a job succeeds",
    )


def _too_many(manifest: Manifest, allowed: float) -> Failure | None:
    if manifest.failed <= allowed * manifest.rows:
        return None
    worst = max(manifest.reasons, key=lambda code: manifest.reasons[code])
    return Failure(
        code="too_many_failed_rows",
        detail=(
            f"{manifest.failed} of {manifest.rows} rows failed, more than the allowed share of"
            f" {allowed:g}; most often {worst} ({manifest.reasons[worst]} times)"
        ),
    )
