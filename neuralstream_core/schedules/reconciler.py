"""Schedules brought from the table to EventBridge Scheduler.

A call carries only the schedule's name. The reconciler reads the table, writes what differs to the scheduler
and reads the table again; when a newer revision has come meanwhile, it starts over. So the last write to the
scheduler holds the table's last state, whatever was delivered twice, late or out of order.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from neuralstream_core.errors import Conflict
from neuralstream_core.schedules.records import ScheduleRecord
from neuralstream_core.schedules.recurrence import rate_of
from neuralstream_core.schedules.store import Schedules
from neuralstream_core.time import Clock, from_micros, to_micros

__all__ = ["SCHEDULED_TIME", "Reconciler", "Target", "delivered", "name_in_group"]

SCHEDULED_TIME: Final = "<aws.scheduler.scheduled-time>"
"""What EventBridge Scheduler replaces in an input by the time a run was scheduled for, retried or not."""

_ROUNDS: Final = 10
_MAX_NAME: Final = 64
_DIGEST: Final = 16
_MAX_DESCRIPTION: Final = 512
_RETRY_POLICY: Final = {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 5}
_REFUSALS: Final = ("ValidationException", "ServiceQuotaExceededException")
"""Errors that a further attempt would get again."""
_RACES: Final = ("ConflictException", "ResourceNotFoundException")
"""Another process created or deleted the schedule between the look and the write: look again."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the schedules call."""

    group: str
    """The schedule group that holds them, and nothing else."""
    function_arn: str
    role_arn: str
    failures_arn: str
    """The queue of what could not be delivered."""


class Reconciler:
    """Brings schedules from the table to EventBridge Scheduler.

    Args:
        client: ``boto3.client("scheduler")``.
    """

    def __init__(self, client: Any, schedules: Schedules, target: Target, clock: Clock) -> None:
        self._client, self._schedules, self._target = client, schedules, target
        self._clock = clock

    def reconcile(self, name: str) -> None:
        """Make the scheduler hold what the table says of ``name``, or note why it refuses.

        Raises:
            Conflict: the schedule changes faster than it can be followed; try again.
            botocore.exceptions.ClientError: the scheduler failed; try again.
        """
        from botocore.exceptions import ClientError

        for _ in range(_ROUNDS):
            revision, schedule = self._schedules.state(name)
            refusal = None
            try:
                self._apply(name, schedule)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in _RACES:
                    continue
                if code not in _REFUSALS:
                    raise
                refusal = f"{code}: {error.response['Error'].get('Message', '')}"
            if self._schedules.state(name).revision == revision:
                if revision:
                    self._schedules.settled(name, revision, refusal)
                return
        raise Conflict(f"schedule {name} changes too often", code="schedule_changed")

    def _apply(self, name: str, schedule: ScheduleRecord | None) -> None:
        """Write what differs."""
        place = {
            "GroupName": self._target.group,
            "Name": name_in_group(self._schedules.namespace, name),
        }
        # A token of this attempt alone: one made of the revision would have the scheduler take a repair
        # (the same revision written again over an older one) for a repetition, and do nothing.
        token = {"ClientToken": uuid.uuid4().hex}
        found = self._found(place)
        if schedule is None:
            if found is not None:
                self._client.delete_schedule(**place, **token)
            return
        wanted = self._definition(schedule)
        if found is None:
            self._client.create_schedule(**place, **token, **wanted)
        elif not _same(found, wanted, schedule):
            self._client.update_schedule(**place, **token, **wanted)

    def _found(self, place: Mapping[str, str]) -> Mapping[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            found: Mapping[str, Any] = self._client.get_schedule(**place)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise
        return found

    def _definition(self, schedule: ScheduleRecord) -> dict[str, Any]:
        own = f"{self._schedules.namespace}/{schedule.name}: {schedule.description or schedule.job['model']}"
        definition: dict[str, Any] = {
            "Description": own[:_MAX_DESCRIPTION],
            "ScheduleExpression": schedule.expression,
            "ScheduleExpressionTimezone": schedule.timezone,
            "State": "ENABLED" if schedule.enabled else "DISABLED",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": self._target.function_arn,
                "RoleArn": self._target.role_arn,
                "Input": json.dumps(delivered(schedule)),
                "RetryPolicy": _RETRY_POLICY,
                "DeadLetterConfig": {"Arn": self._target.failures_arn},
            },
        }
        rate = rate_of(schedule.expression, schedule.anchor)
        if rate is not None:
            # A rate counts from its start. The scheduler takes no start in the past.
            following = rate.next_after(self._clock())
            if following is not None:
                definition["StartDate"] = from_micros(following)
        return definition


def delivered(schedule: ScheduleRecord) -> dict[str, Any]:
    """The event that the batch function gets: the job's fields, and which run of which schedule it is."""
    return {
        **schedule.job,
        "schedule": schedule.name,
        "scheduled_time": SCHEDULED_TIME,
        "timezone": schedule.timezone,
    }


def name_in_group(namespace: str, name: str) -> str:
    """A schedule's name at EventBridge Scheduler, unique in the group: at most 64 characters.

    Names of up to 63 stay readable; longer ones end in a digest and have exactly 64, so that no short name
    can be that of a long one.
    """
    whole = f"{namespace}.{name}"
    if len(whole) < _MAX_NAME:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_DIGEST]
    return f"{whole[: _MAX_NAME - _DIGEST - 1]}.{digest}"


def _same(found: Mapping[str, Any], wanted: Mapping[str, Any], schedule: ScheduleRecord) -> bool:
    """Whether the scheduler already holds ``wanted``; of a rate's start only the phase counts."""
    start: datetime | None = found.get("StartDate")
    rate = rate_of(schedule.expression, schedule.anchor)
    if rate is not None and (start is None or (to_micros(start) - rate.anchor) % rate.interval):
        return False
    return all(found.get(key) == value for key, value in wanted.items() if key != "StartDate")
