"""The scheduled tasks of predictions and their outcomes: the prediction log goes into the history."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from neuralstream_lambda.logs import logger
from neuralstream_lambda.outcomes import OutcomesSettings, drained
from neuralstream_lambda.tracing import traced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = OutcomesSettings.from_env(os.environ)


@traced("outcomes")
def scheduled_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """``{"task": "drain"}``; answers what it did.

    Raises:
        Unavailable: to be tried again by the schedule's own retries.
    """
    match event.get("task"):
        case "drain":
            done = drained(settings)
        case other:
            raise ValueError(f"no such task: {other!r}")
    logger("outcomes").info("scheduled task", extra={"task": event["task"], **done})
    return done
