"""The port over one node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

from neuralstream_core.redis.connection import Address, KeyHeads, Options, pack, pack_keys
from neuralstream_core.redis.pool import Pool, unavailable
from neuralstream_core.redis.port import FLIGHT, Call, Command, Key, Reply, ReplyError, Script
from neuralstream_core.redis.scripts import run_in_flights

__all__ = ["SingleNode"]

_HEADS = KeyHeads(b"")


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
        if len(commands) <= FLIGHT:
            if not commands:
                return []
            return self._pool.exchange(
                b"".join(map(pack, commands)), len(commands), patient=patient, meanwhile=meanwhile
            )
        replies: list[Reply] = []
        for i in range(0, len(commands), FLIGHT):
            replies += self.flight(commands[i : i + FLIGHT], patient=patient)
        return replies

    def run(self, script: Script, calls: Iterable[Call], *, flight: int = FLIGHT) -> list[Reply]:
        return run_in_flights(script, calls, flight, self._send)

    def _send(
        self,
        keys: Sequence[Key],
        items: Sequence[bytes],
        script: Script | None,
        meanwhile: Callable[[], None] | None,
    ) -> list[Reply]:
        return self._pool.exchange(b"".join(items), len(keys), script, meanwhile=meanwhile)

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
    return b"*%d\r\n$4\r\nMGET" % (len(keys) + 1) + pack_keys(_HEADS, keys)


def _values(reply: Reply) -> list[bytes | None]:
    if isinstance(reply, ReplyError):
        raise unavailable(reply)
    return cast("list[bytes | None]", reply)
