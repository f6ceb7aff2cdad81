"""The port over one node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from neuralstream_core.redis.connection import Address, Options, pack, pack_keys
from neuralstream_core.redis.pool import Pool, unavailable
from neuralstream_core.redis.port import Call, Command, Key, Reply, ReplyError, Script

__all__ = ["FLIGHT", "SingleNode", "unscripted"]

FLIGHT = 1000
"""The most commands in one send, so that a bulk write does not hold the server or a timeout up."""


class SingleNode:
    """A `neuralstream_core.redis.port.RedisPort` over one server; connects on first use."""

    def __init__(self, address: Address, options: Options) -> None:
        self._pool = Pool(address, options)

    def mget(self, keys: Sequence[Key]) -> list[bytes | None]:
        if len(keys) <= FLIGHT:
            if not keys:
                return []
            (values,) = self._pool.exchange(_mget(keys), 1)
            return _values(values)
        slices = range(0, len(keys), FLIGHT)
        payload = b"".join(_mget(keys[i : i + FLIGHT]) for i in slices)
        found: list[bytes | None] = []
        for values in self._pool.exchange(payload, len(slices)):
            found += _values(values)
        return found

    def flight(
        self,
        commands: Sequence[Command],
        *,
        patient: bool = True,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Reply]:
        return self._slices(commands, None, patient=patient, meanwhile=meanwhile)

    def run(self, script: Script, calls: Sequence[Call]) -> list[Reply]:
        sha = script.sha
        replies = self._slices([(b"EVALSHA", sha, 1, key, *args) for key, args in calls], script)
        if again := unscripted(calls, replies):
            evals = [(b"EVAL", script.source, 1, calls[i][0], *calls[i][1]) for i in again]
            for i, reply in zip(again, self._slices(evals, None), strict=True):
                replies[i] = reply
        return replies

    def _slices(
        self,
        commands: Sequence[Command],
        script: Script | None,
        *,
        patient: bool = True,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Reply]:
        if len(commands) <= FLIGHT:
            if not commands:
                return []
            payload = b"".join(map(pack, commands))
            return self._pool.exchange(
                payload, len(commands), script, patient=patient, meanwhile=meanwhile
            )
        replies: list[Reply] = []
        for i in range(0, len(commands), FLIGHT):
            replies += self._slices(commands[i : i + FLIGHT], script, patient=patient)
        return replies

    def scan(
        self, cursor: bytes | None, match: bytes, count: int
    ) -> tuple[bytes | None, list[Key]]:
        command = (b"SCAN", cursor or b"0", b"MATCH", match, b"COUNT", count)
        (reply,) = self._pool.exchange(pack(command), 1)
        if isinstance(reply, ReplyError):
            raise unavailable(reply)
        following, keys = cast("tuple[bytes, list[Key]]", reply)
        return (None if following == b"0" else following), keys

    def ping(self) -> None:
        self._pool.exchange(pack((b"PING",)), 1)

    def close(self) -> None:
        self._pool.clear()


def _mget(keys: Sequence[Key]) -> bytes:
    return b"*%d\r\n$4\r\nMGET\r\n" % (len(keys) + 1) + pack_keys(b"", keys)


def _values(reply: Reply) -> list[bytes | None]:
    if isinstance(reply, ReplyError):
        raise unavailable(reply)
    return cast("list[bytes | None]", reply)


def unscripted(calls: Sequence[Call], replies: Sequence[Reply]) -> list[int]:
    """The calls that must run again, with the script's source, because a server had forgotten it.

    Where one call of a key was refused, its later calls run again even if another client brought the
    script in between and they ran: two writes of one key must end in their order.
    """
    if ReplyError not in map(type, replies):
        return []
    refused: set[Key] = set()
    again = []
    for i, ((key, _), reply) in enumerate(zip(calls, replies, strict=True)):
        if isinstance(reply, ReplyError) and reply.code == "NOSCRIPT":
            refused.add(key)
        if key in refused:
            again.append(i)
    return again
