"""Runs of a script in flights: each is packed while the server works on the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar, cast

from neuralstream_core.redis.connection import Heads, pack
from neuralstream_core.redis.port import Call, Key, Reply, ReplyError, Script

__all__ = ["Runs", "run_in_flights"]

Ready = TypeVar("Ready")


class Runs(NamedTuple):
    """Runs of one script that are sent together.

    Attributes:
        command: ``EVALSHA`` and the script's SHA-1, or ``EVAL`` and its source.
    """

    command: tuple[bytes, bytes]
    calls: list[Call]

    def wire(self, calls: Sequence[Call]) -> bytes:
        """Some of the calls in wire form.

        Calls of one shape are packed column by column, in half the time of one by one.
        """
        if len(set(map(len, calls))) == 1:
            columns = cast("list[Sequence[bytes]]", list(zip(*calls, strict=True)))
            width = 2 * len(columns)
            before = pack((*self.command, 1)).partition(b"\r\n")[2].removesuffix(b"\r\n")
            before = b"*%d\r\n%b\r\n" % (3 + len(columns), before)
            parts = [b""] * (width * len(calls))
            try:
                for i, column in enumerate(columns):
                    heads = Heads(before if i == 0 else b"")
                    parts[2 * i :: width] = map(heads.__getitem__, map(len, column))
                    parts[2 * i + 1 :: width] = column
                return b"".join(parts)[2:] + b"\r\n"
            except TypeError:
                pass  # there are numbers or texts among the arguments
        return b"".join([pack((*self.command, 1, *call)) for call in calls])


def run_in_flights(
    script: Script,
    calls: Iterable[Call],
    flight: int,
    prepare: Callable[[Runs], Ready],
    send: Callable[[Ready, Script | None, Callable[[], None] | None], list[Reply]],
) -> list[Reply]:
    """The replies to ``calls``.

    Args:
        flight: the most calls in one ``send``.
        prepare: what can be done ahead of it, while another is under way.
        send: may leave its last argument, the preparation of the next, uncalled.
    """
    left = iter(calls)
    following: list[tuple[list[Call], Ready]] = []

    def prepare_next() -> None:
        some = list(islice(left, flight))
        following.append((some, prepare(Runs((b"EVALSHA", script.sha), some))))

    replies: list[Reply] = []
    while True:
        if not following:
            prepare_next()
        some, ready = following.pop()
        if not some:
            return replies
        answers = send(ready, script, prepare_next)
        if again := _unscripted(some, answers):
            runs = Runs((b"EVAL", script.source), [some[i] for i in again])
            for i, answer in zip(again, send(prepare(runs), None, None), strict=True):
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
