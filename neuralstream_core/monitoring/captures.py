"""Rows as they are collected for a baseline (`adoption`): JSON arrays of values, prediction, probability."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from neuralstream_core.monitoring.observation import AnyObservation, RowObservation
from neuralstream_core.time import to_micros

__all__ = ["MAX_CAPTURED", "captured_rows"]

MAX_CAPTURED: Final = 10_000
_MAX_PER_FLIGHT: Final = 1000


def captured_rows(seen: AnyObservation) -> list[bytes]:
    """The answered rows, at most a thousand; cells that are not present are ``null``."""
    if isinstance(seen, RowObservation):
        status = seen.status or [0] * len(seen.values)
        cells = [None if s else v for v, s in zip(seen.values, status, strict=True)]
        return [_encode([*cells, seen.prediction, seen.score])]
    rows = range(seen.rows) if seen.answered is None else seen.answered.nonzero()[0].tolist()
    found: list[bytes] = []
    for answer, row in enumerate(rows[:_MAX_PER_FLIGHT]):
        cells = [
            None if seen.status is not None and seen.status[row, place] else column[row]
            for place, column in enumerate(seen.columns)
        ]
        score = None if seen.score is None else seen.score[answer]
        found.append(_encode([*cells, seen.prediction[answer], score]))
    return found


def _encode(row: list[Any]) -> bytes:
    return json.dumps(row, default=_plain).encode()


def _plain(value: Any) -> Any:
    """numpy's scalars and arrays as Python's; a time as its microseconds."""
    return to_micros(value) if isinstance(value, datetime) else value.tolist()
