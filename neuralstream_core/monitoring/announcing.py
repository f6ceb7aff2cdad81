"""Announcing a change of drift, an act of a guard or a step of a ramp.

Each is an event for machines (EventBridge) and a message for people (SNS).

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

_SUBJECTS: Final = {"drift_changed": "Drift", "guard_tripped": "Guard", "ramp_advanced": "Ramp"}
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
                "DetailType": _kind(message),
                "Detail": _json({k: v for k, v in message.items() if k != "kind"}),
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
    kind = _kind(message)
    model, status = message.get("model", "a model"), message.get("status", "changed")
    subject = f"{_SUBJECTS.get(kind, kind)} of {model}: {status}"
    client.publish(
        TopicArn=topic_arn,
        Subject=subject.encode("ascii", "replace").decode()[:_MAX_SUBJECT],
        Message=_json({k: v for k, v in message.items() if k != "kind"}),
        MessageAttributes={"kind": {"DataType": "String", "StringValue": kind}},
    )


def _kind(message: Message) -> str:
    # Retries that an older release left in the queue have none.
    return str(message.get("kind", "drift_changed"))


def _json(message: Message) -> str:
    return json.dumps(dict(message), default=sorted)  # DynamoDB's string sets arrive as sets
