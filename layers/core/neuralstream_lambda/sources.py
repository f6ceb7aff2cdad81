"""Event sources, unwrapped: one small function each, from an AWS event to messages.

The bodies are what their producer sent, whichever way they travelled.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from neuralstream_core.features.ingest import Message
from neuralstream_core.time import Micros

__all__ = ["from_eventbridge", "from_kinesis", "from_sqs", "messages_of"]


def from_sqs(event: Mapping[str, Any]) -> list[Message]:
    """Each record's body; that of an EventBridge event which was routed to the queue is its detail."""
    return [
        Message(r["messageId"], _detail(r["body"]), sent=_micros(r, "attributes", "SentTimestamp"))
        for r in event["Records"]
    ]


def from_kinesis(event: Mapping[str, Any]) -> list[Message]:
    """Each record's data. A sequence number is unique in its shard only."""
    return [
        Message(
            r["kinesis"]["sequenceNumber"],
            base64.b64decode(r["kinesis"]["data"]),
            f"{r['eventSourceARN']}/{r['eventID']}",
            _micros(r, "kinesis", "approximateArrivalTimestamp"),
        )
        for r in event["Records"]
    ]


def from_eventbridge(event: Mapping[str, Any]) -> list[Message]:
    """The one event's detail. Its time has whole seconds only, too coarse to be an event time."""
    return [Message(event["id"], json.dumps(event["detail"]))]


def messages_of(event: Mapping[str, Any]) -> list[Message]:
    """The messages of an event of any of these sources."""
    if "detail" in event:
        return from_eventbridge(event)
    is_stream = any("kinesis" in record for record in event["Records"][:1])
    return from_kinesis(event) if is_stream else from_sqs(event)


def _detail(body: str) -> str:
    if '"detail-type"' not in body:
        return body
    try:
        envelope = json.loads(body)
        return json.dumps(envelope["detail"]) if "detail-type" in envelope else body
    except (ValueError, KeyError, TypeError):
        return body  # not an envelope: the message itself will say what is wrong


def _micros(record: Mapping[str, Any], part: str, name: str) -> Micros | None:
    """When a record was sent: SQS says it in milliseconds, as text, and Kinesis in seconds."""
    found = record.get(part, {}).get(name)
    if found is None:
        return None
    return int(found) * 1000 if isinstance(found, str) else round(found * 1_000_000)
