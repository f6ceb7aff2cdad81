"""Rebuilds: an empty or damaged online store filled from the history.

``plan`` takes a snapshot of the files and cuts their entities into ranges, each ``chunk`` merges the newest
rows of a range, ``finish`` merges what was appended to the log since. Rows are merged by event time as any
write, so writes go on meanwhile. Of equal event times the later write wins, so what is merged last is the
newest: the log, read again until little can have been added.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, Final

from neuralstream_core.backfill.cells import Merged, cells_of_packed, merge_cells
from neuralstream_core.backfill.newest import NewestRows
from neuralstream_core.backfill.planning import living, living_view
from neuralstream_core.backfill.rebuild_records import (
    Entities,
    RebuildJob,
    RebuildJobs,
    RebuildPins,
    RebuildPlan,
    RebuildResult,
    Rebuilt,
    rebuild_files,
)
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.upkeep import Alive, Upkeep
from neuralstream_core.features.writes import FORGOTTEN, GivenPacked
from neuralstream_core.history.entries import Part
from neuralstream_core.history.log import SLOT, slot_of
from neuralstream_core.history.reader import History, Snapshot
from neuralstream_core.jobs.records import Failure
from neuralstream_core.jobs.tasks import ChunkCounts, Planned
from neuralstream_core.objects import Objects
from neuralstream_core.time import Clock, Micros

__all__ = ["RebuildWork"]

_ROWS: Final = 500_000
"""Of the files, for one chunk."""
_PASSES: Final = 3
"""How often the log is read at the end, each time from the moment at which the last time began."""


@dataclass(frozen=True, slots=True)
class RebuildWork:
    """See `neuralstream_core.jobs.tasks.Work`."""

    jobs: RebuildJobs
    history: History
    upkeep: Upkeep
    objects: Objects
    data_bucket: str
    clock: Clock

    def plan(self, job_id: str) -> Planned:
        """Take a snapshot and cut its entities into ranges.

        Raises:
            NotFound: no such job or view.
            Conflict: the job is done, or the view was replaced since the first call.
        """
        job = self.jobs.get(job_id)
        view = self.upkeep.store.catalog.latest(job.feature_view)
        job, pins = self.jobs.begin(
            job_id, RebuildPins(as_of=self.clock(), generation=view.generation)
        )
        living(view, pins.generation)
        snapshot = self.history.snapshot(view)
        forgotten = {entity.decode() for entity in self.history.forgotten(snapshot)}
        plan = RebuildPlan(
            feature_view=view.name,
            pins=pins,
            version=snapshot.version,
            consumed_until=snapshot.consumed_until,
            files=snapshot.files,
            forgotten=tuple(sorted(forgotten)),
        )
        with tempfile.TemporaryDirectory() as spill:
            files, paths = self.history.attach(plan.files)
            cuts = NewestRows(view, files, paths, Path(spill)).boundaries(_ROWS)
        edges = [None, *cuts, None]
        chunks = [
            Entities(chunk=number, first=first, end=end)
            for number, (first, end) in enumerate(pairwise(edges))
            if plan.files
        ]
        planned = rebuild_files(self.objects, self.data_bucket, job_id).write_plan(plan, chunks)
        self.jobs.planned(job_id, planned.chunks)
        return planned

    def chunk(self, job_id: str, chunk: Mapping[str, Any]) -> ChunkCounts:
        """Merge the newest rows of a range of entities.

        Raises:
            NotFound, Conflict: the view was deleted, or created anew.
            Unavailable: Redis or S3 cannot be reached; try again.
        """
        entities = Entities.model_validate(chunk)
        documents = rebuild_files(self.objects, self.data_bucket, job_id)
        plan = documents.plan()
        view = self._view(plan)
        rows = refused = 0
        with tempfile.TemporaryDirectory() as spill:
            files, paths = self.history.attach(plan.files)
            newest = NewestRows(view, files, paths, Path(spill))
            alive = Alive.at(view, plan.pins.as_of)
            for cells in newest.cells(entities.first, entities.end, alive, plan.forgotten):
                done = merge_cells(self.upkeep, view, cells)
                rows += done.rows
                refused += done.refused
        documents.write_result(Rebuilt(chunk=entities.chunk, rows=rows, refused=refused))
        self.jobs.chunk_done(job_id, entities.chunk, rows, refused)
        return ChunkCounts(entities.chunk, rows, refused)

    def finish(self, job_id: str) -> RebuildJob:
        """Merge what the log has beyond the files.

        Raises:
            NotFound, Conflict: the view was deleted, or created anew.
            Unavailable: Redis, DynamoDB or S3 cannot be reached; try again.
            RuntimeError: a chunk left no result.
        """
        job = self.jobs.get(job_id)
        if job.status.done:
            return job
        documents = rebuild_files(self.objects, self.data_bucket, job_id)
        plan = documents.plan()
        view = self._view(plan)
        results = documents.results()
        tail = refused = 0
        since = plan.consumed_until
        for number in range(_PASSES):
            began = self.clock()
            done = self._merge_tail(view, plan, since)
            if number == 0:
                tail = done.rows
            refused += done.refused
            since = began
        outcome = RebuildResult(
            rows=sum(result.rows for result in results),
            tail=tail,
            refused=refused + sum(result.refused for result in results),
            history_version=plan.version,
        )
        return self.jobs.finish(job_id, outcome, None)

    def fail(self, job_id: str, failure: Failure) -> RebuildJob:
        return self.jobs.finish(job_id, None, failure)

    def _view(self, plan: RebuildPlan) -> FeatureView:
        return living_view(self.upkeep.store.catalog, plan.feature_view, plan.pins.generation)

    def _merge_tail(self, view: FeatureView, plan: RebuildPlan, since: Micros) -> Merged:
        """Merge the rows whose write time is not before ``since``, in the order of their write times."""
        consumed = since // SLOT * SLOT
        snapshot = Snapshot(view, plan.version, consumed, plan.files)
        rows = refused = 0
        parts = (each for each in self.history.tail(snapshot) if each[0] >= since)
        for _, minute in groupby(parts, key=lambda each: slot_of(each[0])):
            ordered = sorted(minute, key=lambda each: (each[0], each[1].request_id))
            for run in _runs([part for _, part in ordered]):
                entities, packed = run
                if packed[0] == FORGOTTEN:
                    gone = self.upkeep.store.prepare(view.name, GivenPacked(entities, packed))
                    self.upkeep.remove(gone)
                    continue
                done = merge_cells(self.upkeep, view, cells_of_packed(view, entities, packed))
                rows += done.rows
                refused += done.refused
        return Merged(rows, refused)


def _runs(parts: list[Part]) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Entities and rows of neighbours that are all rows, or all forgotten entities."""
    every = (pair for part in parts for pair in zip(part.entities, part.rows, strict=True))
    for _, run in groupby(every, key=lambda pair: pair[1] == FORGOTTEN):
        pairs = list(run)
        yield [entity for entity, _ in pairs], [row for _, row in pairs]
