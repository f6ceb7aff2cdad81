"""Runs of a script in flights: each is packed while the server works on the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Protocol

from neuralstream_core.redis.connection import pack
from neuralstream_core.redis.port import Call, Key, Reply, ReplyError, Script

__all__ = ["run_in_flights"]


class Send(Protocol):
    """How a port sends packed commands of these keys, and reads their replies."""

    def __call__(
        self,
        keys: Sequence[Key],
        items: Sequence[bytes],
        script: Script | None,
        meanwhile: Callable[[], None] | None,
    ) -> list[Reply]: ...


def run_in_flights(script: Script, calls: Iterable[Call], flight: int, send: Send) -> list[Reply]:
    """The replies to ``calls``, at most ``flight`` of them in one ``send``.

    Args:
        send: may leave its ``meanwhile`` uncalled.
    """
    left = iter(calls)
    ready: list[tuple[list[Call], list[bytes]]] = []

    def pack_next() -> None:
        some = list(islice(left, flight))
        ready.append((some, [pack((b"EVALSHA", script.sha, 1, *call)) for call in some]))

    replies: list[Reply] = []
    while True:
        if not ready:
            pack_next()
        some, items = ready.pop()
        if not some:
            return replies
        answers = send([call[0] for call in some], items, script, pack_next)
        if again := _unscripted(some, answers):
            keys = [some[i][0] for i in again]
            items = [pack((b"EVAL", script.source, 1, *some[i])) for i in again]
            for i, answer in zip(again, send(keys, items, None, None), strict=True):
                answers[i] = answer
        replies += answers


def _unscripted(calls: Sequence[Call], replies: Sequence[Reply]) -> list[int]:
    """The calls that must run again, with the script's source, because a server had forgotten it.

    Where one call of a key was refused, its later calls run again even if another client brought the
    script in between and they ran: two writes of one key must end in their order.
    """
    if ReplyError not in map(type, replies):
        return []
    refused: set[Key] = set()
    again = []
    for i, (call, reply) in enumerate(zip(calls, replies, strict=True)):
        if isinstance(reply, ReplyError) and reply.code == "NOSCRIPT":
            refused.add(call[0])
        if call[0] in refused:
            again.append(i)
    return again
