"""What the requests of one version share: its compiled profile, its keys, prepared command parts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from neuralstream_core.errors import Unavailable
from neuralstream_core.monitoring import layout
from neuralstream_core.monitoring._plan import RowPlan
from neuralstream_core.monitoring._samples import MAX_CAPTURED
from neuralstream_core.monitoring._wire import Bitfield, command
from neuralstream_core.monitoring.profile import Profile
from neuralstream_core.time import Micros

if TYPE_CHECKING:
    from neuralstream_core.redis.port import Command, Reply

__all__ = ["Loading", "ProfileSource", "Target"]

_log = logging.getLogger("neuralstream.monitoring")

ProfileSource: TypeAlias = Callable[[str], Profile | None]
"""From a digest to its profile; ``None`` when it cannot be had now."""


class Loading(threading.Thread):
    """One profile on its way."""

    def __init__(self, profiles: ProfileSource, digest: str) -> None:
        super().__init__(name="monitoring-profile", daemon=True)
        self._profiles = profiles
        self._digest = digest
        self.profile: Profile | None = None
        self.failed = False
        self.start()

    def run(self) -> None:
        try:
            self.profile = self._profiles(self._digest)
        except Exception:  # noqa: BLE001 - without its profile a version is still counted, only not in bins
            _log.warning("a monitoring profile could not be read", exc_info=True)
        self.failed = self.profile is None


class Target:
    """What all requests of one version share: its compiled profile and the present minute's keys."""

    __slots__ = (
        *("adoptable", "digest", "final", "minute", "model", "namespace"),
        *("plan", "profile", "retry_at", "version"),
    )

    def __init__(
        self,
        namespace: str,
        model: str,
        version: str,
        profile: Profile,
        features: int,
        *,
        rows: bool = True,
    ) -> None:
        self.namespace = namespace
        self.model = model
        self.version = version
        self.profile = profile
        self.digest = profile.digest if rows else ""
        """Under which rows are counted; empty where only failures are."""
        self.plan = RowPlan(profile, features)
        self.final = True
        self.adoptable = False
        """The version has no baseline: look whether it is to adopt one (`adoption`)."""
        self.retry_at = 0.0
        self.minute = _Minute(self, 0)

    def at(self, now: Micros) -> _Minute:
        """The keys of the minute that ``now`` is in."""
        number = now // layout.MINUTE
        if self.minute.number != number:
            self.minute = _Minute(self, number)
        return self.minute


class _Minute:
    """Prepared commands of one version and minute: its hour's counters, and the minute's copies."""

    __slots__ = (
        *("_copies", "_expiring", "_expiry", "_hour", "_looks", "_minute"),
        *("capture", "capturing", "number"),
    )

    def __init__(self, target: Target, number: int) -> None:
        self.number = number
        hour = number // 60
        self._minute = _Head(target, hour, number % 60, layout.MINUTE_SECONDS)
        self._hour = _Head(target, hour, None, layout.HOUR_SECONDS)
        self._copies: list[Command] | None = [
            *_copy(self._hour.service.key, self._minute.service.key),
            *(_copy(self._hour.series.key, self._minute.series.key) if target.digest else ()),
        ]
        """Sent in front of this process's first counts of the minute, whoever else has sent them."""
        index = layout.index_key(target.namespace, hour)
        self._expiry = [
            command(b"EXPIRE", self._hour.service.key, self._hour.seconds),
            command(b"EXPIRE", self._hour.series.key, self._hour.seconds),
            command(b"SADD", index, f"{target.model}:{target.version}:{target.digest}".encode()),
            command(b"EXPIRE", index, b"%d" % layout.HOUR_SECONDS),
        ]
        self._expiring = False
        self._looks = target.adoptable
        self.capture = layout.capture_key(target.namespace, target.model, target.version)
        self.capturing = False
        if self._looks:
            self._expiry.append(command(b"LLEN", self.capture))

    def commands(
        self,
        service: list[bytes],
        series: list[bytes] | None,
        errors: Sequence[tuple[bytes, bytes]],
    ) -> list[Command]:
        """One flight: the increments of one request."""
        found = list(self._copies) if self._copies is not None else []
        found.append(self._hour.service.command(b"".join(service)))
        if series is not None:
            found.append(self._hour.series.command(b"".join(series)))
        if errors:
            for head in (self._minute, self._hour):
                found += [command(b"HINCRBY", head.errors, code, k) for code, k in errors]
                found.append(command(b"EXPIRE", head.errors, head.seconds))
        if not self._expiring:
            found += self._expiry
        return found

    def sent(self, replies: list[Reply], rows: int) -> None:
        """Look at the replies of `commands`.

        Expiries are set with this process's first update of a string and remembered. A string whose
        last counter holds no more than was just added has come into being with this flight; if that
        is not the first one, it had been evicted or lost in a failover, and its expiry with it.

        Raises:
            Unavailable: Redis refused one of the commands.
        """
        known, self._expiring = self._expiring, True
        if self._looks and (self.capturing or not known):
            length = replies[-1]
            self.capturing = isinstance(length, int) and 0 < length <= MAX_CAPTURED
        for reply in replies:
            if isinstance(reply, list):
                last = reply[-1]
                if known and isinstance(last, int) and last <= rows:
                    self._expiring = False
            elif isinstance(reply, Exception):
                self._expiring = False
                raise Unavailable(f"the cache refused a count: {reply}", dependency="redis")
        self._copies = None


def _copy(hour: bytes, minute: bytes) -> tuple[Command, ...]:
    """Keep the hour's string for the minute, once: as empty where nothing is counted yet, or a later
    process would take for the beginning what this one is about to count."""
    return (
        command(b"COPY", hour, minute),
        command(b"SET", minute, b"", b"NX"),
        command(b"EXPIRE", minute, b"%d" % layout.MINUTE_SECONDS),
    )


class _Head:
    """One minute's or one hour's keys and the fixed part of the commands to them."""

    __slots__ = ("errors", "seconds", "series", "service")

    def __init__(self, target: Target, hour: int, minute: int | None, seconds: int) -> None:
        where = (target.namespace, target.model, target.version, hour, minute)
        self.seconds = b"%d" % seconds
        self.service = Bitfield(layout.service_key(*where))
        self.series = Bitfield(layout.series_key(*where, target.profile.digest))
        self.errors = layout.errors_key(*where)
