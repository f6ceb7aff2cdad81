"""Bodies and answers of the routes for many rows: the one place that knows their layout."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from neuralstream_client.call import encoded
from neuralstream_client.tables import ABSENT
from neuralstream_client.writing import MAX_ROWS, Chunk, WritePlan

__all__ = [
    "MAX_WRITE_BYTES",
    "PredictedPart",
    "ReadPart",
    "RowError",
    "moment",
    "path_entity",
    "predict_body",
    "predicted_part",
    "read_body",
    "read_part",
    "refused_row",
    "rows_per_request",
    "write_body",
]

MAX_WRITE_BYTES: Final = 3_000_000
"""A write of this size always fits; a larger one depends on how its characters are escaped."""

_SAMPLE: Final = 100

_OF_A_ROW: Final = re.compile(r"^(?:body\.)?rows\.(\d+)\.?(?:features\.)?(.*)$")
_OF_A_COLUMN: Final = re.compile(r"^(?:body\.)?columns\.([^\[]+)\[(\d+)\]")
_OF_A_LIST: Final = re.compile(r"^(?:body\.)?(entity_id|event_timestamp)s?\.(\d+)\b")


def path_entity(entity: Any) -> str:
    r"""An entity in a path: an id as it is; parts of a composite one joined with ``,``, in which ``\``
    escapes ``,`` and ``\``.
    """
    if isinstance(entity, (str, int)):
        return str(entity)
    parts = [str(part).replace("\\", "\\\\").replace(",", "\\,") for part in entity]
    return ",".join(parts)


@dataclass(frozen=True, slots=True)
class ReadPart:
    """Features of some entities of one view.

    Args:
        columns: values by feature.
        status: by feature, the status of each row whose value is not present.
        event_timestamps: newest event time of each row among these features, ISO 8601, if asked for.
    """

    columns: dict[str, list[Any]]
    status: dict[str, dict[int, str]]
    event_timestamps: list[str | None]


@dataclass(frozen=True, slots=True)
class RowError:
    """Why one row has no prediction.

    Args:
        row: its number, from 0.
        code: such as ``missing_features``.
        detail: one sentence.
    """

    row: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class PredictedPart:
    """Predictions for some entities.

    Args:
        columns: values by field; of ``probabilities``, ``scores`` and ``outputs`` one for each name,
            such as ``probabilities.yes``.
        errors: rows without a prediction.
    """

    columns: dict[str, list[Any]]
    errors: list[RowError]


def write_body(view: str, chunk: Chunk) -> bytes:
    """Body of ``POST /features/write``: columns, or rows where one leaves a feature out."""
    if chunk.ragged and any(ABSENT in values for values in chunk.columns.values()):
        return encoded({"feature_view": view, "rows": _rows(chunk)})
    body = {
        "feature_view": view,
        "layout": "columns",
        "entity_ids": chunk.entity_ids,
        "columns": chunk.columns,
    }
    if chunk.event_timestamps is not None:
        body["event_timestamp"] = chunk.event_timestamps
    return encoded(body)


def _rows(chunk: Chunk) -> list[dict[str, Any]]:
    names = list(chunk.columns)
    cells = zip(*chunk.columns.values(), strict=True)
    rows: list[dict[str, Any]] = [
        {
            "entity_id": entity_id,
            "features": {n: v for n, v in zip(names, values, strict=True) if v is not ABSENT},
        }
        for entity_id, values in zip(chunk.entity_ids, cells, strict=True)
    ]
    if chunk.event_timestamps is not None:
        for row, moment in zip(rows, chunk.event_timestamps, strict=True):
            row["event_timestamp"] = moment
    return rows


def rows_per_request(view: str, plan: WritePlan) -> int:
    """How many rows fit into one request, judged by the first hundred."""
    sample = next(plan.chunks(_SAMPLE), None)
    if sample is None:
        return MAX_ROWS
    fitting = MAX_WRITE_BYTES * len(sample.rows) // len(write_body(view, sample))
    return max(1, min(MAX_ROWS, fitting * 9 // 10))


def refused_row(loc: str) -> tuple[int, str] | None:
    """Row of the request, from 0, and what of it is wrong; ``None`` if the place names no row."""
    if found := _OF_A_ROW.match(loc):
        return int(found[1]), found[2] or "row"
    if found := _OF_A_COLUMN.match(loc) or _OF_A_LIST.match(loc):
        return int(found[2]), found[1]
    return None


def read_body(
    view: str,
    entity_ids: Sequence[Any],
    features: Sequence[str] | None,
    *,
    event_timestamps: bool = False,
) -> bytes:
    """Body of ``POST /features/batch``."""
    body: dict[str, Any] = {
        "feature_view": view,
        "entity_ids": entity_ids,
        "layout": "columns",
        "event_timestamps": event_timestamps,
    }
    if features is not None:
        body["features"] = features
    return encoded(body)


def read_part(answer: Mapping[str, Any]) -> ReadPart:
    """The answer of ``POST /features/batch``."""
    status = {
        name: {row: said for said, rows in cells.items() for row in rows}
        for name, cells in answer["status"].items()
    }
    return ReadPart(answer["columns"], status, answer.get("event_timestamps") or [])


def predict_body(
    entity_ids: Sequence[Any],
    entities: Mapping[str, Sequence[Any]],
    features: Mapping[str, Sequence[Any]],
    options: Mapping[str, Any],
) -> bytes:
    """Body of ``POST /predict/{model}/batch`` for rows; options that are ``None`` are left out."""
    body: dict[str, Any] = {
        "entity_ids": entity_ids,
        "layout": "columns",
        **{name: value for name, value in options.items() if value is not None},
    }
    if entities:
        body["entities"] = entities
    if features:
        body["features"] = features
    return encoded(body)


def predicted_part(answer: Mapping[str, Any]) -> PredictedPart:
    """The answer of ``POST /predict/{model}/batch`` for rows."""
    columns: dict[str, list[Any]] = {}
    for name, values in answer["columns"].items():
        if isinstance(values, dict):
            columns |= {f"{name}.{inner}": of for inner, of in values.items()}
        elif values is not None:
            columns[name] = values
    errors = [
        RowError(row, found["code"], found["detail"])
        for found in answer["errors"]
        for row in found["rows"]
    ]
    return PredictedPart(columns, errors)


def moment(text: str | None) -> datetime | None:
    """A time of an answer."""
    return None if text is None else datetime.fromisoformat(text)
