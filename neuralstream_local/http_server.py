"""A small HTTP/1.1 server: a thread a connection, httptools (llhttp) for the protocol.

A thread a connection lets a handler block, as a Lambda handler does, without holding anyone else up,
and costs no hop between threads: an event loop with an executor takes 110 µs more a request.
"""

from __future__ import annotations

import contextlib
import http
import json
import logging
import socket
import socketserver
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import httptools

__all__ = ["WAYS_OUT", "HttpServer", "Request", "Response", "message"]

MAX_HEAD: Final = 10_240
"""Bytes of request line and headers; API Gateway's own limit."""
MAX_BODY: Final = 10 * 1024 * 1024
"""Bytes of a request body; API Gateway's own limit."""
WAYS_OUT: Final = (
    "send less in one request, upload an artifact (POST /models/{name}/versions with its sha256 and size), "
    "or give rows as a file (POST /predict/{model_name}/batch with input and output)"
)
"""What a caller can do whose request is too large."""
_IDLE_SECONDS: Final = 75.0
_DRAIN_SECONDS: Final = 0.5
_CHUNK: Final = 64 * 1024

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Request:
    """One request as it came over the wire; ``path`` and ``query`` are still percent-encoded."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    """Names in lower case, in order, duplicates kept."""
    body: bytes
    peer: str
    keep: bool
    """Whether the client wants the connection kept."""


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    headers: Iterable[tuple[str, str]] = field(default_factory=list)


Handler = Callable[[Request], Response]


def message(status: int, text: str) -> Response:
    """An answer of API Gateway itself."""
    body = json.dumps({"message": text}).encode()
    return Response(status, body, [("content-type", "application/json")])


class HttpServer(socketserver.ThreadingTCPServer):
    """Serves ``handler`` on ``host:port`` (0: any free port) until `shutdown`.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, handler: Handler, port: int, host: str = "127.0.0.1") -> None:
        self.answer = handler
        super().__init__((host, port), _Connection)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - base's signature
        """Log what a connection's thread did not expect; the others go on."""
        _log.exception("the connection from %s failed", client_address)


class _Connection(socketserver.BaseRequestHandler):
    server: HttpServer
    request: socket.socket

    def handle(self) -> None:
        connection = self.request
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_IDLE_SECONDS)
        with contextlib.suppress(ConnectionError, TimeoutError):
            self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        reader = _Reader(self.client_address[0])
        while data := connection.recv(_CHUNK):
            try:
                reader.feed(data)
            except httptools.HttpParserUpgrade:
                _refuse(connection, 400)
                return
            except httptools.HttpParserError:
                _refuse(connection, reader.refused or 400)
                return
            if reader.expects_continue:
                reader.expects_continue = False
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            for request in reader.take():
                response = self.server.answer(request)
                connection.sendall(_encode(response, request.keep, request.method == "HEAD"))
                if not request.keep:
                    return


class _Refused(Exception):
    """A limit is exceeded; stops the parser."""


class _Reader:
    """Whole requests out of the bytes of one connection (several when a client pipelines).

    The ``on_…`` methods are httptools' callbacks. A line that never ends (a header, a trailer, the
    extension of a chunk) causes no callback; `feed` bounds it by the bytes since the last line break.
    """

    def __init__(self, peer: str) -> None:
        self.refused = 0
        self.expects_continue = False
        self._peer = peer
        self._parser = httptools.HttpRequestParser(self)
        self._line = 0
        """Bytes of the line under way, outside of bodies."""
        self._moved = False
        """Whether this call of `feed` has come upon part of a body or the end of a request."""
        self._done: list[Request] = []
        self.on_message_begin()

    def feed(self, data: bytes) -> None:
        """Raises: httptools.HttpParserError, with ``refused`` set when a limit was the reason."""
        self._moved = False
        self._parser.feed_data(data)
        if self._moved:
            self._line = 0
            return
        newline = data.rfind(b"\n")
        if newline < 0:
            self._line += len(data)
        else:
            self._line = len(data) - newline - 1
            self._begun = False
        before = 0 if self._begun else self._head  # the request line's bytes are in both
        if before + self._line > MAX_HEAD:
            self.refused = 431
            raise httptools.HttpParserError("a line does not end")

    def take(self) -> list[Request]:
        """The requests that are complete since the last call."""
        done, self._done = self._done, []
        return done

    def on_message_begin(self) -> None:
        self._begun = True
        """Whether the line under way may be the request line."""
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._head = 0
        self._body: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value))
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        for name, value in self._headers:
            if name == "content-length" and int(value) > MAX_BODY:
                self._refuse(413)
            if name == "expect" and value.lower() == "100-continue":
                self.expects_continue = True

    def on_body(self, body: bytes) -> None:
        self._moved = True
        self._size += len(body)
        if self._size > MAX_BODY:
            self._refuse(413)
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._moved = True
        path, _, query = self._target.decode("latin-1").partition("?")
        self._done.append(
            Request(
                method=self._parser.get_method().decode("latin-1"),
                path=path,
                query=query,
                headers=self._headers,
                body=b"".join(self._body),
                peer=self._peer,
                keep=self._parser.should_keep_alive(),
            )
        )
        self.expects_continue = False

    def _count_head(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            self._refuse(431)

    def _refuse(self, status: int) -> None:
        self.refused = status
        raise _Refused


_REASONS: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in http.HTTPStatus
}


def _encode(response: Response, keep: bool, head_only: bool) -> bytes:
    lines = [_REASONS.get(response.status) or f"HTTP/1.1 {response.status} \r\n"]
    for name, value in response.headers:
        if "\r" in value or "\n" in value:
            raise ValueError(f"line break in the header {name}")
        lines.append(f"{name}: {value}\r\n")
    lines.append(f"content-length: {len(response.body)}\r\n")
    lines.append("\r\n" if keep else "connection: close\r\n\r\n")
    head = "".join(lines).encode("latin-1", "replace")
    return head if head_only else head + response.body


def _refuse(connection: socket.socket, status: int) -> None:
    """Answer and close, reading on for a moment so that the answer is not lost to a reset."""
    text = {
        413: f"Request Entity Too Large: a body may have at most {MAX_BODY} bytes; {WAYS_OUT}",
        431: f"Request Header Fields Too Large: at most {MAX_HEAD} bytes with the request line",
    }
    connection.sendall(_encode(message(status, text.get(status, "Bad Request")), False, False))
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(_DRAIN_SECONDS)
    left = 4 * MAX_BODY
    while left > 0 and (data := connection.recv(_CHUNK)):
        left -= len(data)
