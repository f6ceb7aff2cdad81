"""The outbox: what functions inside the VPC wrote to the table to be started outside.

The VPC has no way out but to DynamoDB and S3. Whoever needs Step Functions or EventBridge Scheduler writes
an ``outbox`` attribute in the same write as the state it belongs to; the table's stream brings it here. The
stream delivers at least once and in order per item, so each call is one that can be made twice.
Announcements, which may fail for long, are another function's (``functions/announce``): a job's start never
waits for them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from neuralstream_core.jobs.records import JobKind
from neuralstream_core.settings import TableSettings
from neuralstream_core.table import unmarshal
from neuralstream_core.time import system_clock
from neuralstream_lambda.logs import logger
from neuralstream_lambda.metrics import count_unexpected
from neuralstream_lambda.redelivery import batch_failures
from neuralstream_lambda.tracing import traced
from neuralstream_lambda.wiring import scheduler_client, states_client, table

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from neuralstream_core.schedules.reconciler import Reconciler


class Settings(TableSettings):
    """Whom to call, and what schedules call in turn."""

    state_machine_arn: str
    training_machine_arn: str
    schedule_group: str
    schedule_role_arn: str
    schedule_target_arn: str
    failure_queue_arn: str


settings = Settings.from_env(os.environ)

_MACHINES: Mapping[str, str] = {
    JobKind.PREDICT: settings.state_machine_arn,
    JobKind.BACKFILL: settings.state_machine_arn,
    JobKind.REBUILD: settings.state_machine_arn,
    JobKind.ADOPT: settings.state_machine_arn,
    JobKind.TRAINING_SET: settings.training_machine_arn,
    JobKind.OUTCOMES: settings.state_machine_arn,
}
"""The state machine of each kind of job."""


@traced("dispatch")
def lambda_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Deliver every stream record that no earlier failure of its own item holds back.

    Lambda brings the first failed record and all after it again; delivering the others now keeps one
    that cannot be delivered from delaying them until its retries are used up.
    """
    failed: list[str] = []
    held: set[str] = set()
    for record in event["Records"]:
        change = record["dynamodb"]
        item = json.dumps(change.get("Keys"), sort_keys=True)
        number = change["SequenceNumber"]
        if item in held:
            failed.append(number)
            continue
        try:
            _deliver(record)
        except Exception:  # noqa: BLE001 - whatever it was, the stream must bring this record again
            logger("dispatch").exception("not delivered", extra={"sequence_number": number})
            count_unexpected()
            held.add(item)
            failed.append(number)
    return batch_failures(failed)


def _deliver(record: Mapping[str, Any]) -> None:
    image = record["dynamodb"].get("NewImage", {})
    if "outbox" not in image:
        return
    message = unmarshal(image["outbox"])
    kind = message.pop("kind")
    if kind not in _KINDS:
        # after its retries it lies in the failure queue
        raise LookupError(f"nobody delivers a {kind}")
    _KINDS[kind](message)


def _start_job(message: Mapping[str, Any]) -> None:
    """One execution a job: its name is the job's, so a second start finds the first.

    Raises:
        LookupError: no state machine does jobs of this kind.
    """
    kind = message.get("job", JobKind.PREDICT)  # a release that knew one kind did not name it
    if kind not in _MACHINES:
        raise LookupError(f"nobody does a {kind}")
    states = states_client()
    try:
        states.start_execution(
            stateMachineArn=_MACHINES[kind],
            name=message["job_id"],
            input=json.dumps({"job_id": message["job_id"]}),
        )
    except states.exceptions.ExecutionAlreadyExists:
        return


def _schedule_changed(message: Mapping[str, Any]) -> None:
    """The message only names the schedule: what is written is what the table says now."""
    _reconciler().reconcile(message["schedule"])


@cache
def _reconciler() -> Reconciler:
    from neuralstream_core.schedules.reconciler import Reconciler, Target
    from neuralstream_core.schedules.store import Schedules

    target = Target(
        group=settings.schedule_group,
        function_arn=settings.schedule_target_arn,
        role_arn=settings.schedule_role_arn,
        failures_arn=settings.failure_queue_arn,
    )
    schedules = Schedules(table(settings), settings.namespace, system_clock)
    return Reconciler(scheduler_client(), schedules, target, system_clock)


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "start_job": _start_job,
    "schedule_changed": _schedule_changed,
}
