"""One connection: bytes out, replies in, hiredis as the parser.

redis-py is not used here: importing it costs a cold start 70 ms, its ``GET`` twice the time of the
round trip itself, and its timeouts restart with every received packet. What remains to do once
hiredis packs and parses is this file.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import hiredis

from neuralstream_core.redis.port import Command, Keys, Packed, Reply, ReplyError, Script

if TYPE_CHECKING:
    import ssl

__all__ = [
    "BROKEN",
    "Address",
    "Connection",
    "Heads",
    "Options",
    "is_timeout",
    "pack",
    "pack_keys",
    "pack_names",
]

Address = tuple[str, int]
"""Host and port."""

BROKEN = (OSError, hiredis.HiredisError)
"""What a failed exchange raises; the connection is of no use afterwards."""

_pack = cast("Callable[[Command], bytes]", hiredis.pack_command)
"""The stub of hiredis allows tuples of one element only."""


def pack(command: Command) -> bytes:
    """One command in wire form."""
    return command[0] if type(command) is Packed else _pack(command)


class Heads(dict[int, bytes]):
    """What stands before a string in wire form, by its length; made as lengths are met.

    Args:
        before: other arguments in wire form.
        prefix: the beginning of each string.
    """

    def __init__(self, before: bytes, prefix: bytes = b"") -> None:
        self._before = before
        self._prefix = prefix

    def __missing__(self, size: int) -> bytes:
        head = b"\r\n%b$%d\r\n%b" % (self._before, len(self._prefix) + size, self._prefix)
        self[size] = head
        return head


def pack_keys(before: bytes, names: Sequence[bytes], prefix: bytes = b"") -> bytes:
    """Keys in wire form, each after ``\\r\\n`` and ``before``; without a loop over them.

    Args:
        names: the keys without their common ``prefix``.
    """
    parts = [b""] * (2 * len(names))
    parts[::2] = map(Heads(before, prefix).__getitem__, map(len, names))
    parts[1::2] = names
    parts.append(b"\r\n")
    return b"".join(parts)


class _NameHeads(dict[int, str]):
    """The same as text, with nothing before."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __missing__(self, size: int) -> str:
        head = self[size] = f"\r\n${len(self._prefix) + size}\r\n{self._prefix}"
        return head


def pack_names(keys: Keys) -> bytes:
    """As `pack_keys`, without making the keys, which takes as long as packing them."""
    parts = [""] * (2 * len(keys.names))
    parts[::2] = map(_NameHeads(keys.prefix).__getitem__, map(len, keys.names))
    parts[1::2] = keys.names
    parts.append("\r\n")
    return "".join(parts).encode()


_MORE: Any = object()
_BUFFER_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """How connections are made. Times are seconds.

    Args:
        connect_timeout: for TCP, TLS handshake and authentication together.
        read_timeout: the longest silence while a reply is awaited.
        tls: makes the TLS context, called once, before the first connection; ``None``: plain TCP.
        credentials: user and password for each new connection; ``None``: no authentication.
    """

    connect_timeout: float
    read_timeout: float
    tls: Callable[[], ssl.SSLContext] | None = None
    credentials: Callable[[], tuple[str, str]] | None = None


def is_timeout(error: BaseException) -> bool:
    """Whether the other side was silent, as against gone."""
    return isinstance(error, TimeoutError | BlockingIOError)


class Connection:
    """A connected, authenticated socket. Belongs to one thread at a time.

    Any exception out of `send` or `receive` leaves replies in flight: the owner must `close`.

    Raises:
        OSError: the server cannot be reached in time.
        ReplyError: it refuses the credentials.
    """

    __slots__ = (
        *("_buffer", "_feed", "_gets", "_loading", "_patience", "_pending", "_recv_into"),
        *("_socket",),
        *("errors", "last_used", "reused", "scripts", "send"),
    )

    def __init__(
        self, address: Address, options: Options, tls: ssl.SSLContext | None = None
    ) -> None:
        self.errors: list[ReplyError] = []
        """Error replies of the present exchange."""
        self.scripts: set[bytes] = set()
        """SHA-1 of the scripts known to have been loaded over this connection."""
        self._loading: bytes | None = None
        self.reused = False
        self.last_used = 0.0
        deadline = time.monotonic() + options.connect_timeout
        self._socket = _connect(address, deadline)
        self._patience = options.read_timeout
        self._buffer = bytearray(_BUFFER_BYTES)
        reader = hiredis.Reader(replyError=self._on_error, notEnoughData=_MORE)
        self._feed: Callable[[bytearray | bytes, int, int], None] = cast("Any", reader.feed)
        self._gets, self._pending = reader.gets, reader.has_data
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if tls is not None:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                self._socket = tls.wrap_socket(self._socket, server_hostname=address[0])
            self.send: Callable[[bytes], None] = self._socket.sendall
            self._recv_into = self._socket.recv_into
            if options.credentials is not None:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                self._authenticate(*options.credentials())
            self._set_timeouts(plain=tls is None)
        except BaseException:
            self.close()
            raise

    def _set_timeouts(self, *, plain: bool) -> None:
        """Let the kernel watch the clock.

        ``settimeout`` makes Python poll before every send and receive; socket options need no such
        call. OpenSSL would turn the kernel's EAGAIN into an endless loop, so TLS keeps the poll.
        """
        if plain and sys.platform != "win32":
            seconds = int(self._patience)
            interval = struct.pack("@ll", seconds, int((self._patience - seconds) * 1e6))
            self._socket.settimeout(None)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)
        else:
            self._socket.settimeout(self._patience)

    def _authenticate(self, user: str, password: str) -> None:
        self.send(pack((b"AUTH", user, password)))
        (reply,) = self.receive(1)
        if isinstance(reply, ReplyError):
            raise reply

    def _on_error(self, message: str) -> ReplyError:
        error = ReplyError(message)
        self.errors.append(error)
        return error

    def start(self, payload: bytes, script: Script | None) -> None:
        """Send a flight; load ``script`` in front of it if this connection has not yet done so."""
        if script is None or script.sha in self.scripts:
            self._loading = None
            self.send(payload)
        else:
            self._loading = script.sha
            self.send(pack((b"SCRIPT", b"LOAD", script.source)) + payload)

    def finish(self, count: int) -> list[Reply]:
        """The ``count`` replies of the flight that `start` sent; raises as `receive`."""
        if self._loading is None:
            return self.receive(count)
        replies = self.receive(count + 1)
        self.scripts.add(self._loading)
        if isinstance(refused := replies.pop(0), ReplyError):
            # It shows as NOSCRIPT in the flight, which the ports handle anyway.
            self.errors.remove(refused)
        return replies

    def ready(self) -> bool:
        """Whether a first byte has arrived; never waits."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def receive(self, count: int) -> list[Reply]:
        """The next ``count`` replies; error replies are also in ``errors``.

        Raises:
            OSError: silence for longer than the read timeout, an answer that drips for longer than
                three times that, or a connection that ended.
            hiredis.ProtocolError: this is not a Redis server, or replies were mixed up.
        """
        # The replies become the elements of an array that no server sent: hiredis then builds the
        # list in C, at half the cost of fetching them one by one.
        header = b"*%d\r\n" % count
        self._feed(header, 0, len(header))
        deadline = 0.0
        while True:
            size = self._recv_into(self._buffer)
            if not size:
                raise ConnectionResetError("the server closed the connection")
            self._feed(self._buffer, 0, size)
            if (replies := self._gets()) is not _MORE:
                break
            now = time.monotonic()
            if not deadline:
                deadline = now + 3 * self._patience
            elif now > deadline:
                raise TimeoutError("the reply did not arrive in time")
        if self._pending():
            raise hiredis.ProtocolError("more replies than commands")
        return cast("list[Reply]", replies)

    def close(self) -> None:
        """Close the socket, without a TLS farewell that could block."""
        self._socket.close()


def _connect(address: Address, deadline: float) -> socket.socket:
    """A TCP connection to the first address that answers, all of them within ``deadline``."""
    failure: OSError = ConnectionError(f"no address for {address[0]}")
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    for i, (family, kind, protocol, _, target) in enumerate(found):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("connecting took too long")
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(left / (len(found) - i))
            connection.connect(target)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure
