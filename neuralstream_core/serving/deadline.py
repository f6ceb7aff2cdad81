"""Until when the inference of one request may go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic

__all__ = ["Deadline", "ending_in"]

_ends: ContextVar[float | None] = ContextVar("ends", default=None)
"""When this invocation ends, as `time.monotonic`; of whoever calls, not of the rows between."""


@contextmanager
def ending_in(seconds: float) -> Iterator[None]:
    """Let every `Deadline` begun inside end within ``seconds``: the invocation has no more time."""
    before = _ends.set(monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(before)


@dataclass(frozen=True, slots=True)
class Deadline:
    """``seconds`` from `begin`, shared by all the runs one request needs."""

    seconds: float
    at: float

    @classmethod
    def begin(cls, seconds: float) -> Deadline:
        """``seconds`` from now, or fewer if the invocation ends before."""
        now, ends = monotonic(), _ends.get()
        if ends is not None:
            seconds = max(0.0, min(seconds, ends - now))
        return cls(seconds, now + seconds)

    def left(self) -> float:
        """Seconds; negative when it is over."""
        return self.at - monotonic()
