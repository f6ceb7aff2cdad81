"""HTTP/1.1 on this machine: uvicorn, API Gateway's limits, and handlers that may block as Lambda's do."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

__all__ = ["MAX_BODY", "WAYS_OUT", "HttpServer", "Request", "Response", "json_response", "message"]

MAX_HEAD: Final = 10_240
"""Bytes of request line and headers; API Gateway's limit."""
MAX_BODY: Final = 10 * 1024 * 1024
"""Bytes of a request body; API Gateway's limit."""
WAYS_OUT: Final = (
    "send less in one request, upload an artifact (POST /models/{name}/versions with its sha256 and size), "
    "or give rows as a file (POST /predict/{model_name}/batch with input and output)"
)
"""What a caller can do whose request is too large."""
_THREADS: Final = 256
"""Requests that are handled at once; more wait for a thread."""
_STOP_SECONDS: Final = 2
"""How long a server that was told to stop waits for the requests it is handling."""
_LINGER_SECONDS: Final = 0.5


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


@dataclass(slots=True)
class Response:
    """An answer.

    Attributes:
        headers: ``content-length`` is added where it is missing.
    """

    status: int
    body: bytes = b""
    headers: Iterable[tuple[str, str]] = field(default_factory=list)


Handler = Callable[[Request], Response]


def json_response(status: int, body: Any, *headers: tuple[str, str]) -> Response:
    """``body`` as JSON."""
    typed = [("content-type", "application/json"), *headers]
    return Response(status, json.dumps(body).encode(), typed)


def message(status: int, text: str) -> Response:
    """An answer of API Gateway itself."""
    return json_response(status, {"message": text})


class HttpServer:
    """Serves ``handler`` on 127.0.0.1; clients can connect from the constructor on.

    Args:
        handler: called in a thread for each request.
        port: 0: any free port.
        limited: heads and bodies have API Gateway's limits, else none.
        arrival_seconds: how long a request may take to arrive, and a connection may be idle; then the
            connection is closed.
        connections: open connections from which on every request is answered with 503.

    Raises:
        OSError: the port is taken.
    """

    def __init__(
        self,
        handler: Handler,
        port: int,
        *,
        limited: bool = True,
        arrival_seconds: int = 75,
        connections: int = 500,
    ) -> None:
        self._socket = socket.create_server(("127.0.0.1", port), backlog=256)
        # Inherited by each connection. asyncio would leave it off, and an answer, which uvicorn writes in
        # two parts, would wait 40 ms for the client's acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = int(self._socket.getsockname()[1])
        self._handler = handler
        self._threads = ThreadPoolExecutor(_THREADS, "request")
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",  # uvicorn takes a method for the older interface
            loop="asyncio",
            http=_BoundedProtocol if limited else HttpToolsProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            limit_concurrency=connections,
            timeout_keep_alive=arrival_seconds,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._server = uvicorn.Server(config)

    def serve(self) -> None:
        """Serve until `stop`, or in the main thread until SIGTERM or SIGINT, which is raised again then."""
        try:
            self._server.run([self._socket])
        finally:
            self._threads.shutdown(wait=False)

    def stop(self) -> None:
        """Let `serve` return soon; may be called by any thread."""
        self._server.should_exit = True

    async def _answer(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """The ASGI application."""
        assert scope["type"] == "http"  # noqa: S101 - neither lifespan nor WebSocket is configured
        body = bytearray()
        more = True
        while more:
            part = await receive()
            if part["type"] != "http.request":
                return  # the client is gone
            body += part["body"]
            more = part["more_body"]
        request = Request(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=[(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]],
            body=bytes(body),
            peer=scope["client"][0] if scope["client"] else "",
        )
        loop = asyncio.get_running_loop()
        response = await loop.run_in_executor(self._threads, self._handler, request)
        headers = _encoded(response)
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})


def _encoded(response: Response) -> list[tuple[bytes, bytes]]:
    headers = [(name.lower(), value) for name, value in response.headers]
    if not any(name == "content-length" for name, _ in headers):  # that of HEAD is of another body
        headers.append(("content-length", str(len(response.body))))
    return [(n.encode("latin-1", "replace"), v.encode("latin-1", "replace")) for n, v in headers]


class _Refused(Exception):
    """A limit is exceeded; stops the parser."""


class _BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, which has no limit of its own on heads, bodies and the time they take to arrive.

    The head is bounded by the bytes since the last complete message or piece of a body, because a line that
    never ends (of a header, a trailer, a chunk's extension) causes no callback.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._refusal = message(400, "Bad Request")
        self._refused = False
        self._head = 0
        """Bytes since the last complete message or piece of a body."""
        self._size = 0
        """Bytes of the body so far."""
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base has it
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(False)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._head += len(data)
        super().data_received(data)
        if self._head > MAX_HEAD and not self._refused:
            self._too_long()
            self.send_400_response("")

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio's own signature
        """A client that sends no more still gets the answer to a request that has arrived."""
        if self.cycle is None or self.cycle.more_body or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._size = 0
        self._expect()

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            self._too_long()
            raise _Refused
        for name, value in self.headers:
            if name == b"content-length":
                self._bound_body(int(value))
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head = 0
        self._size += len(body)
        self._bound_body(self._size)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head = 0
        self._expect(False)
        super().on_message_complete()

    def _expect(self, expected: bool = True) -> None:
        """Close the connection when a request is expected and does not arrive in time."""
        if self._late is not None:
            self._late.cancel()
        self._late = (
            self.loop.call_later(self.timeout_keep_alive, self.transport.close)
            if expected
            else None
        )

    def _too_long(self) -> None:
        text = f"Request Header Fields Too Large: at most {MAX_HEAD} bytes with the request line"
        self._refusal = message(431, text)

    def _bound_body(self, size: int) -> None:
        if size > MAX_BODY:
            text = f"Request Entity Too Large: a body may have at most {MAX_BODY} bytes; {WAYS_OUT}"
            self._refusal = message(413, text)
            raise _Refused

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - base's signature
        """Refuse and close, reading on for a moment so that the answer is not lost to a reset."""
        self._refused = True
        if self.cycle is not None:
            self.cycle.disconnected = True  # what it would answer must not follow the refusal
        headers = [*_encoded(self._refusal), (b"connection", b"close")]
        lines = [STATUS_LINE[self._refusal.status], *(b"%s: %s\r\n" % pair for pair in headers)]
        self.transport.write(b"".join([*lines, b"\r\n", self._refusal.body]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)
