"""Long commands put together from arguments in wire form (RESP) that were packed before.

Counting one prediction sends 240 arguments, nearly all of them among the same few hundred: packing each of
them anew takes as long as the round trip itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neuralstream_core.redis.port import Key, Packed

__all__ = ["Arguments"]


@dataclass(slots=True)
class Arguments:
    """Some of a command's arguments in wire form; not frozen, as `Packed`."""

    count: int
    wire: bytes

    @classmethod
    def of(cls, *arguments: bytes) -> Arguments:
        return cls(len(arguments), b"".join(b"$%d\r\n%b\r\n" % (len(a), a) for a in arguments))

    def ended(self, key: Key) -> Callable[[bytes], Packed]:
        """Makes the command whose arguments are these and one more."""
        head = b"*%d\r\n%b" % (self.count + 1, self.wire)
        return lambda last: Packed(key, b"%b$%d\r\n%b\r\n" % (head, len(last), last))

    def command(self, key: Key, rest: Arguments) -> Packed:
        """The command whose first arguments, ``key`` among them, are these."""
        return Packed(key, b"*%d\r\n%b%b" % (self.count + rest.count, self.wire, rest.wire))
