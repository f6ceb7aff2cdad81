"""The caller of a command, and for how long the command is retried for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

from neuralstream_core.errors import ConditionFailed, Unavailable

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["Issuer", "countdown"]

DEFAULT_SECONDS: Final = 10.0
OUTAGE_SECONDS: Final = 3.0
"""How long a dependency that is down is asked again, on top of its client's own retries. Longer outages are
left to the caller: a waiting function is billed and counts against the account's concurrency."""
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0

T = TypeVar("T")


def countdown(seconds: float) -> Callable[[], float]:
    """A function that returns the seconds left of ``seconds``, counted from now."""
    end = monotonic() + seconds
    return lambda: end - monotonic()


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who issues a command.

    Attributes:
        actor: written to the audit trail.
        key: idempotency key; a command sent again with the same key is applied once.
        remaining: seconds the caller will still wait.
    """

    actor: str
    key: str | None = None
    remaining: Callable[[], float] = field(default_factory=lambda: countdown(DEFAULT_SECONDS))

    def retry(self, call: Callable[[], T]) -> T:
        """``call()``, repeated while it raises `Unavailable` or `ConditionFailed`; it must be idempotent.

        Pauses are random between 0 and an exponentially growing bound ("full jitter": AWS Architecture
        Blog, "Exponential Backoff And Jitter"), so that racing writers spread out.

        Raises:
            Unavailable: a dependency failed for `OUTAGE_SECONDS`, or `remaining` ran out.
        """
        from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

        outage = countdown(OUTAGE_SECONDS)

        def out_of_time(state: RetryCallState) -> bool:
            failed = state.outcome is not None and isinstance(
                state.outcome.exception(), Unavailable
            )
            left = min(self.remaining(), outage()) if failed else self.remaining()
            return left <= state.upcoming_sleep

        attempts = Retrying(
            retry=retry_if_exception_type((Unavailable, ConditionFailed)),
            wait=wait_random_exponential(multiplier=_FIRST_PAUSE, max=_LONGEST_PAUSE),
            stop=out_of_time,
            reraise=True,
        )
        try:
            return attempts(call)
        except ConditionFailed as error:
            raise Unavailable(
                "the model is being changed by others; try again", dependency="registry"
            ) from error
