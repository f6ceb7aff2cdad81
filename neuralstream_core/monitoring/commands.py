"""The Redis commands that count one request of a version."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from neuralstream_core.errors import Unavailable
from neuralstream_core.monitoring import layout
from neuralstream_core.monitoring.latency import BITS, SCALES
from neuralstream_core.monitoring.observation import AnyObservation, RowObservation
from neuralstream_core.monitoring.prediction_log import LogStream
from neuralstream_core.redis.packing import Arguments
from neuralstream_core.time import to_micros

if TYPE_CHECKING:
    from neuralstream_core.redis.port import Command, Packed, RedisPort, Reply

__all__ = [
    "Counting",
    "Failures",
    "Increments",
    "MinuteCounters",
    "counters",
    "failures",
    "increments",
    "ones",
    "request_counters",
    "send",
]


@dataclass(frozen=True, slots=True)
class Increment:
    """``INCRBY type #place amount`` of ``BITFIELD``; ``wire``: these four arguments."""

    amount: int
    wire: bytes


Increments: TypeAlias = list[Increment]
Failures: TypeAlias = list[tuple[bytes, int]]
"""Fields of a hash of failures, and what to add to each."""

MAX_CAPTURED: Final = 10_000
_MAX_PER_FLIGHT: Final = 1000
_MAX_CODE: Final = 64
_COUNTER_AT: Final = {name: layout.COUNTERS_AT + i for i, name in enumerate(layout.COUNTERS)}


def increments(amounts: Iterable[tuple[int, int]]) -> Increments:
    """Increments of u32 counters: place and amount."""
    return [_increment(32, place, k) for place, k in amounts]


@lru_cache(4096)
def _increment(width: int, place: int, k: int) -> Increment:
    return Increment(k, Arguments.of(b"INCRBY", b"u%d" % width, b"#%d" % place, b"%d" % k).wire)


_ONES: Final[list[Increment]] = []


def ones(places: Sequence[int]) -> Increments:
    """One more at each of these places."""
    try:
        return [_ONES[place] for place in places]
    except IndexError:
        _ONES[:] = [_increment(32, place, 1) for place in range(max(places) + 1)]
        return ones(places)


def counters(**amounts: int) -> Increments:
    """Increments of `layout.COUNTERS` by name."""
    return increments(
        (_COUNTER_AT[name], k) for name, k in amounts.items() if k or name == "requests"
    )


_WHOLE: Final = increments([(layout.COUNTERS_AT + len(layout.COUNTERS) - 1, 0)])
"""Adds nothing to the last counter of a service string, so that a new one has its whole length at once: Redis
doubles the memory of a string that grows, be it by four bytes."""


@lru_cache
def request_counters(*, cold: bool, stale_routing: bool, pinned: bool) -> Increments:
    """Increments for one answered request of one row; not to be changed."""
    return counters(cold=cold, stale_routing=stale_routing, pinned=pinned, requests=1)


@lru_cache(4096)
def _logged(logged: int, overflowed: int) -> Increments:
    return counters(logged=logged, overflowed=overflowed)


def latencies(timings: Sequence[float]) -> Increments:
    """One more in the latency bucket of each part; a part that the request did not have took 0 s."""
    found: Increments = []
    for scale, seconds in zip(SCALES, timings, strict=True):
        if seconds > 0:
            found.append(_timed(scale.first + scale.bucket(seconds)))
    return found


@cache
def _timed(place: int) -> Increment:
    """One more in a latency bucket; kept for all of them, which are less than two thousand."""
    return _increment(BITS, place, 1)


def failures(code: str, calls: int, rows: int) -> Failures:
    """``calls`` that failed with ``code`` and asked for ``rows`` rows together."""
    field = code[:_MAX_CODE].encode()
    found = [(b"r:" + field, calls)]
    return [*found, (b"x:" + field, rows - calls)] if rows > calls else found


def row_failures(errors: Mapping[str, int]) -> Failures:
    """Failed rows of an answered batch, by code."""
    return [(b"w:" + code[:_MAX_CODE].encode(), k) for code, k in errors.items()]


@dataclass(frozen=True, slots=True)
class _Bucket:
    """What is counted of one minute or hour, and how long it is kept.

    Attributes:
        strings: the keys of the service and the series string, each with the first arguments of the command
            that adds to it.
        errors: the key of the hash of failures.
        seconds: from the last renewal.
    """

    strings: dict[bytes, Arguments]
    errors: bytes
    seconds: int

    @classmethod
    def of(
        cls,
        namespace: str,
        model: str,
        version: str,
        hour: int,
        minute: int | None,
        digest: str,
        seconds: int,
    ) -> _Bucket:
        where = (namespace, model, version, hour, minute)
        keys = (layout.service_key(*where), layout.series_key(*where, digest))
        heads = {key: Arguments.of(b"BITFIELD", key, b"OVERFLOW", b"SAT") for key in keys}
        return cls(heads, layout.errors_key(*where), seconds)


class Counting(NamedTuple):
    """One request of one version on its way to Redis.

    Attributes:
        heard: to be given the replies to ``commands``; answers what is to be sent after them, nearly always
            nothing, and raises Unavailable when Redis refused one.
    """

    commands: list[Command | Packed]
    heard: Callable[[Sequence[Reply]], list[Command | Packed]]


def send(port: RedisPort, some: Sequence[Counting]) -> None:
    """Count requests: one flight, and a second one if strings turned out to be new.

    Raises:
        Unavailable: Redis cannot be reached or refused a command; of the second flight nothing is raised.
    """
    commands = some[0].commands if len(some) == 1 else [c for one in some for c in one.commands]
    replies = port.flight(commands, patient=False)
    start = 0
    later: list[Command | Packed] = []
    for one in some:
        end = start + len(one.commands)
        later += one.heard(replies[start:end])
        start = end
    if later:
        with suppress(Unavailable):  # the requests are counted; the next flight renews again
            port.flight(later, patient=False)


class MinuteCounters:
    """The counters of one version in one minute and its hour.

    Args:
        digest: of the profile under which rows are counted; empty where only failures are.
        number: the minute since the epoch.
        adoptable: the version has no baseline, so look whether its rows are collected (`baseline`).
        log: of the minute before, if that was in the same hour.
    """

    def __init__(
        self,
        namespace: str,
        model: str,
        version: str,
        digest: str,
        number: int,
        *,
        adoptable: bool,
        log: LogStream | None = None,
    ) -> None:
        hour, minute = divmod(number, 60)
        self.number = number
        of_minute = (namespace, model, version, hour, minute)
        of_hour = (namespace, model, version, hour, None)
        self._buckets = (
            _Bucket.of(*of_minute, digest, layout.MINUTE_SECONDS),
            _Bucket.of(*of_hour, digest, layout.HOUR_SECONDS),
        )
        index = layout.index_key(namespace, hour)
        self._expiry: list[Command] = [
            (b"SADD", index, f"{model}:{version}:{digest}"),
            (b"EXPIRE", index, layout.HOUR_SECONDS),
            *(
                (b"EXPIRE", key, bucket.seconds)
                for bucket in self._buckets
                for key in bucket.strings
            ),
        ]
        self.log = log or LogStream(namespace, model, version, hour)
        self._capture = layout.capture_key(namespace, model, version)
        if adoptable:
            self._expiry.append((b"LLEN", self._capture))
        self._adoptable = adoptable
        self.renew = True
        """Whether the next flight sets the expiry of the strings: the first one of this process in the
        minute, and one after a string was evicted or a flight failed."""
        self._capturing = False

    def counting(
        self,
        service: Increments,
        series: Increments,
        failed: Failures,
        seen: AnyObservation | None,
    ) -> Counting:
        """What counts one request.

        Args:
            service, series: the last increment is that of the last counter, which every request writes;
                ``series`` is empty when no row was looked up.
            seen: the request, if it was answered.
        """
        renew, self.renew = self.renew, True
        log = self.log.admit(seen.log, self.number) if seen is not None and seen.log else None
        if log is not None:
            service = _logged(log.logged, log.overflowed) + service
        if renew:
            service = _WHOLE + service
        strings = [some for some in (service, series) if some]
        added = [Arguments(4 * len(some), b"".join([one.wire for one in some])) for some in strings]
        commands: list[Command | Packed] = []
        for bucket in self._buckets:
            commands += [
                head.command(key, more)
                for (key, head), more in zip(bucket.strings.items(), added, strict=False)
            ]
            if failed:
                commands += [(b"HINCRBY", bucket.errors, field, k) for field, k in failed]
                commands.append((b"EXPIRE", bucket.errors, bucket.seconds))
        if log is not None:
            commands += log.commands
        heard_at = len(commands) - 1
        look = renew and self._adoptable
        if renew:
            commands += self._expiry
        elif self._capturing and seen is not None and (rows := _captured_rows(seen)):
            commands.append((b"RPUSHX", self._capture, *rows))
            look = True
        last = [some[-1].amount for some in strings] * len(self._buckets)

        def heard(replies: Sequence[Reply]) -> list[Command | Packed]:
            for reply in replies:
                if isinstance(reply, Exception):
                    raise Unavailable(f"the cache refused a count: {reply}", dependency="redis")
            if log is not None:
                self.log.heard(log, replies[heard_at])
            counted = [reply for reply in replies if isinstance(reply, list)]
            # A last counter that was 0 before is in a new string, which has no expiry yet.
            created = any(of[-1] == k for of, k in zip(counted, last, strict=True))
            self.renew = created and not renew
            if look:
                length = replies[-1]
                self._capturing = isinstance(length, int) and 0 < length <= MAX_CAPTURED
            if not self.renew:
                return []
            # Redis came back empty or evicted them. There may be no next request of this hour to renew them
            # and their place in the index, without which nobody finds the log.
            return [*self._expiry, *self.log.renewal()]

        return Counting(commands, heard)


def _captured_rows(seen: AnyObservation) -> list[bytes]:
    """The answered rows, at most a thousand; cells that are not present are ``null``."""
    if isinstance(seen, RowObservation):
        status = seen.status or [0] * len(seen.values)
        cells = [None if s else v for v, s in zip(seen.values, status, strict=True)]
        return [_json_row([*cells, seen.prediction, seen.score])]
    rows = range(seen.rows) if seen.answered is None else seen.answered.nonzero()[0].tolist()
    found: list[bytes] = []
    for answer, row in enumerate(rows[:_MAX_PER_FLIGHT]):
        cells = [
            None if seen.status is not None and seen.status[row, place] else column[row]
            for place, column in enumerate(seen.columns)
        ]
        score = None if seen.score is None else seen.score[answer]
        found.append(_json_row([*cells, seen.prediction[answer], score]))
    return found


def _json_row(row: list[Any]) -> bytes:
    return json.dumps(row, default=_plain).encode()


def _plain(value: Any) -> Any:
    """numpy's scalars and arrays as Python's; a time as its microseconds."""
    return to_micros(value) if isinstance(value, datetime) else value.tolist()
