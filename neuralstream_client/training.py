"""Training sets: labels as the stack takes them, and features beside the caller's own frame."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from neuralstream_client.answers import TrainingSet
from neuralstream_client.errors import DataError
from neuralstream_client.extras import extra
from neuralstream_client.inputs import JobInput
from neuralstream_client.tables import ABSENT, TableLike, table_of

__all__ = ["MAX_LABELS", "TrainingData", "label_rows", "with_features"]

MAX_LABELS: Final = 10_000
"""Labels of one request."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """A training set with its data.

    Args:
        frame: the labels as they were given, and one more column per feature; of the kind that was given.
        record: what the stack made: counts, coverage, digest, and the state of the history that was read.
    """

    frame: Any
    record: TrainingSet

    @property
    def id(self) -> str:
        """For ``ns.log_model(…, training_set=…)``."""
        return self.record.training_set_id

    @property
    def features(self) -> list[str]:
        """The columns of the features, in the order they were asked for."""
        if self.record.result is None:
            return []
        found = self.record.result.coverage
        return [name for name in self.record.result.columns if name in found]

    @property
    def sha256(self) -> str:
        """Of the file, in hex: the same labels and history make the same."""
        return "" if self.record.result is None else self.record.result.sha256


def label_rows(labels: TableLike) -> list[dict[str, Any]]:
    """Labels as JSON objects.

    Raises:
        DataError: it is no table, has no rows or too many, or holds a time without a zone.
    """
    table = table_of(labels)
    if not 0 < table.length <= MAX_LABELS:
        raise DataError(f"{table.length} labels: a request takes 1 to {MAX_LABELS}")
    columns = {name: table.column(name, 0, table.length) for name in table.names}
    return [
        {
            name: _json(name, column[row])
            for name, column in columns.items()
            if column[row] is not ABSENT
        }
        for row in range(table.length)
    ]


def with_features(labels: JobInput, names: list[str], data: bytes) -> Any:
    """The labels and, from the stack's Parquet file, the columns ``names``, in the labels' kind.

    A list of dicts gives a list of dicts, a dict of columns a dict of columns. A file gives an Arrow
    table with all of its columns.

    Raises:
        ConfigurationError: the library for Parquet is not installed.
    """
    library = type(labels).__module__.partition(".")[0]
    if library == "polars":
        frame: Any = labels
        given = frame.collect() if hasattr(frame, "collect") else frame
        return given.hstack(extra("polars", "polars").read_parquet(data, columns=names))
    parquet = extra("pyarrow.parquet", "arrow")
    table = parquet.read_table(
        io.BytesIO(data), columns=None if isinstance(labels, (str, Path)) else names
    )
    if isinstance(labels, (str, Path)):
        return table
    table = table.select(names)
    if library == "pandas":
        found = table.to_pandas()
        found.index = labels.index
        return extra("pandas", "pandas").concat([labels, found], axis=1)
    if isinstance(labels, dict):
        return {**labels, **table.to_pydict()}
    if isinstance(labels, list):
        return [{**row, **more} for row, more in zip(labels, table.to_pylist(), strict=True)]
    arrow = extra("pyarrow", "arrow").table(labels)
    for name in names:
        arrow = arrow.append_column(name, table.column(name))
    return arrow


def _json(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise DataError(f"the column {name} holds times without a zone; give them in UTC")
        return value.isoformat()
    return value.isoformat() if isinstance(value, date) else value
