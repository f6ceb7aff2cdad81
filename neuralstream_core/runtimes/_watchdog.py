"""Deadlines for calls into native code, all checked by one thread.

A watch is an entry of a dictionary. The thread reads the entries every `_TICK` seconds while calls are
made and sleeps once none was made for that long, so a call rarely has to wake it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import Final

__all__ = ["Watchdog"]

_TICK: Final = 0.1
"""Seconds; a deadline nearer than this may be missed by as much."""


class Watchdog:
    """Calls a function when a watched call exceeds its deadline.

    Its thread is a daemon, started by the first watch.
    """

    def __init__(self) -> None:
        self._watched: dict[int, tuple[float, Callable[[], object]]] = {}
        self._ids = count(1)
        self._latest = 0
        self.asleep = False
        """Whether the thread waits for the next watch, nothing having been watched for a while."""
        self._wake = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, seconds: float, end: Callable[[], object]) -> int:
        """Call ``end`` in ``seconds`` from another thread, unless `finish` comes first.

        Returns:
            What `finish` takes.
        """
        watch = next(self._ids)
        self._watched[watch] = (monotonic() + seconds, end)
        self._latest = watch
        if self.asleep:
            self._wake.set()
        elif self._thread is None:
            self._start()
        return watch

    def finish(self, watch: int) -> bool:
        """End a watch; whether it was in time. If not, ``end`` was called or is just being called."""
        return self._watched.pop(watch, None) is not None

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        seen = 0
        while True:
            earliest = self._end_late()
            if not self._watched and self._latest == seen:
                self.asleep = True
                # A watch begun before the line above did not see it, but is in the dictionary by now.
                if not self._watched:
                    self._wake.wait()
                self.asleep = False
                self._wake.clear()
                continue
            seen = self._latest
            self._wake.wait(max(0.0, min(_TICK, earliest - monotonic())))
            self._wake.clear()

    def _end_late(self) -> float:
        """Call back what is late; when the next one will be."""
        now = monotonic()
        earliest = now + _TICK
        for watch, (deadline, end) in self._watched.copy().items():
            if deadline > now:
                earliest = min(earliest, deadline)
            elif self._watched.pop(watch, None) is not None:
                end()
        return earliest
