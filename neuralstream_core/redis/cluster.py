"""The port over a cluster: every node gets its commands in one send, all sends come before any read."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TypeVar, cast

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis.connection import (
    BROKEN,
    Address,
    Connection,
    Options,
    is_timeout,
    pack,
    pack_keys,
)
from neuralstream_core.redis.pool import Pool, outage_in, unavailable
from neuralstream_core.redis.port import FLIGHT, Call, Command, Key, Keys, Reply, ReplyError, Script
from neuralstream_core.redis.scripts import Runs, run_in_flights
from neuralstream_core.redis.slots import PART_DOWN, SlotMap, slot_of

__all__ = ["Cluster"]

_ROUNDS = 5
"""One, one more after a failure, and what redirections during a resharding may take."""
_TRANSIENT = frozenset(("CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOAUTH", "READONLY"))
"""Outages that a fresh slot map or connection may end: another node may serve the slot by now."""
_ASKING = pack((b"ASKING",))
_GET = b"*2\r\n$3\r\nGET\r\n"

_ALL_DOWN = "the feature cache cannot be reached"

Item = TypeVar("Item")
_clusters: weakref.WeakSet[Cluster]


class _Trip:
    """One flight to every node that is needed.

    ``answers`` holds the replies of each node by its number, ``None`` where it failed or was spared.
    """

    __slots__ = ("answers", "error", "failed", "outage", "redirects")

    def __init__(self, nodes: int) -> None:
        self.answers: list[list[Reply] | None] = [None] * nodes
        self.failed: set[Address] = set()
        self.error: BaseException | None = None
        self.outage: ReplyError | None = None
        self.redirects = False

    @property
    def silence(self) -> bool:
        """Whether a node has let its timeout pass; it is waited for once, not once a node."""
        return self.error is not None and is_timeout(self.error)

    def fail(self, pool: Pool, error: BaseException) -> None:
        self.failed.add(pool.address)
        self.error = error
        pool.clear()

    def settle(self, number: int, pool: Pool, connection: Connection, answers: list[Reply]) -> None:
        """All replies of a node are read; its connection goes back, unless it may be the fault."""
        if not connection.errors:
            self.answers[number] = answers
        elif (outage := outage_in(connection)) is None:
            self.answers[number] = answers
            self.redirects = True  # perhaps; `Cluster._place` looks
        elif outage.code in _TRANSIENT:
            connection.close()
            self.fail(pool, outage)
            return
        else:
            self.outage = outage
        pool.give(connection)


class Cluster:
    """A `neuralstream_core.redis.port.RedisPort` over a cluster; learns its nodes on first use.

    Reads and writes go to primaries, so a caller reads what it wrote. The slot map is renewed when
    a node fails or redirects; the configured address, resolved again, is the last resort.
    """

    def __init__(self, address: Address, options: Options) -> None:
        self._options = options
        self._seed = Pool(address, options)
        self._pools: dict[Address, Pool] = {address: self._seed}
        self._map: SlotMap | None = None
        self._failed_at = 0.0
        self._lock = threading.Lock()
        _clusters.add(self)

    # ------------------------------------------------------------------ the port

    def mget(self, keys: Sequence[Key] | Keys) -> list[bytes | None]:
        names: Sequence[bytes] = keys.encoded() if isinstance(keys, Keys) else keys
        prefix = keys.prefix.encode() if isinstance(keys, Keys) else b""
        wire = partial(_gets, prefix)
        values = self._exchange(names, names, wire, prefix=prefix) if names else []
        if ReplyError in map(type, values):
            for i, value in enumerate(values):
                if isinstance(value, ReplyError):
                    if value.code != "WRONGTYPE":
                        raise unavailable(value)
                    values[i] = None  # as MGET answers for a key of another type
        return cast("list[bytes | None]", values)

    def flight(
        self,
        commands: Sequence[Command],
        *,
        patient: bool = True,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Reply]:
        keys = [_bytes(command[1]) for command in commands]
        replies: list[Reply] = []
        for i in range(0, len(commands), FLIGHT):
            items = list(map(pack, commands[i : i + FLIGHT]))
            replies += self._exchange(
                keys[i : i + FLIGHT], items, b"".join, patient=patient, meanwhile=meanwhile
            )
            meanwhile = None
        return replies

    def run(self, script: Script, calls: Iterable[Call], *, flight: int = FLIGHT) -> list[Reply]:
        # Which node gets what is known only when it is sent.
        return run_in_flights(script, calls, flight, lambda runs: runs, self._send)

    def _send(
        self, runs: Runs, script: Script | None, meanwhile: Callable[[], None] | None
    ) -> list[Reply]:
        keys = [call[0] for call in runs.calls]
        return self._exchange(keys, runs.calls, runs.wire, script, meanwhile=meanwhile)

    def scan(
        self, cursor: bytes | None, match: bytes, count: int
    ) -> tuple[bytes | None, list[Key]]:
        """One step; the cursor is ``first slot of the node, its address, its own cursor``.

        Nodes take their turn by their first slot. A node's own cursor means nothing to another
        node: when the slot has a new owner, that node is scanned from its start.
        """
        slot, host, port, inner = _read_cursor(cursor)
        slots = self._map or self._renew(0)
        pool = slots.pool(slot)
        if pool.address != (host, port):
            inner = b"0"
        try:
            (reply,) = pool.exchange(pack((b"SCAN", inner, b"MATCH", match, b"COUNT", count)), 1)
        except Unavailable:
            self._renew(slots.generation, {pool.address})
            raise
        if isinstance(reply, ReplyError):
            raise unavailable(reply)
        following, keys = cast("tuple[bytes, list[Key]]", reply)
        if following == b"0":
            firsts = (slots.owner.index(number) for number in sorted(set(slots.owner)))
            later = [first for first in firsts if first > slot]
            return (b"%d - 0 0" % min(later) if later else None), keys
        return b"%d %b %d %b" % (slot, pool.address[0].encode(), pool.address[1], following), keys

    def ping(self) -> None:
        """Return if every primary answers and every slot has one."""
        slots = self._renew(self._map.generation if self._map else 0)
        if 0 in slots.owner:
            raise Unavailable(PART_DOWN, dependency="redis")
        for pool in slots.nodes:
            if pool is not None:
                pool.exchange(pack((b"PING",)), 1)

    def close(self) -> None:
        for pool in list(self._pools.values()):
            pool.clear()

    # ------------------------------------------------------------------ one flight

    def _exchange(
        self,
        keys: Sequence[Key],
        items: Sequence[Item],
        wire: Callable[[Sequence[Item]], bytes],
        script: Script | None = None,
        *,
        prefix: bytes = b"",
        patient: bool = True,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Reply]:
        """The reply to each item, through failover and resharding as far as time allows.

        Args:
            keys: route the items, each behind ``prefix``.
            items: what ``wire`` turns into the payload of one node.
        """
        started = time.monotonic()
        slots = self._map or self._renew(0)
        numbers = slots.route(keys, prefix)
        trip = self._trip(slots, numbers, items, wire, script, meanwhile)
        if trip.error is None and not trip.redirects:
            following = [iter(answers or ()).__next__ for answers in trip.answers]
            return [following[number]() for number in numbers]
        if trip.error is not None and trip.silence and not patient:
            raise unavailable(trip.error)

        replies: list[Reply] = [None] * len(keys)
        todo: Sequence[int] = range(len(keys))
        last_start = started + self._options.connect_timeout + self._options.read_timeout
        failures = 0
        for _ in range(_ROUNDS):
            asked: dict[Address, list[int]] = {}
            moved: dict[int, Address] = {}
            todo = self._place(trip, numbers, todo, replies, asked, moved)
            for address, indices in asked.items():
                payload = b"".join(_ASKING + wire([items[i]]) for i in indices)
                answers = self._pool(address).exchange(payload, 2 * len(indices))[1::2]
                for i, answer in zip(indices, answers, strict=True):
                    replies[i] = answer
            if not todo:
                return replies
            failures += trip.error is not None
            if failures > 1 or time.monotonic() > last_start:
                break
            slots = self._renew(slots.generation, trip.failed)
            for i, address in moved.items():
                slot = slot_of(prefix + keys[i])
                slots.assign(slot, slot, self._pool(address))
            some_keys, some_items = [keys[i] for i in todo], [items[i] for i in todo]
            numbers = slots.route(some_keys, prefix)
            trip = self._trip(slots, numbers, some_items, wire, script)
        raise unavailable(trip.error or TimeoutError())

    def _trip(
        self,
        slots: SlotMap,
        numbers: Sequence[int],
        items: Sequence[Item],
        wire: Callable[[Sequence[Item]], bytes],
        script: Script | None,
        meanwhile: Callable[[], None] | None = None,
    ) -> _Trip:
        """Send to every node, call ``meanwhile``, then read from every node.

        Raises:
            Unavailable: a node is in a state that no other try can better.
        """
        parts: list[list[Item]] = [[] for _ in slots.nodes]
        add = [part.append for part in parts]
        for number, item in zip(numbers, items, strict=True):
            add[number](item)
        trip = _Trip(len(parts))
        flights: list[tuple[int, Pool, Connection]] = []
        try:
            for number, part in enumerate(parts):
                pool = slots.nodes[number]
                if not part or trip.silence:
                    continue
                if pool is None:
                    trip.error = ConnectionError(PART_DOWN)
                    continue
                try:
                    connection = pool.take()
                    flights.append((number, pool, connection))
                    connection.start(wire(part), script)
                except (*BROKEN, ReplyError) as error:
                    if flights and flights[-1][0] == number:
                        flights.pop()[2].close()
                    trip.fail(pool, error)
            if meanwhile is not None:
                meanwhile()
            flights.reverse()
            while flights:
                number, pool, connection = flights[-1]
                try:
                    if trip.silence and not connection.ready():
                        raise TimeoutError
                    answers = connection.finish(len(parts[number]))
                except BROKEN as error:
                    connection.close()
                    trip.fail(pool, error)
                else:
                    trip.settle(number, pool, connection, answers)
                flights.pop()
        except BaseException:
            for _, _, connection in flights:
                connection.close()
            raise
        if trip.outage is not None:
            raise unavailable(trip.outage)
        return trip

    @staticmethod
    def _place(
        trip: _Trip,
        numbers: Sequence[int],
        indices: Sequence[int],
        replies: list[Reply],
        asked: dict[Address, list[int]],
        moved: dict[int, Address],
    ) -> list[int]:
        """Put the answers of a trip where they belong; what is left to do again."""
        todo = []
        following = [answers and iter(answers).__next__ for answers in trip.answers]
        for i, number in zip(indices, numbers, strict=True):
            if not (take := following[number]):
                todo.append(i)
                continue
            answer = take()
            if isinstance(answer, ReplyError) and answer.code in ("MOVED", "ASK"):
                kind, _, where = str(answer).split(" ")
                host, _, port = where.rpartition(":")
                if kind == "ASK":
                    asked.setdefault((host, int(port)), []).append(i)
                else:
                    moved[i] = (host, int(port))
                    todo.append(i)
            else:
                replies[i] = answer
        return todo

    # ------------------------------------------------------------------ the slot map

    def _pool(self, address: Address) -> Pool:
        """The pool of a node; an empty host (the node does not know its own) is the configured one."""
        address = (address[0] or self._seed.address[0], address[1])
        return self._pools.get(address) or self._pools.setdefault(
            address, Pool(address, self._options)
        )

    def _renew(self, seen: int, failed: Collection[Address] = ()) -> SlotMap:
        """A slot map newer than generation ``seen``: another thread's if there is one, else asked for.

        Raises:
            Unavailable: no node gives one in time.
        """
        asked_at = time.monotonic()
        with self._lock:
            if self._map is not None and self._map.generation > seen:
                return self._map
            if self._failed_at > asked_at:  # while this thread waited for the lock
                raise Unavailable(_ALL_DOWN, dependency="redis")
            known = [pool for pool in self._map.nodes if pool] if self._map else []
            order = sorted((*known, self._seed), key=lambda pool: pool.address in failed)
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
                    self._map = self._adopt(reply, pool.address[0], seen + 1)
                    return self._map
            self._failed_at = time.monotonic()
            raise error or Unavailable(_ALL_DOWN, dependency="redis")

    def _adopt(self, ranges: list[Reply], asked: str, generation: int) -> SlotMap:
        """The slot map that ``CLUSTER SLOTS`` answers; nodes that left lose their connections."""
        slots = SlotMap(generation)
        for entry in ranges:
            first, last, (host, port, *_), *_ = cast("tuple[int, int, list[bytes | int]]", entry)
            # NULL or "?": the node does not know its own name; it is the one that was asked.
            name = _bytes(host or b"?").decode()
            slots.assign(first, last, self._pool((asked if name == "?" else name, int(port))))
        kept = {self._seed.address, *(pool.address for pool in slots.nodes if pool)}
        for address in self._pools.keys() - kept:
            self._pools.pop(address).clear()
        return slots

    def _after_fork(self) -> None:
        self._lock = threading.Lock()


def _bytes(value: bytes | str | int) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _gets(prefix: bytes, names: Sequence[bytes]) -> bytes:
    return pack_keys(_GET, names, prefix)[2:]


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
