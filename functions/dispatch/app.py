"""The outbox: what functions inside the VPC wrote to the table to be started or announced outside.

The VPC has no way out but to DynamoDB and S3. Whoever needs Step Functions, EventBridge, its Scheduler or
SNS writes an ``outbox`` attribute in the same write as the state it belongs to; the table's stream brings it
here. The stream delivers at least once and in order per item, so each call is one that can be made twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from neuralstream_core.table import unmarshal
from neuralstream_lambda.logs import logger
from neuralstream_lambda.schedule_dispatch import ScheduleSettings, reconcile
from neuralstream_lambda.wiring import events_client, sns_client, states_client

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class Settings(ScheduleSettings):
    """Whom to call."""

    state_machine_arn: str
    alerts_topic_arn: str
    event_bus: str = "default"


settings = Settings.from_env(os.environ)


def lambda_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Deliver stream records in order; the first that fails, and all after it, come again."""
    for record in event["Records"]:
        try:
            _deliver(record)
        except Exception:  # noqa: BLE001 - whatever it was, the stream must bring this record again
            number = record["dynamodb"]["SequenceNumber"]
            logger("dispatch").exception("not delivered", extra={"sequence_number": number})
            return {"batchItemFailures": [{"itemIdentifier": number}]}
    return {"batchItemFailures": []}


def _deliver(record: Mapping[str, Any]) -> None:
    image = record["dynamodb"].get("NewImage", {})
    if "outbox" not in image:
        return
    message = unmarshal(image["outbox"])
    kind = message.pop("kind")
    if kind not in _KINDS:
        raise LookupError(
            f"nobody delivers a {kind}"
        )  # after its retries it lies in the failure queue
    _KINDS[kind](message, record["eventID"])


def _start_job(message: Mapping[str, Any], _event_id: str) -> None:
    """One execution a job: its name is the job's, so a second start finds the first."""
    states = states_client()
    try:
        states.start_execution(
            stateMachineArn=settings.state_machine_arn,
            name=message["job_id"],
            input=json.dumps({"job_id": message["job_id"]}),
        )
    except states.exceptions.ExecutionAlreadyExists:
        return


def _drift_changed(message: Mapping[str, Any], event_id: str) -> None:
    """An event for machines and a message for people; ``event_id`` lets both notice a repetition."""
    detail = json.dumps({**message, "event_id": event_id}, default=_plain)
    answer = events_client().put_events(
        Entries=[
            {
                "Source": "neuralstream.monitoring",
                "DetailType": "drift_changed",
                "Detail": detail,
                "EventBusName": settings.event_bus,
            }
        ]
    )
    if answer["FailedEntryCount"]:
        code = answer["Entries"][0].get("ErrorCode", "unknown")
        raise RuntimeError(f"the event bus refused the event: {code}")
    sns_client().publish(
        TopicArn=settings.alerts_topic_arn,
        Subject=_subject(message),
        Message=detail,
        MessageAttributes={"kind": {"DataType": "String", "StringValue": "drift_changed"}},
    )


def _schedule_changed(message: Mapping[str, Any], _event_id: str) -> None:
    """The message only names the schedule: what is written is what the table says now."""
    reconcile(settings, message["schedule"])


def _subject(message: Mapping[str, Any]) -> str:
    text = f"Drift of {message.get('model', 'a model')}: {message.get('status', 'changed')}"
    return text.encode("ascii", "replace").decode()[:100]


def _plain(value: Any) -> Any:
    """Sets are how DynamoDB keeps a list of distinct strings."""
    if isinstance(value, set):
        return sorted(value)
    raise TypeError(f"cannot send a {type(value).__name__}")


_KINDS: Mapping[str, Callable[[Mapping[str, Any], str], None]] = {
    "start_job": _start_job,
    "drift_changed": _drift_changed,
    "schedule_changed": _schedule_changed,
}
