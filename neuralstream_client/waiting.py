"""Pauses between two looks at something that a stack is working on."""

from __future__ import annotations

from time import monotonic
from typing import Final

from neuralstream_client.errors import WaitTimeout

__all__ = ["DONE", "Pauses"]

DONE: Final = frozenset({"SUCCEEDED", "FAILED"})
"""Statuses that are final."""
_FIRST_SECONDS: Final = 0.2
"""Before the second look; half as long again each time."""


class Pauses:
    """How long to pause before each further look.

    Args:
        what: is waited for, for the error.
        timeout: seconds to wait at most; no limit when ``None``.
        longest: seconds of a pause.
    """

    def __init__(self, what: str, timeout: float | None, longest: float) -> None:
        self._what, self._timeout, self._longest = what, timeout, longest
        self._end = None if timeout is None else monotonic() + timeout
        self._next = min(_FIRST_SECONDS, longest)

    def next(self, status: str) -> float:
        """Seconds until the next look.

        Args:
            status: that the last look found.

        Raises:
            WaitTimeout: the pause would end after the timeout.
        """
        pause = self._next
        if self._end is not None and monotonic() + pause > self._end:
            raise WaitTimeout(f"{self._what} is {status} after {self._timeout} s; it goes on")
        self._next = min(self._longest, pause * 1.5)
        return pause
