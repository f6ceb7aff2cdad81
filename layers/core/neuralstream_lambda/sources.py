"""Event sources, unwrapped: one small function each, from an AWS event to messages.

The bodies are what their producer sent, whichever way they travelled.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from neuralstream_core.features.ingest import Message

__all__ = ["from_eventbridge", "from_kinesis", "from_sqs", "messages_of"]


def from_sqs(event: Mapping[str, Any]) -> list[Message]:
    """Each record's body; that of an EventBridge event which was routed to the queue is its detail."""
    return [Message(r["messageId"], _detail(r["body"])) for r in event["Records"]]


def from_kinesis(event: Mapping[str, Any]) -> list[Message]:
    """Each record's data. A sequence number is unique in its shard only."""
    return [
        Message(
            r["kinesis"]["sequenceNumber"],
            base64.b64decode(r["kinesis"]["data"]),
            f"{r['eventSourceARN']}/{r['eventID']}",
        )
        for r in event["Records"]
    ]


def from_eventbridge(event: Mapping[str, Any]) -> list[Message]:
    """The one event's detail."""
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
