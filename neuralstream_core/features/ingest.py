"""Rows from a queue or a stream: many messages, one flight, and a failure only for those that failed.

A message is the body of ``POST /features/write``; the history gets one entry for all of them. Writes are
idempotent and order themselves by event time, so a message that is delivered twice, or again after another
one, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError

from neuralstream_core.errors import Invalid, NeuralStreamError, NotFound
from neuralstream_core.features.requests import WriteRequest
from neuralstream_core.features.rows import WriteResult
from neuralstream_core.features.store import OnlineStore
from neuralstream_core.features.writes import Batch
from neuralstream_core.time import Micros
from neuralstream_core.validation import from_validation

__all__ = ["Failure", "Ingested", "Message", "ingest"]


class Message(NamedTuple):
    """One message.

    Attributes:
        id: by which its source knows it.
        body: its text.
        request_id: the same whenever it is delivered, and of no other message of any source; ``None``: ``id``
            is such a one.
        sent: event time of rows that have none, the same whenever it is delivered; ``None``: now.
    """

    id: str
    body: str | bytes
    request_id: str | None = None
    sent: Micros | None = None


class Failure(NamedTuple):
    """A message that was not applied, and why."""

    id: str
    error: NeuralStreamError


class Ingested(NamedTuple):
    """What became of a batch of messages."""

    results: list[WriteResult]
    failures: list[Failure]


def ingest(store: OnlineStore, messages: Sequence[Message]) -> Ingested:
    """Apply every message that can be applied, in their order; never raises for one of them."""
    failures: list[Failure] = []
    ready: list[tuple[Message, Batch]] = []
    for message in messages:
        try:
            request = _parse(message.body)
            batch = store.prepare(
                request.feature_view,
                request.given(),
                message.request_id or message.id,
                message.sent,
            )
            ready.append((message, batch))
        except NeuralStreamError as error:
            failures.append(Failure(message.id, error))
    results: list[WriteResult] = []
    if ready:
        try:
            results = store.commit([batch for _, batch in ready])
        except (NotFound, Invalid):  # a view vanished since, or a merged row is too large: whose?
            results = _one_by_one(store, ready, failures)
        except NeuralStreamError as error:
            failures += [Failure(message.id, error) for message, _ in ready]
    return Ingested(results, failures)


def _one_by_one(
    store: OnlineStore, ready: Sequence[tuple[Message, Batch]], failures: list[Failure]
) -> list[WriteResult]:
    results: list[WriteResult] = []
    for message, batch in ready:
        try:
            results += store.commit([batch])
        except NeuralStreamError as error:
            failures.append(Failure(message.id, error))
    return results


def _parse(body: str | bytes) -> WriteRequest:
    try:
        return WriteRequest.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error, body) from None
