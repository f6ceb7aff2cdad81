"""The connections to one node, and one exchange with it."""

from __future__ import annotations

import os
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis.connection import BROKEN, Address, Connection, Options, is_timeout
from neuralstream_core.redis.port import Reply, ReplyError, Script

if TYPE_CHECKING:
    import ssl

__all__ = ["OUTAGES", "Pool", "outage_in", "unavailable"]

_MAX_IDLE = 32
_IDLE_SECONDS = 240.0
"""Below the 350 s after which AWS's network forgets a silent flow without telling either side."""

OUTAGES = frozenset(
    (
        *("BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOAUTH", "NOPERM"),
        *("NOREPLICAS", "OOM", "READONLY", "TRYAGAIN", "WRONGPASS"),
    )
)
"""Error codes that speak of the node's state, not of the command."""
_RECONNECT = frozenset(("NOAUTH", "READONLY"))
"""A new connection may reach another node (failover behind one name) or authenticate anew."""

_pools: weakref.WeakSet[Pool]


def unavailable(error: BaseException, *, what: str = "the feature cache") -> Unavailable:
    """The error for the caller; says what happened, not where."""
    if isinstance(error, ReplyError):
        return Unavailable(f"{what} refuses: {error.code}", dependency="redis")
    if is_timeout(error):
        return Unavailable(f"{what} did not answer in time", dependency="redis")
    return Unavailable(f"{what} cannot be reached", dependency="redis")


def outage_in(connection: Connection) -> ReplyError | None:
    """The first reply of the last flight that speaks of the node's own state."""
    errors, connection.errors = connection.errors, []
    for error in errors:
        if error.code in OUTAGES or "max number of clients" in str(error):
            return error
    return None


class Pool:
    """Idle connections to one node; grows with the threads that use it.

    Idle connections wait in a deque, whose pop and append are atomic: no lock is needed, and a fork
    cannot leave one held.
    """

    __slots__ = ("__weakref__", "_idle", "_options", "_tls", "address")

    def __init__(self, address: Address, options: Options) -> None:
        self.address = address
        self._options = options
        self._tls: ssl.SSLContext | None = None
        self._idle: deque[Connection] = deque()
        _pools.add(self)

    def __del__(self) -> None:
        self.clear()

    def open(self) -> Connection:
        """A new connection.

        Raises:
            OSError: the node cannot be reached in time.
            ReplyError: it refuses the credentials.
        """
        if self._tls is None and self._options.tls is not None:
            self._tls = self._options.tls()
        return Connection(self.address, self._options, self._tls)

    def take(self) -> Connection:
        """An idle connection (``reused`` is true) or a new one; raises as `open`."""
        now = time.monotonic()
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self.open()
            if now - connection.last_used < _IDLE_SECONDS:
                connection.reused = True
                return connection
            connection.close()

    def give(self, connection: Connection) -> None:
        """Return a connection on which every reply has been read."""
        if len(self._idle) < _MAX_IDLE:
            connection.last_used = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def clear(self) -> None:
        """Close all idle connections."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread took the last one
                return

    def exchange(
        self,
        payload: bytes,
        count: int,
        script: Script | None = None,
        *,
        patient: bool = True,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Reply]:
        """Send ``payload``, which holds ``count`` commands, and read the replies.

        A connection that turns out to be broken is replaced once. ``script`` is loaded first over a
        connection that has not done so yet, in the same flight. ``meanwhile`` is called between the
        two; it must not raise.

        Raises:
            Unavailable: see `neuralstream_core.redis.port.RedisPort`.
        """
        try:
            connection = self.take()
        except BROKEN as error:
            # A refused connection may be a server that restarts behind a name with several
            # addresses; but nothing was sent, and the caller's own retry is as good as ours.
            raise unavailable(error) from error
        except ReplyError as error:
            raise unavailable(error) from error
        try:
            replies = self._once(connection, payload, count, script, meanwhile)
        except BROKEN as error:
            if is_timeout(error) and not (connection.reused and patient):
                raise unavailable(error) from error
            self.clear()  # they are as old as the one that broke
        except ReplyError as error:
            if error.code not in _RECONNECT:
                raise unavailable(error) from error
            self.clear()
        else:
            return replies
        try:
            return self._once(self.open(), payload, count, script)
        except (*BROKEN, ReplyError) as error:
            raise unavailable(error) from error

    def _once(
        self,
        connection: Connection,
        payload: bytes,
        count: int,
        script: Script | None,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Reply]:
        """One try; the connection is in the pool or closed afterwards. Raises an outage reply."""
        try:
            connection.start(payload, script)
            if meanwhile is not None:
                meanwhile()
            replies = connection.finish(count)
            if connection.errors and (outage := outage_in(connection)):
                raise outage
        except BaseException:
            connection.close()
            raise
        self.give(connection)
        return replies


def _forget_after_fork() -> None:
    """The parent goes on with these connections; the child must not touch their streams."""
    for pool in list(_pools):
        pool.clear()


_pools = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
