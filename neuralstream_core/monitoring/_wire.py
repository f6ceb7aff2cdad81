"""RESP pieces of ``BITFIELD … OVERFLOW SAT INCRBY``, prepared once and joined per request.

Packing a hundred arguments costs more than Redis needs to execute them; joining two dozen prepared
byte strings costs next to nothing.
"""

from __future__ import annotations

from neuralstream_core.redis.port import Packed

__all__ = ["bitfield", "bitfield_head", "command", "increment"]


def increment(width: int, place: int, by: int) -> bytes:
    """``INCRBY u<width> #<place> <by>``: four arguments."""
    return b"".join(_bulk(part) for part in (b"INCRBY", b"u%d" % width, b"#%d" % place, b"%d" % by))


def bitfield_head(key: bytes) -> bytes:
    """Everything of the command before its increments, without the argument count."""
    return b"".join(_bulk(part) for part in (b"BITFIELD", key, b"OVERFLOW", b"SAT"))


def bitfield(key: bytes, head: bytes, increments: list[bytes]) -> Packed:
    """The whole command."""
    return Packed((b"*%d\r\n%b%b" % (4 + 4 * len(increments), head, b"".join(increments)), key))


def command(*parts: bytes) -> Packed:
    """Any command; ``parts[1]`` is its key."""
    return Packed((b"*%d\r\n%b" % (len(parts), b"".join(map(_bulk, parts))), parts[1]))


def _bulk(part: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(part), part)
