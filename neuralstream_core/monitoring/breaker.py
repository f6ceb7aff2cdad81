"""When recording pauses because Redis does not take it."""

from __future__ import annotations

import time

__all__ = ["Breaker"]


class Breaker:
    """Sends nothing for one second after a failed flight, doubled by every further failure up to 30.

    After that time one request tries; the others do not wait for its result.
    """

    __slots__ = ("_failures", "_until")

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0

    def allows(self) -> bool:
        """Whether a flight may be sent now."""
        if not self._failures:
            return True
        now = time.monotonic()
        if now < self._until:
            return False
        self._until = now + 1.0
        return True

    def failed(self) -> None:
        """A flight failed."""
        self._failures += 1
        self._until = time.monotonic() + min(30.0, 2.0 ** (self._failures - 1))

    def worked(self) -> None:
        """A flight succeeded."""
        self._failures = 0
