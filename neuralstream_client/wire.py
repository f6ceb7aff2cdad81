"""Bodies and answers of the routes for many rows: the one place that knows their layout."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from neuralstream_client.call import encoded
from neuralstream_client.tables import ABSENT
from neuralstream_client.writing import MAX_ROWS, Chunk, WritePlan

__all__ = [
    "MAX_WRITE_BYTES",
    "ReadPart",
    "read_body",
    "read_part",
    "refused_row",
    "rows_per_request",
    "write_body",
]

MAX_WRITE_BYTES: Final = 3_000_000
"""A write of this size always fits; a larger one depends on how its characters are escaped."""

_SAMPLE: Final = 100

_PLACE: Final = re.compile(r"^(?:body\.)?rows\.(\d+)\.?(?:features\.)?(.*)$")


@dataclass(frozen=True, slots=True)
class ReadPart:
    """Features of some entities of one view.

    Args:
        entity_ids: as the stack writes them.
        columns: values by feature.
        status: by feature, the status of each row whose value is not present.
        event_timestamps: newest event time of each row among these features, ISO 8601.
    """

    entity_ids: list[Any]
    columns: dict[str, list[Any]]
    status: dict[str, dict[int, str]]
    event_timestamps: list[str | None]


def write_body(view: str, chunk: Chunk) -> bytes:
    """Body of ``POST /features/write``."""
    names = list(chunk.columns)
    cells = zip(*chunk.columns.values(), strict=True)
    rows: list[dict[str, Any]] = [
        {"entity_id": entity_id, "features": dict(zip(names, values, strict=True))}
        for entity_id, values in zip(chunk.entity_ids, cells, strict=True)
    ]
    if any(ABSENT in values for values in chunk.columns.values()):
        for row in rows:
            row["features"] = {k: v for k, v in row["features"].items() if v is not ABSENT}
    if chunk.event_timestamps is not None:
        for row, moment in zip(rows, chunk.event_timestamps, strict=True):
            row["event_timestamp"] = moment
    return encoded({"feature_view": view, "rows": rows})


def rows_per_request(view: str, plan: WritePlan) -> int:
    """How many rows fit into one request, judged by the first hundred."""
    sample = next(plan.chunks(_SAMPLE), None)
    if sample is None:
        return MAX_ROWS
    fitting = MAX_WRITE_BYTES * len(sample.rows) // len(write_body(view, sample))
    return max(1, min(MAX_ROWS, fitting * 9 // 10))


def refused_row(loc: str) -> tuple[int, str] | None:
    """Row of the request, from 0, and what of it is wrong; ``None`` if the place names no row."""
    if (found := _PLACE.match(loc)) is None:
        return None
    return int(found[1]), found[2] or "row"


def read_body(view: str, entity_ids: Sequence[Any], features: Sequence[str] | None) -> bytes:
    """Body of ``POST /features/batch``."""
    body: dict[str, Any] = {"feature_view": view, "entity_ids": entity_ids}
    if features is not None:
        body["features"] = features
    return encoded(body)


def read_part(answer: Mapping[str, Any]) -> ReadPart:
    """The answer of ``POST /features/batch``."""
    results: Sequence[Mapping[str, Any]] = answer["results"]
    names = list(results[0]["features"]) if results else []
    status: dict[str, dict[int, str]] = {name: {} for name in names}
    for row, result in enumerate(results):
        for name, said in result["status"].items():
            status[name][row] = said
    return ReadPart(
        [result["entity_id"] for result in results],
        {name: [result["features"][name] for result in results] for name in names},
        {name: cells for name, cells in status.items() if cells},
        [result["event_timestamp"] for result in results],
    )
