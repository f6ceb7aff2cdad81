"""Child processes that end with their parent.

A child is a Python module of this package. Its standard input is a pipe whose write end only the parent
has: when the parent ends, even by SIGKILL, the pipe closes and the child ends too. A child says that it is
ready by one JSON line on its standard output.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

__all__ = ["ROOT", "Child", "ChildFailed", "announce", "start_child"]

ROOT = Path(__file__).resolve().parent.parent
_STOP_SECONDS = 5.0
_READY_SECONDS = 60.0


class ChildFailed(RuntimeError):
    """A child ended or stayed silent before it was ready."""


class Child:
    """A running module.

    Args:
        module: what ``python -m`` runs.
        arguments: its command line.
        environ: variables on top of this process's own.
        log: an open file for standard error and, once ready, standard output; ``None``: discarded.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        environ: Mapping[str, str] | None = None,
        log: IO[bytes] | None = None,
    ) -> None:
        self.module = module
        self._command = [sys.executable, "-m", module, *arguments]
        self._environ = {**os.environ, **(environ or {}), "PYTHONPATH": _python_path()}
        self._log = log
        self.start()

    def start(self, *arguments: str) -> None:
        """Run it, again after it was killed; ``arguments`` follow those it was made with."""
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [*self._command, *arguments],
            cwd=ROOT,
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log if self._log is not None else subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then stops the child
        )
        self._announced: dict[str, Any] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self) -> dict[str, Any]:
        """Wait for what the child announced.

        Raises:
            ChildFailed: it ended first, or did not announce itself within a minute.
        """
        if self._announced is not None:
            return self._announced
        stdout = cast("IO[bytes]", self._process.stdout)
        if not select.select([stdout], [], [], _READY_SECONDS)[0]:
            self.stop()
            raise ChildFailed(f"{self.module} was not ready within {_READY_SECONDS:.0f} s")
        line = stdout.readline()
        if not line:
            code = self._process.wait()
            raise ChildFailed(f"{self.module} ended with exit code {code} before it was ready")
        stdout.close()
        announced: dict[str, Any] = json.loads(line)
        if "error" in announced:
            self._process.wait()
            raise ChildFailed(str(announced["error"]))
        self._announced = announced
        return announced

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._close()

    def stop(self) -> None:
        """Ask it to leave; kill it when it does not."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._close()

    def _close(self) -> None:
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def announce(**what: Any) -> None:
    """In the child: say that it is ready, then send later output to standard error."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def start_child(name: str) -> None:
    """In the child: end on SIGTERM or when the parent is gone, and log to standard error as ``name``."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os._exit(0)

    threading.Thread(target=watch, name="leave-with-parent", daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {name} %(levelname)s %(message)s")


def _python_path() -> str:
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "layers" / "core"), *inherited]))
