"""Waiting for a consequence, with a deadline and without guessing how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["eventually"]

T = TypeVar("T")


def eventually(predicate: Callable[[], T], seconds: float = 90.0, every: float = 0.02) -> T:
    """The first truthy value of ``predicate``.

    It waits far longer than anything takes, so that only what never happens fails a test.
    An ``AssertionError`` inside it counts as "not yet"; after ``seconds`` it is raised as it is.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            if value := predicate():
                return value
            late: AssertionError = AssertionError(
                f"not true within {seconds} s, last seen: {value!r}"
            )
        except AssertionError as error:
            late = error
        if time.monotonic() >= deadline:
            raise late
        time.sleep(every)
