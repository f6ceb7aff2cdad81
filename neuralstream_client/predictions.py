"""Predictions for many entities: what is sent, and the table of answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from neuralstream_client.call import encoded
from neuralstream_client.errors import DataError
from neuralstream_client.extras import extra
from neuralstream_client.reading import entity_list
from neuralstream_client.tables import ABSENT, Table, TableLike, table_of

__all__ = ["MAX_PREDICTIONS", "PredictionTable", "RowError", "RowsToPredict"]

MAX_PREDICTIONS: Final = 1000
"""Entities that one request may name."""


@dataclass(frozen=True, slots=True)
class RowError:
    """Why one row has no prediction.

    Args:
        row: number in the table, from 0.
        code: such as ``missing_features``.
        detail: one sentence.
    """

    row: int
    code: str
    detail: str


class RowsToPredict:
    """Entities, and values that come with the request.

    Args:
        data: a list of entity ids, or a table with a column of them.
        entity_id: name of that column, or of the columns of a composite entity; needed for a table.
        entities: names of the columns of further entity keys.
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
        if entity_id is None and "entity_id" not in names and self.table.length:
            raise DataError(
                f"say which column has the entity ids: entity_id='…', one of {list(names)}"
            )
        self._keys = (
            [entity_id or "entity_id"] if not _several(entity_id) else list(entity_id or ())
        )
        self._entities = list(entities)
        used = [*self._keys, *self._entities]
        self._features = [n for n in names if n not in used] if features is None else list(features)
        if absent := [n for n in (*used, *self._features) if n not in names and self.table.length]:
            raise DataError(f"there is no column {absent[0]!r}; the columns are {list(names)}")

    def body(self, start: int, stop: int, options: Mapping[str, Any]) -> bytes:
        """Body of ``POST /predict/{model}/batch`` for some of the rows."""
        columns = {
            name: [None if v is ABSENT else v for v in self.table.column(name, start, stop)]
            for name in (*self._keys, *self._entities, *self._features)
        }
        keys = [columns[key] for key in self._keys]
        body: dict[str, Any] = {
            "entity_ids": keys[0] if len(keys) == 1 else [list(p) for p in zip(*keys, strict=True)],
            **{name: value for name, value in options.items() if value is not None},
        }
        if self._entities:
            body["entities"] = {name: columns[name] for name in self._entities}
        if self._features:
            body["features"] = {name: columns[name] for name in self._features}
        return encoded(body)


def _is_table(data: Any) -> bool:
    """Whether it is a table, not a list or column of entity ids."""
    if isinstance(data, (list, tuple)):
        return isinstance(next(iter(data), None), Mapping)
    return isinstance(data, Mapping) or hasattr(data, "columns")


def _several(entity_id: str | Sequence[str] | None) -> bool:
    return entity_id is not None and not isinstance(entity_id, str)


@dataclass(frozen=True, slots=True)
class PredictionTable:
    """Predictions in the order they were asked for.

    Args:
        model: the model.
        rows: as the stack answers each (`neuralstream_client.answers.BatchPrediction` has the fields).
    """

    model: str
    rows: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    @property
    def predictions(self) -> list[Any]:
        """The predictions alone; ``None`` where a row failed."""
        return [row.get("prediction") for row in self.rows]

    @property
    def failures(self) -> list[RowError]:
        """Rows without a prediction."""
        return [
            RowError(i, row["error"].get("code", ""), row["error"].get("detail", ""))
            for i, row in enumerate(self.rows)
            if row.get("error")
        ]

    @property
    def columns(self) -> dict[str, list[Any]]:
        """One column for each field that a row has; an error is its code."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        made = {name: [row.get(name) for row in self.rows] for name in names}
        if "error" in made:
            made["error"] = [error.get("code") if error else None for error in made["error"]]
        return made

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
