"""Adoptions: rows that are online and not in the history, appended to it.

For rows of a release without a history, or of a time when the view kept none. ``plan`` lists the entities
that have a row, each ``chunk`` appends the cells of some of them that the history lacks, each with its own
event time, and ``finish`` notes that the history is complete. A chunk that is done again finds its cells in
the history and appends nothing.

Writes go on meanwhile. A cell that is corrected at the same event time while it is adopted could have the
older value last in the history, and an entity that is forgotten could come back. So a chunk looks a second
time, after a pause in which writes under way reach Redis, and appends what has changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from neuralstream_core.backfill.adopt_records import (
    Adopted,
    AdoptJob,
    AdoptJobs,
    AdoptPins,
    AdoptPlan,
    AdoptResult,
    StoredEntities,
    adopt_files,
)
from neuralstream_core.backfill.cells import Cells, column_of, packed_cells
from neuralstream_core.backfill.planning import living, living_view
from neuralstream_core.backfill.states import Cell, State, online_state, said_state
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.upkeep import Alive, Upkeep
from neuralstream_core.features.writes import FORGOTTEN, GivenPacked
from neuralstream_core.history.entries import Part
from neuralstream_core.history.log import SLOT
from neuralstream_core.history.reader import History
from neuralstream_core.jobs.files import WORK
from neuralstream_core.jobs.records import Failure
from neuralstream_core.jobs.tasks import ChunkCounts, Planned
from neuralstream_core.objects import Location, Objects
from neuralstream_core.time import Clock, Micros

__all__ = ["AdoptWork"]

_ALL: Final = Alive(None, -(2**62))
"""Whatever the history has, however old."""


@dataclass(frozen=True, slots=True)
class AdoptWork:
    """See `neuralstream_core.jobs.tasks.Work`.

    Attributes:
        pause: waits for writes that are under way to reach Redis.
        entities: of one chunk.
        appended: entities whose rows are appended together; of the largest rows, 256 MiB.
    """

    jobs: AdoptJobs
    history: History
    upkeep: Upkeep
    objects: Objects
    data_bucket: str
    clock: Clock
    pause: Callable[[], None]
    entities: int = 10_000
    appended: int = 1000

    def plan(self, job_id: str) -> Planned:
        """List the entities that have a row.

        Raises:
            NotFound: no such job or view.
            Conflict: the job is done, or the view was replaced since the first call.
        """
        job = self.jobs.get(job_id)
        view = self.upkeep.store.catalog.fetch(job.feature_view)
        wanted = AdoptPins(generation=view.generation, history_since=view.history_since)
        _, pins = self.jobs.begin(job_id, wanted)
        living(view, pins.generation)
        chunks: list[StoredEntities] = []
        for some in _cut(self.upkeep.stored(view), self.entities):
            names = [entity.decode() for entity in some]
            data = json.dumps(names, ensure_ascii=False).encode()
            self.objects.write(self._listed(job_id, len(chunks)), data, "application/json")
            chunks.append(StoredEntities(chunk=len(chunks)))
        plan = AdoptPlan(feature_view=view.name, pins=pins)
        planned = adopt_files(self.objects, self.data_bucket, job_id).write_plan(plan, chunks)
        self.jobs.planned(job_id, planned.chunks)
        return planned

    def chunk(self, job_id: str, chunk: Mapping[str, Any]) -> ChunkCounts:
        """Append what the history lacks of some entities.

        Raises:
            NotFound, Conflict: the view was deleted, or created anew.
            Unavailable: Redis, DynamoDB or S3 cannot be reached; try again.
        """
        number = StoredEntities.model_validate(chunk).chunk
        files = adopt_files(self.objects, self.data_bucket, job_id)
        view = self._view(files.plan())
        names: list[str] = json.loads(self.objects.read(self._listed(job_id, number)))
        entities = [name.encode() for name in names]
        rows = _Chunk(self, view, f"{job_id}/{number:05d}").run(entities)
        files.write_result(Adopted(chunk=number, entities=len(entities), rows=rows))
        self.jobs.chunk_done(job_id, number, rows, 0)
        return ChunkCounts(number, rows, 0)

    def finish(self, job_id: str) -> AdoptJob:
        """Note that the history is complete.

        Raises:
            NotFound, Conflict: the view was deleted, or created anew.
            Unavailable: DynamoDB or S3 cannot be reached; try again.
            RuntimeError: a chunk left no result.
        """
        job = self.jobs.get(job_id)
        if job.status.done:
            return job
        files = adopt_files(self.objects, self.data_bucket, job_id)
        plan, results = files.plan(), files.results()
        self._view(plan)
        complete = self.upkeep.store.catalog.note_complete(
            plan.feature_view, plan.pins.generation, plan.pins.history_since
        )
        outcome = AdoptResult(
            entities=sum(result.entities for result in results),
            rows=sum(result.rows for result in results),
            history_complete=complete,
        )
        return self.jobs.finish(job_id, outcome, None)

    def fail(self, job_id: str, failure: Failure) -> AdoptJob:
        return self.jobs.finish(job_id, None, failure)

    def _view(self, plan: AdoptPlan) -> FeatureView:
        return living_view(self.upkeep.store.catalog, plan.feature_view, plan.pins.generation)

    def _listed(self, job_id: str, number: int) -> Location:
        return Location(self.data_bucket, f"{WORK}{job_id}/entities/{number:05d}.json")


class _Chunk:
    """One chunk under way.

    Args:
        prefix: of the request ids of what it appends.
    """

    def __init__(self, work: AdoptWork, view: FeatureView, prefix: str) -> None:
        self._work, self._view, self._prefix = work, view, prefix
        self._began = work.clock()
        self._rows = 0

    def run(self, entities: Sequence[bytes]) -> int:
        """Append what the history lacks; how many rows, with those of an earlier try."""
        snapshot = self._work.history.snapshot(self._view)
        said = said_state(
            self._work.history,
            snapshot,
            _ALL,
            set(entities).__contains__,
            entities=entities,
            hears=self._count,
        )
        adopted = State()
        for start in range(0, len(entities), self._work.appended):
            online = online_state(
                self._work.upkeep, self._view, entities[start : start + self._work.appended]
            )
            lacking = {key: cell for key, cell in online.items() if _lacks(said.get(key), cell)}
            self._append(lacking)
            adopted |= lacking
        if adopted:
            self._work.pause()
            self._look_again(adopted)
        return self._rows

    def _count(self, part: Part) -> None:
        if part.request_id.startswith(f"{self._prefix}/") and FORGOTTEN not in part.rows:
            self._rows += len(part.rows)

    def _look_again(self, adopted: State) -> None:
        """Append what has changed since it was adopted."""
        whose = sorted({entity for entity, _ in adopted})
        now = online_state(self._work.upkeep, self._view, whose)
        self._append(
            {
                key: now[key]
                for key, cell in adopted.items()
                if key in now and now[key][0] == cell[0] and now[key] != cell
            }
        )
        there = {entity for entity, _ in now}
        gone = [entity for entity in whose if entity not in there]
        forgotten = self._forgotten(set(gone)) if gone else []
        if forgotten:
            given = GivenPacked(forgotten, [FORGOTTEN] * len(forgotten))
            store = self._work.upkeep.store
            self._work.upkeep.record(
                [store.prepare(self._view.name, given, f"{self._prefix}/gone")]
            )

    def _forgotten(self, gone: set[bytes]) -> list[bytes]:
        """Those among entities without a row that were forgotten since the chunk began: the others were
        evicted, or their time was up.
        """
        since = max(0, self._began - SLOT) // SLOT * SLOT
        snapshot = self._work.history.snapshot(self._view)._replace(consumed_until=since)
        return sorted(self._work.history.forgotten(snapshot) & gone)

    def _append(self, cells: State) -> None:
        """Append cells, one row for each entity and event time.

        Two tries that run at once append the same rows under the same request id, by which the compaction
        finds those that come twice. What differs has another one: by position and event time alone, other
        rows would be taken for repetitions.
        """
        if not cells:
            return
        batch = packed_cells(
            self._work.upkeep.store, self._view, _rows(self._view, cells), self._prefix
        )
        if batch is not None:
            digest = hashlib.sha256(b"".join([*batch.packed.keys, *batch.packed.rows]))
            named = f"{self._prefix}/{digest.hexdigest()[:16]}"
            self._work.upkeep.record([batch._replace(request_id=named)])
            self._rows += len(batch.packed.keys)


def _lacks(said: Cell | None, online: Cell) -> bool:
    """Whether the history has no cell as new as that, or another value of the same time."""
    return said is None or said[0] < online[0] or (said[0] == online[0] and said != online)


def _rows(view: FeatureView, cells: State) -> Cells:
    """One row for each entity and event time, older ones first."""
    places: dict[tuple[bytes, Micros], int] = {}
    for (entity, _), (time, _) in sorted(cells.items(), key=lambda each: each[1][0]):
        places.setdefault((entity, time), len(places))
    written = np.zeros((len(places), len(view.features)), np.bool_)
    values: list[list[Any]] = [[None] * len(places) for _ in view.features]
    for (entity, name), (time, value) in cells.items():
        row, column = places[entity, time], view.index[name]
        written[row, column] = True
        values[column][row] = value
    columns = {
        feature.name: column_of(feature, column)
        for feature, column in zip(view.features, values, strict=True)
    }
    times = np.array([time for _, time in places], np.int64)
    return Cells([entity for entity, _ in places], times, written, columns)


def _cut(pages: Iterator[list[bytes]], size: int) -> Iterator[list[bytes]]:
    """Entities in lists of ``size``, and a shorter last one; none twice in one list."""
    held: dict[bytes, None] = {}
    for page in pages:
        for entity in page:
            held[entity] = None
            if len(held) == size:
                yield list(held)
                held = {}
    if held:
        yield list(held)
