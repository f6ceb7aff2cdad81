"""A Redis cluster of `EmbeddedRedis` nodes, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

from neuralstream_local.embedded_redis import EmbeddedRedis, talk

__all__ = ["EmbeddedCluster"]

_HOST = EmbeddedRedis.host
_SLOTS = 16384
_START_SECONDS = 60.0


def _follow(port: int, *, primary: str) -> bool:
    return talk(port, ("CLUSTER", "REPLICATE", primary)) == ["OK"]


def _info(port: int, *command: str) -> str:
    return str(talk(port, command)[0])


class EmbeddedCluster(AbstractContextManager["EmbeddedCluster"]):
    """A cluster of primaries that share all slots evenly, each with as many replicas as asked.

    Starts in the constructor; a context manager. ``nodes`` lists the primaries first, then the
    replicas in the order of their primaries.
    """

    host = _HOST

    def __init__(self, primaries: int = 3, replicas: int = 0) -> None:
        args = (
            *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
            *("--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0"),
            *("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"),
        )
        self.nodes: list[EmbeddedRedis] = []
        try:
            for _ in range(primaries * (1 + replicas)):
                self.nodes.append(EmbeddedRedis(args=args))
            self._join(primaries, replicas)
        except BaseException:
            self.stop()
            raise

    @property
    def port(self) -> int:
        """The port of the first node."""
        return self.nodes[0].port

    def _join(self, primaries: int, replicas: int) -> None:
        bounds = [_SLOTS * i // primaries for i in range(primaries + 1)]
        for i, node in enumerate(self.nodes[:primaries]):
            talk(
                node.port,
                ("CLUSTER", "ADDSLOTS", *range(bounds[i], bounds[i + 1])),
                ("CLUSTER", "SET-CONFIG-EPOCH", i + 1),
            )
        for node in self.nodes[1:]:
            talk(self.port, ("CLUSTER", "MEET", _HOST, node.port))
        known = f"cluster_known_nodes:{len(self.nodes)}\r"
        self._await(lambda port: known in _info(port, "CLUSTER", "INFO"))
        ids = [str(talk(node.port, ("CLUSTER", "MYID"))[0]) for node in self.nodes]
        for i, node in enumerate(self.nodes[primaries:]):
            follow = partial(_follow, primary=ids[i // replicas])
            self._await(follow, [node])
        # A primary waits two seconds after its start before it takes commands.
        self._await(lambda port: "cluster_state:ok" in _info(port, "CLUSTER", "INFO"))
        self._await(lambda port: f"cluster_slots_ok:{_SLOTS}" in _info(port, "CLUSTER", "INFO"))
        self._await(
            lambda port: "master_link_status:up" in _info(port, "INFO", "replication"),
            self.nodes[primaries:],
        )

    def _await(
        self, condition: Callable[[int], bool], nodes: Sequence[EmbeddedRedis] | None = None
    ) -> None:
        deadline = time.monotonic() + _START_SECONDS
        for node in self.nodes if nodes is None else nodes:
            while not condition(node.port):
                if time.monotonic() > deadline:
                    raise RuntimeError("the Redis cluster did not form in time")
                time.sleep(0.01)

    def flush(self) -> None:
        """Remove all data from every primary that answers."""
        for node in self.nodes:
            with contextlib.suppress(OSError):
                talk(node.port, ("FLUSHALL",))

    def stop(self) -> None:
        """End every node; may be called twice."""
        for node in self.nodes:
            node.stop()

    def __exit__(self, *_: object) -> None:
        self.stop()
