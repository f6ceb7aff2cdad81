"""The prediction log in Redis: a stream for each version and hour, written by the flight that counts.

The flight adds the entries to the stream and, once some kilobytes have come together, their bytes to a
number beside it; whoever drains the stream subtracts them. The reply to that addition tells the writer how
much waits: from `MAX_WAITING` on it adds nothing more until enough was drained. So what has no room is what
came last, it is known by the row, and what waits in a stream exceeds the bound by no more than `_REPORTED`
and one request for each process that writes at that moment, and by as much again for each flight that
failed: Redis may have taken its entries and not its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from neuralstream_core.monitoring import layout
from neuralstream_core.redis.packing import Arguments

if TYPE_CHECKING:
    from neuralstream_core.monitoring.observation import LogEntry
    from neuralstream_core.redis.port import Command, Packed, Reply

__all__ = ["FIELD", "LOG_SECONDS", "MAX_FLIGHT", "MAX_WAITING", "Admitted", "LogStream", "size_of"]

MAX_WAITING: Final = 64 << 20
"""Bytes that wait in the stream of one version and hour."""
MAX_FLIGHT: Final = 1 << 20
"""Bytes that one request may add."""
_REPORTED: Final = 16 << 10
"""Bytes that a process adds before it says so."""
LOG_SECONDS: Final = 6 * 3600 + 120
"""How long a stream is kept after it was last written to."""
FIELD: Final = b"d"
"""Of an entry of the stream: the packed answers."""
_OVERHEAD: Final = 32
"""Bytes that Redis needs for an entry besides its data, about."""


class Admitted(NamedTuple):
    """What one flight does for the log.

    Attributes:
        commands: the reply to the last of them is for `LogStream.heard`.
        logged: rows that the commands add.
        overflowed: rows that have no room.
        reported: bytes that the number beside the stream grows by; ``None``: it is not touched.
        minute: of the flight; `LogStream.heard` remembers it.
    """

    commands: list[Command | Packed]
    logged: int
    overflowed: int
    reported: int | None
    minute: int


class LogStream:
    """The stream of one version and hour, as one process sees it."""

    def __init__(self, namespace: str, model: str, version: str, hour: int) -> None:
        where = (namespace, model, version, hour)
        self._key = layout.log_key(*where)
        self._add = Arguments.of(b"XADD", self._key, b"*", FIELD).ended(self._key)
        self._waiting = layout.log_bytes_key(*where)
        self._count = Arguments.of(b"INCRBY", self._waiting).ended(self._waiting)
        self._overflow = layout.log_overflow_key(*where)
        self._expiry: list[Command | Packed] = [
            (b"EXPIRE", key, LOG_SECONDS) for key in (self._key, self._waiting)
        ]
        self._full = False
        self._renewed = -1
        self._unreported = 0

    def admit(self, entries: Sequence[LogEntry], minute: int) -> Admitted:
        """What to send for the entries of one request, of which there is at least one.

        Args:
            minute: since the epoch; how long the keys live is set once in each.
        """
        commands: list[Command | Packed] = []
        added = logged = overflowed = 0
        for entry in entries:
            size = size_of(entry.data)
            if self._full or added + size > MAX_FLIGHT:
                overflowed += entry.rows
                continue
            commands.append(self._add(entry.data))
            added += size
            logged += entry.rows
        if overflowed:
            commands.append((b"INCRBY", self._overflow, overflowed))
            commands.append((b"EXPIRE", self._overflow, LOG_SECONDS))
        unreported = self._unreported + added
        if self._renewed == minute and not self._full and unreported < _REPORTED:
            self._unreported = unreported
            return Admitted(commands, logged, overflowed, None, minute)
        self._unreported = 0
        commands.append(self._count(b"%d" % unreported))
        if self._renewed != minute:
            # EXPIRE does nothing to a key that is not there yet, so it comes behind the additions.
            commands += [*self._expiry, (b"GET", self._waiting)]
        return Admitted(commands, logged, overflowed, unreported, minute)

    def renewal(self) -> list[Command | Packed]:
        """What renews the keys of a Redis that may have lost them; the next entries do so again."""
        self._renewed = -1
        unreported, self._unreported = self._unreported, 0
        return [self._count(b"%d" % unreported), *self._expiry] if unreported else self._expiry

    def heard(self, admitted: Admitted, reply: Reply) -> None:
        """How many bytes wait now, as Redis answered."""
        if admitted.reported is not None and isinstance(reply, int | bytes):
            waiting = int(reply)
            self._full = waiting >= MAX_WAITING
            # With nothing else waiting the keys may be new ones, which have no expiry yet.
            self._renewed = -1 if waiting == admitted.reported else admitted.minute


def size_of(data: bytes) -> int:
    """The bytes that an entry counts."""
    return len(data) + _OVERHEAD
