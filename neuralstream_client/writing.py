"""What is written: a table cut into chunks, each checked where a wrong value is known before it is sent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from neuralstream_client.errors import DataError
from neuralstream_client.reports import RowFailure
from neuralstream_client.tables import ABSENT, Table, TableLike, table_of
from neuralstream_client.views import FeatureView

__all__ = ["MAX_ROWS", "Chunk", "WritePlan"]

MAX_ROWS: Final = 10_000
"""Rows that one request may have."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one request, in columns.

    Args:
        rows: their numbers in the table.
        entity_ids: text, whole numbers, or lists of them for a composite entity.
        columns: values by feature; `ABSENT` where a row leaves a feature alone.
        event_timestamps: by row, or ``None`` for the time of the request.
        failures: rows that cannot be sent.
        ragged: whether a row may leave a feature alone.
    """

    rows: Sequence[int]
    entity_ids: list[Any]
    columns: dict[str, list[Any]]
    event_timestamps: list[Any] | None
    failures: list[RowFailure] = field(default_factory=list)
    ragged: bool = False

    def without(self, refused: set[int]) -> Chunk:
        """The same without rows of these numbers."""
        kept = [i for i, row in enumerate(self.rows) if row not in refused]
        times = self.event_timestamps
        return replace(
            self,
            rows=[self.rows[i] for i in kept],
            entity_ids=[self.entity_ids[i] for i in kept],
            columns={name: [values[i] for i in kept] for name, values in self.columns.items()},
            event_timestamps=None if times is None else [times[i] for i in kept],
            failures=[],
        )

    def part(self, start: int, stop: int) -> Chunk:
        """Rows ``start`` to ``stop`` of this chunk."""
        times = self.event_timestamps
        return replace(
            self,
            rows=self.rows[start:stop],
            entity_ids=self.entity_ids[start:stop],
            columns={name: values[start:stop] for name, values in self.columns.items()},
            event_timestamps=None if times is None else times[start:stop],
            failures=[],
        )


class WritePlan:
    """Which column of a table is what.

    Args:
        view: the declared view.
        given: the table.
        entity: the column, or columns, of entity ids; the names of the view's keys when not given.
        event_timestamp: the column of event times; the time of each request when not given.
        features: the columns to write; all others when not given.

    Raises:
        DataError: a column is missing, or no feature of the view.
    """

    def __init__(
        self,
        view: FeatureView,
        given: TableLike,
        *,
        entity: str | Sequence[str] | None = None,
        event_timestamp: str | None = None,
        features: Sequence[str] | None = None,
    ) -> None:
        self.view = view
        self.table: Table = table_of(given)
        names = self.table.names if self.table.length else ()
        self.keys = [entity] if isinstance(entity, str) else list(entity or view.keys)
        self.event_timestamp = event_timestamp
        if len(self.keys) != len(view.keys):
            raise DataError(f"{view.name} has the entity keys {list(view.keys)}, not {self.keys}")
        own = [*self.keys, *([event_timestamp] if event_timestamp else [])]
        self.features = [n for n in names if n not in own] if features is None else list(features)
        if names and (absent := [name for name in (*own, *self.features) if name not in names]):
            raise DataError(f"there is no column {absent[0]!r}; the columns are {list(names)}")
        if unknown := [name for name in self.features if name not in view.dtypes]:
            raise DataError(
                f"{view.name} has no feature {unknown[0]!r}; its features are {list(view.dtypes)}. Add it "
                "to the view with ns.features.apply(…), or choose the columns with features=[…]"
            )

    def chunks(self, size: int) -> Iterator[Chunk]:
        """The table in chunks of at most ``size`` rows."""
        for start in range(0, self.table.length, size):
            yield self._chunk(start, min(self.table.length, start + size))

    def _chunk(self, start: int, stop: int) -> Chunk:
        failures: list[RowFailure] = []
        keys = [self.table.column(key, start, stop) for key in self.keys]
        for key, values in zip(self.keys, keys, strict=True):
            failures += [
                RowFailure(
                    start + i, key, f"{_said(value)} is no entity id: text or a whole number is"
                )
                for i, value in enumerate(values)
                if type(value) is not str and type(value) is not int
            ]
        ids = keys[0] if len(keys) == 1 else [list(parts) for parts in zip(*keys, strict=True)]
        times: list[Any] | None = None
        if self.event_timestamp is not None:
            times = self.table.column(self.event_timestamp, start, stop)
            failures += [
                RowFailure(start + i, self.event_timestamp, "has no event time")
                for i, value in enumerate(times)
                if value is None or value is ABSENT
            ]
            failures += _without_zone(self.event_timestamp, times, start)
        columns = {}
        dtypes = self.view.dtypes
        for name in self.features:
            values = self.table.column(name, start, stop)
            columns[name], wrong = _fitted(name, dtypes[name], values, start)
            failures += wrong
        return Chunk(range(start, stop), ids, columns, times, failures, self.table.ragged)


def _fitted(
    name: str, dtype: str, values: list[Any], start: int
) -> tuple[list[Any], list[RowFailure]]:
    """Values of a feature as its dtype has them, and those that JSON cannot have.

    A frame keeps whole numbers with missing ones among them as floats: they become whole again.
    """
    if dtype == "int64":
        fitted = [
            int(value) if type(value) is float and value.is_integer() else value for value in values
        ]
        return fitted, []
    if dtype == "timestamp":
        return values, _without_zone(name, values, start)
    if dtype != "string" and not _finite(values):
        return values, [
            RowFailure(start + i, name, f"{value} is not finite")
            for i, value in enumerate(values)
            if value in {math.inf, -math.inf}
        ]
    return values, []


def _finite(values: list[Any]) -> bool:
    """Whether none is infinite: their sum tells nearly always."""
    try:
        if math.isfinite(sum(values)):
            return True
    except (TypeError, OverflowError):
        pass  # one is missing, no number, or a whole number beyond float64
    return math.inf not in values and -math.inf not in values


def _without_zone(name: str, values: list[Any], start: int) -> list[RowFailure]:
    return [
        RowFailure(start + i, name, f"{value} has no time zone; in pandas: .dt.tz_localize('UTC')")
        for i, value in enumerate(values)
        if isinstance(value, datetime) and value.tzinfo is None
    ]


def _said(value: Any) -> str:
    return "an absent value" if value is ABSENT else repr(value)[:80]
