"""Announcing a change of drift: an event for machines (EventBridge) and a message for people (SNS).

Neither service removes duplicates, so the announce function asks a record of what was delivered before it
delivers. A repetition is left in one case: the process ends, or the record cannot be written, after the
service accepted the message. The ``id`` of the message lets a receiver notice that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_sns import SNSClient

__all__ = ["Message", "to_event_bus", "to_topic"]

Message: TypeAlias = Mapping[str, Any]

_KIND: Final = "drift_changed"
_MAX_SUBJECT: Final = 100


def to_event_bus(client: EventBridgeClient, bus: str, message: Message) -> None:
    """Put the message on an event bus.

    Raises:
        RuntimeError: the bus refused it.
        botocore.exceptions.ClientError: the service failed, or does not allow it.
    """
    answer = client.put_events(
        Entries=[
            {
                "Source": "neuralstream.monitoring",
                "DetailType": _KIND,
                "Detail": _json(message),
                "EventBusName": bus,
            }
        ]
    )
    if answer["FailedEntryCount"]:
        code = answer["Entries"][0].get("ErrorCode", "unknown")
        raise RuntimeError(f"the event bus refused the event: {code}")


def to_topic(client: SNSClient, topic_arn: str, message: Message) -> None:
    """Publish the message to a topic, with a subject for mail.

    Raises:
        botocore.exceptions.ClientError: the service failed, or does not allow it.
    """
    subject = f"Drift of {message.get('model', 'a model')}: {message.get('status', 'changed')}"
    client.publish(
        TopicArn=topic_arn,
        Subject=subject.encode("ascii", "replace").decode()[:_MAX_SUBJECT],
        Message=_json(message),
        MessageAttributes={"kind": {"DataType": "String", "StringValue": _KIND}},
    )


def _json(message: Message) -> str:
    return json.dumps(dict(message), default=sorted)  # DynamoDB's string sets arrive as sets
