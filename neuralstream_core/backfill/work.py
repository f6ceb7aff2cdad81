"""The tasks of backfills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuralstream_core.backfill.chunks import BackfillWorker
from neuralstream_core.backfill.planning import BackfillPlanner
from neuralstream_core.backfill.records import (
    BackfillJob,
    BackfillJobs,
    BackfillManifest,
    BackfillPlan,
    BackfillResult,
    ChunkWritten,
    backfill_files,
)
from neuralstream_core.jobs.outcomes import concluded
from neuralstream_core.jobs.records import Failure
from neuralstream_core.jobs.tasks import ChunkCounts, Planned
from neuralstream_core.objects import Objects
from neuralstream_core.serving.batch.splitting import Chunk

__all__ = ["BackfillWork"]


@dataclass(frozen=True, slots=True)
class BackfillWork:
    """See `neuralstream_core.jobs.tasks.Work`."""

    jobs: BackfillJobs
    planner: BackfillPlanner
    worker: BackfillWorker
    objects: Objects
    data_bucket: str

    def plan(self, job_id: str) -> Planned:
        return self.planner.plan(job_id)

    def chunk(self, job_id: str, chunk: Mapping[str, Any]) -> ChunkCounts:
        result = self.worker.run(job_id, Chunk.model_validate(chunk))
        return ChunkCounts(result.chunk, result.rows, result.failed)

    def finish(self, job_id: str) -> BackfillJob:
        """Count the rows of all chunks, and fail the job when it has none or too many are wrong.

        Raises:
            RuntimeError: a chunk left no result, or the role may not write the manifest.
        """
        job = self.jobs.get(job_id)
        if job.status.done:
            return job
        files = backfill_files(self.objects, self.data_bucket, job_id)
        plan = files.plan()
        manifest = _manifest(job_id, plan, files.results())
        result, failure = concluded(job, files, plan.output, manifest, BackfillResult)
        return self.jobs.finish(job_id, result, failure)

    def fail(self, job_id: str, failure: Failure) -> BackfillJob:
        return self.jobs.finish(job_id, None, failure)


def _manifest(job_id: str, plan: BackfillPlan, results: Sequence[ChunkWritten]) -> BackfillManifest:
    reasons = Counter[str]()
    for result in results:
        reasons.update(result.reasons)
    return BackfillManifest(
        job_id=job_id,
        feature_view=plan.feature_view,
        input=plan.input,
        input_etag=plan.pins.etag,
        rows=sum(result.rows for result in results),
        failed=sum(result.failed for result in results),
        written=sum(result.written for result in results),
        stale=sum(result.stale for result in results),
        history_only=sum(result.history_only for result in results),
        reasons=dict(sorted(reasons.items())),
        errors=[result.errors for result in results if result.errors is not None],
    )
