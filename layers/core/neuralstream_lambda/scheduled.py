"""Scheduled tasks: an event names one of a function's, and what it did is logged and answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from neuralstream_lambda.logs import logger

__all__ = ["run_task"]

S = TypeVar("S")


def run_task(
    function: str,
    event: Mapping[str, Any],
    settings: S,
    tasks: Mapping[str, Callable[[S], Mapping[str, Any]]],
) -> dict[str, Any]:
    """Do what ``{"task": name}`` asks for; what it did.

    Args:
        function: name of the log.
        settings: given to the task.
        tasks: by name.

    Raises:
        ValueError: there is no such task.
    """
    name = event.get("task")
    task = tasks.get(name) if isinstance(name, str) else None
    if task is None:
        raise ValueError(f"no such task: {name!r}")
    done = dict(task(settings))
    logger(function).info("scheduled task", extra={"task": name, **done})
    return done
