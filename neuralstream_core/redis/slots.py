"""Which node owns which slot, and which slot a key has."""

from __future__ import annotations

from array import array
from binascii import crc_hqx
from collections.abc import Sequence
from itertools import repeat

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis.pool import Pool
from neuralstream_core.redis.port import Key

__all__ = ["PART_DOWN", "SlotMap", "slot_of"]

SLOTS = 16384
_CRCS = 65536
PART_DOWN = "part of the feature cache is down"


def slot_of(key: Key) -> int:
    """The hash slot of ``key``: CRC-16/XMODEM of the part in the first non-empty braces, else of all."""
    if (start := key.find(b"{")) >= 0 and (end := key.find(b"}", start + 1)) > start + 1:
        key = key[start + 1 : end]
    return crc_hqx(key, 0) & (SLOTS - 1)


class SlotMap:
    """Which node owns which slot, as one immutable view apart from redirected slots.

    ``nodes`` numbers the primaries from 1; number 0 stands for "nobody". ``owner`` is indexed by the
    whole CRC-16 of a key, not by its slot, which saves the hot path a mask for each key.
    """

    __slots__ = ("generation", "nodes", "owner")

    def __init__(self, generation: int = 0) -> None:
        self.generation = generation
        self.nodes: list[Pool | None] = [None]
        self.owner = array("H", bytes(2 * _CRCS))

    def assign(self, first: int, last: int, pool: Pool) -> None:
        """Give the slots ``first`` to ``last``, both included, to ``pool``."""
        if pool not in self.nodes:
            self.nodes.append(pool)
        run = array("H", [self.nodes.index(pool)]) * (last + 1 - first)
        for start in range(first, _CRCS, SLOTS):
            self.owner[start : start + len(run)] = run

    def pool(self, slot: int) -> Pool:
        """The owner of ``slot``.

        Raises:
            Unavailable: it has none.
        """
        pool = self.nodes[self.owner[slot]]
        if pool is None:
            raise Unavailable(PART_DOWN, dependency="redis")
        return pool

    def route(self, names: Sequence[bytes], prefix: bytes = b"") -> list[int]:
        """The node number of each key: ``prefix`` and a name. Without braces, in C from end to end."""
        if b"{" in prefix or b"{" in b"".join(names):
            return [self.owner[slot_of(prefix + name)] for name in names]
        start = crc_hqx(prefix, 0)
        return list(map(self.owner.__getitem__, map(crc_hqx, names, repeat(start))))
