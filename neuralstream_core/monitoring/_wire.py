"""RESP pieces of ``BITFIELD … OVERFLOW SAT INCRBY``, prepared once and joined per request.

Packing a hundred arguments costs more than Redis needs to execute them; joining two dozen prepared
byte strings costs next to nothing.
"""

from __future__ import annotations

from neuralstream_core.redis.port import Packed

__all__ = ["Bitfield", "command", "increment"]


def increment(width: int, place: int, by: int) -> bytes:
    """``INCRBY u<width> #<place> <by>``: four arguments."""
    return b"".join(_bulk(part) for part in (b"INCRBY", b"u%d" % width, b"#%d" % place, b"%d" % by))


class Bitfield:
    """``BITFIELD key OVERFLOW SAT`` with increments to come."""

    __slots__ = ("_heads", "_tail", "key")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._tail = b"".join(_bulk(part) for part in (b"BITFIELD", key, b"OVERFLOW", b"SAT"))
        self._heads: dict[int, bytes] = {}

    def command(self, count: int, increments: bytes) -> Packed:
        """The whole command with ``count`` joined increments."""
        head = self._heads.get(count)
        if head is None:
            head = self._heads[count] = b"*%d\r\n%b" % (4 + 4 * count, self._tail)
        return Packed((head + increments, self.key))


def command(*parts: bytes) -> Packed:
    """Any command; ``parts[1]`` is its key."""
    return Packed((b"*%d\r\n%b" % (len(parts), b"".join(map(_bulk, parts))), parts[1]))


def _bulk(part: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(part), part)
