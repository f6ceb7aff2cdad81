"""The port over one node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

from neuralstream_core.redis.connection import Address, Options, pack, pack_keys, pack_names
from neuralstream_core.redis.pool import Pool, unavailable
from neuralstream_core.redis.port import FLIGHT, Call, Command, Key, Keys, Reply, ReplyError, Script
from neuralstream_core.redis.scripts import Runs, run_in_flights

__all__ = ["SingleNode"]


class SingleNode:
    """A `neuralstream_core.redis.port.RedisPort` over one server; connects on first use."""

    def __init__(self, address: Address, options: Options) -> None:
        self._pool = Pool(address, options)

    def mget(self, keys: Sequence[Key] | Keys) -> list[bytes | None]:
        if isinstance(keys, Keys):
            if not 0 < len(keys.names) <= FLIGHT:
                return self.mget(keys.each())
            packed, slices = _mget(len(keys.names), pack_names(keys)), 1
        else:
            if not keys:
                return []
            parts = [keys[i : i + FLIGHT] for i in range(0, len(keys), FLIGHT)]
            packed = b"".join([_mget(len(part), pack_keys(b"", part)) for part in parts])
            slices = len(parts)
        replies = self._pool.exchange(packed, slices)
        found = _values(replies[0])
        for more in replies[1:]:
            found += _values(more)
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
        return run_in_flights(script, calls, flight, _packed, self._send)

    def _send(
        self,
        runs: tuple[bytes, int],
        script: Script | None,
        meanwhile: Callable[[], None] | None,
    ) -> list[Reply]:
        return self._pool.exchange(*runs, script, meanwhile=meanwhile)

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


def _mget(count: int, keys: bytes) -> bytes:
    return b"*%d\r\n$4\r\nMGET%b" % (count + 1, keys)


def _packed(runs: Runs) -> tuple[bytes, int]:
    return runs.wire(runs.calls), len(runs.calls)


def _values(reply: Reply) -> list[bytes | None]:
    if isinstance(reply, ReplyError):
        raise unavailable(reply)
    return cast("list[bytes | None]", reply)
