"""Hours that outlive Redis: one gzipped JSON object a version and day in the data bucket.

``monitoring/archive/{namespace}/{model}/{version}/{date}.json.gz`` holds the strings of that day's closed
hours as Redis held them. A run rewrites whole days, and of two copies of an hour the larger stays: runs
may repeat, overlap or come late, and a cache that has lost its memory cannot erase what was saved.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from neuralstream_core.errors import Unavailable
from neuralstream_core.monitoring.layout import HOUR, HOUR_SECONDS, MINUTE, last_hours
from neuralstream_core.monitoring.reader import CounterReader, StoredCounters
from neuralstream_core.time import Micros, from_micros

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from neuralstream_core.monitoring.layout import Slice

__all__ = ["Archive"]

_PREFIX: Final = "monitoring/archive"
_OVERLAP: Final = 3
"""Closed hours that every run looks at again."""
_GRACE: Final = 2 * MINUTE
"""After its end an hour still gets the counts of requests that were under way."""
_OLDEST: Final = HOUR_SECONDS // 3600 - 1
_READERS: Final = 8


class Archive:
    """The archived hours of one namespace.

    Raises (every method):
        Unavailable: S3 cannot be reached (``dependency="archive"``).
    """

    def __init__(self, s3: S3Client, bucket: str, namespace: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._namespace = namespace

    def hours(self, model: str, version: str, hours: Iterable[int]) -> Mapping[int, StoredCounters]:
        """Those of ``hours`` that were archived."""
        wanted = set(hours)
        days = sorted({_day(hour) for hour in wanted})
        with ThreadPoolExecutor(_READERS) as pool:
            found = pool.map(lambda day: self._read_day(model, version, day), days)
        return {hour: raw for day in found for hour, raw in day.items() if hour in wanted}

    def run(self, reader: CounterReader, now: Micros) -> dict[str, int]:
        """Save every closed hour since the last run; says how many versions and objects that were."""
        closed = (now - _GRACE) // HOUR
        first = max(closed - _OLDEST, min(self._marker(closed), closed) - _OVERLAP)
        active = reader.active(last_hours(first, closed)) if first < closed else {}
        objects = 0
        for (model, version), digests in sorted(active.items()):
            slices: list[Slice] = [(hour, None) for hour in range(first, closed)]
            raws = reader.stored(model, version, sorted(digests), slices)
            by_day: dict[date, dict[int, StoredCounters]] = {}
            for (hour, _), raw in raws.items():
                if raw.weight:
                    by_day.setdefault(_day(hour), {})[hour] = raw
            for day, hours in by_day.items():
                objects += self._save_day(model, version, day, hours)
        self._set_marker(closed)
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

    # -- how far the last run came ---------------------------------------------------------------

    def _marker(self, closed: int) -> int:
        data = self._get(f"{_PREFIX}/{self._namespace}/until.json")
        return int(json.loads(data)["hour"]) if data is not None else closed - _OLDEST

    def _set_marker(self, closed: int) -> None:
        self._put(f"{_PREFIX}/{self._namespace}/until.json", json.dumps({"hour": closed}).encode())

    # -- S3 --------------------------------------------------------------------------------------

    def _get(self, key: str) -> bytes | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
                return None
            raise _unavailable(error) from error
        except BotoCoreError as error:
            raise _unavailable(error) from error

    def _put(self, key: str, data: bytes) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)
        except (ClientError, BotoCoreError) as error:
            raise _unavailable(error) from error


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


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(
        f"the archive cannot be reached ({type(error).__name__})", dependency="archive"
    )
