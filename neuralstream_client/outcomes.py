"""Outcomes to send: a table cut into requests, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from neuralstream_client.errors import DataError
from neuralstream_client.tables import ABSENT, Table, TableLike, table_of

__all__ = ["MAX_OUTCOMES", "OutcomesPlan", "OutcomesReport"]

MAX_OUTCOMES: Final = 10_000
"""Rows that one request may have."""


@dataclass(frozen=True, slots=True)
class OutcomesReport:
    """What became of a table of outcomes.

    Args:
        model: the model.
        rows: of the table.
        accepted: outcomes that are kept.
        without_label: rows whose label is missing, which were not sent.
        versions: how many outcomes name a prediction of which version.
        requests: sent.
    """

    model: str
    rows: int
    accepted: int = 0
    without_label: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)
    requests: int = 0


class OutcomesPlan:
    """Which column of a table is what.

    Args:
        given: the table.
        label: the column of what was true.
        prediction_id: the column of prediction ids; ``prediction_id`` when there is no ``entity``.
        entity: in its place the column, or columns, of entity ids.
        predicted_at: with ``entity``: the column of the predictions' times.
        observed_at: the column of the times at which outcomes became known; ``observed_at`` if there is one.

    Raises:
        DataError: a column is missing.
    """

    def __init__(
        self,
        given: TableLike,
        *,
        label: str = "label",
        prediction_id: str | None = None,
        entity: str | Sequence[str] | None = None,
        predicted_at: str = "predicted_at",
        observed_at: str | None = None,
    ) -> None:
        self.table: Table = table_of(given)
        names = self.table.names
        if entity is not None and prediction_id is not None:
            raise DataError("give prediction_id or entity, not both")
        self.entity = [entity] if isinstance(entity, str) else list(entity or ())
        self.prediction_id = None if self.entity else prediction_id or "prediction_id"
        self.label, self.predicted_at = label, predicted_at
        self.observed_at = observed_at
        if observed_at is None and "observed_at" in names:
            self.observed_at = "observed_at"
        needed = [label, *self.entity]
        needed += [self.prediction_id] if self.prediction_id else [predicted_at]
        needed += [observed_at] if observed_at else []
        absent = [name for name in needed if name not in names]
        if self.table.length and absent:
            raise DataError(f"there is no column {absent[0]!r}; the columns are {list(names)}")

    def chunks(self) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """The number of the first row, and the rows of one request.

        Raises:
            DataError: a time has no zone, or a label is not finite.
        """
        for start in range(0, self.table.length, MAX_OUTCOMES):
            yield start, self._rows(start, min(self.table.length, start + MAX_OUTCOMES))

    def _rows(self, start: int, stop: int) -> list[dict[str, Any]]:
        columns = {"label": self.table.column(self.label, start, stop)}
        if self.prediction_id is not None:
            columns["prediction_id"] = self.table.column(self.prediction_id, start, stop)
        else:
            keys = [self.table.column(name, start, stop) for name in self.entity]
            columns["entity_id"] = (
                keys[0] if len(keys) == 1 else [list(parts) for parts in zip(*keys, strict=True)]
            )
            columns["predicted_at"] = self.table.column(self.predicted_at, start, stop)
        if self.observed_at is not None:
            columns["observed_at"] = self.table.column(self.observed_at, start, stop)
        rows = [
            {name: value for name, value in zip(columns, cells, strict=True) if _there(value)}
            for cells in zip(*columns.values(), strict=True)
        ]
        for at, row in enumerate(rows, start):
            _check(at, row)
        return [row for row in rows if "label" in row]


def _there(value: Any) -> bool:
    return value is not None and value is not ABSENT


def _check(at: int, row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        if isinstance(value, datetime) and value.tzinfo is None:
            raise DataError(f"row {at}: {name} has no time zone; in pandas: .dt.tz_localize('UTC')")
        if isinstance(value, float) and math.isinf(value):
            raise DataError(f"row {at}: {name} is not finite")
