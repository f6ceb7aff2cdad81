"""The port over a cluster; redis-py's `NodesManager` knows which node serves which slot."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Final, cast

from redis.cluster import ClusterNode, NodesManager
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import MovedError, RedisClusterException, RedisError

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis.connection import FlightConnection, Pool, pack
from neuralstream_core.redis.flights import Flights, accepted, ask, unavailable
from neuralstream_core.redis.port import Key, ReplyError, ScanStep

__all__ = ["Cluster"]

_NAMELESS: Final = (None, "", "?")
"""What CLUSTER SLOTS and redirections say of a node that does not know its own name."""


class Cluster(Flights):
    """A `RedisPort` over a cluster; reads and writes go to primaries.

    When a node fails, the topology is asked for again, of the configured address and of one other node,
    so that the time does not grow with the cluster.
    """

    def _reset(self) -> None:
        super()._reset()
        self._manager: NodesManager | None = None
        self._pools: dict[str, Pool] = {}
        self._renewed_at = self._failed_at = 0.0

    def mget(self, keys: Sequence[Key]) -> list[bytes | None]:
        values = self._exchange(keys, [pack((b"GET", key)) for key in keys])
        for i, value in enumerate(values):
            if isinstance(value, ReplyError):
                if value.code != "WRONGTYPE":
                    raise unavailable(value)
                values[i] = None  # as MGET answers for a key of another type
        return cast("list[bytes | None]", values)

    def scan(self, cursor: bytes | None, match: bytes, count: int) -> ScanStep:
        """One step, node after node; the cursor holds a node's first slot, name and own cursor.

        When the slot has a new owner, that node is scanned from its start.
        """
        slots = (self._nodes() if cursor else self._renew()).slots_cache
        at, name, inner = (cursor or b"%d - 0" % min(slots)).split(b" ")
        if int(at) not in slots:
            raise _part_down()
        node = slots[int(at)][0]
        if node.name.encode() != name:
            inner = b"0"
        command = pack((b"SCAN", inner, b"MATCH", match, b"COUNT", count))
        reply = accepted(ask(self._pool(node), command))
        following, keys = cast("tuple[bytes, list[Key]]", reply)
        if following != b"0":
            return b"%b %b %b" % (at, node.name.encode(), following), keys
        firsts = {slots[slot][0].name: slot for slot in sorted(slots, reverse=True)}
        later = [slot for slot in firsts.values() if slot > int(at)]
        return (b"%d - 0" % min(later) if later else None), keys

    def ping(self) -> None:
        manager = self._renew()
        if len(manager.slots_cache) < REDIS_CLUSTER_HASH_SLOTS:
            raise _part_down()
        for node in manager.get_nodes_by_server_type("primary"):
            accepted(ask(self._pool(node), pack((b"PING",))))

    def close(self) -> None:
        for pool in list(self._pools.values()):
            pool.clear()

    def _nodes(self) -> NodesManager:
        return self._manager or self._renew()

    def _pool(self, node: ClusterNode) -> Pool:
        if node.name not in self._pools:
            made = Pool(host=node.host, port=node.port, **self._options)
            self._pools.setdefault(node.name, made)
        return self._pools[node.name]

    def _route(self, keys: Sequence[Key]) -> Sequence[Pool]:
        slots = list(map(key_slot, keys))
        served = self._nodes().slots_cache
        if not all(slot in served for slot in slots):
            served = self._renew().slots_cache
        try:
            return [self._pool(served[slot][0]) for slot in slots]
        except KeyError:
            raise _part_down() from None

    def _redirected(self, reply: ReplyError) -> Pool | None:
        kind, target = str(reply).split(" ", 1)  # MOVED 3999 127.0.0.1:6381
        redirection = MovedError(target)
        if redirection.host in _NAMELESS:
            redirection.host = self._host
        if kind == "MOVED":
            self._nodes().move_slot(redirection)
            return None
        return self._pool(ClusterNode(redirection.host, redirection.port))

    def _recover(self, failed: Collection[Pool]) -> None:
        super()._recover(failed)
        self._renew(failed)

    def _renew(self, failed: Collection[Pool] = ()) -> NodesManager:
        """Ask for the topology, ``failed`` nodes last, or wait for another thread that already does.

        Raises:
            Unavailable: no node answers in time.
        """
        asked_at = time.monotonic()
        with self._lock:
            if self._manager is not None and self._renewed_at > asked_at:
                return self._manager
            if self._failed_at > asked_at:
                raise unavailable(TimeoutError())
            try:
                if self._manager is None:
                    self._manager = NodesManager(
                        [ClusterNode(self._host, self._port)],
                        from_url=True,  # so that it asks over connections of our class
                        connection_class=FlightConnection,
                        dynamic_startup_nodes=False,
                        require_full_coverage=False,
                        address_remap=self._named,
                        **self._options,
                    )
                else:
                    self._ask_again(self._manager, failed)
            # redis-py raises IndexError or TypeError for a reply without slots or names.
            except (RedisClusterException, RedisError, OSError, IndexError, TypeError) as error:
                self._failed_at = time.monotonic()
                raise unavailable(error.__cause__ or error) from error
            self._renewed_at = time.monotonic()
            return self._manager

    def _ask_again(self, manager: NodesManager, failed: Collection[Pool]) -> None:
        nodes = manager.get_nodes_by_server_type("primary")
        others = [(node.host, node.port) for node in nodes if self._pool(node) not in failed]
        down = {node.name for node in nodes if self._pool(node) in failed}
        (configured,) = manager.startup_nodes
        manager.initialize(
            additional_startup_nodes_info=others[:1],
            last_failed_node_name=configured if configured in down else None,
        )

    def _named(self, address: tuple[str, int]) -> tuple[str, int]:
        host, port = address
        return (self._host if host in _NAMELESS else host), port


def _part_down() -> Unavailable:
    return Unavailable("part of the feature cache is down", dependency="redis")
