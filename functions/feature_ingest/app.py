"""Rows that arrive in messages: those of ``POST /features/write``, with the same semantics."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from neuralstream_core.features.ingest import ingest
from neuralstream_core.settings import WriteSettings
from neuralstream_lambda.logs import logger
from neuralstream_lambda.redelivery import batch_failures
from neuralstream_lambda.sources import messages_of
from neuralstream_lambda.tracing import traced
from neuralstream_lambda.wiring import feature_writer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext


class Settings(WriteSettings):
    """The online store, the catalog and the history."""


settings = Settings.from_env(os.environ)


@traced("feature_ingest")
def lambda_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Apply what can be applied; what cannot is delivered again and ends in the dead-letter queue.

    Raises:
        NeuralStreamError: the one event of a source without partial failures failed.
    """
    failures = ingest(feature_writer(settings), messages_of(event)).failures
    for failure in failures:
        logger("feature_ingest").warning(
            "message not applied",
            extra={
                "message_id": failure.id,
                "code": failure.error.code,
                "places": [place.loc for place in getattr(failure.error, "errors", ())[:10]],
            },
        )
    if failures and "Records" not in event:
        raise failures[0].error
    return batch_failures([failure.id for failure in failures])
