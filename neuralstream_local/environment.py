"""One environment of a function: a thread that calls its handler, and that a caller can abandon.

Lambda ends an environment whose call takes longer than the function's timeout. A thread cannot be ended
from outside: the caller goes on without it, and `Ended` is raised in it at its next Python instruction.
Native code and blocking system calls delay that until they return.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

__all__ = ["Ended", "Environment", "TimedOut"]

Handler: TypeAlias = "Callable[[Any, Any], Any]"
_Reply: TypeAlias = "SimpleQueue[tuple[Any, BaseException | None]]"
_Inbox: TypeAlias = "SimpleQueue[tuple[Any, Any, _Reply] | None]"


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
