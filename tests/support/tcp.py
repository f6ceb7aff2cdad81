"""TCP servers that misbehave on request, for tests of what a client does then."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Self

__all__ = ["Proxy", "Server"]


class Server:
    """Calls `serve` in a thread for each connection to ``port`` on 127.0.0.1, until `close`."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(client)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def drop_all(self) -> None:
        """Cut every connection, as a network does that forgot them."""
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """As a server that is gone: connections end and new ones are refused."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_all()
        for end in list(self._open):
            end.close()


class Proxy(Server):
    """Stands in front of a server on 127.0.0.1; a context manager.

    Attributes:
        port: where to connect.
        cut_after: replies of a connection end after so many bytes, then it is reset; ``None``: never.
        silent: new connections are accepted and nothing more.
    """

    def __init__(self, upstream: int, tls: ssl.SSLContext | None = None) -> None:
        self._upstream = upstream
        self._tls = tls
        self.cut_after: int | None = None
        self.silent = False
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        if self.silent:
            return
        try:
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
                self._open.add(client)
            server = socket.create_connection(("127.0.0.1", self._upstream))
        except OSError:
            client.close()
            return
        self._open.add(server)
        threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
        self._pump(server, client, True)

    def _pump(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:
        left = self.cut_after if replies else None
        with contextlib.suppress(OSError, ValueError):
            while data := source.recv(65536):
                if left is not None:
                    data = data[:left]
                    left -= len(data)
                sink.sendall(data)
                if left == 0:
                    break
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
