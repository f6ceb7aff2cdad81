"""Outcomes from a queue: many messages, one append, and a failure only for those that failed.

A message is the body of ``POST /outcomes`` with rows. One that is delivered twice adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError

from neuralstream_core.errors import NeuralStreamError
from neuralstream_core.features.ingest import Failure, Message
from neuralstream_core.history.entries import Part
from neuralstream_core.outcomes.intake import Intake
from neuralstream_core.outcomes.requests import OutcomesBody
from neuralstream_core.validation import from_validation

__all__ = ["Ingested", "ingest"]


class Ingested(NamedTuple):
    """What became of a batch of messages."""

    outcomes: int
    failures: list[Failure]


def ingest(intake: Intake, messages: Sequence[Message]) -> Ingested:
    """Keep the outcomes of every message that can be kept; never raises for one of them."""
    failures: list[Failure] = []
    ready: list[tuple[str, Part]] = []
    for message in messages:
        try:
            ready.append((message.id, _part(intake, message)))
        except NeuralStreamError as error:
            failures.append(Failure(message.id, error))
    if ready:
        try:
            intake.append([part for _, part in ready])
        except NeuralStreamError as error:
            failures += [Failure(name, error) for name, _ in ready]
            ready = []
    return Ingested(sum(len(part.rows) for _, part in ready), failures)


def _part(intake: Intake, message: Message) -> Part:
    try:
        body = OutcomesBody.model_validate_json(message.body)
    except ValidationError as error:
        raise from_validation(error, message.body) from None
    now = intake.clock() if message.sent is None else message.sent
    outcomes = intake.rows(body.model, body.rows, now)
    return intake.part(body.model, message.request_id or message.id, outcomes)
