"""Counting what was served: one flight to Redis a request, fixed memory, never in the way.

What can go wrong with Redis must not reach a prediction: nothing here raises, a flight waits no longer
than the port's read timeout, and after a failed one a circuit breaker keeps the next requests from
waiting at all. What was not recorded is counted in the process, logged at most once a minute, and
added to the counter ``lost`` as soon as Redis takes counts again. A request that failed because Redis is
down is not sent there; it is counted by its code with the next flight of its version.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from neuralstream_core.errors import Unavailable
from neuralstream_core.monitoring import layout
from neuralstream_core.monitoring._samples import sample_columns, sample_row
from neuralstream_core.monitoring._targets import Loading, ProfileSource, Target
from neuralstream_core.monitoring._wire import command, increment
from neuralstream_core.monitoring.latency import BITS, SCALES
from neuralstream_core.monitoring.observation import (
    AnyObservation,
    Observation,
    Refused,
    RowObservation,
)
from neuralstream_core.monitoring.profile import Profile, bare_profile
from neuralstream_core.time import Clock, system_clock

if TYPE_CHECKING:
    from neuralstream_core.redis.port import RedisPort
    from neuralstream_core.registry.records import FeatureRef

__all__ = ["ProfileSource", "RedisRecorder"]

_log = logging.getLogger("neuralstream.monitoring")

_MAX_PLANS: Final = 256
_MAX_CODE: Final = 64
_PROFILE_RETRY: Final = 10.0
_PROFILE_WAIT: Final = 0.2
_LOG_EVERY: Final = 60.0
_REDIS_DOWN: Final = "redis_unavailable"

_AT = {name: layout.COUNTERS_AT + i for i, name in enumerate(layout.COUNTERS)}
_ONE = {name: increment(32, place, 1) for name, place in _AT.items()}


class RedisRecorder:
    """A `neuralstream_core.monitoring.Recorder` over Redis.

    Args:
        port: the cache.
        profiles: where profiles come from; asked once a profile and process.
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
        self._targets: dict[tuple[str, str, str | None], Target] = {}
        self._breaker = _Breaker()
        self._lock = threading.Lock()
        self._loading: dict[str, Loading] = {}
        self._unsent: dict[tuple[str, str], int] = {}
        self._late: dict[tuple[str, str], list[int]] = {}
        """Calls that failed because Redis was down, and the rows they asked for."""
        self._logged = -_LOG_EVERY
        self.lost = 0
        """Requests of this process that were not recorded, ever."""

    def record(self, observation: AnyObservation) -> None:
        """Count one answered request; see `neuralstream_core.monitoring.Recorder`."""
        try:
            target = self._target(observation)
            if isinstance(observation, RowObservation):
                self._record_row(target, observation)
            else:
                self._record_columns(target, observation)
        except Unavailable as error:
            self._lose(observation.model, observation.version, error.detail)
        except Exception as error:  # noqa: BLE001 - the promise of this class: a prediction never fails for its count
            self._lose(observation.model, observation.version, repr(error), unexpected=error)

    def failure(
        self,
        model: str,
        version: str | None,
        code: str,
        *,
        rows: int = 1,
        refused: Refused | None = None,
    ) -> None:
        """Count one failed request; see `neuralstream_core.monitoring.Recorder`."""
        version = version or layout.NO_VERSION
        series: list[bytes] | None = None
        if code == _REDIS_DOWN:
            self._put_late(model, version, 1, rows)
            return
        try:
            if refused is not None:
                target = self._target(refused)
                series = target.plan.refused(refused.values, refused.status)
            else:
                target = self._targets.get((model, version, "")) or self._keep(
                    (model, version, ""),
                    Target(self._namespace, model, version, bare_profile((), None), 0, rows=False),
                )
            field = code[:_MAX_CODE].encode()
            errors = [(b"r:" + field, b"1")]
            if rows > 1:
                errors.append((b"x:" + field, b"%d" % (rows - 1)))
            self._send(target, [_ONE["failed"], _ONE["requests"]], series, errors)
        except Unavailable as error:
            self._lose(model, version, error.detail)
        except Exception as error:  # noqa: BLE001 - as in record
            self._lose(model, version, repr(error), unexpected=error)

    @property
    def pending(self) -> int:
        """Lost requests that no counter in Redis knows of yet."""
        return sum(self._unsent.copy().values())

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
            self._target_of(model, version, profile, features, classes)
        except Exception:  # noqa: BLE001 - as in record; the first request will try again
            _log.warning("a monitoring profile could not be prepared", exc_info=True)

    # -- one request ---------------------------------------------------------------------------

    def _record_row(self, target: Target, seen: RowObservation) -> None:
        series = target.plan.increments(seen.values, seen.status, seen.prediction, seen.score)
        service = _latencies(seen.timings)
        if seen.cold:
            service.append(_ONE["cold"])
        if seen.stale_routing:
            service.append(_ONE["stale_routing"])
        if seen.pinned:
            service.append(_ONE["pinned"])
        service.append(_ONE["requests"])
        self._send(target, service, series, sample=lambda: sample_row(seen))

    def _record_columns(self, target: Target, seen: Observation) -> None:
        from neuralstream_core.monitoring.counting import count

        rows = seen.rows
        sizes = [ref.size for ref in seen.features]
        counts = count(
            target.profile, seen.columns, sizes, seen.status, seen.prediction, seen.score, rows
        )
        slots = counts.nonzero()[0].tolist()
        if not rows:
            slots.append(target.profile.rows_slot)
        series = [increment(32, slot, int(counts[slot])) for slot in slots]
        service = _latencies(seen.timings) if seen.timings is not None else []
        failed = sum(seen.errors.values()) if seen.errors else 0
        amounts = {
            "cold": int(seen.cold),
            "stale_routing": int(seen.stale_routing),
            "pinned": rows if seen.pinned else 0,
            "failed_rows": failed,
        }
        service += [increment(32, _AT[name], k) for name, k in amounts.items() if k]
        # Always last, even by 0: the string is then allocated once and whole.
        service.append(increment(32, _AT["requests"], seen.requests))
        errors = [
            (b"w:" + code[:_MAX_CODE].encode(), b"%d" % k)
            for code, k in (seen.errors or {}).items()
        ]
        self._send(
            target, service, series, errors, max(rows, 1), sample=lambda: sample_columns(seen)
        )

    def _send(
        self,
        target: Target,
        service: list[bytes],
        series: list[bytes] | None,
        errors: Sequence[tuple[bytes, bytes]] = (),
        rows: int = 1,
        sample: Callable[[], list[bytes]] | None = None,
    ) -> None:
        if not self._breaker.allows():
            raise Unavailable("recording is paused", dependency="redis")
        unsent = self._take_unsent(target) if self._unsent else 0
        if unsent:
            service.insert(0, increment(32, _AT["lost"], unsent))
        late = self._take_late(target) if self._late else None
        if late is not None:
            calls, asked = late
            service[:0] = [increment(32, _AT[name], calls) for name in ("failed", "requests")]
            field = _REDIS_DOWN.encode()
            errors = [*errors, (b"r:" + field, b"%d" % calls)]
            if asked > calls:
                errors.append((b"x:" + field, b"%d" % (asked - calls)))
        try:
            minute = target.at(self._clock())
            commands = minute.commands(service, series, errors)
            if minute.capturing and sample is not None and (found := sample()):
                commands.append(command(b"RPUSHX", minute.capture, *found))
            minute.sent(self._port.flight(commands, patient=False), rows)
        except BaseException:
            if unsent:
                self._put_unsent(target.model, target.version, unsent)
            if late is not None:
                self._put_late(target.model, target.version, *late)
            self._breaker.failed()
            raise
        self._breaker.worked()

    # -- what a version's requests share -----------------------------------------------------------

    def _target(self, seen: AnyObservation | Refused) -> Target:
        target = self._targets.get((seen.model, seen.version, seen.profile))
        if target is not None and (target.final or time.monotonic() < target.retry_at):
            return target
        return self._target_of(seen.model, seen.version, seen.profile, seen.features, seen.classes)

    def _target_of(
        self,
        model: str,
        version: str,
        digest: str | None,
        features: Sequence[FeatureRef],
        classes: Sequence[str | int | bool] | None,
    ) -> Target:
        profile = None if digest is None else self._load(digest)
        final = digest is None or profile is not None
        if profile is None:
            profile = bare_profile(features, classes)
        target = Target(self._namespace, model, version, profile, len(features))
        target.final = final
        target.adoptable = digest is None
        target.retry_at = time.monotonic() + _PROFILE_RETRY
        return self._keep((model, version, digest), target)

    def _load(self, digest: str) -> Profile | None:
        """The profile, if it arrives soon; a slow S3 must not hold up a prediction.

        What arrives later is there for the next try.
        """
        with self._lock:
            loading = self._loading.get(digest)
            if loading is None or loading.failed:
                if len(self._loading) >= _MAX_PLANS:
                    self._loading.clear()
                loading = self._loading[digest] = Loading(self._profiles, digest)
        loading.join(_PROFILE_WAIT)
        return loading.profile

    def _keep(self, key: tuple[str, str, str | None], target: Target) -> Target:
        if len(self._targets) >= _MAX_PLANS:
            self._targets.clear()
        self._targets[key] = target
        return target

    # -- losses ------------------------------------------------------------------------------------

    def _lose(
        self, model: str, version: str, why: str, unexpected: BaseException | None = None
    ) -> None:
        self._put_unsent(model, version, 1)
        with self._lock:
            self.lost += 1
            now = time.monotonic()
            if now - self._logged < _LOG_EVERY:
                return
            self._logged = now
        _log.warning(
            "a prediction was not recorded: %s (%d in this process so far)",
            why,
            self.lost,
            exc_info=unexpected,
        )

    def _put_unsent(self, model: str, version: str, k: int) -> None:
        with self._lock:
            if (model, version) in self._unsent or len(self._unsent) < _MAX_PLANS:
                self._unsent[model, version] = self._unsent.get((model, version), 0) + k

    def _put_late(self, model: str, version: str, calls: int, rows: int) -> None:
        with self._lock:
            if (model, version) in self._late or len(self._late) < _MAX_PLANS:
                kept = self._late.setdefault((model, version), [0, 0])
                kept[0] += calls
                kept[1] += rows

    def _take_late(self, target: Target) -> list[int] | None:
        with self._lock:
            return self._late.pop((target.model, target.version), None)

    def _take_unsent(self, target: Target) -> int:
        with self._lock:
            return self._unsent.pop((target.model, target.version), 0)


class _Breaker:
    """After a failed flight: one second of silence, doubled by every further failure up to 30.

    When the silence is over one request tries; the others go on without waiting for its result.
    """

    __slots__ = ("_failures", "_until")

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0

    def allows(self) -> bool:
        if not self._failures:
            return True
        now = time.monotonic()
        if now < self._until:
            return False
        self._until = now + 1.0
        return True

    def failed(self) -> None:
        self._failures += 1
        self._until = time.monotonic() + min(30.0, 2.0 ** (self._failures - 1))

    def worked(self) -> None:
        if self._failures:
            self._failures = 0


_latency_pieces: dict[int, bytes] = {}


def _latencies(timings: tuple[float, float, float]) -> list[bytes]:
    found: list[bytes] = []
    for scale, seconds in zip(SCALES, timings, strict=True):
        if seconds <= 0:  # a part that this request did not have
            continue
        place = scale.first + scale.bucket(seconds)
        piece = _latency_pieces.get(place)
        if piece is None:
            piece = _latency_pieces[place] = increment(BITS, place, 1)
        found.append(piece)
    return found
