"""What a single node and a cluster do alike: commands in flights, tried once more after a failure."""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import Any, Final, cast

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis.connection import Pool, fan_out, is_timeout, pack
from neuralstream_core.redis.port import (
    FLIGHT,
    Call,
    Command,
    Key,
    Packed,
    Reply,
    ReplyError,
    ScanStep,
    Script,
)

__all__ = ["Flights", "SingleNode", "accepted", "ask", "unavailable"]

_ROUNDS: Final = 5
"""One, one more after a failure, and what redirections during a resharding may take."""

_TRANSIENT: Final = ("CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOAUTH", "READONLY", "TRYAGAIN")
"""States that may be over after a new connection: another node may serve the address by then."""

_OUTAGES: Final = ("BUSY", "MISCONF", "NOPERM", "NOREPLICAS", "OOM", "WRONGPASS")
"""Error codes for the state of the node, not for the command."""

_FULL: Final = "max number of clients"


def unavailable(error: BaseException) -> Unavailable:
    """The error for the caller; says what happened, not where."""
    code = error.code if isinstance(error, ReplyError) else getattr(error, "status_code", None)
    if code is not None:
        return Unavailable(f"the feature cache refuses: {code}", dependency="redis")
    if is_timeout(error):
        return Unavailable("the feature cache did not answer in time", dependency="redis")
    return Unavailable("the feature cache cannot be reached", dependency="redis")


def accepted(reply: Reply) -> Reply:
    """The reply, or `Unavailable` if the command was refused."""
    if isinstance(reply, ReplyError):
        raise unavailable(reply)
    return reply


def ask(pool: Pool, *commands: bytes) -> Reply:
    """The reply of one node to the last of ``commands``, or `Unavailable`."""
    answers = fan_out({pool: commands})[pool]
    if isinstance(answers, Exception):
        pool.clear()
        raise unavailable(answers)
    return answers[-1]


class Flights(ABC):
    """The part of `RedisPort` that does not depend on the deployment.

    Args:
        host, port: of the node, or of any node of the cluster.
        options: of every `FlightConnection`.
    """

    def __init__(self, *, host: str, port: int, **options: Any) -> None:
        self._host, self._port = host, port
        self._options = options
        self._patience = options["socket_connect_timeout"] + options["socket_timeout"]
        self._reset()

    def _reset(self) -> None:
        """Forget every connection and lock; a forked child must not touch those of its parent."""
        self._process = os.getpid()
        self._lock = threading.Lock()

    @abstractmethod
    def _route(self, keys: Sequence[Key]) -> Sequence[Pool]:
        """The node that serves each key, or `Unavailable` if none does."""

    def _recover(self, failed: Collection[Pool]) -> None:
        """Prepare another try after nodes failed, or raise `Unavailable` if it would fail too."""
        for pool in failed:
            pool.clear()  # its connections are as old as the one that broke

    def _redirected(self, reply: ReplyError) -> Pool | None:
        """The node that ASK names; ``None`` after MOVED, which is remembered."""
        raise unavailable(reply)

    def flight(self, commands: Sequence[Command | Packed], *, patient: bool = True) -> list[Reply]:
        replies: list[Reply] = []
        for i in range(0, len(commands), FLIGHT):
            some = commands[i : i + FLIGHT]
            packed = [c if isinstance(c, Packed) else Packed(_key(c[1]), pack(c)) for c in some]
            keys, wires = [c.key for c in packed], [c.wire for c in packed]
            replies += self._exchange(keys, wires, patient=patient)
        return replies

    def run(self, script: Script, calls: Iterable[Call], *, flight: int = FLIGHT) -> list[Reply]:
        left = iter(calls)
        some = list(islice(left, flight))
        wires = _packed(some, b"EVALSHA", script.sha)
        following = list(islice(left, flight))
        if not following:
            return self._run(script, some, wires)
        # Rows of many flights take Redis about as long as this process: the next flight is packed meanwhile.
        replies: list[Reply] = []
        with ThreadPoolExecutor(1) as sender:
            while some:
                sent = sender.submit(self._run, script, some, wires)
                some, wires = following, _packed(following, b"EVALSHA", script.sha)
                following = list(islice(left, flight))
                replies += sent.result()
        return replies

    def _run(self, script: Script, calls: Sequence[Call], wires: Sequence[bytes]) -> list[Reply]:
        """One flight, with the script's source for a server that does not know it."""
        answers = self._exchange([call[0] for call in calls], wires)
        if again := _unscripted(calls, answers):
            unknown = [calls[i] for i in again]
            keys = [call[0] for call in unknown]
            brought = self._exchange(keys, _packed(unknown, b"EVAL", script.source))
            for i, answer in zip(again, brought, strict=True):
                answers[i] = answer
        return answers

    def _exchange(
        self, keys: Sequence[Key], commands: Sequence[bytes], *, patient: bool = True
    ) -> list[Reply]:
        """The reply to each packed command, through failover and resharding as far as time allows."""
        if self._process != os.getpid():
            self._reset()
        last_start = time.monotonic() + self._patience
        replies: list[Reply] = [None] * len(commands)
        todo: Sequence[int] = range(len(commands))
        failures = 0
        for _ in range(_ROUNDS):
            parts = _parts(todo, self._route([keys[i] for i in todo]))
            trip = fan_out({pool: [commands[i] for i in part] for pool, part in parts.items()})
            if len(trip) == 1 and len(todo) == len(commands):
                (whole,) = trip.values()
                if isinstance(whole, list) and ReplyError not in set(map(type, whole)):
                    return whole  # nearly always
            again: list[int] = []
            failed: dict[Pool, Exception] = {}
            for pool, answers in trip.items():
                if isinstance(answers, Exception):
                    failed[pool] = answers
                    again += parts[pool]
                    continue
                for i, reply in zip(parts[pool], answers, strict=True):
                    replies[i] = reply
                    if not isinstance(reply, ReplyError):
                        continue
                    if reply.code in _TRANSIENT:
                        failed[pool] = reply
                        again.append(i)
                    elif reply.code in ("MOVED", "ASK"):
                        if (target := self._redirected(reply)) is None:
                            again.append(i)
                        else:
                            replies[i] = ask(target, pack((b"ASKING",)), commands[i])
                    elif reply.code in _OUTAGES or _FULL in str(reply):
                        raise unavailable(reply)
            if not again:
                return replies
            todo = sorted(again)  # two writes of one key must end in their order
            if failed:
                failures += 1
                hasty = not patient and any(map(is_timeout, failed.values()))
                if failures > 1 or hasty or time.monotonic() > last_start:
                    raise unavailable(next(iter(failed.values())))
                self._recover(failed)
        raise unavailable(TimeoutError("too many redirections"))


def _parts(places: Sequence[int], pools: Sequence[Pool]) -> dict[Pool, Sequence[int]]:
    """The places that go to each pool, in order."""
    if pools and pools.count(pools[0]) == len(pools):
        return {pools[0]: places}
    parts: dict[Pool, list[int]] = {}
    for i, pool in zip(places, pools, strict=True):
        parts.setdefault(pool, []).append(i)
    return {**parts}


def _key(argument: bytes | str | int) -> Key:
    return argument if isinstance(argument, bytes) else str(argument).encode()


def _packed(calls: Sequence[Call], command: bytes, script: bytes) -> list[bytes]:
    return [pack((command, script, b"1", *call)) for call in calls]


def _unscripted(calls: Sequence[Call], replies: Sequence[Reply]) -> list[int]:
    """Indices of the calls to run again with the script's source, because a server does not know it.

    After a refused call the later calls of its key run again too: writes of one key keep their order.
    """
    refused: set[Key] = set()
    again = []
    for i, (call, reply) in enumerate(zip(calls, replies, strict=True)):
        if isinstance(reply, ReplyError) and reply.code == "NOSCRIPT":
            refused.add(call[0])
        if call[0] in refused:
            again.append(i)
    return again


class SingleNode(Flights):
    """A `RedisPort` over one server."""

    def _reset(self) -> None:
        super()._reset()
        self._pool = Pool(host=self._host, port=self._port, **self._options)

    def _route(self, keys: Sequence[Key]) -> Sequence[Pool]:
        return [self._pool] * len(keys)

    def mget(self, keys: Sequence[Key]) -> list[bytes | None]:
        slices = [keys[i : i + FLIGHT] for i in range(0, len(keys), FLIGHT)]
        replies = self._exchange(
            [part[0] for part in slices], [pack((b"MGET", *part)) for part in slices]
        )
        return list(chain.from_iterable(cast("list[list[bytes]]", map(accepted, replies))))

    def scan(self, cursor: bytes | None, match: bytes, count: int) -> ScanStep:
        command = pack((b"SCAN", cursor or b"0", b"MATCH", match, b"COUNT", count))
        step = cast("tuple[bytes, list[Key]]", accepted(*self._exchange([b""], [command])))
        return (None if step[0] == b"0" else step[0]), step[1]

    def ping(self) -> None:
        accepted(*self._exchange([b""], [pack((b"PING",))]))

    def close(self) -> None:
        self._pool.clear()
