"""A chunk of a backfill: read, checked and packed in columns, merged online, appended to the history.

It may be repeated: the online store keeps the newest event time, and an append of the same chunk has the same
request ids, by which the compaction finds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from neuralstream_core.backfill.packing import Packed, joined, patterns
from neuralstream_core.backfill.planning import living
from neuralstream_core.backfill.records import (
    BackfillFiles,
    BackfillJobs,
    BackfillPlan,
    ChunkWritten,
    backfill_files,
)
from neuralstream_core.backfill.times import event_times
from neuralstream_core.errors import Invalid
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.store import OnlineStore
from neuralstream_core.features.upkeep import Upkeep
from neuralstream_core.features.writes import (
    ALL_STALE,
    TOO_LARGE,
    Batch,
    GivenColumns,
)
from neuralstream_core.jobs.files import json_lines
from neuralstream_core.objects import Location, Objects
from neuralstream_core.serving.batch.cells import RowErrors
from neuralstream_core.serving.batch.inputs import InputFile
from neuralstream_core.serving.batch.locations import Buckets
from neuralstream_core.serving.batch.rows import InputRows, InputSchema
from neuralstream_core.serving.batch.splitting import Chunk
from neuralstream_core.serving.cells import RowError

__all__ = ["BackfillWorker"]

_NO_VALUES: Final = RowError("no_values", "has no value to write")
_TOO_LARGE: Final = RowError("row_too_large", "its values and the stored ones make a row too large")


@dataclass(frozen=True, slots=True)
class BackfillWorker:
    """Runs chunk tasks.

    Attributes:
        upkeep: merges rows into Redis, and keeps those of a chunk in the log, all at once.
        data_bucket: holds plans and results.
    """

    jobs: BackfillJobs
    objects: Objects
    buckets: Buckets
    data_bucket: str
    upkeep: Upkeep

    def run(self, job_id: str, chunk: Chunk) -> ChunkWritten:
        """Write a chunk and count it once.

        Raises:
            Unavailable: Redis, the history or S3 cannot be reached; try again.
            Conflict: the input or the view was replaced.
            NotFound: the view was deleted.
            Invalid: the input cannot be decoded.
            RuntimeError: a file that the job wrote is missing, or the role may not write.
        """
        files = backfill_files(self.objects, self.data_bucket, job_id)
        plan = files.plan()
        view = self.upkeep.store.catalog.latest(plan.feature_view)
        living(view, plan.pins.generation)
        writing = _Writing(plan, view, self.upkeep, f"{job_id}/{chunk.chunk:05d}")
        at = self.buckets.check(plan.input, "input")
        source = InputFile(self.objects, at, plan.input_format, plan.pins.size, plan.pins.etag)
        for rows in source.rows(chunk, writing.schema, plan.columns):
            writing.add(rows)
        if view.history and writing.batches:
            self.upkeep.record(writing.batches)
        result = writing.result(files, chunk.chunk)
        files.write_result(result)
        self.jobs.chunk_done(job_id, chunk.chunk, result.rows, result.failed)
        return result


@dataclass(slots=True)
class _Writing:
    """One chunk under way.

    Attributes:
        prefix: of the request ids of its batches.
        batches: what is to be appended: one for each slice of rows.
    """

    plan: BackfillPlan
    view: FeatureView
    upkeep: Upkeep
    prefix: str
    batches: list[Batch] = field(default_factory=list)
    rows: int = 0
    slices: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def schema(self) -> InputSchema:
        plan = self.plan
        kinds = {
            column: (str(feature.dtype), feature.size or 1)
            for name, column in plan.features.items()
            for feature in (self.view.feature(name),)
        }
        return InputSchema(plan.keys, (), kinds, raw=(plan.timestamp,), sparse=True)

    def add(self, rows: InputRows) -> None:
        """Merge a slice of rows, and keep what is to be appended."""
        plan, errors = self.plan, dict(rows.errors)
        times = event_times(
            rows.raw[plan.timestamp], plan.timestamp, plan.timezone, plan.pins.as_of, errors
        )
        packed = _Slice(self.upkeep.store, plan.feature_view, f"{self.prefix}/{self.slices:05d}")
        for places, features in self._patterns(rows, errors):
            columns = {name: rows.features[plan.features[name]] for name in features}
            packed.add(rows.entities, columns, times, places, errors)
        if packed.found:
            self._merge(joined(packed.found), errors)
        self.failed += rows.failed(errors)
        self.rows += len(rows)
        self.slices += 1

    def result(self, files: BackfillFiles, chunk: int) -> ChunkWritten:
        """Write the list of wrong rows; the counts of the chunk."""
        errors = None
        if self.failed:
            at = Location.parse(self.plan.output) / f"errors/errors-{chunk:05d}.jsonl"
            data = json_lines(self.failed)
            errors = files.write_output(at, data, "application/jsonl", len(self.failed))
        return ChunkWritten(
            chunk=chunk,
            rows=self.rows,
            failed=len(self.failed),
            written=self.counts["written"],
            stale=self.counts["stale"],
            history_only=self.counts["history_only"],
            reasons=dict(sorted(Counter(row["code"] for row in self.failed).items())),
            errors=errors,
        )

    def _patterns(self, rows: InputRows, errors: RowErrors) -> list[tuple[list[int], list[str]]]:
        """The rows without an error, by the features that they write."""
        columns = {f: c for f, c in self.plan.features.items() if c in rows.features}
        names = list(columns)
        good = np.array([at for at in range(len(rows)) if at not in errors], np.int64)
        skipped = np.zeros((len(good), len(names)), np.bool_)
        for at, (name, column) in enumerate(columns.items()):
            if (absent := rows.absent.get(column)) is not None:
                skipped[:, at] = absent[good]
            if self.plan.empty == "skip":
                values = rows.features[columns[name]]
                skipped[:, at] |= np.fromiter(
                    (values[i] is None for i in good), np.bool_, len(good)
                )
        found: list[tuple[list[int], list[str]]] = []
        for pattern in patterns(~skipped):
            places: list[int] = good[pattern.places].tolist()
            if pattern.written.any():
                found.append(
                    (places, [n for n, w in zip(names, pattern.written, strict=True) if w])
                )
            else:
                errors.update(dict.fromkeys(places, _NO_VALUES))
        return found

    def _merge(self, packed: Packed, errors: RowErrors) -> None:
        """Merge the rows that are not expired already; those that do not fit any more are errors."""
        batch, places = packed
        ttl = self.view.ttl_micros
        oldest = None if ttl is None else self.plan.pins.as_of - ttl
        online = [
            at for at, time in enumerate(batch.packed.times) if oldest is None or time >= oldest
        ]
        refused: list[int] = []
        for at, count in zip(online, self.upkeep.merge(batch.only(online)), strict=True):
            if count == TOO_LARGE:
                refused.append(at)
                errors[places[at]] = _TOO_LARGE
            else:
                self.counts["stale" if count == ALL_STALE else "written"] += 1
        self.counts["history_only"] += len(places) - len(online)
        self.batches.append(batch.without(refused))


class _Slice:
    """Rows of one slice, packed pattern by pattern."""

    def __init__(self, store: OnlineStore, view: str, request_id: str) -> None:
        self._store, self._view, self._request_id = store, view, request_id
        self.found: list[Packed] = []

    def add(
        self,
        entities: Sequence[Any],
        columns: Mapping[str, Sequence[Any]],
        times: npt.NDArray[np.int64],
        places: list[int],
        errors: RowErrors,
    ) -> None:
        """Pack the rows at ``places``; one that the view refuses is an error, and the others are packed
        without it.
        """
        given = GivenColumns(
            _at(entities, places),
            {name: _at(values, places) for name, values in columns.items()},
            times[places],
        )
        try:
            batch = self._store.prepare(self._view, given, self._request_id)
        except Invalid as error:
            if len(places) == 1:
                (place,) = places
                code = error.code if error.code != "invalid" else "invalid_row"
                errors[place] = RowError(code, error.detail)
                return
            middle = len(places) // 2
            for half in (places[:middle], places[middle:]):
                self.add(entities, columns, times, half, errors)
            return
        self.found.append(Packed(batch, places))


def _at(values: Sequence[Any], places: list[int]) -> Sequence[Any]:
    return values if len(places) == len(values) else [values[at] for at in places]
