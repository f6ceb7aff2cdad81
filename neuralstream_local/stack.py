"""The whole laptop stack as four child processes: Redis, AWS, the worker and the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import IO, Self

from neuralstream_local.aws_server import client_environ
from neuralstream_local.children import Child
from neuralstream_local.embedded_redis import EmbeddedRedis

__all__ = ["Stack"]


class Stack:
    """Starts in the constructor and is ready when it returns; a context manager.

    Args:
        port: of the gateway; 0: any free port.
        aws_port: of the AWS emulation; 0: any free port.
        auth: ask for an API key.
        log: where the processes write what they log; ``None``: nowhere.

    Raises:
        ChildFailed: a process did not start; its message says which and why.
    """

    def __init__(
        self, port: int = 0, aws_port: int = 0, *, auth: bool = False, log: IO[bytes] | None = None
    ) -> None:
        self._children: list[Child] = []
        self._redis: EmbeddedRedis | None = None
        try:
            # moto takes longest to start: begin with it.
            self.aws = self._child("aws_server", ["--port", str(aws_port)], {}, log)
            self.redis = self._redis = EmbeddedRedis()
            self.aws_endpoint: str = self.aws.ready()["endpoint"]
            self.environ = client_environ(self.aws_endpoint)
            redis = ["--redis-port", str(self.redis.port)]
            self.worker = self._child("worker", redis, self.environ, log)
            arguments = [*redis, "--port", str(port), *(["--auth"] if auth else [])]
            self.gateway = self._child("gateway", arguments, self.environ, log)
            self.worker.ready()
            announced = self.gateway.ready()
        except BaseException:
            self.stop()
            raise
        self.port: int = announced["port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.broken: Sequence[str] = announced["broken"]
        """Functions that could not be imported; the log says why."""

    def ended(self) -> Child | None:
        """A process that is gone although nobody stopped it."""
        return next((child for child in self._children if not child.alive()), None)

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

    def _child(
        self, module: str, arguments: Sequence[str], environ: dict[str, str], log: IO[bytes] | None
    ) -> Child:
        child = Child(f"neuralstream_local.{module}", arguments, environ=environ, log=log)
        self._children.append(child)
        return child
