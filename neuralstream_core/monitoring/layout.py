"""Where counters are kept in Redis: keys, strings of bit fields, expiry, and the windows read from them.

Everything is counted twice: in the minute (kept 3 hours) and in the hour (kept 35 days) of the request. All
keys of one (namespace, model, version) and hour share a hash tag, so one request is one flight to one node
of a cluster. Each minute and each hour has

- a *service* string: the latency buckets of `latency`, then the u32 counters `COUNTERS`;
- a *series* string per profile: one u32 counter per slot of the profile, the last one counts answered rows;
- a hash of failures by error code, only where there were any: ``r:code`` failed calls, ``x:code`` the rows
  those calls asked for beyond one each, ``w:code`` failed rows of answered batches.

Each hour of a version whose predictions are logged also has the stream of the prediction log, the number of
bytes that wait in it, and the number of rows that it had no room for since that was last reported; see
`neuralstream_core.monitoring.prediction_log`.

A row refused after its features were looked up counts in the series of its features like an answered one,
but neither in the series of the prediction nor as an answered row.

What creates a string writes its last counter, so Redis allocates it in its full length. An hour takes at most
5,080 bytes of service string, and about 2,250 of series string for 20 scalar features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from pydantic import AwareDatetime, Field

from neuralstream_core.errors import Invalid
from neuralstream_core.monitoring.latency import BITS, SCALES
from neuralstream_core.time import Micros, from_micros, to_micros
from neuralstream_core.types import Record

MINUTE: Final = 60_000_000
HOUR: Final = 3_600_000_000
"""Microseconds."""
MINUTE_SECONDS: Final = 3 * 3600 + 120
"""How long the counters of a minute are kept."""
HOUR_SECONDS: Final = 35 * 86400
"""How long the counters of an hour are kept."""

NO_VERSION: Final = "-"
"""Version under which a failure is counted that came before a version was chosen."""
SHADOW: Final = "~"
"""Behind the name of a version under which its predictions as a shadow are counted: ``v2~``. So they are in
no report of what the version answered, nor in the traffic that a split is held against."""
U32_MAX: Final = 2**32 - 1
"""Value of a saturated counter."""

LATENCY_BUCKETS: Final = sum(scale.size for scale in SCALES)
COUNTERS: Final = (
    "cold",
    "stale_routing",
    "pinned",
    "lost",
    "failed_rows",
    "failed",
    "requests",
    "logged",
    "overflowed",
)
"""u32 counters behind the latency buckets. ``pinned``: answered rows whose version the caller chose;
``requests``: API calls, ``failed`` ones included; ``lost``: calls that could not be recorded in time;
``logged``: rows given to the prediction log; ``overflowed``: rows that it had no room for. A new one goes
to the end, so that two releases can count in one string."""
COUNTERS_AT: Final = -(-LATENCY_BUCKETS * BITS // 32)
"""Index of the first counter, in units of 32 bits."""
SERVICE_BYTES: Final = 4 * (COUNTERS_AT + len(COUNTERS))
REQUESTS_AT: Final = 4 * (COUNTERS_AT + COUNTERS.index("requests"))
"""Byte of the counter that every request writes."""

NAMED: Final = {"15m": 15 * MINUTE, "1h": HOUR, "24h": 24 * HOUR, "7d": 7 * 24 * HOUR}
MAX_HOURS: Final = 93 * 24
"""Longest window of a report: a quarter."""

Slice: TypeAlias = tuple[int, int | None]
"""Hour since the epoch, and the minute within it or ``None`` for the whole hour."""


def _tag(namespace: str, model: str, version: str, hour: int) -> str:
    """The hash tag; unambiguous because names contain neither braces nor colons."""
    return f"{{{namespace}:m:{model}:{version}:{hour}}}"


def service_key(namespace: str, model: str, version: str, hour: int, minute: int | None) -> bytes:
    """``hour``: since the epoch; ``minute``: within it, or ``None`` for the whole hour."""
    return f"{_tag(namespace, model, version, hour)}s{_suffix(minute)}".encode()


def series_key(
    namespace: str, model: str, version: str, hour: int, minute: int | None, digest: str
) -> bytes:
    """Counters of the profile ``digest``."""
    return f"{_tag(namespace, model, version, hour)}d{_suffix(minute)}:{digest[:16]}".encode()


def errors_key(namespace: str, model: str, version: str, hour: int, minute: int | None) -> bytes:
    """Failures by code."""
    return f"{_tag(namespace, model, version, hour)}e{_suffix(minute)}".encode()


def log_key(namespace: str, model: str, version: str, hour: int) -> bytes:
    """Stream of the prediction log."""
    return f"{_tag(namespace, model, version, hour)}p".encode()


def log_bytes_key(namespace: str, model: str, version: str, hour: int) -> bytes:
    """Bytes that wait in the stream."""
    return f"{_tag(namespace, model, version, hour)}pb".encode()


def log_overflow_key(namespace: str, model: str, version: str, hour: int) -> bytes:
    """Rows that the stream had no room for and that no metric has told of yet."""
    return f"{_tag(namespace, model, version, hour)}po".encode()


def index_key(namespace: str, hour: int) -> bytes:
    """Set of ``model:version:digest`` with counters in an hour."""
    return f"{{{namespace}:m:{hour}}}x".encode()


def capture_key(namespace: str, model: str, version: str) -> bytes:
    """List of rows that are to become a baseline (`baseline`)."""
    return f"{{{namespace}:m:{model}:{version}:}}c".encode()


def _suffix(minute: int | None) -> str:
    # With a dot: older releases kept something else under the two digits alone.
    return "" if minute is None else f".{minute:02d}"


class Span(Record):
    """``[start, end)``; start is a whole minute or hour."""

    start: AwareDatetime = Field(description="first moment of the window, UTC")
    end: AwareDatetime = Field(description="first moment after the window, UTC")


@dataclass(frozen=True, slots=True)
class Window:
    """``[start, end)`` in microseconds; ``start`` is a whole minute or hour."""

    start: Micros
    end: Micros
    minutes: bool
    """Read from the counters of minutes; otherwise from those of hours."""

    @property
    def slices(self) -> Sequence[Slice]:
        """The minutes or hours that make up the window."""
        if not self.minutes:
            return [(hour, None) for hour in self.hours]
        first, last = self.start // MINUTE, -(-self.end // MINUTE)
        return [divmod(minute, 60) for minute in range(first, last)]

    @property
    def hours(self) -> range:
        """The hours it touches."""
        return range(self.start // HOUR, -(-self.end // HOUR))

    def span(self) -> Span:
        """The window as an answer shows it."""
        return Span(start=from_micros(self.start), end=from_micros(self.end))


def named_window(name: str, now: Micros) -> Window:
    """``15m``, ``1h``, ``24h`` or ``7d`` up to now, the start rounded down to a whole minute or hour.

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
