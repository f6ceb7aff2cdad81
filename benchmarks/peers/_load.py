"""A load generator in a process of its own: N keep-alive connections, each waiting for its answer.

    python _load.py PORT PATH BODY_FILE CONNECTIONS SECONDS

Prints ``{"count", "failed", "seconds", "p50_us", "p99_us"}``. Loopback only; ends by itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import cast

import httptools


class Caller(asyncio.Protocol):
    """One connection: the next request leaves when the answer to the last has arrived."""

    def __init__(self, request: bytes, until: float, took: list[float], failed: list[int]) -> None:
        self.request, self.until, self.took, self.failed = request, until, took, failed
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.start = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self.took.append(now - self.start)
        if self.parser.get_status_code() != 200:
            self.failed.append(self.parser.get_status_code())
        if now < self.until:
            asyncio.get_running_loop().call_soon(self._send)
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None or time.perf_counter() < self.until:
            self.failed.append(0)
        if not self.done.done():
            self.done.set_result(None)


async def run(
    port: int, path: str, body: bytes, connections: int, seconds: float
) -> dict[str, float]:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    took: list[float] = []
    failed: list[int] = []
    start = time.perf_counter()
    loop = asyncio.get_running_loop()
    callers = [
        (
            await loop.create_connection(
                lambda: Caller(head.encode() + body, start + seconds, took, failed),
                "127.0.0.1",
                port,
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.wait_for(asyncio.gather(*(caller.done for caller in callers)), seconds + 30)
    spent = time.perf_counter() - start
    took.sort()
    return {
        "count": len(took),
        "failed": len(failed),
        "seconds": spent,
        "p50_us": took[len(took) // 2] * 1e6,
        "p99_us": took[int(len(took) * 0.99)] * 1e6,
    }


if __name__ == "__main__":
    port, path, body, connections, seconds = sys.argv[1:]
    print(
        json.dumps(
            asyncio.run(
                run(int(port), path, Path(body).read_bytes(), int(connections), float(seconds))
            )
        )
    )
