"""A connection of redis-py that sends many commands at once and reads all replies into one list.

The only module that touches private attributes of redis-py; ``tests/unit/redis/test_connection.py``
holds them against the installed version.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import hiredis
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.connection import Connection
from redis.credentials import CredentialProvider
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from neuralstream_core.redis.port import Command, Reply, ReplyError

if TYPE_CHECKING:
    import socket
    import ssl

__all__ = ["FlightConnection", "Login", "Pool", "fan_out", "is_timeout", "pack"]

_Answers: TypeAlias = "list[Reply] | RedisError | OSError"
"""The replies of one node, or why there are none."""

pack = cast("Callable[[Command], bytes]", hiredis.pack_command)
"""One command in wire form."""

_IDLE_SECONDS: Final = 240.0
"""Below the 350 s after which AWS's network forgets a silent flow without telling either side."""
_MAX_IDLE: Final = 32


def is_timeout(error: BaseException) -> bool:
    """Whether the server did not answer in time."""
    return isinstance(error, RedisTimeout | TimeoutError)


class Login(CredentialProvider):
    """Asks ``credentials`` for user and password at each new connection."""

    def __init__(self, credentials: Callable[[], tuple[str, str]]) -> None:
        self._credentials = credentials

    def get_credentials(self) -> tuple[str, str]:
        return self._credentials()


class FlightConnection(Connection):
    """A connection of redis-py that can also read the replies of a whole flight.

    Args:
        tls: returns the TLS context; ``None``: plain TCP. redis-py's ``SSLConnection`` would read the
            trusted roots for every connection, which takes 29 ms.
    """

    last_used = 0.0

    def __init__(self, *, tls: Callable[[], ssl.SSLContext] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls

    def _connect(self) -> socket.socket:
        plain: socket.socket = super()._connect()
        if self._tls is None:
            return plain
        try:
            return self._tls().wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise

    def connect_check_health(self, *args: Any, **options: Any) -> None:
        """As redis-py, but closed after any exception, so that no reply to a login is left unread."""
        try:
            super().connect_check_health(*args, **options)
        except BaseException:
            self.disconnect()
            raise

    def read_flight(self, count: int) -> list[Reply]:
        """The next ``count`` replies; after any exception the connection must be closed.

        Raises:
            RedisError: no byte within the read timeout, not all within three times that, a connection
                that ended, or bytes that are not the expected replies.
        """
        parser = self._parser
        reader = parser._reader  # noqa: SLF001 - see the module's docstring
        # An array header that no server sent: hiredis then makes one list of all replies, in C.
        reader.feed(b"*%d\r\n" % count)
        deadline = time.monotonic() + 3 * (self.socket_timeout or 0.0)
        while (replies := reader.gets()) is NOT_ENOUGH_DATA:
            if time.monotonic() > deadline:
                raise RedisTimeout("the replies took too long")
            parser.read_from_socket()
        if reader.has_data():
            raise InvalidResponse("more replies than commands")
        self.last_used = time.monotonic()
        for i, reply in enumerate(replies):
            if isinstance(reply, RedisError):
                code = f"{reply.status_code} " if reply.status_code else ""
                replies[i] = ReplyError(f"{code}{reply}")
        return cast("list[Reply]", replies)


class Pool:
    """The idle connections to one node, made with ``options``.

    redis-py's ``ConnectionPool`` doubles the time of a GET, and takes the session tickets of TLS 1.3 for
    unread replies.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._idle: deque[FlightConnection] = deque()

    def take(self) -> FlightConnection:
        """An idle connection, or a new one that connects when it sends."""
        with contextlib.suppress(IndexError):
            connection = self._idle.pop()
            if time.monotonic() - connection.last_used > _IDLE_SECONDS:
                connection.disconnect()  # sending connects it again
            return connection
        return FlightConnection(**self._options)

    def give(self, connection: FlightConnection) -> None:
        """Return a connection on which every reply has been read."""
        if len(self._idle) < _MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.disconnect()

    def clear(self) -> None:
        """Close all idle connections."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().disconnect()


def fan_out(flights: Mapping[Pool, Sequence[bytes]]) -> dict[Pool, _Answers]:
    """Send every node its packed commands, then read the replies of every node.

    All nodes together are waited for once: after one timeout, other replies are read only if they have
    arrived.
    """
    answers: dict[Pool, _Answers] = {}
    unread: dict[Pool, FlightConnection] = {}
    silence: RedisError | OSError | None = None
    try:
        for pool, commands in flights.items():
            try:
                if silence is not None:
                    raise silence
                unread[pool] = connection = pool.take()
                connection.send_packed_command([b"".join(commands)], check_health=False)
            except (RedisError, OSError) as error:
                answers[pool] = error
                silence = error if is_timeout(error) else silence
        for pool, connection in list(unread.items()):
            try:
                if pool in answers:
                    continue
                if silence is not None and not connection.can_read():
                    raise silence
                answers[pool] = connection.read_flight(len(flights[pool]))
            except (RedisError, OSError) as error:
                answers[pool] = error
                silence = error if is_timeout(error) else silence
            else:
                del unread[pool]
                pool.give(connection)
    finally:
        # A caller that is interrupted leaves replies unread; they must not reach the next one.
        for connection in unread.values():
            connection.disconnect()
    return answers
