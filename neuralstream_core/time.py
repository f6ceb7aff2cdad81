"""Time as NeuralStream keeps it: whole microseconds since the Unix epoch, UTC.

Integers compare exactly, fit a Redis string in eight bytes and keep what a float would round.
"""

from __future__ import annotations

import time as _time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

__all__ = ["EPOCH", "Clock", "Micros", "from_micros", "iso", "system_clock", "to_micros"]

Micros: TypeAlias = int
Clock: TypeAlias = Callable[[], Micros]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def system_clock() -> Micros:
    """Now, in microseconds since the epoch."""
    return _time.time_ns() // 1000


def to_micros(moment: datetime) -> Micros:
    """Exact microseconds of an aware ``datetime``.

    Raises:
        ValueError: ``moment`` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone is ambiguous; add Z or an offset")
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: Micros) -> datetime:
    """The aware UTC ``datetime`` of ``micros``."""
    return EPOCH + timedelta(microseconds=micros)


def iso(micros: Micros) -> str:
    """ISO 8601 in UTC with ``Z``; the fraction appears only when there is one."""
    return from_micros(micros).isoformat().replace("+00:00", "Z")
