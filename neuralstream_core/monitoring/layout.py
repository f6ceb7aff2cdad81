"""Where counters lie in Redis: keys, strings of bit fields, and how long they are kept.

For one (namespace, model, version) and hour, all keys share one hash tag, so recording a request is one
flight to one node of a cluster, and the next hour is on another. In each of the two granularities there are

- a *service* string (``s``): the latency buckets of `latency`, then u32 counters (`COUNTERS`);
- a *series* string (``d``) per profile: one u32 counter per slot of the profile, then the rows;
- a hash (``e``) of failures by error code, only where there were errors: ``r:code`` failed calls,
  ``x:code`` the rows those calls asked for beyond one each, ``w:code`` failed rows of answered batches.

A row that was refused after its features were looked up counts in the series of its features like an
answered one; only the last counter, of answered rows, and the predictions' series leave it out.

The last counter of a string is written by every update, so Redis allocates the string once, exactly.
Requests are counted to the hour alone. A minute's strings are copies of the hour's as they were when the
minute's first request came, before it was counted: between two of them lies what the minutes between
them counted (`reader`), and a request is counted once instead of twice. Failures by code, which are rare,
have hashes of the minute's own.

An hour's strings are at most 5,072 bytes and, for 20 scalar features, about 2,250.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from neuralstream_core.monitoring.latency import BITS, SCALES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "COUNTERS",
    "HOUR",
    "HOUR_SECONDS",
    "LATENCY_BUCKETS",
    "MINUTE",
    "MINUTE_SECONDS",
    "NO_VERSION",
    "SERVICE_BYTES",
    "U32_MAX",
    "Service",
    "capture_key",
    "errors_key",
    "index_key",
    "read_series",
    "series_key",
    "service_key",
    "total",
]

MINUTE: Final = 60_000_000
HOUR: Final = 3_600_000_000
"""Microseconds."""
MINUTE_SECONDS: Final = 3 * 3600 + 120
"""How long a minute's counters are kept."""
HOUR_SECONDS: Final = 35 * 86400
"""How long an hour's counters are kept."""

NO_VERSION: Final = "-"
"""Version under which a failure is counted that came before a version was chosen."""
U32_MAX: Final = 2**32 - 1
LATENCY_MAX: Final = 2**BITS - 1

LATENCY_BUCKETS: Final = sum(scale.size for scale in SCALES)
COUNTERS: Final = (
    "cold",
    "stale_routing",
    "pinned",
    "lost",
    "failed_rows",
    "failed",
    "requests",
)
"""u32 counters behind the latency buckets. ``pinned``: answered rows whose version the caller chose;
``requests``: all API calls, ``failed`` ones included; ``lost``: calls that could not be recorded when
they happened. The answered rows themselves are the last counter of the series strings."""
COUNTERS_AT: Final = -(-LATENCY_BUCKETS * BITS // 32)
"""Index of the first counter, in units of 32 bits."""
SERVICE_BYTES: Final = 4 * (COUNTERS_AT + len(COUNTERS))


def tag(namespace: str, model: str, version: str, hour: int) -> str:
    """The hash tag: names hold no braces and no colons, so it cannot be ambiguous."""
    return f"{{{namespace}:m:{model}:{version}:{hour}}}"


def service_key(namespace: str, model: str, version: str, hour: int, minute: int | None) -> bytes:
    """``hour``: hours since the epoch; ``minute``: within it, or ``None`` for the hour's own."""
    return f"{tag(namespace, model, version, hour)}s{_suffix(minute)}".encode()


def series_key(
    namespace: str, model: str, version: str, hour: int, minute: int | None, digest: str
) -> bytes:
    """Counters of the profile ``digest``."""
    return f"{tag(namespace, model, version, hour)}d{_suffix(minute)}:{digest[:16]}".encode()


def errors_key(namespace: str, model: str, version: str, hour: int, minute: int | None) -> bytes:
    """Failures by code."""
    return f"{tag(namespace, model, version, hour)}e{_suffix(minute)}".encode()


def index_key(namespace: str, hour: int) -> bytes:
    """Set of ``model:version:digest`` with counters in an hour."""
    return f"{{{namespace}:m:{hour}}}x".encode()


def capture_key(namespace: str, model: str, version: str) -> bytes:
    """List of rows that are to become a baseline (`adoption`)."""
    return f"{{{namespace}:m:{model}:{version}:}}c".encode()


def _suffix(minute: int | None) -> str:
    return "" if minute is None else f"{minute:02d}"


@dataclass
class Service:
    """Decoded service counters; adding two is adding their counts.

    Attributes:
        latency: int64 ``(LATENCY_BUCKETS,)``.
        counters: by name in `COUNTERS`.
        request_errors: failed API calls by code; ``further_rows``: the rows that those calls asked
            for beyond one each; ``row_errors``: failed rows of answered batches by code.
        saturated: some counter had reached its ceiling.
    """

    latency: NDArray[np.int64] = field(default_factory=lambda: np.zeros(LATENCY_BUCKETS, np.int64))
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    request_errors: dict[str, int] = field(default_factory=dict)
    further_rows: dict[str, int] = field(default_factory=dict)
    row_errors: dict[str, int] = field(default_factory=dict)
    saturated: bool = False

    def add_string(self, data: bytes) -> None:
        """Add the counts of one service string."""
        data = data.ljust(SERVICE_BYTES, b"\0")
        bits = np.unpackbits(np.frombuffer(data, np.uint8, count=4 * COUNTERS_AT))
        fields = bits[: LATENCY_BUCKETS * BITS].reshape(LATENCY_BUCKETS, BITS)
        buckets = fields @ (1 << np.arange(BITS - 1, -1, -1, dtype=np.int64))
        self.latency += buckets
        values = np.frombuffer(data, ">u4", offset=4 * COUNTERS_AT, count=len(COUNTERS))
        for name, value in zip(COUNTERS, values.tolist(), strict=True):
            self.counters[name] += value
        self.saturated |= bool((buckets == LATENCY_MAX).any() or (values == U32_MAX).any())

    def add_errors(self, fields: Mapping[bytes, bytes]) -> None:
        """Add one hash of failures."""
        for name, value in fields.items():
            kind, _, code = name.decode().partition(":")
            into = {"r": self.request_errors, "x": self.further_rows}.get(kind, self.row_errors)
            into[code] = into.get(code, 0) + int(value)

    def failed_rows(self) -> dict[str, int]:
        """Rows that got no answer, by code: each of a failed call, and the failed ones of a batch."""
        found: dict[str, int] = {}
        for counts in (self.request_errors, self.further_rows, self.row_errors):
            for code, k in counts.items():
                found[code] = found.get(code, 0) + k
        return found

    def add_growth(self, before: Service, after: Service) -> None:
        """Add what was counted between two states of one string; ``before`` may be the newer one
        by the seconds that two processes' clocks differ, and then nothing was."""
        self.latency += np.maximum(after.latency - before.latency, 0)
        for name, value in after.counters.items():
            self.counters[name] += max(value - before.counters[name], 0)
        self.saturated |= after.saturated

    def add(self, other: Service) -> None:
        self.latency += other.latency
        for name, value in other.counters.items():
            self.counters[name] += value
        for mine, theirs in (
            (self.request_errors, other.request_errors),
            (self.further_rows, other.further_rows),
            (self.row_errors, other.row_errors),
        ):
            for code, k in theirs.items():
                mine[code] = mine.get(code, 0) + k
        self.saturated |= other.saturated


def total(data: bytes) -> int:
    """Everything counted in a series string: each update adds to it, whether a row was answered or not."""
    return int(np.frombuffer(data, ">u4", count=len(data) // 4).sum(dtype=np.int64))


def read_series(data: bytes, size: int) -> NDArray[np.int64]:
    """Slots of one series string: int64 ``(size,)``; `U32_MAX` means saturated."""
    return np.frombuffer(data.ljust(4 * size, b"\0"), ">u4", count=size).astype(np.int64)
