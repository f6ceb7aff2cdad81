"""The history's scheduled tasks: the append log becomes Parquet files, and what is outdated is deleted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from neuralstream_core.errors import Conflict
from neuralstream_lambda.history import CompactionSettings, cleaned, compacted
from neuralstream_lambda.logs import logger
from neuralstream_lambda.tracing import traced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = CompactionSettings.from_env(os.environ)


@traced("history")
def scheduled_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """``{"task": "compact"}`` or ``{"task": "clean"}``; answers what it did, or ``{"raced": True}`` where
    another run was first.

    Raises:
        Unavailable: to be tried again by the schedule's own retries.
    """
    done: dict[str, Any]
    try:
        match event.get("task"):
            case "compact":
                done = dict(compacted(settings))
            case "clean":
                done = dict(cleaned(settings))
            case other:
                raise ValueError(f"no such task: {other!r}")
    except Conflict:
        done = {"raced": True}  # the other one, or the next run, goes on where this one stopped
    logger("history").info("scheduled task", extra={"task": event["task"], **done})
    return done
