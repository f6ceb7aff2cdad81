"""Which minutes or hours a report covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from neuralstream_core.errors import Invalid
from neuralstream_core.monitoring.layout import HOUR, MINUTE, MINUTE_SECONDS
from neuralstream_core.time import Micros, to_micros

__all__ = [
    "NAMED",
    "Slice",
    "Window",
    "last_hours",
    "named_window",
    "requested_window",
    "window_between",
]

NAMED: Final = {"15m": 15 * MINUTE, "1h": HOUR, "24h": 24 * HOUR, "7d": 7 * 24 * HOUR}
MAX_HOURS: Final = 93 * 24
"""Hours a report may cover: a quarter."""

Slice: TypeAlias = tuple[int, int | None]
"""Hour since the epoch, and the minute in it or ``None`` for the whole hour."""


@dataclass(frozen=True, slots=True)
class Window:
    """``[start, end)`` in microseconds, always whole minutes or whole hours except for ``end``."""

    start: Micros
    end: Micros
    minutes: bool
    """Read from minute counters; otherwise from hour counters."""

    @property
    def slices(self) -> Sequence[Slice]:
        """The counters that make up the window."""
        if self.minutes:
            first, last = self.start // MINUTE, -(-self.end // MINUTE)
            return [(minute // 60, minute % 60) for minute in range(first, last)]
        return [(hour, None) for hour in range(self.start // HOUR, -(-self.end // HOUR))]

    @property
    def hours(self) -> range:
        """The hours it touches."""
        return range(self.start // HOUR, -(-self.end // HOUR))


def named_window(name: str, now: Micros) -> Window:
    """``15m``, ``1h``, ``24h`` or ``7d`` up to now; its start is rounded down to a whole minute or hour.

    Raises:
        Invalid: another name.
    """
    length = NAMED.get(name)
    if length is None:
        raise Invalid.at("query.window", f"must be one of {', '.join(NAMED)}")
    minutes = length <= HOUR
    unit = MINUTE if minutes else HOUR
    return Window((now - length) // unit * unit, now, minutes)


def window_between(start: Micros, end: Micros, now: Micros) -> Window:
    """A window of the caller's own, widened to whole minutes (the last three hours) or hours.

    Raises:
        Invalid: it ends before it starts, begins in the future or is longer than `MAX_HOURS`.
    """
    if end <= start:
        raise Invalid.at("query.end", "must be later than start")
    if start > now:
        raise Invalid.at("query.start", "is in the future")
    if end - start > MAX_HOURS * HOUR:
        raise Invalid.at("query.start", f"a window has at most {MAX_HOURS // 24} days")
    kept = now - MINUTE_SECONDS * 1_000_000 + 2 * MINUTE
    minutes = start >= kept
    unit = MINUTE if minutes else HOUR
    return Window(start // unit * unit, min(-(-end // unit) * unit, now), minutes)


def requested_window(
    name: str | None, start: datetime | None, end: datetime | None, now: Micros
) -> Window:
    """The window of a request: a named one up to now (``1h`` unless given), or one with its own start.

    Raises:
        Invalid: a name and a start, an end without a start, or a window that cannot be.
    """
    if start is None:
        if end is not None:
            raise Invalid.at("query.start", "is needed with end")
        return named_window(name or "1h", now)
    if name is not None:
        raise Invalid.at("query.window", "cannot be combined with start")
    return window_between(to_micros(start), now if end is None else to_micros(end), now)


def last_hours(first: int, after: int) -> Window:
    """The whole hours ``[first, after)``."""
    return Window(first * HOUR, after * HOUR, minutes=False)
