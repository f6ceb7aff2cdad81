"""The last task of a job: add up, commit the output by its manifest, tell the model's history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Final, TypeAlias

from pydantic import TypeAdapter

from neuralstream_core.serving.batch.jobs import Failure, JobRecord, Jobs, Outcome
from neuralstream_core.serving.batch.locations import Location
from neuralstream_core.serving.batch.manifest import (
    Chunk,
    ChunkResult,
    Manifest,
    Plan,
    Workspace,
    own_files,
)
from neuralstream_core.serving.batch.objects import Objects
from neuralstream_core.time import from_micros

__all__ = ["Finisher", "Tell"]

Tell: TypeAlias = Callable[[JobRecord], None]
"""Writes the job's event into the history of its model; may be called again with the same record."""

_CHUNKS: Final = TypeAdapter(list[Chunk])
_READERS: Final = 8
_LISTED: Final = 100
"""Error files named in the job record; the manifest has all."""


class Finisher:
    """Ends jobs."""

    def __init__(self, jobs: Jobs, objects: Objects, data_bucket: str, tell: Tell) -> None:
        self._jobs, self._objects, self._data_bucket, self._tell = jobs, objects, data_bucket, tell

    def finish(self, job_id: str) -> JobRecord:
        """Commit the job's output, or fail it when it has no rows or too many of them failed.

        Raises:
            RuntimeError: a chunk left no result, or the role may not write the manifest.
        """
        job = self._jobs.get(job_id)
        if job.status.done:
            self._tell(job)
            return job
        workspace = Workspace(self._data_bucket, job_id)
        with own_files():
            plan = Plan.model_validate_json(self._objects.read(workspace.plan))
            chunks = _CHUNKS.validate_json(self._objects.read(workspace.chunks))
            manifest = _manifest(plan, self._results(workspace, chunks))
        failure = _empty(manifest, job) or _too_many(manifest, job.max_failed_fraction)
        at = Location.parse(plan.output) / ("manifest.json" if failure is None else "failed.json")
        with own_files() if at.bucket == self._data_bucket else nullcontext():
            self._objects.write(at, manifest.model_dump_json(indent=1).encode(), "application/json")
        outcome = Outcome(
            manifest=str(at),
            rows=manifest.rows,
            failed=manifest.failed,
            versions=manifest.versions,
            reasons=manifest.reasons,
            errors=[file.uri for file in manifest.errors[:_LISTED]],
        )
        return self._decide(job_id, outcome, failure)

    def fail(self, job_id: str, failure: Failure) -> JobRecord:
        """The job cannot go on. A job that is done already stays as it is."""
        return self._decide(job_id, None, failure)

    def _decide(self, job_id: str, outcome: Outcome | None, failure: Failure | None) -> JobRecord:
        job = self._jobs.finish(job_id, outcome, failure)
        self._tell(job)
        return job

    def _results(self, workspace: Workspace, chunks: list[Chunk]) -> list[ChunkResult]:
        def result(chunk: Chunk) -> ChunkResult:
            return ChunkResult.model_validate_json(
                self._objects.read(workspace.result(chunk.chunk))
            )

        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(result, chunks))


def _manifest(plan: Plan, results: list[ChunkResult]) -> Manifest:
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
