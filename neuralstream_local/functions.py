"""Lambda functions in this process: each environment is a module of its own and serves one call at a time.

As on Lambda, a function has as many environments as it has calls at once; a new one (a cold start: the module
is executed again, with clients of its own) is made when none is free for a moment. A call that takes longer
than the function's timeout fails, and its environment is abandoned. A thread cannot be ended from outside:
`Ended` is raised in it at its next Python instruction, which native code and blocking system calls delay.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from queue import Empty, LifoQueue, SimpleQueue
from types import ModuleType, SimpleNamespace
from typing import Any, Final, TypeAlias

from neuralstream_local.aws import ACCOUNT, REGION
from neuralstream_local.template import Function

__all__ = ["PROCESS_GROWTH", "FunctionPool", "Functions", "TimedOut", "load"]

MAX_ENVIRONMENTS: Final = 4
MAX_ABANDONED: Final = 4
"""Environments of a function that were abandoned and are still busy; then calls wait for one to end."""
_PATIENCE_SECONDS: Final = 0.02
"""How long a call waits for a busy environment before it starts another: longer than a fast call takes."""
_WAIT_SECONDS: Final = 0.2
"""How often a call that waits looks whether another environment may be made."""

PROCESS_GROWTH: Final = 4 * 1024**3
"""Bytes by which a process of functions may grow: what a model asks for beyond it fails, and nothing else."""

Handler: TypeAlias = "Callable[[Any, Any], Any]"
_Reply: TypeAlias = "SimpleQueue[tuple[Any, BaseException | None]]"
_Inbox: TypeAlias = "SimpleQueue[tuple[Any, Any, _Reply] | None]"

_log = logging.getLogger(__name__)
_loading = threading.Lock()
_serial = count()


class TimedOut(Exception):
    """A call took longer than the function's timeout; the message is Lambda's."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Task timed out after {seconds:.2f} seconds")


class Ended(BaseException):
    """Raised in an abandoned handler; no handler is expected to catch it."""


class Environment:
    """Calls ``handler`` in a thread of its own, one call at a time.

    The thread ends with the object, or when `call` has abandoned it and the handler has returned.
    """

    def __init__(self, handler: Handler, name: str) -> None:
        self._inbox: _Inbox = SimpleQueue()
        self._thread = threading.Thread(
            target=_serve, args=(handler, self._inbox), name=name, daemon=True
        )
        self._thread.start()

    def __del__(self) -> None:
        self._inbox.put(None)

    def call(self, event: Any, context: Any, seconds: float) -> Any:
        """What the handler returns; raises what it raises.

        Raises:
            TimedOut: it took longer than ``seconds``. The environment must not be used again.
        """
        reply: _Reply = SimpleQueue()
        self._inbox.put((event, context, reply))
        try:
            result, error = reply.get(timeout=seconds)
        except Empty:
            self._abandon()
            raise TimedOut(seconds) from None
        if error is not None:
            raise error
        return result

    def _abandon(self) -> None:
        # Before the thread may end: its number could be another thread's afterwards.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(Ended)
        )
        self._inbox.put(None)

    def busy(self) -> bool:
        """Whether its thread is still there."""
        return self._thread.is_alive()


def _serve(handler: Handler, inbox: _Inbox) -> None:
    try:
        while (task := inbox.get()) is not None:
            event, context, reply = task
            try:
                reply.put((handler(event, context), None))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again for the caller
                reply.put((None, error))
            del task, event, context, reply  # a waiting thread holds nothing of the last call
    except Ended:
        return


class FunctionPool:
    """The environments of one function."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self._idle: LifoQueue[Environment] = LifoQueue()
        self._abandoned: list[Environment] = []
        self._size = 0
        self._sizing = threading.Lock()

    def warm(self) -> None:
        """Make an environment now; raises whatever the function's module raises at import."""
        if self._grow():
            self._idle.put(self._start())

    def __call__(self, event: Any, request_id: str | None = None) -> Any:
        """Call the handler and return what it returns; raises what it raises.

        Raises:
            TimedOut: the handler took longer than the function's timeout, or no environment was free
                for that long.
        """
        seconds = self.function.timeout
        environment = self._take(time.monotonic() + seconds)
        context = _context(self.function, request_id or str(uuid.uuid4()))
        try:
            result = environment.call(event, context, seconds)
        except TimedOut:
            with self._sizing:
                self._size -= 1
                self._abandoned.append(environment)
            _log.error("%s took longer than %d s and was ended", self.function.logical_id, seconds)
            raise
        except BaseException:
            self._idle.put(environment)
            raise
        self._idle.put(environment)
        return result

    def _take(self, deadline: float) -> Environment:
        """A free environment, or a new one as soon as there may be one; `TimedOut` at the deadline."""
        patience = 0.0 if self._size == 0 else _PATIENCE_SECONDS
        while True:
            try:
                return self._idle.get(timeout=patience)
            except Empty:
                if self._grow():
                    return self._start()
            patience = min(deadline - time.monotonic(), _WAIT_SECONDS)
            if patience <= 0:
                raise TimedOut(self.function.timeout)

    def _grow(self) -> bool:
        """Whether another environment may be made; it counts from here."""
        with self._sizing:
            self._abandoned = [each for each in self._abandoned if each.busy()]
            grows = self._size < MAX_ENVIRONMENTS and len(self._abandoned) < MAX_ABANDONED
            self._size += grows
        return grows

    def _start(self) -> Environment:
        try:
            handler = getattr(load(self.function), self.function.attribute)
        except BaseException:
            with self._sizing:
                self._size -= 1
            raise
        return Environment(handler, self.function.logical_id)


class Functions:
    """Every function, by logical id, name, name:alias or ARN, as Lambda's API finds them."""

    def __init__(self, functions: Iterable[Function]) -> None:
        self._pools: dict[str, FunctionPool] = {}
        for function in functions:
            pool = FunctionPool(function)
            self._pools |= {function.logical_id: pool, function.name: pool}

    def __getitem__(self, reference: str) -> FunctionPool:
        return self._pools[reference.rsplit(":function:", 1)[-1].split(":", 1)[0]]


def _context(function: Function, request_id: str) -> SimpleNamespace:
    """What Lambda passes as ``context`` to a call that starts now."""
    deadline = time.monotonic() + function.timeout
    return SimpleNamespace(
        function_name=function.name,
        function_version="$LATEST",
        invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function.name}",
        memory_limit_in_mb=str(function.memory),
        aws_request_id=request_id,
        log_group_name=f"/aws/lambda/{function.name}",
        log_stream_name="local",
        identity=None,
        client_context=None,
        get_remaining_time_in_millis=lambda: max(0, int((deadline - time.monotonic()) * 1000)),
    )


def load(function: Function) -> ModuleType:
    """Execute the function's module anew, under a name of its own and with its variables.

    Raises:
        FileNotFoundError: the template names a file that is not there.
        Exception: whatever the module raises at import.
    """
    name = f"_function_{function.folder.name}_{next(_serial)}"
    path = function.folder / f"{function.module}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.exists():
        raise FileNotFoundError(f"{function.logical_id}: {path} does not exist")
    module = importlib.util.module_from_spec(spec)
    started = time.perf_counter()
    with _loading, _environment(function):
        sys.modules[name] = module
        spec.loader.exec_module(module)
    _log.info("%s: %.0f ms to import", function.logical_id, (time.perf_counter() - started) * 1000)
    return module


@contextmanager
def _environment(function: Function) -> Iterator[None]:
    """The function's variables and its folder's modules, while its module parses its settings."""
    before = {name: os.environ.get(name) for name in function.environ}
    siblings = {path.stem for path in function.folder.glob("*.py")}
    os.environ.update(function.environ)
    sys.path.insert(0, str(function.folder))
    try:
        yield
    finally:
        sys.path.remove(str(function.folder))
        for name in siblings:
            sys.modules.pop(name, None)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
