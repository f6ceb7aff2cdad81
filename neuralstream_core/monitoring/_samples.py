"""Rows as they are captured for a baseline: JSON arrays of values, prediction and probability."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from neuralstream_core.time import to_micros

if TYPE_CHECKING:
    from neuralstream_core.monitoring.observation import Observation, RowObservation

__all__ = ["MAX_CAPTURED", "sample_columns", "sample_row"]

MAX_CAPTURED: Final = 10_000
_MAX_A_FLIGHT: Final = 1000


def sample_row(seen: RowObservation) -> list[bytes]:
    """The one row; what is not present is ``null``."""
    values: Sequence[Any] = seen.values
    if seen.status is not None:
        values = [None if s else v for v, s in zip(values, seen.status, strict=True)]
    return [_encode([*values, seen.prediction, seen.score])]


def sample_columns(seen: Observation) -> list[bytes]:
    """At most the first thousand answered rows of a batch."""
    found: list[bytes] = []
    rows = range(seen.rows) if seen.answered is None else seen.answered.nonzero()[0].tolist()
    for answer, i in enumerate(rows[:_MAX_A_FLIGHT]):
        present = seen.status is None or seen.status[i]
        values = [
            column[i] if present is True or not present[place] else None
            for place, column in enumerate(seen.columns)
        ]
        score = None if seen.score is None else seen.score[answer]
        found.append(_encode([*values, seen.prediction[answer], score]))
    return found


def _encode(row: list[Any]) -> bytes:
    return json.dumps(row, default=_plain).encode()


def _plain(value: Any) -> Any:
    """numpy's scalars and arrays as Python's; a time as its microseconds."""
    if isinstance(value, datetime):
        return to_micros(value)
    return value.tolist()
