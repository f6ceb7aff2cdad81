"""The answers of a model as columns of Python values, and the output files of a chunk made of them.

An output has one row per input row, in input order. Columns: the entity's (``entity_id``, or its keys), the
fields of the answer that some version of the job gives, and ``error``, the code of a row that has no
prediction. In JSON lines an absent value is left out; in Parquet it is null.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from pydantic_core import to_json

from neuralstream_core.serving.batch.locations import OutputFormat
from neuralstream_core.serving.batch.manifest import JobPlan, PredictionType
from neuralstream_core.serving.batch.rows import InputRows, RowErrors

if TYPE_CHECKING:
    from neuralstream_core.serving.predictions import PredictionColumns

__all__ = ["MEDIA", "ErrorFile", "OutputFile", "answer_columns", "output_types"]

SqlType: TypeAlias = str | dict[str, str]
"""A type's name, or the names and types of an object's fields."""

MEDIA: Final[dict[OutputFormat, str]] = {
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}
_SQL: Final[dict[PredictionType, str]] = {
    "float64": "DOUBLE",
    "int64": "BIGINT",
    "bool": "BOOLEAN",
    "string": "VARCHAR",
}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_CASTS: Final[dict[PredictionType, Callable[[Any], Any]]] = {
    "float64": float,
    "int64": int,
    "bool": bool,
    "string": _text,
}


def answer_columns(columns: PredictionColumns) -> dict[str, list[Any]]:
    """The fields of each row's answer, one list per field; ``None`` where a row has none.

    Fields are those of the answer of one prediction: ``version``, ``prediction``, ``probability``,
    ``probabilities``, ``score``, ``scores`` and ``outputs``. A row with an error has none of them.
    """
    failed = list(columns.errors)

    def values(column: np.ndarray) -> list[Any]:
        found = column.astype(object)
        if column.dtype.kind == "f":
            found[np.isnan(column)] = None
        found[failed] = None
        return list(found)

    def by_name(named: Mapping[str, np.ndarray]) -> list[dict[str, Any] | None]:
        rows = zip(*map(values, named.values()), strict=True)
        return [
            {name: value for name, value in zip(named, row, strict=True) if value is not None}
            or None
            for row in rows
        ]

    fields: dict[str, list[Any]] = {
        "version": values(np.array(columns.versions, object)[columns.version]),
        "prediction": values(columns.prediction),
    }
    for name in ("probability", "score"):
        if (column := getattr(columns, name)) is not None:
            fields[name] = values(column)
    for name in ("probabilities", "scores"):
        if named := getattr(columns, name):
            fields[name] = by_name(named)
    if any(columns.names.values()):
        fields["outputs"] = [
            dict(zip(names, prediction, strict=True))
            if version is not None and (names := columns.names.get(version))
            else None
            for version, prediction in zip(fields["version"], fields["prediction"], strict=True)
        ]
    return fields


def output_types(plan: JobPlan) -> dict[str, SqlType]:
    """The columns of a job's output, in order, and their types."""
    one = _SQL[plan.prediction]
    types: dict[str, SqlType] = dict.fromkeys((*_entity_names(plan), *plan.others), "VARCHAR")
    types["version"] = "VARCHAR"
    types["prediction"] = f"{one}[]" if plan.multiple else one
    types["probability"] = "DOUBLE"
    if plan.score:
        types["score"] = "DOUBLE"
    if plan.classes:
        types["probabilities"] = dict.fromkeys(plan.classes, "DOUBLE")
    if plan.scored:
        types["scores"] = dict.fromkeys(plan.scored, "DOUBLE")
    if plan.outputs:
        types["outputs"] = dict.fromkeys(plan.outputs, one)
    types["error"] = "VARCHAR"
    return types


class OutputFile:
    """The output file of one chunk."""

    def __init__(self, plan: JobPlan) -> None:
        self._plan = plan
        self._types = output_types(plan)
        self._columns: dict[str, list[Any]] = {name: [] for name in self._types}
        self.rows = 0
        self.versions: Counter[str] = Counter()
        """Rows predicted by each version."""

    def add(
        self,
        rows: InputRows,
        places: Sequence[int],
        answers: Mapping[str, list[Any]],
        errors: RowErrors,
    ) -> None:
        """Append rows.

        Args:
            places: positions of the rows that the model was asked for.
            answers: the fields of their answers, see `answer_columns`.
            errors: of all rows that have no prediction.
        """
        n = len(rows)
        fields = {**self._entities(rows), **rows.others, "error": [None] * n}
        for name, column in answers.items():
            fields[name] = column if len(places) == n else [None] * n
            if len(places) < n:
                for place, value in zip(places, column, strict=True):
                    fields[name][place] = value
        for place, error in errors.items():
            fields["error"][place] = error.code
        for name, stored in self._columns.items():
            stored.extend(fields.get(name, [None] * n))
        self.rows += n
        self.versions.update(v for v in answers.get("version", ()) if v is not None)

    def encode(self) -> bytes:
        """The bytes of the file."""
        columns = self._columns
        columns["prediction"] = _cast(columns["prediction"], self._plan)
        if self._plan.output_format == "jsonl":
            return _json_lines(
                {name: value for name, value in zip(columns, row, strict=True) if value is not None}
                for row in zip(*columns.values(), strict=True)
            )
        from neuralstream_core.serving.batch.parquet import write_parquet

        return write_parquet(columns, self._types)

    def _entities(self, rows: InputRows) -> dict[str, list[Any]]:
        names = _entity_names(self._plan)
        if len(names) == 1:
            return {names[0]: rows.entities}
        return {
            name: [None if entity is None else entity[at] for entity in rows.entities]
            for at, name in enumerate(names)
        }


class ErrorFile:
    """The errors file of one chunk, JSON lines: ``{"line","entity_id"?,"code","reason"}``."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self.reasons: Counter[str] = Counter()
        """Failed rows by error code."""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, rows: InputRows, errors: RowErrors) -> None:
        """Append the failed rows of ``rows``."""
        for at in sorted(errors):
            entity, error = rows.entities[at], errors[at]
            named = {} if entity is None else {"entity_id": entity}
            self._entries.append(
                {"line": int(rows.lines[at]), **named, "code": error.code, "reason": error.detail}
            )
            self.reasons[error.code] += 1

    def encode(self) -> bytes:
        """The bytes of the file."""
        return _json_lines(self._entries)


def _entity_names(plan: JobPlan) -> tuple[str, ...]:
    return plan.keys if len(plan.keys) > 1 else ("entity_id",)


def _cast(predictions: list[Any], plan: JobPlan) -> list[Any]:
    """Predictions in the column's type: versions of one job may answer numbers and text."""
    cast = _CASTS[plan.prediction]
    if plan.multiple:
        return [
            None
            if value is None
            else [cast(v) for v in (value if isinstance(value, list) else [value])]
            for value in predictions
        ]
    return [None if value is None else cast(value) for value in predictions]


def _json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(to_json(row) + b"\n" for row in rows)
