"""What the product asks of Redis, whichever way it is deployed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

__all__ = [
    "FLIGHT",
    "Call",
    "Command",
    "Key",
    "Keys",
    "Packed",
    "RedisPort",
    "Reply",
    "ReplyError",
    "Script",
]

FLIGHT: Final = 1000
"""The most commands in one send, so that a bulk write does not hold the server or a timeout up."""

Key: TypeAlias = bytes
Command: TypeAlias = tuple[bytes | str | int, ...]
"""A command name and its arguments; ``command[1]`` is the one key it touches."""


class Keys(NamedTuple):
    """Keys that begin alike, for a read of many: the prefix once, and what follows it. All ASCII."""

    prefix: str
    names: Sequence[str]

    def each(self) -> list[Key]:
        """The keys one by one."""
        return _encode(self.prefix, self.names)

    def encoded(self) -> list[bytes]:
        """The names one by one."""
        return _encode("", self.names)


def _encode(prefix: str, names: Sequence[str]) -> list[bytes]:
    # Joined, encoded and split again: a third of the time of one by one.
    found = (prefix + ("\0" + prefix).join(names)).encode().split(b"\0")
    if len(found) == len(names):
        return found
    return [(prefix + name).encode() for name in names]


class Packed(tuple[bytes, Key]):
    """One command already in RESP: ``Packed((wire, key))``; goes wherever a `Command` does.

    For commands assembled from prepared pieces, where packing again would cost more than the rest.
    """

    __slots__ = ()


Call: TypeAlias = tuple[Key, *tuple[bytes | str | int, ...]]
"""The key and the arguments of one run of a script."""
Reply: TypeAlias = bytes | int | Exception | list["Reply"] | None

_IN_SCRIPT = re.compile(r"@user_script: ?\d+: -?([A-Z]+) ")


class ReplyError(Exception):
    """Redis refused one command; ``code`` is the first word of its message (``WRONGTYPE``, ``ERR``, …).

    For an error raised by a command inside a script it is that command's code (before Redis 7 the
    message wraps it).
    """

    @property
    def code(self) -> str:
        message = str(self)
        if message.startswith("ERR Error running script") and (
            inside := _IN_SCRIPT.search(message)
        ):
            return inside[1]
        return message.split(" ", 1)[0]


class Script:
    """A Lua script, addressed by its SHA-1; touches exactly one key (``KEYS[1]``).

    It must be idempotent: after a broken connection or a lost script cache it runs again with the
    same arguments.
    """

    __slots__ = ("sha", "source")

    def __init__(self, source: str) -> None:
        import hashlib

        self.source = source.encode()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()


class RedisPort(Protocol):
    """One interface for a single node and for a cluster.

    Every method raises `neuralstream_core.errors.Unavailable` (``dependency="redis"``) within the
    configured timeouts when any node it needs cannot answer or refuses for a state of its own
    (loading, out of memory, read-only, no quorum); after that the state of the writes in the same
    call is unknown to the caller, so writes must be idempotent. All methods may be called from any
    thread and after a fork.
    """

    def mget(self, keys: Sequence[Key] | Keys) -> list[bytes | None]:
        """Values in the order of ``keys``: one command a node, all nodes in one flight."""

    def flight(
        self,
        commands: Sequence[Command],
        *,
        patient: bool = True,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Reply]:
        """All commands in one pipelined flight per node, replies in the order of ``commands``.

        When a reply times out on a connection that had been idle, the flight is tried once more,
        unless not ``patient``: for what must neither wait twice nor be applied twice.

        ``meanwhile`` is called at most once while the replies are under way, to use the time; a port
        may leave it uncalled. It must not raise.

        A command that Redis itself refused has a `ReplyError` as its reply. When a connection
        breaks, its part of the flight is sent once more: Redis may have run it twice.
        """

    def run(self, script: Script, calls: Iterable[Call], *, flight: int = FLIGHT) -> list[Reply]:
        """The script once per ``(key, *arguments)``; loads the script where it is unknown.

        At most ``flight`` calls are under way at a time. ``calls`` is read while the server works on
        those before, and must not raise.
        """

    def scan(
        self, cursor: bytes | None, match: bytes, count: int
    ) -> tuple[bytes | None, list[Key]]:
        """One bounded step over the keys of all nodes; ``None`` as the new cursor means done.

        The cursor is opaque and can be kept between processes.
        """

    def ping(self) -> None:
        """Return if every node answers."""

    def close(self) -> None:
        """Release every connection; the next call opens new ones."""
