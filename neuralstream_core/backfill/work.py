"""The tasks of backfills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuralstream_core.backfill.chunks import BackfillChunk
from neuralstream_core.backfill.import_work import ImportWork
from neuralstream_core.backfill.planning import backfill_plan, chunk_rows, living_view
from neuralstream_core.backfill.records import (
    BackfillFiles,
    BackfillJob,
    BackfillManifest,
    BackfillPins,
    BackfillPlan,
    BackfillResult,
    ChunkWritten,
    backfill_files,
)
from neuralstream_core.features.catalog import Catalog
from neuralstream_core.features.upkeep import Upkeep
from neuralstream_core.jobs.rows import RowsPins, shared_counts
from neuralstream_core.serving.batch.inputs import CutInput, InputFile

__all__ = ["BackfillWork"]


@dataclass(frozen=True, slots=True)
class BackfillWork(ImportWork[BackfillJob, BackfillPins, BackfillPlan, ChunkWritten]):
    """The tasks of backfills.

    Attributes:
        upkeep: writes rows.
    """

    upkeep: Upkeep

    def files(self, job_id: str) -> BackfillFiles:
        return backfill_files(self.objects, self.data_bucket, job_id)

    def pinned(self, pins: RowsPins, job: BackfillJob) -> BackfillPins:
        return BackfillPins(
            **dict(pins), generation=self._catalog.latest(job.feature_view).generation
        )

    def cut(
        self, job: BackfillJob, pins: BackfillPins, source: InputFile
    ) -> tuple[BackfillPlan, CutInput]:
        view = living_view(self._catalog, job.feature_view, pins.generation)
        cut = source.cut(chunk_rows(view))
        return backfill_plan(job, view, pins, cut.columns), cut

    def importing(self, plan: BackfillPlan, request_id: str) -> BackfillChunk:
        view = living_view(self._catalog, plan.feature_view, plan.pins.generation)
        return BackfillChunk(plan, view, self.upkeep, request_id)

    def summed(
        self, job_id: str, plan: BackfillPlan, results: Sequence[ChunkWritten]
    ) -> tuple[BackfillManifest, type[BackfillResult]]:
        manifest = BackfillManifest(
            job_id=job_id,
            feature_view=plan.feature_view,
            input=plan.input,
            input_etag=plan.pins.etag,
            written=sum(result.written for result in results),
            stale=sum(result.stale for result in results),
            history_only=sum(result.history_only for result in results),
            **shared_counts(results),
        )
        return manifest, BackfillResult

    @property
    def _catalog(self) -> Catalog:
        return self.upkeep.store.catalog
