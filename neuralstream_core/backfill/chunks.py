"""A chunk of a backfill: read, checked and packed in columns, merged online, appended to the history.

It may be repeated: the online store keeps the newest event time, and the history as `import_work` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from neuralstream_core.backfill.import_work import ChunkImport
from neuralstream_core.backfill.packing import Packed, joined, patterns
from neuralstream_core.backfill.records import (
    BackfillPlan,
    ChunkWritten,
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
from neuralstream_core.serving.batch.cells import Cells, RowErrors, taken
from neuralstream_core.serving.batch.rows import InputRows, InputSchema
from neuralstream_core.serving.cells import RowError

__all__ = ["BackfillChunk"]

_NO_VALUES: Final = RowError("no_values", "has no value to write")
_TOO_LARGE: Final = RowError("row_too_large", "its values and the stored ones make a row too large")


class BackfillChunk(ChunkImport[ChunkWritten]):
    """Writes the rows of one chunk.

    Args:
        upkeep: merges rows into Redis, and keeps those of a chunk in the log, all at once.
    """

    def __init__(
        self, plan: BackfillPlan, view: FeatureView, upkeep: Upkeep, request_id: str
    ) -> None:
        super().__init__(request_id)
        self._plan, self._view, self._upkeep = plan, view, upkeep
        self._batches: list[Batch] = []
        self._counts = Counter[str]()

    @property
    def schema(self) -> InputSchema:
        plan = self._plan
        kinds = {
            column: (str(feature.dtype), feature.size or 1)
            for name, column in plan.features.items()
            for feature in (self._view.feature(name),)
        }
        return InputSchema(plan.keys, (), kinds, raw=(plan.timestamp,), sparse=True)

    def take(self, rows: InputRows, errors: RowErrors, request_id: str) -> None:
        """Merge the rows, and keep what is to be appended: a batch."""
        plan = self._plan
        times = event_times(
            rows.raw[plan.timestamp], plan.timestamp, plan.timezone, plan.pins.as_of, errors
        )
        packed = _Slice(self._upkeep.store, plan.feature_view, request_id)
        for places, features in self._patterns(rows, errors):
            columns = {name: rows.features[plan.features[name]] for name in features}
            packed.add(rows.entities, columns, times, places, errors)
        if packed.found:
            self._merge(joined(packed.found), errors)

    def append(self) -> None:
        if self._view.history and self._batches:
            self._upkeep.record(self._batches)

    def result(self, counts: Mapping[str, Any]) -> ChunkWritten:
        found = self._counts
        return ChunkWritten(
            **counts,
            written=found["written"],
            stale=found["stale"],
            history_only=found["history_only"],
        )

    def _patterns(self, rows: InputRows, errors: RowErrors) -> list[tuple[list[int], list[str]]]:
        """The rows without an error, by the features that they write."""
        columns = {f: c for f, c in self._plan.features.items() if c in rows.features}
        names = list(columns)
        good = np.array([at for at in range(len(rows)) if at not in errors], np.int64)
        skipped = np.zeros((len(good), len(names)), np.bool_)
        for at, (name, column) in enumerate(columns.items()):
            if (absent := rows.absent.get(column)) is not None:
                skipped[:, at] = absent[good]
            if self._plan.empty == "skip":
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
        ttl = self._view.ttl_micros
        oldest = None if ttl is None else self._plan.pins.as_of - ttl
        online = [
            at for at, time in enumerate(batch.packed.times) if oldest is None or time >= oldest
        ]
        refused: list[int] = []
        for at, count in zip(online, self._upkeep.merge(batch.only(online)), strict=True):
            if count == TOO_LARGE:
                refused.append(at)
                errors[places[at]] = _TOO_LARGE
            else:
                self._counts["stale" if count == ALL_STALE else "written"] += 1
        self._counts["history_only"] += len(places) - len(online)
        self._batches.append(batch.without(refused))


class _Slice:
    """Rows of one slice, packed pattern by pattern."""

    def __init__(self, store: OnlineStore, view: str, request_id: str) -> None:
        self._store, self._view, self._request_id = store, view, request_id
        self.found: list[Packed] = []

    def add(
        self,
        entities: Sequence[Any],
        columns: Mapping[str, Cells],
        times: npt.NDArray[np.int64],
        places: list[int],
        errors: RowErrors,
    ) -> None:
        """Pack the rows at ``places``; one that the view refuses is an error, and the others are packed
        without it.
        """
        given = GivenColumns(
            [entities[at] for at in places],
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


def _at(values: Cells, places: list[int]) -> Cells:
    return values if len(places) == len(values) else taken(values, places)
