"""On whose behalf a command runs, and how long it may keep trying."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from neuralstream_core.errors import NeuralStreamError, Unavailable

__all__ = ["By", "countdown", "outage", "pause", "retrying"]

DEFAULT_SECONDS: Final = 10.0
OUTAGE_SECONDS: Final = 3.0
"""How long a dependency that is down is asked again, on top of its client's own retries. What lasts longer
is the caller's to wait out: a function that waits is paid for and taken from the account's concurrency."""
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0

T = TypeVar("T")


def countdown(seconds: float) -> Callable[[], float]:
    """A function that gives the seconds left of ``seconds``, counted from now."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()


@dataclass(frozen=True, slots=True)
class By:
    """Who issues a command.

    Attributes:
        actor: written to the audit trail.
        key: idempotency key; the same command sent again with it applies once.
        remaining: seconds the caller will still wait. Lost races are retried until they are used up,
            failures of a dependency for at most `OUTAGE_SECONDS`; then the command fails with
            `Unavailable`.
    """

    actor: str
    key: str | None = None
    remaining: Callable[[], float] = field(default_factory=lambda: countdown(DEFAULT_SECONDS))


def outage(remaining: Callable[[], float]) -> Callable[[], float]:
    """``remaining``, but at most `OUTAGE_SECONDS` from now."""
    own = countdown(OUTAGE_SECONDS)
    return lambda: min(own(), remaining())


def pause(attempt: int, remaining: Callable[[], float], error: NeuralStreamError) -> None:
    """Wait before attempt ``attempt + 1``, a random time of an exponentially growing range.

    Raises:
        Unavailable: the time left does not allow another attempt; ``error`` is why this one failed.
    """
    # Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): racing writers spread out.
    wait = random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**attempt))  # noqa: S311 - no secret
    if remaining() <= wait:
        if isinstance(error, Unavailable):
            raise error
        raise Unavailable(
            "the model is being changed by others; try again", dependency="registry"
        ) from error
    time.sleep(wait)


def retrying(remaining: Callable[[], float], call: Callable[[], T]) -> T:
    """``call()``, repeated while it raises `Unavailable`, for at most `OUTAGE_SECONDS` and while time is
    left. It must be idempotent."""
    remaining = outage(remaining)
    attempt = 0
    while True:
        try:
            return call()
        except Unavailable as error:
            pause(attempt, remaining, error)
            attempt += 1
