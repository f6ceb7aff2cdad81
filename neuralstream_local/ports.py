"""A port for a server that is about to start."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress

__all__ = ["free_port"]

HOST = "127.0.0.1"
FIRST, LAST = 10_000, 22_000
"""Below the ports that systems give to outgoing connections by themselves: one of those that is free now
may belong to a connection of any process before the server listens, or while it is started again."""


def free_port(*offsets: int) -> int:
    """A port of 127.0.0.1 on which nothing listens, nor on that port plus any of ``offsets``."""
    while True:
        port = random.randrange(FIRST, LAST)  # noqa: S311 - to keep apart, not to keep secret
        with ExitStack() as stack, suppress(OSError):
            for offset in (0, *offsets):
                stack.enter_context(socket.socket()).bind((HOST, port + offset))
            return port
