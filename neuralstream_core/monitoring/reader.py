"""Counters read back from Redis, and from the archive where Redis no longer has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import numpy as np

from neuralstream_core.errors import Unavailable
from neuralstream_core.monitoring import layout
from neuralstream_core.monitoring.latency import BITS
from neuralstream_core.monitoring.layout import COUNTERS, COUNTERS_AT, LATENCY_BUCKETS, U32_MAX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.monitoring.layout import Slice, Window
    from neuralstream_core.monitoring.profile import Profile
    from neuralstream_core.redis.port import Command, RedisPort

__all__ = ["ArchivedHours", "CounterReader", "Counts", "ServiceCounts", "StoredCounters"]

_KEYS_PER_FLIGHT: Final = 200
_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class StoredCounters:
    """The counters of one version in one slice of time, as Redis holds them.

    Attributes:
        errors: the hash of failures.
        series: strings by the first 16 digits of the profile's digest.
    """

    service: bytes = b""
    errors: Mapping[bytes, bytes] = field(default_factory=dict)
    series: dict[str, bytes] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        """How much was counted: of two copies of a closed hour the one with more is complete."""
        requests = int.from_bytes(self.service[-4:], "big")
        strings = (np.frombuffer(data, ">u4", len(data) // 4) for data in self.series.values())
        return requests + sum(int(slots.sum(dtype=np.int64)) for slots in strings)


class ArchivedHours(Protocol):
    """Hours kept outside Redis."""

    def hours(self, model: str, version: str, hours: Iterable[int]) -> Mapping[int, StoredCounters]:
        """Those of ``hours`` that were archived."""


@dataclass(slots=True)
class ServiceCounts:
    """What a version did, whatever its rows looked like.

    Attributes:
        latency: int64 ``(LATENCY_BUCKETS,)``.
        counters: by name in `layout.COUNTERS`.
        request_errors: failed API calls by code.
        further_rows: the rows those calls asked for beyond one each, by code.
        row_errors: failed rows of answered batches, by code.
        saturated: some counter has reached its ceiling.
    """

    latency: NDArray[np.int64] = field(default_factory=lambda: np.zeros(LATENCY_BUCKETS, np.int64))
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    request_errors: dict[str, int] = field(default_factory=dict)
    further_rows: dict[str, int] = field(default_factory=dict)
    row_errors: dict[str, int] = field(default_factory=dict)
    saturated: bool = False

    def add(self, stored: StoredCounters) -> None:
        """Add the counts of one slice."""
        for key, text in stored.errors.items():
            kind, _, code = key.decode().partition(":")
            into = {"r": self.request_errors, "x": self.further_rows}.get(kind, self.row_errors)
            into[code] = into.get(code, 0) + int(text)
        if not stored.service:
            return
        data = stored.service.ljust(layout.SERVICE_BYTES, b"\0")
        bits = np.unpackbits(np.frombuffer(data, np.uint8, count=4 * COUNTERS_AT))
        fields = bits[: LATENCY_BUCKETS * BITS].reshape(LATENCY_BUCKETS, BITS)
        buckets = fields @ (1 << np.arange(BITS - 1, -1, -1, dtype=np.int64))
        self.latency += buckets
        values = np.frombuffer(data, ">u4", offset=4 * COUNTERS_AT, count=len(COUNTERS)).tolist()
        for name, value in zip(COUNTERS, values, strict=True):
            self.counters[name] += value
        self.saturated |= bool(buckets.max() == 2**BITS - 1) or max(values) == U32_MAX

    def failed_rows(self) -> dict[str, int]:
        """Rows that got no answer, by code: each of a failed call, and the failed ones of a batch."""
        found: dict[str, int] = {}
        for counts in (self.request_errors, self.further_rows, self.row_errors):
            for code, k in counts.items():
                found[code] = found.get(code, 0) + k
        return found


@dataclass(slots=True)
class Counts:
    """What one version did in one window.

    Attributes:
        series: int64 slots by profile digest.
        saturated: digests, and ``"service"``, with a counter that has reached its ceiling.
    """

    service: ServiceCounts
    series: dict[str, NDArray[np.int64]]
    saturated: set[str]

    @classmethod
    def of(cls, stored: Iterable[StoredCounters], profiles: Sequence[Profile]) -> Counts:
        """The sum of several slices under each of ``profiles``."""
        found = cls(
            ServiceCounts(), {p.digest: np.zeros(p.size, np.int64) for p in profiles}, set()
        )
        for one in stored:
            found.service.add(one)
            for profile in profiles:
                if data := one.series.get(profile.digest[:16]):
                    slots = np.frombuffer(data.ljust(4 * profile.size, b"\0"), ">u4", profile.size)
                    found.series[profile.digest] += slots
                    if (slots == U32_MAX).any():
                        found.saturated.add(profile.digest)
        if found.service.saturated:
            found.saturated.add("service")
        return found

    def rows(self) -> int:
        """Answered rows, under whichever profile they were counted."""
        return sum(int(slots[-1]) for slots in self.series.values())


class CounterReader:
    """Reads what `recorder` wrote.

    Raises (every method):
        Unavailable: Redis or the archive cannot be reached.
    """

    def __init__(
        self, port: RedisPort, namespace: str, archive: ArchivedHours | None = None
    ) -> None:
        self._port = port
        self._namespace = namespace
        self._archive = archive

    def active(self, window: Window) -> dict[tuple[str, str], set[str]]:
        """Each ``(model, version)`` with counters in Redis in these hours, and under which profiles."""
        commands: list[Command] = [
            (b"SMEMBERS", layout.index_key(self._namespace, hour)) for hour in window.hours
        ]
        found: dict[tuple[str, str], set[str]] = {}
        for members in self._lists(commands):
            for member in members:
                model, version, digest = member.decode().split(":")
                digests = found.setdefault((model, version), set())
                if digest:
                    digests.add(digest)
        return found

    def read(self, model: str, version: str, profiles: Sequence[Profile], window: Window) -> Counts:
        """All counts of a version in a window, under each of ``profiles``.

        An hour that Redis no longer has is taken from the archive.
        """
        stored = self.stored(model, version, [p.digest for p in profiles], window.slices)
        if self._archive is not None and not window.minutes:
            lacking = [hour for (hour, _), found in stored.items() if not found.weight]
            if lacking:
                for hour, archived in self._archive.hours(model, version, lacking).items():
                    stored[hour, None] = archived
        return Counts.of(stored.values(), profiles)

    def hourly(
        self, model: str, version: str, profiles: Sequence[Profile], hours: range
    ) -> dict[int, Counts]:
        """Counts of each hour by itself, from Redis alone."""
        slices: list[Slice] = [(hour, None) for hour in hours]
        stored = self.stored(model, version, [p.digest for p in profiles], slices)
        return {hour: Counts.of([found], profiles) for (hour, _), found in stored.items()}

    def stored(
        self, model: str, version: str, digests: Sequence[str], slices: Sequence[Slice]
    ) -> dict[Slice, StoredCounters]:
        """The stored counters of each slice, empty where there are none."""
        keys: list[bytes] = []
        commands: list[Command] = []
        for hour, minute in slices:
            where = (self._namespace, model, version, hour, minute)
            keys.append(layout.service_key(*where))
            keys += [layout.series_key(*where, digest) for digest in digests]
            commands.append((b"HGETALL", layout.errors_key(*where)))
        strings = iter(_in_parts(keys, self._port.mget))
        found: dict[Slice, StoredCounters] = {}
        for at, fields in zip(slices, self._lists(commands), strict=True):
            service = next(strings) or b""
            series = {digest[:16]: next(strings) for digest in digests}
            found[at] = StoredCounters(
                service,
                dict(zip(fields[::2], fields[1::2], strict=True)),
                {digest: data for digest, data in series.items() if data},
            )
        return found

    def _lists(self, commands: Sequence[Command]) -> list[list[bytes]]:
        """Replies that are lists of strings."""
        found: list[list[bytes]] = []
        for reply in _in_parts(commands, self._port.flight):
            if not isinstance(reply, list):
                raise Unavailable(
                    f"the cache refused to read counters: {reply!r}", dependency="redis"
                )
            found.append([part for part in reply if isinstance(part, bytes)])
        return found


def _in_parts(
    items: Sequence[_Item], send: Callable[[Sequence[_Item]], Sequence[_Answer]]
) -> list[_Answer]:
    """All replies, asked for in flights of bounded size."""
    found: list[_Answer] = []
    for i in range(0, len(items), _KEYS_PER_FLIGHT):
        found += send(items[i : i + _KEYS_PER_FLIGHT])
    return found
