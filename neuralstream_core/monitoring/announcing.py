"""Announcing a change of drift: an event for machines (EventBridge) and a message for people (SNS).

The two targets do not depend on each other: each delivery succeeds, fails, is repeated and is recorded as
done by itself. Neither service removes duplicates, so `Announcer` asks a record of what was delivered
before it delivers. A repetition is left in one case: the process ends, or the record cannot be written,
after the service accepted the message. The ``id`` of the message lets a receiver notice that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_sns import SNSClient

__all__ = ["KIND", "Announcer", "Deliver", "Once", "to_event_bus", "to_topic"]

KIND: Final = "drift_changed"
"""``kind`` of the outbox entries that are announced, and the event's detail type."""

Message: TypeAlias = Mapping[str, Any]
Deliver: TypeAlias = Callable[[Message], None]
"""Hands a message to one service; raises when the service did not take it."""
Once: TypeAlias = Callable[[str, Callable[[], None]], None]
"""``(key, act)``: calls ``act`` unless an earlier call with ``key`` returned; raises what it raises."""

_MAX_SUBJECT: Final = 100


class Announcer:
    """Delivers messages to targets, each pair of message and target once.

    Args:
        targets: by name.
        once: the record of what was delivered.
    """

    def __init__(self, targets: Mapping[str, Deliver], once: Once) -> None:
        self._targets, self._once = targets, once

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets."""
        return tuple(self._targets)

    def announce(self, target: str, message: Message) -> None:
        """Deliver ``message``, which has an ``id``, unless ``target`` has it already.

        Raises:
            Exception: what the service or the record answered; the message counts as not delivered.
        """
        self._once(f"{target}:{message['id']}", partial(self._targets[target], message))


def to_event_bus(client: EventBridgeClient, bus: str) -> Deliver:
    """Put the message on an event bus."""

    def deliver(message: Message) -> None:
        answer = client.put_events(
            Entries=[
                {
                    "Source": "neuralstream.monitoring",
                    "DetailType": KIND,
                    "Detail": _json(message),
                    "EventBusName": bus,
                }
            ]
        )
        if answer["FailedEntryCount"]:
            code = answer["Entries"][0].get("ErrorCode", "unknown")
            raise RuntimeError(f"the event bus refused the event: {code}")

    return deliver


def to_topic(client: SNSClient, topic_arn: str) -> Deliver:
    """Publish the message to a topic, with a subject for mail."""

    def deliver(message: Message) -> None:
        client.publish(
            TopicArn=topic_arn,
            Subject=_subject(message),
            Message=_json(message),
            MessageAttributes={"kind": {"DataType": "String", "StringValue": KIND}},
        )

    return deliver


def _subject(message: Message) -> str:
    text = f"Drift of {message.get('model', 'a model')}: {message.get('status', 'changed')}"
    return text.encode("ascii", "replace").decode()[:_MAX_SUBJECT]


def _json(message: Message) -> str:
    return json.dumps(dict(message), default=_plain)


def _plain(value: Any) -> Any:
    """Sets are how DynamoDB keeps a list of distinct strings."""
    if isinstance(value, set):
        return sorted(value)
    raise TypeError(f"cannot send a {type(value).__name__}")
