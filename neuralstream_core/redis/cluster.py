"""The port over a cluster: every node gets its commands in one send, all sends come before any read."""

from __future__ import annotations

import os
import threading
import time
import weakref
from binascii import crc_hqx
from collections.abc import Iterable, Sequence
from typing import cast

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis.connection import (
    BROKEN,
    Address,
    Connection,
    Options,
    is_timeout,
    pack,
)
from neuralstream_core.redis.pool import Pool, outage_in, unavailable
from neuralstream_core.redis.port import Command, Key, Reply, ReplyError, Script
from neuralstream_core.redis.single import FLIGHT, unscripted

__all__ = ["Cluster", "slot_of"]

SLOTS = 16384
_ROUNDS = 5
"""One, one more after a failure, and what redirections during a resharding may take."""
_TRIED = frozenset(("CLUSTERDOWN", "READONLY", "NOAUTH"))
"""Outages that a fresh slot map or connection may end."""
_ASKING = pack((b"ASKING",))

_clusters: weakref.WeakSet[Cluster]


def slot_of(key: Key) -> int:
    """The hash slot of ``key``: CRC-16/XMODEM of the part in the first non-empty braces, else of all."""
    if (start := key.find(b"{")) >= 0 and (end := key.find(b"}", start + 1)) > start + 1:
        key = key[start + 1 : end]
    return crc_hqx(key, 0) & (SLOTS - 1)


class _Round:
    """What one round over the nodes left to do."""

    __slots__ = ("asked", "error", "failed", "moved", "todo")

    def __init__(self) -> None:
        self.todo: list[int] = []
        self.failed: set[Address] = set()
        self.error: BaseException | None = None
        self.moved: dict[int, Address] = {}
        self.asked: dict[Address, list[int]] = {}

    def fail(self, pool: Pool, indices: Iterable[int], error: BaseException) -> None:
        self.todo += indices
        self.failed.add(pool.address)
        self.error = error
        pool.clear()


class Cluster:
    """A `neuralstream_core.redis.port.RedisPort` over a cluster; learns its nodes on first use.

    Reads and writes go to primaries, so a caller reads what it wrote. The slot map is renewed when
    a node fails or redirects; the configured address, resolved again, is the last resort.
    """

    def __init__(self, address: Address, options: Options) -> None:
        self._options = options
        self._seed = Pool(address, options)
        self._pools: dict[Address, Pool] = {address: self._seed}
        self._owners: list[Pool | None] = []
        """The primary of each slot; empty before the first use."""
        self._generation = 0
        self._failed_at = 0.0
        self._lock = threading.Lock()
        _clusters.add(self)

    # ------------------------------------------------------------------ the port

    def mget(self, keys: Sequence[Key]) -> list[bytes | None]:
        if not keys:
            return []
        packed = [b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key) for key in keys]
        values = self._exchange(packed, keys, None)
        for i, value in enumerate(values):
            if value.__class__ is ReplyError:
                if value.code != "WRONGTYPE":
                    raise unavailable(value)
                values[i] = None  # as MGET answers for a key of another type
        return cast("list[bytes | None]", values)

    def flight(self, commands: Sequence[Command]) -> list[Reply]:
        keys = [_bytes(command[1]) for command in commands]
        return self._slices(commands, keys, None)

    def run(
        self, script: Script, calls: Sequence[tuple[Key, Sequence[bytes | str | int]]]
    ) -> list[Reply]:
        sha, keys = script.sha, [key for key, _ in calls]
        commands: list[Command] = [(b"EVALSHA", sha, 1, key, *args) for key, args in calls]
        replies = self._slices(commands, keys, script)
        if (start := unscripted(replies)) is not None:
            commands = [(b"EVAL", script.source, 1, key, *args) for key, args in calls[start:]]
            replies[start:] = self._slices(commands, keys[start:], None)
        return replies

    def scan(
        self, cursor: bytes | None, match: bytes, count: int
    ) -> tuple[bytes | None, list[Key]]:
        """One step; the cursor is ``first slot of the node, its address, its own cursor``.

        Nodes take their turn by their first slot. A node's own cursor means nothing to another
        node: when the slot has a new owner, that node is scanned from its start.
        """
        slot, host, port, inner = _read_cursor(cursor)
        owners = self._owners or self._renew(0)
        pool = owners[slot]
        if pool is None:
            raise Unavailable("part of the feature cache is down", dependency="redis")
        if pool.address != (host, port):
            inner = b"0"
        command = pack((b"SCAN", inner, b"MATCH", match, b"COUNT", count))
        try:
            (reply,) = pool.exchange(command, 1)
        except Unavailable:
            self._renew(self._generation, {pool.address})
            raise
        if isinstance(reply, ReplyError):
            raise unavailable(reply)
        following, keys = cast("tuple[bytes, list[Key]]", reply)
        if following == b"0":
            firsts: dict[Pool | None, int] = {}
            for number, owner in enumerate(owners):
                firsts.setdefault(owner, number)
            later = [first for first in firsts.values() if first > slot]
            if not later:
                return None, keys
            return b"%d - 0 0" % min(later), keys
        return b"%d %b %d %b" % (slot, pool.address[0].encode(), pool.address[1], following), keys

    def ping(self) -> None:
        """Return if every primary answers and every slot has one."""
        owners = self._renew(self._generation)
        for pool in dict.fromkeys(owners):
            if pool is None:
                raise Unavailable("part of the feature cache is down", dependency="redis")
            pool.exchange(pack((b"PING",)), 1)

    def close(self) -> None:
        for pool in list(self._pools.values()):
            pool.clear()

    # ------------------------------------------------------------------ one flight

    def _slices(
        self, commands: Sequence[Command], keys: Sequence[Key], script: Script | None
    ) -> list[Reply]:
        if len(commands) <= FLIGHT:
            return self._exchange(list(map(pack, commands)), keys, script) if commands else []
        replies: list[Reply] = []
        for i in range(0, len(commands), FLIGHT):
            part = slice(i, i + FLIGHT)
            replies += self._exchange(list(map(pack, commands[part])), keys[part], script)
        return replies

    def _exchange(
        self, packed: list[bytes], keys: Sequence[Key], script: Script | None
    ) -> list[Reply]:
        """Replies of ``packed`` in order, through failover and resharding as far as time allows."""
        slots = [slot_of(key) if b"{" in key else crc_hqx(key, 0) & (SLOTS - 1) for key in keys]
        replies: list[Reply] = [None] * len(packed)
        todo: Sequence[int] = range(len(packed))
        options = self._options
        last_start = time.monotonic() + options.connect_timeout + 1.5 * options.read_timeout
        failures = 0
        error: BaseException | None = None
        for _ in range(_ROUNDS):
            generation = self._generation
            owners = self._owners or self._renew(generation)
            left = self._round(owners, packed, slots, todo, replies, script)
            if left is None:
                return replies
            error = left.error
            if left.failed:
                failures += 1
                if failures > 1 or time.monotonic() > last_start:
                    break
            if left.failed or left.moved:
                self._renew(generation, left.failed)
                for slot, address in left.moved.items():
                    self._owners[slot] = self._pool(address)
            for address, indices in left.asked.items():
                payload = b"".join(_ASKING + packed[i] for i in indices)
                answers = self._pool(address).exchange(payload, 2 * len(indices))[1::2]
                for i, answer in zip(indices, answers, strict=True):
                    replies[i] = answer
            if not left.todo:
                return replies
            todo = sorted(left.todo)
            if time.monotonic() > last_start:
                break
        raise unavailable(error or TimeoutError())

    def _round(
        self,
        owners: list[Pool | None],
        packed: list[bytes],
        slots: list[int],
        todo: Sequence[int],
        replies: list[Reply],
        script: Script | None,
    ) -> _Round | None:
        """Send to every node, then read from every node; ``None`` when every reply is in place."""
        groups: dict[Pool | None, list[int]] = {}
        for i in todo:
            pool = owners[slots[i]]
            if pool in groups:
                groups[pool].append(i)
            else:
                groups[pool] = [i]
        left = _Round()
        flights: list[tuple[Pool, Connection, list[int]]] = []
        waiting = 0
        outage: ReplyError | None = None
        try:
            for pool, indices in groups.items():
                if pool is None:
                    left.todo += indices
                    left.failed.add(("", 0))
                    continue
                if left.error is not None and is_timeout(left.error):
                    left.todo += indices  # one silent node costs its timeout once, not once a node
                    continue
                try:
                    connection = pool.take()
                    flights.append((pool, connection, indices))
                    connection.start(b"".join([packed[i] for i in indices]), script)
                except (*BROKEN, ReplyError) as error:
                    if flights and flights[-1][2] is indices:
                        flights.pop()[1].close()
                    left.fail(pool, indices, error)
            for pool, connection, indices in flights:
                waiting += 1
                try:
                    if left.error is not None and is_timeout(left.error) and not connection.ready():
                        raise left.error
                    answers = connection.finish(len(indices))
                except BROKEN as error:
                    connection.close()
                    left.fail(pool, indices, error)
                    continue
                clean = not connection.errors
                refused = None if clean else outage_in(connection)
                pool.give(connection)
                if clean:
                    if len(flights) == 1 and len(indices) == len(replies):
                        replies[:] = answers
                        continue
                    for i, answer in zip(indices, answers, strict=True):
                        replies[i] = answer
                elif refused is None:
                    self._sort_out(left, slots, indices, answers, replies)
                elif refused.code in _TRIED:
                    left.fail(pool, indices, refused)
                else:
                    outage = refused
        except BaseException:
            for _, connection, _ in flights[max(0, waiting - 1) :]:
                connection.close()
            raise
        if outage is not None:
            raise unavailable(outage)
        return left if left.todo or left.asked else None

    @staticmethod
    def _sort_out(
        left: _Round,
        slots: list[int],
        indices: list[int],
        answers: list[Reply],
        replies: list[Reply],
    ) -> None:
        """Put answers in place; note the redirected ones."""
        for i, answer in zip(indices, answers, strict=True):
            if isinstance(answer, ReplyError) and answer.code in ("MOVED", "ASK"):
                kind, _, where = str(answer).split(" ")
                host, _, port = where.rpartition(":")
                if kind == "MOVED":
                    left.moved[slots[i]] = (host, int(port))
                    left.todo.append(i)
                else:
                    left.asked.setdefault((host, int(port)), []).append(i)
            else:
                replies[i] = answer

    # ------------------------------------------------------------------ the slot map

    def _pool(self, address: Address) -> Pool:
        """The pool of a node; an empty host (the node does not know its own) is the configured one."""
        if not address[0]:
            address = (self._seed.address[0], address[1])
        return self._pools.setdefault(address, Pool(address, self._options))

    def _renew(self, seen: int, failed: Iterable[Address] = ()) -> list[Pool | None]:
        """A slot map newer than generation ``seen``: another thread's if there is one, else asked for.

        Raises:
            Unavailable: no node gives one in time.
        """
        asked_at = time.monotonic()
        with self._lock:
            if self._generation > seen and self._owners:
                return self._owners
            if self._failed_at > asked_at:  # while this thread waited for the lock
                raise Unavailable("the feature cache cannot be reached", dependency="redis")
            primaries = dict.fromkeys(pool for pool in self._owners if pool is not None)
            order = sorted((*primaries, self._seed), key=lambda pool: pool.address in set(failed))
            error: Unavailable | None = None
            patience = self._options.connect_timeout + self._options.read_timeout / 2
            for pool in dict.fromkeys(order):
                if time.monotonic() - asked_at > patience:
                    break
                try:
                    (reply,) = pool.exchange(pack((b"CLUSTER", b"SLOTS")), 1)
                except Unavailable as down:
                    error = down
                    continue
                if isinstance(reply, list) and reply:
                    self._adopt(reply, pool.address[0])
                    return self._owners
            self._failed_at = time.monotonic()
            raise error or Unavailable("the feature cache has no slots", dependency="redis")

    def _adopt(self, ranges: list[Reply], asked: str) -> None:
        """Make the answer of ``CLUSTER SLOTS`` the slot map; forget nodes that left."""
        owners: list[Pool | None] = [None] * SLOTS
        for entry in ranges:
            first, last, (host, port, *_), *_ = cast("tuple[int, int, list[bytes | int]]", entry)
            # NULL or "?": the node does not know its own name; it is the one that was asked.
            name = _bytes(host or b"?").decode()
            pool = self._pool((asked if name == "?" else name, int(port)))
            owners[first : last + 1] = [pool] * (last + 1 - first)
        self._owners = owners
        self._generation += 1
        for address in self._pools.keys() - {
            pool.address for pool in {*owners, self._seed} if pool
        }:
            self._pools.pop(address).clear()

    def _after_fork(self) -> None:
        self._lock = threading.Lock()


def _bytes(value: bytes | str | int) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _read_cursor(cursor: bytes | None) -> tuple[int, str, int, bytes]:
    if cursor is None:
        return 0, "-", 0, b"0"
    slot, host, port, inner = cursor.split(b" ")
    return int(slot), host.decode(), int(port), inner


def _after_fork() -> None:
    for cluster in list(_clusters):
        cluster._after_fork()  # noqa: SLF001 - the same module's own class


_clusters = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
