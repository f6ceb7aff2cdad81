"""The history's scheduled tasks: the append log becomes Parquet files, and what is outdated is deleted."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from neuralstream_core.errors import Conflict
from neuralstream_lambda.history import CompactionSettings, cleaned, compacted
from neuralstream_lambda.scheduled import run_task
from neuralstream_lambda.tracing import traced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = CompactionSettings.from_env(os.environ)


@traced("history")
def scheduled_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """``{"task": "compact"}`` or ``{"task": "clean"}``; answers what it did, or ``{"raced": True}`` where
    another run was first.

    Raises:
        Unavailable: to be tried again by the schedule's own retries.
    """
    tasks = {"compact": compacted, "clean": cleaned}
    return run_task(
        "history", event, settings, {name: partial(_unless_raced, do) for name, do in tasks.items()}
    )


def _unless_raced(
    do: Callable[[CompactionSettings], Mapping[str, int]], given: CompactionSettings
) -> Mapping[str, int]:
    try:
        return do(given)
    except Conflict:  # the other run, or the next one, goes on where this one stopped
        return {"raced": True}
