"""Announces changes of drift, acts of guards and steps of ramps to an event bus and to a topic.

Two event sources bring the same messages. The table's stream brings an outbox entry once it is written:
every target gets it at once. What a target does not take waits in the retry queue, by itself and whole, so
that neither the other target nor later announcements wait for it; after its retries it lies in the failure
queue. Only when the retry queue does not take it either does the stream bring the record again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from neuralstream_core.monitoring.announcing import Message, to_event_bus, to_topic
from neuralstream_core.settings import TableSettings
from neuralstream_core.table import unmarshal
from neuralstream_lambda.logs import logger
from neuralstream_lambda.metrics import count_unexpected
from neuralstream_lambda.redelivery import batch_failures, done_once
from neuralstream_lambda.tracing import traced
from neuralstream_lambda.wiring import dynamodb_client, events_client, queue_client, sns_client

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class Settings(TableSettings):
    """Whom to tell, where retries wait, and the table that records what was delivered."""

    alerts_topic_arn: str
    alert_retry_queue: str
    event_bus: str


settings = Settings.from_env(os.environ)


@traced("announce")
def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Deliver every record of a batch; answer which must come again."""
    targets = {
        "bus": partial(to_event_bus, events_client(), settings.event_bus),
        "topic": partial(to_topic, sns_client(), settings.alerts_topic_arn),
    }
    once = done_once(dynamodb_client(), settings.table, settings.namespace, "announcement", context)

    def deliver(target: str, message: Message) -> None:
        once(f"{target}:{message['id']}", partial(targets[target], message))

    failed = []
    for record in event["Records"]:
        queued = record["eventSource"] == "aws:sqs"
        name = record["messageId"] if queued else record["dynamodb"]["SequenceNumber"]
        try:
            for target, message in _messages(record, targets):
                if not _delivered(deliver, target, message):
                    if queued:
                        failed.append(name)
                    else:
                        _wait(target, message)
        except Exception:  # noqa: BLE001 - whatever it was, this record must come again
            logger("announce").exception("not kept for a retry", extra={"record": name})
            count_unexpected()
            failed.append(name)
    return batch_failures(failed)


def _messages(record: Mapping[str, Any], targets: Iterable[str]) -> Iterator[tuple[str, Message]]:
    """What to send to which target: a queued message knows its own, an outbox entry is for all."""
    if record["eventSource"] == "aws:sqs":
        body = json.loads(record["body"])
        yield body["target"], body["message"]
        return
    outbox = record["dynamodb"].get("NewImage", {}).get("outbox")
    if outbox is None:
        return
    message = {"id": record["eventID"], **unmarshal(outbox)}
    for target in targets:
        yield target, message


def _delivered(deliver: Callable[[str, Message], None], target: str, message: Message) -> bool:
    """Deliver ``message`` unless ``target`` has it already; whether it has it now."""
    try:
        deliver(target, message)
    except Exception:  # noqa: BLE001 - one target's failure must not reach the other
        logger("announce").exception("not announced", extra={"target": target, "id": message["id"]})
        count_unexpected()
        return False
    return True


def _wait(target: str, message: Message) -> None:
    """Keep a message for a later delivery to one target."""
    queue_client().send_message(
        QueueUrl=settings.alert_retry_queue,
        MessageBody=json.dumps({"target": target, "message": message}, default=sorted),
    )
