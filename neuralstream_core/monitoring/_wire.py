"""Commands that count: ``BITFIELD … OVERFLOW SAT INCRBY``, of pieces that are prepared once."""

from __future__ import annotations

from neuralstream_core.redis.port import Command

__all__ = ["Bitfield", "command", "increment"]


def increment(width: int, place: int, by: int) -> bytes:
    """``INCRBY u<width> #<place> <by>``: four arguments, to be joined with others."""
    return b"INCRBY u%d #%d %d " % (width, place, by)


class Bitfield:
    """``BITFIELD key OVERFLOW SAT`` with increments to come."""

    __slots__ = ("key",)

    def __init__(self, key: bytes) -> None:
        self.key = key

    def command(self, increments: bytes) -> Command:
        """The whole command with joined increments."""
        return (b"BITFIELD", self.key, b"OVERFLOW", b"SAT", *increments.split())


def command(*parts: bytes) -> Command:
    """Any command; ``parts[1]`` is its key."""
    return parts
