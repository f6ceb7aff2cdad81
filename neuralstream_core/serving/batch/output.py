"""A chunk's output: one row per input row, in input order, as JSONL or Parquet, the same bytes each time.

Columns: the entity's (``entity_id``, or its keys), ``version``, ``prediction``, ``probability``,
``score``, ``probabilities`` and ``scores`` by class (three or more classes), ``outputs`` by name (several
named outputs), as far as a version of the job answers them, and ``error``, the code of a row that has no
prediction. In JSONL an absent value is left out; in Parquet it is null.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from neuralstream_core.serving.batch.cells import Bad
from neuralstream_core.serving.batch.locations import OutputFormat
from neuralstream_core.serving.batch.manifest import PredictionType
from neuralstream_core.serving.batch.rows import Rows

if TYPE_CHECKING:
    from arro3.core import Array, DataType, RecordBatch
    from arro3.core.types import ArrayInput

__all__ = ["MEDIA", "ErrorLines", "Part", "Predicted"]

MEDIA: Final[dict[OutputFormat, str]] = {
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}


@dataclass(slots=True)
class Predicted:
    """Answers to some rows, one value each; ``None`` where the row is in ``bad``."""

    versions: list[str | None]
    predictions: list[Any]
    numbers: dict[str, list[float | None]]
    named: dict[str, dict[str, list[Any]]]
    bad: Bad


@dataclass(slots=True)
class Part:
    """An output file under way.

    Args:
        keys: names of the entity's columns; a single one is called ``entity_id``.
        others: names of further keys' columns.
        multiple: a prediction is a list (a model with several outputs).
        score: some version of the job answers a ``score``.
        named: names within ``probabilities``, ``scores`` and ``outputs``, over all versions of the job.
    """

    keys: tuple[str, ...]
    others: tuple[str, ...]
    prediction: PredictionType
    multiple: bool = False
    score: bool = False
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rows: int = 0
    _batches: list[RecordBatch] = field(default_factory=list)

    def add(self, rows: Rows, predicted: Predicted) -> None:
        """Append rows and their answers."""
        from arro3.core import Array, DataType, RecordBatch

        n = len(rows)
        text = DataType.string()
        columns: dict[str, ArrayInput] = {}
        if len(self.keys) == 1:
            columns["entity_id"] = Array(rows.entities, text)
        else:
            for at, key in enumerate(self.keys):
                columns[key] = Array([None if e is None else e[at] for e in rows.entities], text)
        for key in self.others:
            columns[key] = Array(rows.others.get(key, []), text)
        columns["version"] = Array(predicted.versions, text)
        columns["prediction"] = self._predictions(predicted.predictions)
        for number in ("probability", "score") if self.score else ("probability",):
            columns[number] = Array(predicted.numbers.get(number) or [None] * n, DataType.float64())
        for group, names in self.named.items():
            if names:
                inner = self._inner() if group == "outputs" else DataType.float64()
                columns[group] = _struct(names, predicted.named.get(group, {}), n, inner)
        errors: list[str | None] = [None] * n
        for at, why in predicted.bad.items():
            errors[at] = why.code
        columns["error"] = Array(errors, text)
        self._batches.append(RecordBatch.from_pydict(columns))
        self.rows += n

    def encode(self, format_: OutputFormat) -> bytes:
        """The file."""
        from arro3.core import Table
        from arro3.io import write_ndjson, write_parquet

        if not self._batches:
            self.add(Rows.empty(), Predicted([], [], {}, {}, {}))
        table = Table.from_batches(self._batches)
        out = io.BytesIO()
        if format_ == "jsonl":
            write_ndjson(table, out)
        else:
            write_parquet(table, out, compression="zstd(1)", created_by="neuralstream")
        return out.getvalue()

    def _predictions(self, values: Sequence[Any]) -> Array:
        from arro3.core import Array, DataType

        inner = self._inner()
        if self.prediction == "string":
            values = [v if v is None or isinstance(v, str) else _text(v) for v in values]
        if not self.multiple:
            return Array(values, inner)
        import numpy as np
        from arro3.core import list_array

        flat = [v for row in values if row is not None for v in row]
        lengths = [0 if row is None else len(row) for row in values]
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
        absent = Array([row is None for row in values], DataType.bool())
        return list_array(Array.from_numpy(offsets), Array(flat, inner), mask=absent)

    def _inner(self) -> DataType:
        from arro3.core import DataType

        return {
            "float64": DataType.float64,
            "int64": DataType.int64,
            "bool": DataType.bool,
            "string": DataType.string,
        }[self.prediction]()


def _struct(names: Sequence[str], given: Mapping[str, list[Any]], n: int, inner: DataType) -> Array:
    """A column of objects by name; null where a row has none of the names."""
    from arro3.core import Array, DataType, Field, struct_array

    absent = [None] * n
    columns = [given.get(name, absent) for name in names]
    whole = [all(value is None for value in row) for row in zip(*columns, strict=True)]
    return struct_array(
        [Array(column, inner) for column in columns],
        fields=[Field(name, inner) for name in names],
        mask=Array(whole, DataType.bool()),
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class ErrorLines:
    """The errors file of a chunk, JSON lines: ``{"line","entity_id"?,"code","reason"}``."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self.reasons: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, rows: Rows, bad: Bad) -> None:
        """Append what failed among ``rows``."""
        from pydantic_core import to_json

        for at in sorted(bad):
            why = bad[at]
            entry: dict[str, Any] = {"line": int(rows.lines[at])}
            if (entity := rows.entities[at]) is not None:
                entry["entity_id"] = entity
            entry |= {"code": why.code, "reason": why.detail}
            self._lines.append(to_json(entry))
            self.reasons[why.code] = self.reasons.get(why.code, 0) + 1

    def encode(self) -> bytes:
        """The file."""
        return b"\n".join(self._lines) + b"\n"
