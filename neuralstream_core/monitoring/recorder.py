"""Counting what was served: one flight to Redis per request, in fixed memory.

Nothing here raises: a prediction must not fail because it could not be counted. A flight waits no longer
than the port's read timeout, and after a failed one a circuit breaker keeps the next requests from waiting.
What was not recorded is kept in the process, logged at most once a minute, and counted as ``lost`` with the
next flight of its version that succeeds. A request that failed because Redis is down is not sent; it is
counted by its code with that flight too.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from cachetools import LRUCache, TLRUCache

from neuralstream_core.errors import Unavailable
from neuralstream_core.monitoring import layout
from neuralstream_core.monitoring.breaker import Breaker
from neuralstream_core.monitoring.commands import (
    Failures,
    Increments,
    MinuteCounters,
    counters,
    failures,
    increments,
    latencies,
    ones,
    request_counters,
    row_failures,
    send,
)
from neuralstream_core.monitoring.counting import RowCounter, count
from neuralstream_core.monitoring.observation import (
    AnyObservation,
    Failed,
    Observation,
    Refused,
    RowObservation,
    Shadowed,
)
from neuralstream_core.monitoring.prediction_log import LogStream
from neuralstream_core.monitoring.profile import Profile, bare_profile
from neuralstream_core.time import Clock, Micros, system_clock

if TYPE_CHECKING:
    from neuralstream_core.redis.port import RedisPort
    from neuralstream_core.registry.records import FeatureRef

__all__ = ["ProfileSource", "RedisRecorder"]

_log = logging.getLogger("neuralstream.monitoring")

ProfileSource: TypeAlias = Callable[[str], Profile | None]
"""From a digest to its profile; ``None`` when it cannot be had now."""

_MAX_VERSIONS: Final = 256
_PROFILE_RETRY: Final = 10.0
_PROFILE_WAIT: Final = 0.2
_LOG_EVERY: Final = 60.0
_REDIS_DOWN: Final = "redis_unavailable"


class _Version:
    """What the requests of one version share: its profile, and the counters of the present minute.

    Attributes:
        retry: the profile could not be had; look for it again soon.
    """

    def __init__(
        self,
        namespace: str,
        model: str,
        version: str,
        digest: str | None,
        profile: Profile,
        features: int,
        *,
        rows: bool = True,
    ) -> None:
        self.model = model
        self.version = version
        self.profile = profile
        self.row = RowCounter(profile, features)
        self.retry = digest is not None and profile.digest != digest
        self._namespace = namespace
        self._digest = profile.digest if rows else ""
        self._adoptable = digest is None
        self._minute = self._counters(0)

    def minute(self, now: Micros) -> MinuteCounters:
        """The counters of the minute that ``now`` is in."""
        number = now // layout.MINUTE
        before = self._minute
        if before.number != number:
            same_hour = before.number // 60 == number // 60
            self._minute = self._counters(number, before.log if same_hour else None)
        return self._minute

    def _counters(self, number: int, log: LogStream | None = None) -> MinuteCounters:
        where = (self._namespace, self.model, self.version, self._digest)
        return MinuteCounters(*where, number, adoptable=self._adoptable, log=log)


@dataclass(slots=True)
class _Owed:
    """What happened to a version and is not in Redis yet.

    Attributes:
        lost: requests that could not be recorded.
        calls, rows: requests that failed because Redis was down, and the rows they asked for.
    """

    lost: int = 0
    calls: int = 0
    rows: int = 0


class _Part(NamedTuple):
    """One request of one version, to be counted."""

    found: _Version
    service: Increments
    series: Increments
    failed: Failures
    seen: AnyObservation | None = None


class RedisRecorder:
    """An `observation.Recorder` over Redis; may be used by several threads.

    Args:
        port: the cache.
        profiles: where profiles come from; asked once per profile and process.
        namespace: of the deployment.
    """

    def __init__(
        self,
        port: RedisPort,
        profiles: ProfileSource,
        namespace: str,
        clock: Clock = system_clock,
    ) -> None:
        self._port = port
        self._profiles = profiles
        self._namespace = namespace
        self._clock = clock
        self._breaker = Breaker()
        self._lock = threading.Lock()
        self._versions: TLRUCache[tuple[str, str, str | None], _Version] = TLRUCache(
            _MAX_VERSIONS,
            ttu=lambda _key, found, now: now + _PROFILE_RETRY if found.retry else math.inf,
            timer=time.monotonic,
        )
        self._settled: dict[tuple[str, str, str | None], _Version] = {}
        """Those of ``_versions`` that stay as they are: found in a fifth of the time."""
        self._loader = ThreadPoolExecutor(4, "monitoring-profile")
        self._loading: LRUCache[str, Future[Profile | None]] = LRUCache(_MAX_VERSIONS)
        self._owed: dict[tuple[str, str], _Owed] = {}
        self._logged = -_LOG_EVERY
        self.lost = 0
        """Requests of this process that were not recorded, ever."""

    def record(self, observation: AnyObservation) -> None:
        """Count one answered request; see `observation.Recorder`."""
        shadow = observation.shadow
        try:
            parts = [self._part(observation)]
            if shadow is not None:
                self._add_shadow(parts, shadow)
            self._send(parts)
        except Exception as error:  # noqa: BLE001 - a prediction never fails for its count
            self._lose(observation.model, observation.version, error)
            if shadow is not None:
                self._owe(shadow.model, shadow.version, _Owed(lost=1))

    def failure(
        self,
        model: str,
        version: str | None,
        code: str,
        *,
        rows: int = 1,
        refused: Refused | None = None,
    ) -> None:
        """Count one failed request; see `observation.Recorder`."""
        version = version or layout.NO_VERSION
        if code == _REDIS_DOWN:
            self._owe(model, version, _Owed(calls=1, rows=rows))
            return
        try:
            series: Increments = []
            if refused is None:
                found = self._without_rows(model, version)
            else:
                found = self._version(refused)
                slots = found.row.refused(refused.values, refused.status)
                series = _row(found, slots, answered=0)
            service = counters(failed=1, requests=1)
            self._send([_Part(found, service, series, failures(code, 1, rows))])
        except Exception as error:  # noqa: BLE001 - as in record
            self._lose(model, version, error)

    @property
    def pending(self) -> int:
        """Lost requests that no counter in Redis knows of yet."""
        with self._lock:
            return sum(owed.lost for owed in self._owed.values())

    def prepare(
        self,
        model: str,
        version: str,
        profile: str | None,
        features: Sequence[FeatureRef],
        classes: Sequence[str | int | bool] | None = None,
    ) -> None:
        """Load and compile a version's profile ahead of its first request; never raises."""
        try:
            self._version(Refused(model, version, profile, features, (), None, classes))
        except Exception:  # noqa: BLE001 - as in record; the first request tries again
            _log.warning("a monitoring profile could not be prepared", exc_info=True)

    # -- one request ---------------------------------------------------------------------------

    def _part(self, seen: AnyObservation) -> _Part:
        if isinstance(seen, RowObservation):
            return self._row_part(seen)
        return self._columns_part(seen)

    def _add_shadow(self, parts: list[_Part], shadow: Shadowed) -> None:
        """What a shadow did, for the same flight; an error of it leaves the others as they are."""
        try:
            if isinstance(shadow, Failed):
                found = self._without_rows(shadow.model, shadow.version)
                failed = failures(shadow.code, 1, shadow.rows)
                parts.append(_Part(found, counters(failed=1, requests=1), [], failed))
            else:
                parts.append(self._part(shadow))
        except Exception as error:  # noqa: BLE001 - as in record
            self._lose(shadow.model, shadow.version, error)

    def _row_part(self, seen: RowObservation) -> _Part:
        found = self._version(seen)
        slots = found.row.answered(seen.values, seen.status, seen.prediction, seen.score)
        service = latencies(seen.timings) + request_counters(
            cold=seen.cold, stale_routing=seen.stale_routing, pinned=seen.pinned
        )
        return _Part(found, service, _row(found, slots, answered=1), [], seen)

    def _columns_part(self, seen: Observation) -> _Part:
        found = self._version(seen)
        counts = count(
            found.profile,
            seen.columns,
            [ref.size for ref in seen.features],
            seen.status,
            seen.prediction,
            seen.score,
            seen.rows,
        )
        slots = counts.nonzero()[0].tolist()
        if not seen.rows:
            slots.append(found.profile.rows_slot)
        errors = seen.errors or {}
        service = latencies(seen.timings) if seen.timings is not None else []
        service += counters(
            cold=int(seen.cold),
            stale_routing=int(seen.stale_routing),
            pinned=seen.rows if seen.pinned else 0,
            failed_rows=sum(errors.values()),
            requests=seen.requests,
        )
        series = increments((slot, int(counts[slot])) for slot in slots)
        return _Part(found, service, series, row_failures(errors), seen)

    def _send(self, parts: Sequence[_Part]) -> None:
        if not self._breaker.allows():
            raise Unavailable("recording is paused", dependency="redis")
        now, owing = self._clock(), []
        try:
            counting = []
            for found, service, series, failed, seen in parts:
                with self._lock:
                    owed = self._owed.pop((found.model, found.version), None)
                minute = found.minute(now)
                if owed is not None:
                    owing.append((found, owed))
                    minute.renew = True
                    service = _owed_counts(owed) + service  # noqa: PLW2901
                    if owed.calls:
                        failed = failed + failures(_REDIS_DOWN, owed.calls, owed.rows)  # noqa: PLW2901
                counting.append(minute.counting(service, series, failed, seen))
            send(self._port, counting)
        except BaseException:
            for found, owed in owing:
                self._owe(found.model, found.version, owed)
            self._breaker.failed()
            raise
        self._breaker.worked()

    # -- what a version's requests share -----------------------------------------------------------

    def _version(self, seen: AnyObservation | Refused) -> _Version:
        key = (seen.model, seen.version, seen.profile)
        found = self._settled.get(key)
        if found is not None:
            return found
        with self._lock:
            found = self._versions.get(key)
        if found is None:
            profile = None if seen.profile is None else self._load(seen.profile)
            profile = profile or bare_profile(seen.features, seen.classes)
            found = self._keep(key, _Version(self._namespace, *key, profile, len(seen.features)))
        if not found.retry:
            if len(self._settled) >= _MAX_VERSIONS:
                self._settled.clear()
            self._settled[key] = found
        return found

    def _without_rows(self, model: str, version: str) -> _Version:
        """Where failures are counted whose features were not looked up."""
        key = (model, version, "")
        with self._lock:
            found = self._versions.get(key)
        if found is None:
            bare = bare_profile((), None)
            found = _Version(self._namespace, model, version, bare.digest, bare, 0, rows=False)
            self._keep(key, found)
        return found

    def _keep(self, key: tuple[str, str, str | None], found: _Version) -> _Version:
        with self._lock:
            self._versions[key] = found
        return found

    def _load(self, digest: str) -> Profile | None:
        """The profile, if it arrives soon: a slow S3 must not hold up a prediction. What arrives later is
        there for the next try."""
        with self._lock:
            loading = self._loading.get(digest)
            if loading is None:
                loading = self._loading[digest] = self._loader.submit(self._profiles, digest)
        if not wait([loading], _PROFILE_WAIT).done:
            return None
        profile = None
        try:
            profile = loading.result()
        except Exception:  # noqa: BLE001 - without its profile a version is still counted, not in bins
            _log.warning("a monitoring profile could not be read", exc_info=True)
        if profile is None:
            with self._lock:
                self._loading.pop(digest, None)
        return profile

    # -- losses ------------------------------------------------------------------------------------

    def _lose(self, model: str, version: str, error: Exception) -> None:
        self._owe(model, version, _Owed(lost=1))
        with self._lock:
            self.lost += 1
            now = time.monotonic()
            if now - self._logged < _LOG_EVERY:
                return
            self._logged = now
        expected = isinstance(error, Unavailable)
        _log.warning(
            "a prediction was not recorded: %s (%d in this process so far)",
            error.detail if isinstance(error, Unavailable) else repr(error),
            self.lost,
            exc_info=None if expected else error,
        )

    def _owe(self, model: str, version: str, more: _Owed) -> None:
        key = (model, version)
        with self._lock:
            if key in self._owed or len(self._owed) < _MAX_VERSIONS:
                owed = self._owed.setdefault(key, _Owed())
                owed.lost += more.lost
                owed.calls += more.calls
                owed.rows += more.rows


def _owed_counts(owed: _Owed) -> Increments:
    return counters(lost=owed.lost, failed=owed.calls, requests=owed.calls)


def _row(found: _Version, slots: list[int], *, answered: int) -> Increments:
    """Increments of a row that adds one to each of ``slots``. The counter of answered rows is written
    even by a refused one, see `layout`."""
    rows = found.profile.rows_slot
    return ones([*slots, rows]) if answered else ones(slots) + increments([(rows, 0)])
