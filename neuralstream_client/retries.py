"""Which failed calls are sent again, and after how long."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from neuralstream_client.errors import ConfigurationError

__all__ = ["Retries", "retry_after"]

_TEMPORARY: Final = frozenset({429, 502, 503, 504})
_NOT_PROCESSED: Final = frozenset({429})
"""Statuses with which API Gateway turns a request away before any function sees it."""


@dataclass(frozen=True, slots=True)
class Retries:
    """Bounded retries with exponential, jittered pauses.

    Args:
        attempts: how often a call is sent at most, the first time included.
        first_seconds: the longest pause before the second attempt; it doubles with each attempt.
        longest_seconds: the longest pause. A call whose ``Retry-After`` asks for more is not repeated.

    Raises:
        ConfigurationError: an argument makes no sense.
    """

    attempts: int = 4
    first_seconds: float = 0.25
    longest_seconds: float = 20.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_seconds < 0 or self.longest_seconds < 0:
            raise ConfigurationError(
                "retries need at least one attempt and pauses that are not negative"
            )

    def after_status(self, status: int, *, idempotent: bool) -> bool:
        """Whether an answer of this status is worth another attempt, and one is safe."""
        return status in _NOT_PROCESSED or (idempotent and status in _TEMPORARY)

    def after_error(self, error: httpx.TransportError, *, idempotent: bool) -> bool:
        """Whether a call that got no answer may be sent again: always if it was never sent."""
        unsent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
        return not isinstance(error, httpx.UnsupportedProtocol) and (
            idempotent or isinstance(error, unsent)
        )

    def pause(self, attempt: int, asked: float | None, share: float | None = None) -> float | None:
        """Seconds to wait after attempt number ``attempt`` (from 1), or ``None`` to give up.

        Args:
            attempt: how many attempts were made.
            asked: seconds of the answer's ``Retry-After``, the least that is waited.
            share: the jitter, 0…1; random when not given.
        """
        if attempt >= self.attempts or (asked or 0) > self.longest_seconds:
            return None
        longest = min(self.longest_seconds, self.first_seconds * 2.0 ** (attempt - 1))
        jitter = random.random() if share is None else share  # noqa: S311 - spreads load, hides nothing
        return max(asked or 0.0, longest * jitter)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds of a ``Retry-After`` header, which has seconds or a date; ``None`` without a valid one."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
