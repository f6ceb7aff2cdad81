"""What the product asks of Redis, whichever way it is deployed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

__all__ = ["Command", "Key", "RedisPort", "Reply", "Script"]

Key: TypeAlias = bytes
Command: TypeAlias = tuple[bytes | str | int, ...]
"""A command name and its arguments; ``command[1]`` is the one key it touches."""
Reply: TypeAlias = bytes | int | Exception | list["Reply"] | None


class Script:
    """A Lua script, addressed by its SHA-1; touches exactly one key (``KEYS[1]``)."""

    __slots__ = ("sha", "source")

    def __init__(self, source: str) -> None:
        import hashlib

        self.source = source.encode()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()


class RedisPort(Protocol):
    """One interface for a single node and for a cluster.

    Every method raises `neuralstream_core.errors.Unavailable` (``dependency="redis"``) within the
    configured timeouts when any node it needs cannot answer; after that the state of the writes in
    the same call is unknown to the caller, so writes must be idempotent.
    """

    def mget(self, keys: Sequence[Key]) -> list[bytes | None]:
        """Values in the order of ``keys``: one command a node, all nodes in one flight."""

    def flight(self, commands: Sequence[Command]) -> list[Reply]:
        """All commands in one pipelined flight per node, replies in the order of ``commands``.

        A command that Redis itself refused has a ``redis.exceptions.ResponseError`` as its reply.
        """

    def run(
        self, script: Script, calls: Sequence[tuple[Key, Sequence[bytes | str | int]]]
    ) -> list[Reply]:
        """The script once per ``(key, args)``, as one flight; loads the script where it is unknown."""

    def scan(
        self, cursor: bytes | None, match: bytes, count: int
    ) -> tuple[bytes | None, list[Key]]:
        """One bounded step over the keys of all nodes; ``None`` as the new cursor means done.

        The cursor is opaque and can be kept between processes.
        """

    def ping(self) -> None:
        """Return if every node answers."""

    def close(self) -> None:
        """Release every connection."""
