"""Counters read back from Redis, and from the archive where Redis no longer has them.

The archive is one gzipped JSON object per version and day in the data bucket:
``monitoring/archive/{namespace}/{model}/{version}/{date}.json.gz`` holds the strings of that day's closed
hours as Redis held them. A run rewrites whole days, and of two copies of an hour the larger stays: runs
may repeat, overlap or come late, and a cache that has lost its memory cannot erase what was saved.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from neuralstream_core.errors import Unavailable
from neuralstream_core.monitoring import layout
from neuralstream_core.monitoring.latency import BITS
from neuralstream_core.monitoring.layout import (
    COUNTERS,
    COUNTERS_AT,
    HOUR,
    HOUR_SECONDS,
    LATENCY_BUCKETS,
    MINUTE,
    REQUESTS_AT,
    U32_MAX,
)
from neuralstream_core.time import Micros, from_micros

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from numpy.typing import NDArray

    from neuralstream_core.monitoring.layout import Slice, Window
    from neuralstream_core.monitoring.profile import Profile
    from neuralstream_core.redis.port import Command, RedisPort

__all__ = ["Archive", "CounterReader", "Counts", "ServiceCounts", "StoredCounters"]

_KEYS_PER_FLIGHT: Final = 200
_PREFIX: Final = "monitoring/archive"
_OVERLAP: Final = 3
"""Closed hours that every run of the archive looks at again."""
_GRACE: Final = 2 * MINUTE
"""After its end an hour still gets the counts of requests that were under way."""
_OLDEST: Final = HOUR_SECONDS // 3600 - 1
_READERS: Final = 8
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
        requests = int.from_bytes(self.service[REQUESTS_AT : REQUESTS_AT + 4], "big")
        strings = (np.frombuffer(data, ">u4", len(data) // 4) for data in self.series.values())
        return requests + sum(int(slots.sum(dtype=np.int64)) for slots in strings)


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
    counters: Counter[str] = field(default_factory=Counter)
    request_errors: Counter[str] = field(default_factory=Counter)
    further_rows: Counter[str] = field(default_factory=Counter)
    row_errors: Counter[str] = field(default_factory=Counter)
    saturated: bool = False

    def add(self, stored: StoredCounters) -> None:
        """Add the counts of one slice."""
        for key, text in stored.errors.items():
            kind, _, code = key.decode().partition(":")
            into = {"r": self.request_errors, "x": self.further_rows}.get(kind, self.row_errors)
            into[code] += int(text)
        if not stored.service:
            return
        data = stored.service.ljust(layout.SERVICE_BYTES, b"\0")
        bits = np.unpackbits(np.frombuffer(data, np.uint8, count=4 * COUNTERS_AT))
        fields = bits[: LATENCY_BUCKETS * BITS].reshape(LATENCY_BUCKETS, BITS)
        buckets = fields @ (1 << np.arange(BITS - 1, -1, -1, dtype=np.int64))
        self.latency += buckets
        values = np.frombuffer(data, ">u4", offset=4 * COUNTERS_AT, count=len(COUNTERS)).tolist()
        self.counters.update(dict(zip(COUNTERS, values, strict=True)))
        self.saturated |= bool(buckets.max() == 2**BITS - 1) or max(values) == U32_MAX

    def failed_rows(self) -> Counter[str]:
        """Rows that got no answer, by code: each of a failed call, and the failed ones of a batch."""
        return self.request_errors + self.further_rows + self.row_errors


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

    def __init__(self, port: RedisPort, namespace: str, archive: Archive | None = None) -> None:
        self._port = port
        self._namespace = namespace
        self._archive = archive

    def active(self, window: Window, *, shadows: bool = False) -> dict[tuple[str, str], set[str]]:
        """Each ``(model, version)`` with counters in Redis in these hours, and under which profiles.

        With ``shadows`` also versions as shadows, under their names with `layout.SHADOW` behind.
        """
        commands: list[Command] = [
            (b"SMEMBERS", layout.index_key(self._namespace, hour)) for hour in window.hours
        ]
        found: dict[tuple[str, str], set[str]] = {}
        for members in self._lists(commands):
            for member in members:
                model, version, digest = member.decode().split(":")
                if version.endswith(layout.SHADOW) and not shadows:
                    continue
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
            lacking = {hour for (hour, _), found in stored.items() if not found.weight}
            for hour, archived in self._archive.hours(model, version, lacking).items():
                stored[hour, None] = archived
        return Counts.of(stored.values(), profiles)

    def hourly(
        self, model: str, version: str, profiles: Sequence[Profile], hours: range
    ) -> dict[int, Counts]:
        """Counts of each hour by itself, from Redis alone."""
        window = layout.last_hours(hours.start, hours.stop)
        stored = self.stored(model, version, [p.digest for p in profiles], window.slices)
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


# -- the archive -----------------------------------------------------------------------------------


class Archive:
    """The archived hours of one namespace.

    Raises (every method):
        Unavailable: S3 cannot be reached (``dependency="archive"``).
    """

    def __init__(self, s3: S3Client, bucket: str, namespace: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._namespace = namespace

    def hours(self, model: str, version: str, hours: Set[int]) -> Mapping[int, StoredCounters]:
        """Those of ``hours`` that were archived."""
        days = sorted({_day(hour) for hour in hours})
        with ThreadPoolExecutor(_READERS) as pool:
            found = pool.map(lambda day: self._read_day(model, version, day), days)
        return {hour: raw for day in found for hour, raw in day.items() if hour in hours}

    def run(self, reader: CounterReader, now: Micros) -> dict[str, int]:
        """Save every closed hour since the last run; says how many versions and objects that were."""
        closed = (now - _GRACE) // HOUR
        first = max(closed - _OLDEST, min(self._marker(closed), closed) - _OVERLAP)
        window = layout.last_hours(first, closed)
        active = reader.active(window, shadows=True)
        objects = 0
        for (model, version), digests in sorted(active.items()):
            raws = reader.stored(model, version, sorted(digests), window.slices)
            by_day: dict[date, dict[int, StoredCounters]] = {}
            for (hour, _), raw in raws.items():
                if raw.weight:
                    by_day.setdefault(_day(hour), {})[hour] = raw
            for day, hours in by_day.items():
                objects += self._save_day(model, version, day, hours)
        until = json.dumps({"hour": closed}).encode()
        self._put(f"{_PREFIX}/{self._namespace}/until.json", until)
        return {"versions": len(active), "objects": objects, "until_hour": closed}

    def _save_day(
        self, model: str, version: str, day: date, hours: Mapping[int, StoredCounters]
    ) -> int:
        kept = self._read_day(model, version, day)
        merged = dict(kept)
        for hour, raw in hours.items():
            if hour not in merged or raw.weight > merged[hour].weight:
                merged[hour] = raw
        if merged == kept:
            return 0
        body = {"format": 1, "hours": {str(hour): _pack(merged[hour]) for hour in sorted(merged)}}
        self._put(self._key(model, version, day), gzip.compress(json.dumps(body).encode(), mtime=0))
        return 1

    def _read_day(self, model: str, version: str, day: date) -> dict[int, StoredCounters]:
        data = self._get(self._key(model, version, day))
        if data is None:
            return {}
        try:
            body = json.loads(gzip.decompress(data))
            return {int(hour): _unpack(packed) for hour, packed in body["hours"].items()}
        except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error) as error:
            raise Unavailable("an archived day is damaged", dependency="archive") from error

    def _key(self, model: str, version: str, day: date) -> str:
        return f"{_PREFIX}/{self._namespace}/{model}/{version}/{day.isoformat()}.json.gz"

    def _marker(self, closed: int) -> int:
        """The hour that the last run came to."""
        data = self._get(f"{_PREFIX}/{self._namespace}/until.json")
        return int(json.loads(data)["hour"]) if data is not None else closed - _OLDEST

    def _get(self, key: str) -> bytes | None:
        from botocore.exceptions import ClientError

        with _reaching_s3():
            try:
                return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
                    return None
                raise

    def _put(self, key: str, data: bytes) -> None:
        with _reaching_s3():
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)


@contextmanager
def _reaching_s3() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise Unavailable(
            f"the archive cannot be reached ({type(error).__name__})", dependency="archive"
        ) from error


def _day(hour: int) -> date:
    return from_micros(hour * HOUR).date()


def _pack(raw: StoredCounters) -> dict[str, Any]:
    return {
        "service": base64.b64encode(raw.service).decode(),
        "errors": {name.decode(): int(value) for name, value in raw.errors.items()},
        "series": {d: base64.b64encode(data).decode() for d, data in raw.series.items()},
    }


def _unpack(packed: Mapping[str, Any]) -> StoredCounters:
    return StoredCounters(
        base64.b64decode(packed["service"]),
        {name.encode(): b"%d" % value for name, value in packed["errors"].items()},
        {d: base64.b64decode(text) for d, text in packed["series"].items()},
    )
