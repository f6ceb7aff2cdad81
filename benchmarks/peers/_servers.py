"""Start a peer's server or worker, talk to it, and stop it again with everything it started."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _http import Http

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Worker", "free_port", "running"]

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    port: int,
    ready: str,
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    seconds: float = 90,
) -> Iterator[int]:
    """A server process group, from the first 2xx on ``ready`` until the block ends; yields its pid."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=sink, stderr=sink, env={**os.environ, **(env or {})}, start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + seconds
            while True:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not get ready; see {log}")
                with contextlib.suppress(OSError, RuntimeError, http.client.HTTPException):
                    Http(port).request("GET", ready)
                    break
                time.sleep(0.2)
            yield process.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Worker:
    """A peer's SDK in its own environment, driven over line-JSON."""

    def __init__(self, python: Path, script: str, *arguments: str, log: Path) -> None:
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            [python, "-W", "ignore", HERE / "workers" / script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE)},
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin  # noqa: S101 - Popen was given a pipe
        self._process.stdin.close()
        self._process.wait(20)
        self._log.close()

    def call(self, op: str, **arguments: Any) -> Any:
        """One operation's result; its error fails the run."""
        assert self._process.stdin  # noqa: S101 - Popen was given a pipe
        assert self._process.stdout  # noqa: S101 - Popen was given a pipe
        self._process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker died; see {self._log.name}")
        answer = json.loads(line)
        if "error" in answer:
            print(answer["error"], file=sys.stderr)
            raise RuntimeError(answer["error"])
        return answer["ok"]
