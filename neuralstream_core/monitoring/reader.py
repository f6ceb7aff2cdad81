"""Counters back out of Redis, and out of the archive where Redis no longer has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from neuralstream_core.errors import Unavailable
from neuralstream_core.monitoring import layout
from neuralstream_core.monitoring.layout import MINUTE, Service

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.monitoring.profile import Profile
    from neuralstream_core.monitoring.windows import Slice, Window
    from neuralstream_core.redis.port import Command, RedisPort

__all__ = ["ArchivedHours", "CounterReader", "Counts", "RawHour"]

_KEYS_A_FLIGHT: Final = 200
_TO_HOUR: Final = (*range(60), None)
"""The minutes of an hour and, after them, the hour itself."""


@dataclass(slots=True)
class RawHour:
    """The counters of one version in one slice of time, as Redis holds them.

    Attributes:
        series: strings by the first 16 digits of the profile's digest.
    """

    service: bytes = b""
    errors: Mapping[bytes, bytes] = field(default_factory=dict)
    series: dict[str, bytes] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        """How much was counted: the larger of two copies of a closed hour is the complete one."""
        requests = int.from_bytes(self.service[-4:], "big") if self.service else 0
        return requests + sum(layout.total(data) for data in self.series.values())


class ArchivedHours(Protocol):
    """Hours kept outside Redis."""

    def hours(self, model: str, version: str, hours: Iterable[int]) -> Mapping[int, RawHour]:
        """Those of ``hours`` that were archived."""


@dataclass(slots=True)
class Counts:
    """What one version did in one window.

    Attributes:
        series: int64 slots by profile digest.
        saturated: digests and ``"service"`` whose counters had reached their ceiling.
    """

    service: Service
    series: dict[str, NDArray[np.int64]]
    saturated: set[str]

    def rows(self) -> int:
        """Answered rows, under whichever profile they were counted."""
        return sum(int(slots[-1]) for slots in self.series.values())


class CounterReader:
    """Reads what `neuralstream_core.monitoring.recorder` wrote.

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
        hours = list(window.hours)
        found: dict[tuple[str, str], set[str]] = {}
        for i in range(0, len(hours), _KEYS_A_FLIGHT):
            commands: list[Command] = [
                (b"SMEMBERS", layout.index_key(self._namespace, hour))
                for hour in hours[i : i + _KEYS_A_FLIGHT]
            ]
            for reply in self._port.flight(commands):
                if not isinstance(reply, list):
                    raise _refused(reply)
                for member in reply:
                    if isinstance(member, bytes):
                        model, version, digest = member.decode().split(":")
                        digests = found.setdefault((model, version), set())
                        if digest:
                            digests.add(digest)
        return found

    def read(self, model: str, version: str, profiles: Sequence[Profile], window: Window) -> Counts:
        """All counts of a version in a window, under each of ``profiles``."""
        if window.minutes:
            return self._minutes(model, version, profiles, window)
        raws = self.raw(model, version, [p.digest for p in profiles], window.slices)
        if self._archive is not None:
            self._fill(model, version, raws)
        return _sum(raws.values(), profiles)

    def hourly(
        self, model: str, version: str, profiles: Sequence[Profile], hours: range
    ) -> dict[int, Counts]:
        """Counts of each hour by itself, from Redis alone."""
        slices: list[Slice] = [(hour, None) for hour in hours]
        raws = self.raw(model, version, [p.digest for p in profiles], slices)
        return {hour: _sum([raw], profiles) for (hour, _), raw in raws.items()}

    def raw(
        self, model: str, version: str, digests: Sequence[str], slices: Sequence[Slice]
    ) -> dict[Slice, RawHour]:
        """The stored strings of each slice, empty where there are none."""
        per_slice = 1 + len(digests)
        keys: list[bytes] = []
        hashes: list[Command] = []
        for hour, minute in slices:
            where = (self._namespace, model, version, hour, minute)
            keys.append(layout.service_key(*where))
            keys += [layout.series_key(*where, digest) for digest in digests]
            hashes.append((b"HGETALL", layout.errors_key(*where)))
        strings: list[bytes | None] = []
        for i in range(0, len(keys), _KEYS_A_FLIGHT):
            strings += self._port.mget(keys[i : i + _KEYS_A_FLIGHT])
        errors: list[object] = []
        for i in range(0, len(hashes), _KEYS_A_FLIGHT):
            errors += self._port.flight(hashes[i : i + _KEYS_A_FLIGHT])
        found: dict[Slice, RawHour] = {}
        for i, at in enumerate(slices):
            service, *series = strings[i * per_slice : (i + 1) * per_slice]
            found[at] = RawHour(
                service or b"",
                _pairs(errors[i]),
                {d[:16]: data for d, data in zip(digests, series, strict=True) if data},
            )
        return found

    def _minutes(
        self, model: str, version: str, profiles: Sequence[Profile], window: Window
    ) -> Counts:
        """Counts of whole minutes: by how much each hour's counters grew in them."""
        counts = _sum([], profiles)
        start, end = window.start // MINUTE, -(-window.end // MINUTE)
        hashes: list[Command] = []
        for hour in window.hours:
            first, after = max(start - 60 * hour, 0), min(end - 60 * hour, 60)
            where = (self._namespace, model, version, hour)
            hashes += [(b"HGETALL", layout.errors_key(*where, m)) for m in range(first, after)]
            service_keys = [layout.service_key(*where, m) for m in _TO_HOUR]
            series_keys = [
                [layout.series_key(*where, m, p.digest) for m in _TO_HOUR] for p in profiles
            ]
            grown = self._states([service_keys, *series_keys], first, after)
            before, now = Service(), Service()
            before.add_string(grown[0][0])
            now.add_string(grown[0][1])
            counts.service.add_growth(before, now)
            for profile, (old, new) in zip(profiles, grown[1:], strict=True):
                slots = layout.read_series(new, profile.size)
                if (slots == layout.U32_MAX).any():
                    counts.saturated.add(profile.digest)
                growth = slots - layout.read_series(old, profile.size)
                counts.series[profile.digest] += np.maximum(growth, 0)
        for i in range(0, len(hashes), _KEYS_A_FLIGHT):
            for reply in self._port.flight(hashes[i : i + _KEYS_A_FLIGHT]):
                counts.service.add_errors(_pairs(reply))
        if counts.service.saturated:
            counts.saturated.add("service")
        return counts

    def _states(
        self, chains: Sequence[Sequence[bytes]], first: int, after: int
    ) -> list[tuple[bytes, bytes]]:
        """Each string as the minute ``first`` of its hour found it and as it was before ``after``.

        A minute without requests has no copy, and neither had the next one with requests anything to
        add in between: the first copy from a minute on is that minute's. Without any, the hour's own
        string is it.

        Args:
            chains: of one string in one hour, the keys of its copies and last its own; the service
                string's first, then those of series.
        """
        commands: list[Command] = [(b"EXISTS", key) for chain in chains for key in chain[first:-1]]
        replies: list[object] = []
        for i in range(0, len(commands), _KEYS_A_FLIGHT):
            replies += self._port.flight(commands[i : i + _KEYS_A_FLIGHT])
        length = len(_TO_HOUR) - 1 - first
        keys: list[bytes] = []
        for i, chain in enumerate(chains):
            there = [*replies[i * length : (i + 1) * length], 1]
            if any(isinstance(reply, Exception) for reply in there):
                raise _refused(there)
            for at in (first, after):
                found = there.index(1, at - first)
                following = there.index(1, min(found + 1, length))
                keys += [chain[first + found], chain[first + following]]
        values = self._port.mget(keys)
        states: list[tuple[bytes, bytes]] = []
        for i in range(len(chains)):
            size = layout.total if i else _last
            new = _earlier(values[4 * i + 2], values[4 * i + 3], size) or b""
            # An hour begins with nothing; of minutes whose copy has gone just now nothing can be said.
            old = b"" if first == 0 else _earlier(values[4 * i], values[4 * i + 1], size)
            if old is None:
                old = new
            if 2 * size(new) < size(old):
                old = b""  # the hour's string was evicted in between and began anew
            states.append((old, new))
        return states

    def _fill(self, model: str, version: str, raws: dict[Slice, RawHour]) -> None:
        """Take the archive's copy of an hour where it holds more; an hour is never added up twice."""
        if self._archive is None:
            return
        lacking = [hour for (hour, _), raw in raws.items() if not raw.weight]
        if not lacking:
            return
        for hour, archived in self._archive.hours(model, version, lacking).items():
            if archived.weight > raws[hour, None].weight:
                raws[hour, None] = archived


def _sum(raws: Iterable[RawHour], profiles: Sequence[Profile]) -> Counts:
    counts = Counts(Service(), {p.digest: np.zeros(p.size, np.int64) for p in profiles}, set())
    for raw in raws:
        if raw.service:
            counts.service.add_string(raw.service)
        counts.service.add_errors(raw.errors)
        for profile in profiles:
            data = raw.series.get(profile.digest[:16])
            if data:
                slots = layout.read_series(data, profile.size)
                if (slots == layout.U32_MAX).any():
                    counts.saturated.add(profile.digest)
                counts.series[profile.digest] += slots
    if counts.service.saturated:
        counts.saturated.add("service")
    return counts


def _last(data: bytes) -> int:
    """The last counter of a service string, of requests: it grows with each of them."""
    return int.from_bytes(data[-4:], "big")


def _earlier(
    copy: bytes | None, following: bytes | None, size: Callable[[bytes], int]
) -> bytes | None:
    """The copy, or the following minute's where that was made first: by a process whose clock is ahead."""
    if copy is None or following is None:
        return copy
    # One that is far behind began anew after an eviction.
    return following if size(following) < size(copy) <= 2 * size(following) else copy


def _pairs(reply: object) -> dict[bytes, bytes]:
    if not isinstance(reply, list):
        raise _refused(reply)
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _refused(reply: object) -> Unavailable:
    return Unavailable(f"the cache refused to read counters: {reply}", dependency="redis")
