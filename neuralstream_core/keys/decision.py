"""Whether a presented key is active, ended, unknown, or cannot be looked up at the moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cachetools import LRUCache

from neuralstream_core.errors import Unavailable
from neuralstream_core.keys.records import KeyRecord
from neuralstream_core.keys.secret import digest_of
from neuralstream_core.time import Clock, Micros, system_clock

__all__ = ["Decision", "Gate", "Verdict"]

_REMEMBERED: Final = 1024
"""Keys whose last answer a process keeps, for when the table is down."""


class Verdict(StrEnum):
    ACTIVE = "active"
    ENDED = "ended"
    """Revoked or expired."""
    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Decision:
    """``record`` is there when the verdict is ACTIVE or ENDED."""

    verdict: Verdict
    record: KeyRecord | None = None


class Gate:
    """Decides about keys; while the table is down it uses the last known answers for a limited time.

    Args:
        find: `KeyStore.find`.
        grace: microseconds a remembered answer may stand in for an unreachable table. While the
            table answers, nothing remembered is used, so a revoked key ends at once.
    """

    def __init__(
        self,
        find: Callable[[str], KeyRecord | None],
        *,
        grace: Micros = 300_000_000,
        clock: Clock = system_clock,
    ) -> None:
        self._find = find
        self._grace = grace
        self._clock = clock
        self._known: LRUCache[str, tuple[KeyRecord, Micros]] = LRUCache(_REMEMBERED)

    def decide(self, key: str) -> Decision:
        """The decision about ``key``; never raises for an unreachable table."""
        now = self._clock()
        digest = digest_of(key)
        try:
            record = self._find(key)
        except Unavailable:
            record, seen = self._known.get(digest, (None, 0))
            if record is None or now - seen > self._grace:
                return Decision(Verdict.UNAVAILABLE)
        else:
            self._known.pop(digest, None)
            if record is not None:
                self._known[digest] = (record, now)
        if record is None:
            return Decision(Verdict.UNKNOWN)
        return Decision(Verdict.ACTIVE if record.active(now) else Verdict.ENDED, record)
