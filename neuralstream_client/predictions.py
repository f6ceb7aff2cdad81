"""Predictions for many entities: what is sent, and the table of answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from neuralstream_client.errors import DataError
from neuralstream_client.extras import extra
from neuralstream_client.reading import entity_list
from neuralstream_client.tables import ABSENT, Table, TableLike, table_of
from neuralstream_client.wire import PredictedPart, RowError, predict_body

__all__ = ["MAX_PREDICTIONS", "PredictionTable", "RowsToPredict"]

MAX_PREDICTIONS: Final = 1000
"""Entities that one request may name."""


class RowsToPredict:
    """Entities, and values that come with the request.

    Args:
        data: a list of entity ids, or a table with a column of them.
        entity_id: name of that column, or of the columns of a composite entity; needed for a table.
        entities: names of the columns of further ids; without a column of entity ids each row's entity is
            an object of these.
        features: columns to send; all others when not given.

    Raises:
        DataError: a column is missing, or no column of entity ids is named.
    """

    def __init__(
        self,
        data: TableLike,
        *,
        entity_id: str | Sequence[str] | None = None,
        entities: Sequence[str] = (),
        features: Sequence[str] | None = None,
    ) -> None:
        self.table: Table = table_of(data if _is_table(data) else {"entity_id": entity_list(data)})
        names = self.table.names
        self._by_name = bool(entities) and entity_id is None and "entity_id" not in names
        if entity_id is None and "entity_id" not in names and self.table.length and not entities:
            raise DataError(
                f"say which column has the entity ids: entity_id='…', one of {list(names)}"
            )
        given = list(entities) if self._by_name else entity_id or "entity_id"
        self._keys = [given] if isinstance(given, str) else list(given)
        self._entities = [] if self._by_name else list(entities)
        used = [*self._keys, *self._entities]
        self._features = [n for n in names if n not in used] if features is None else list(features)
        if absent := [n for n in (*used, *self._features) if n not in names and self.table.length]:
            raise DataError(f"there is no column {absent[0]!r}; the columns are {list(names)}")

    @property
    def entity_ids(self) -> list[Any]:
        """Of all rows."""
        return self._ids(0, self.table.length)

    def _ids(self, start: int, stop: int) -> list[Any]:
        keys = [self.table.column(key, start, stop) for key in self._keys]
        if self._by_name:
            return [dict(zip(self._keys, ids, strict=True)) for ids in zip(*keys, strict=True)]
        return keys[0] if len(keys) == 1 else [list(parts) for parts in zip(*keys, strict=True)]

    def body(self, start: int, stop: int, options: Mapping[str, Any]) -> bytes:
        """Body of ``POST /predict/{model}/batch`` for some of the rows."""
        columns = {
            name: [None if v is ABSENT else v for v in self.table.column(name, start, stop)]
            for name in (*self._entities, *self._features)
        }
        entities = {name: columns[name] for name in self._entities}
        features = {name: columns[name] for name in self._features}
        return predict_body(self._ids(start, stop), entities, features, options)


def _is_table(data: Any) -> bool:
    """Whether it is a table, not a list or column of entity ids."""
    if isinstance(data, (list, tuple)):
        return isinstance(next(iter(data), None), Mapping)
    return isinstance(data, Mapping) or hasattr(data, "columns")


@dataclass(frozen=True, slots=True)
class PredictionTable:
    """Predictions in the order they were asked for.

    Args:
        model: the model.
        entity_ids: as they were given.
        fields: values by field: ``version``, ``prediction`` and what the model's family has beside it, such
            as ``probability`` or ``probabilities.yes``; ``None`` where a row has none.
        failures: rows without a prediction.
    """

    model: str
    entity_ids: list[Any]
    fields: dict[str, list[Any]]
    failures: list[RowError]

    @classmethod
    def of(cls, model: str, entity_ids: list[Any], parts: Sequence[PredictedPart]) -> Self:
        """The parts of consecutive requests as one table."""
        names = dict.fromkeys(name for part in parts for name in part.columns)
        fields: dict[str, list[Any]] = {name: [] for name in names}
        failures: list[RowError] = []
        start = 0
        for part in parts:
            count = len(part.columns["version"])
            for name in names:
                fields[name] += part.columns.get(name) or [None] * count
            failures += [replace(error, row=start + error.row) for error in part.errors]
            start += count
        return cls(model, entity_ids, fields, sorted(failures, key=lambda error: error.row))

    def __len__(self) -> int:
        return len(self.entity_ids)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    @property
    def predictions(self) -> list[Any]:
        """The predictions alone; ``None`` where a row failed."""
        return self.fields.get("prediction", [])

    @property
    def columns(self) -> dict[str, list[Any]]:
        """``entity_id``, the fields, and ``error`` with the code of each failure, if there is one."""
        columns = {"entity_id": self.entity_ids, **self.fields}
        if self.failures:
            columns["error"] = [None] * len(self)
            for failure in self.failures:
                columns["error"][failure.row] = failure.code
        return columns

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict of all columns for each entity."""
        columns = self.columns
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_pandas(self) -> Any:
        """A pandas frame.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        return extra("pandas", "pandas").DataFrame(self.columns)

    def to_polars(self) -> Any:
        """A polars frame.

        Raises:
            ConfigurationError: polars is not installed.
        """
        return extra("polars", "polars").DataFrame(self.columns, strict=False)

    def to_arrow(self) -> Any:
        """A pyarrow table.

        Raises:
            ConfigurationError: pyarrow is not installed.
        """
        return extra("pyarrow", "arrow").table(self.columns)
