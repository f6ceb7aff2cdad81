"""The whole laptop stack as four child processes: Redis, AWS, the worker and the gateway.

The caller runs `Stack.mend` repeatedly: it starts a part that ended again on its port, but not the AWS
emulation: the registry and every artifact are in its memory, and what is kept of them is read by a new stack.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from neuralstream_local.aws import client_environ
from neuralstream_local.children import Child, ChildFailed
from neuralstream_local.embedded_redis import EmbeddedRedis
from neuralstream_local.health import SourceChanges, reports

__all__ = ["Stack"]

_TRIES: Final = 5
"""Starts of one part in a row that may fail."""
_HUNG_SECONDS: Final = 15.0
"""A worker that does not answer for so long is killed and started again."""


class Stack(contextlib.AbstractContextManager["Stack"]):
    """Starts in the constructor and is ready when it returns; a context manager.

    Args:
        port: of the gateway; 0: any free port.
        aws_port: of the AWS emulation; 0: any free port.
        auth: ask for an API key.
        log: where the processes write what they log, open until `stop`; ``None``: nowhere.
        keep: a folder that outlives the stack, however it ends: the next stack with it has its features,
            models, files and schedules, and goes on with its jobs. ``None``: nothing is kept.

    Raises:
        ChildFailed: a process did not start; its message says which and why.
    """

    def __init__(
        self,
        port: int = 0,
        aws_port: int = 0,
        *,
        auth: bool = False,
        log: IO[bytes] | None = None,
        keep: Path | None = None,
    ) -> None:
        self._log = log
        self._failed_starts: dict[str, int] = {}
        self._changes = SourceChanges()
        self._silent_since: float | None = None
        self.environ: dict[str, str] = {}
        self._ends = contextlib.ExitStack()
        try:
            # moto takes longest to start: begin with it.
            kept = () if keep is None else ("--keep", str(keep))
            self.aws = self._child("aws_server", "--port", str(aws_port), *kept)
            try:
                self.redis = self._ends.enter_context(
                    EmbeddedRedis(keep=True, folder=keep and keep / "redis")
                )
            except RuntimeError as error:  # no server is there, or it does not start
                raise ChildFailed(str(error)) from error
            self.aws_endpoint: str = self.aws.ready()["endpoint"]
            self.environ = client_environ(self.aws_endpoint)
            redis = ("--redis-port", str(self.redis.port))
            asks = ("--auth",) if auth else ()
            self.worker = self._child("worker", *redis)
            self.gateway = self._child("gateway", *redis, *asks, "--port", str(port))
            self.restored: bool = self.worker.ready()["restored"]
            announced = self.gateway.ready()
        except BaseException:
            self.stop()
            raise
        self.port: int = announced["port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.broken: Sequence[str] = announced["broken"]
        """Functions that could not be imported; the log says why."""

    def mend(self) -> list[str]:
        """Start again what ended or hangs; a sentence for each, and for each change of an event source.

        Raises:
            ChildFailed: the AWS emulation ended, or a part could not be started several times in a row.
        """
        if not self.aws.alive():
            raise ChildFailed("the AWS emulation ended")
        said: list[str] = []
        if not self.redis.alive():
            how = "started again with everything it had acknowledged"
            said += self._again("Redis", "ended unexpectedly", self._start_redis, how)
        if not self.worker.alive():
            said += self._again("the worker", "ended unexpectedly", self._start_worker)
        elif self._silent_since and time.monotonic() - self._silent_since > _HUNG_SECONDS:
            why = f"did not answer for {_HUNG_SECONDS:.0f} s and was killed"
            said += self._again("the worker", why, self._start_worker)
        if not self.gateway.alive():
            how = "started again on its port"
            said += self._again("the gateway", "ended unexpectedly", self._start_gateway, how)
        found = reports(self.aws_endpoint)
        if found is not None:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = time.monotonic()
        return said + self._changes.of(found)

    def _again(
        self,
        what: str,
        why: str,
        start: Callable[[], None],
        how: str = "started again where it was",
    ) -> list[str]:
        try:
            start()
        except (ChildFailed, RuntimeError, OSError) as error:
            failed = self._failed_starts[what] = self._failed_starts.get(what, 0) + 1
            if failed >= _TRIES:
                raise ChildFailed(f"{what} {why} and cannot be started again: {error}") from error
            return [f"{what} {why} and could not be started; trying again ({error})"]
        self._failed_starts.pop(what, None)
        return [f"{what} {why}; {how}"]

    def _start_redis(self) -> None:
        self.redis.kill()  # what is left of it, so that its port is free
        self.redis.start()

    def _start_worker(self) -> None:
        self.worker.kill()
        self._changes, self._silent_since = SourceChanges(), None
        self.worker.start("--resume")
        self.worker.ready()

    def _start_gateway(self) -> None:
        self.gateway.kill()
        self.gateway.start("--port", str(self.port))  # where it was, also if that was any free port
        self.gateway.ready()

    def stop(self) -> None:
        """End every process; may be called twice."""
        self._ends.close()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _child(self, module: str, *arguments: str) -> Child:
        name = f"neuralstream_local.{module}"
        child = Child(name, arguments, environ=self.environ, log=self._log)
        self._ends.callback(child.stop)
        return child
