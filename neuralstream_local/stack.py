"""The whole laptop stack as four child processes: Redis, AWS, the worker and the gateway.

Whoever holds the stack calls `Stack.mend` again and again: what ended is started again there, on the same
port. Only the AWS emulation is not: the registry and every artifact are in its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Self

from neuralstream_local.aws_server import client_environ
from neuralstream_local.children import Child, ChildFailed
from neuralstream_local.control import sources
from neuralstream_local.embedded_redis import EmbeddedRedis
from neuralstream_local.news import SourceNews

__all__ = ["Stack"]

_TRIES = 5
"""Starts of one part in a row that may fail."""


class Stack:
    """Starts in the constructor and is ready when it returns; a context manager.

    Args:
        port: of the gateway; 0: any free port.
        aws_port: of the AWS emulation; 0: any free port.
        auth: ask for an API key.
        log: where the processes write what they log, open until `stop`; ``None``: nowhere.

    Raises:
        ChildFailed: a process did not start; its message says which and why.
    """

    def __init__(
        self, port: int = 0, aws_port: int = 0, *, auth: bool = False, log: IO[bytes] | None = None
    ) -> None:
        self._log = log
        self._children: list[Child] = []
        self._redis: EmbeddedRedis | None = None
        self._failed_starts: dict[str, int] = {}
        self._news = SourceNews()
        try:
            # moto takes longest to start: begin with it.
            self.aws = self._child("aws_server", ["--port", str(aws_port)], {})
            try:
                self.redis = self._redis = EmbeddedRedis(keep=True)
            except RuntimeError as error:  # no server is there, or it does not start
                raise ChildFailed(str(error)) from error
            self.aws_endpoint: str = self.aws.ready()["endpoint"]
            self.environ = client_environ(self.aws_endpoint)
            self._worker_arguments = ["--redis-port", str(self.redis.port)]
            self._gateway_arguments = [*self._worker_arguments, *(["--auth"] if auth else [])]
            self.worker = self._child("worker", self._worker_arguments, self.environ)
            arguments = [*self._gateway_arguments, "--port", str(port)]
            self.gateway = self._child("gateway", arguments, self.environ)
            self.worker.ready()
            announced = self.gateway.ready()
        except BaseException:
            self.stop()
            raise
        self.port: int = announced["port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.broken: Sequence[str] = announced["broken"]
        """Functions that could not be imported; the log says why."""

    def mend(self) -> list[str]:
        """Start again what ended since the last call; a sentence for each, and for each pump that failed.

        Raises:
            ChildFailed: the AWS emulation ended, or a part could not be started several times in a row.
        """
        if not self.aws.alive():
            raise ChildFailed(
                "the AWS emulation ended, and with it the registry and the artifacts it held"
            )
        said: list[str] = []
        if not self.redis.alive():
            said += self._again("Redis", self._start_redis, "with everything it had acknowledged")
        if not self.worker.alive():
            said += self._again("the worker", self._start_worker, "where it was")
        if not self.gateway.alive():
            said += self._again("the gateway", self._start_gateway, "on its port")
        return said + self._news.of(sources(self.aws_endpoint))

    def _again(self, what: str, start: Callable[[], None], how: str) -> list[str]:
        try:
            start()
        except (ChildFailed, RuntimeError, OSError) as error:
            failed = self._failed_starts[what] = self._failed_starts.get(what, 0) + 1
            if failed >= _TRIES:
                raise ChildFailed(f"{what} ended and cannot be started again: {error}") from error
            return [f"{what} ended and could not be started; trying again ({error})"]
        self._failed_starts.pop(what, None)
        return [f"{what} ended unexpectedly; started again {how}"]

    def _start_redis(self) -> None:
        self.redis.kill()  # what is left of it, so that its port is free
        self.redis.start()

    def _start_worker(self) -> None:
        self._end(self.worker)
        self._news.forget()
        self.worker = self._child("worker", [*self._worker_arguments, "--resume"], self.environ)
        self.worker.ready()

    def _start_gateway(self) -> None:
        self._end(self.gateway)
        arguments = [*self._gateway_arguments, "--port", str(self.port)]
        self.gateway = self._child("gateway", arguments, self.environ)
        self.gateway.ready()

    def _end(self, child: Child) -> None:
        child.kill()
        self._children = [other for other in self._children if other is not child]

    def stop(self) -> None:
        """End every process; may be called twice."""
        for child in reversed(self._children):
            child.stop()
        if self._redis is not None:
            self._redis.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _child(self, module: str, arguments: Sequence[str], environ: dict[str, str]) -> Child:
        child = Child(f"neuralstream_local.{module}", arguments, environ=environ, log=self._log)
        self._children.append(child)
        return child
