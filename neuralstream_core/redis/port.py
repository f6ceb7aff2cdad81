"""What the product asks of Redis, whichever way it is deployed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Final, Protocol, TypeAlias

__all__ = [
    "FLIGHT",
    "Call",
    "Command",
    "Key",
    "Packed",
    "RedisPort",
    "Reply",
    "ReplyError",
    "ScanStep",
    "Script",
]

FLIGHT: Final = 1000
"""The most commands in one send, which bounds how long the server and the read timeout are held up."""

Key: TypeAlias = bytes
Command: TypeAlias = tuple[bytes | str | int, ...]
"""A command name and its arguments; ``command[1]`` is the one key it touches."""


@dataclass(slots=True)
class Packed:
    """A command that is in wire form already (`neuralstream_core.redis.packing`).

    Not frozen: a frozen dataclass takes three times as long to build.
    """

    key: Key
    wire: bytes


Call: TypeAlias = tuple[Key, *tuple[bytes | str | int, ...]]
"""The key and the arguments of one run of a script."""
Reply: TypeAlias = bytes | int | Exception | list["Reply"] | None
ScanStep: TypeAlias = tuple[bytes | None, list[Key]]
"""The cursor of the next step, ``None`` after the last, and the keys that were found."""

_IN_SCRIPT = re.compile(r"Error running script.*@user_script: ?\d+: -?([A-Z]+) ")


class ReplyError(Exception):
    """Redis refused one command; ``code`` is the first word of its message (``WRONGTYPE``, ``ERR``, …).

    For an error raised by a command inside a script it is that command's code (before Redis 7 the
    message wraps it).
    """

    @property
    def code(self) -> str:
        message = str(self)
        inside = _IN_SCRIPT.search(message) if message.startswith("ERR ") else None
        return inside[1] if inside else message.split(" ", 1)[0]


class Script:
    """A Lua script, addressed by its SHA-1; touches exactly one key (``KEYS[1]``).

    It must be idempotent: after a broken connection or a lost script cache it runs again with the
    same arguments.
    """

    __slots__ = ("sha", "source")

    def __init__(self, source: str) -> None:
        self.source = source.encode()
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest().encode()


class RedisPort(Protocol):
    """One interface for a single node and for a cluster.

    Every method raises `neuralstream_core.errors.Unavailable` (``dependency="redis"``) within the
    configured timeouts when a node cannot answer or refuses for a state of its own (loading, out of
    memory, read-only, no quorum). The writes of that call may or may not have happened, so writes must
    be idempotent. All methods may be called from any thread and after a fork.
    """

    def mget(self, keys: Sequence[Key]) -> list[bytes | None]:
        """Values in the order of ``keys``; ``None`` for a missing key or one of another type."""

    def flight(self, commands: Sequence[Command | Packed], *, patient: bool = True) -> list[Reply]:
        """All commands in one pipelined flight per node, replies in the order of ``commands``.

        A refused command has a `ReplyError` as its reply. When a connection breaks, its part of the
        flight is sent once more, so Redis may run it twice; so too after a read timeout if ``patient``.
        """

    def run(self, script: Script, calls: Iterable[Call], *, flight: int = FLIGHT) -> list[Reply]:
        """The script once per call, at most ``flight`` of them in one send. ``calls`` must not raise."""

    def scan(self, cursor: bytes | None, match: bytes, count: int) -> ScanStep:
        """One bounded step over the keys of all nodes; its cursor can be kept between processes."""

    def ping(self) -> None:
        """Return if every node answers and, in a cluster, every slot has one."""

    def close(self) -> None:
        """Close every idle connection; the next call opens new ones."""
