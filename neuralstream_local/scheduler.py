"""EventBridge Scheduler on a laptop: runs the schedules that the AWS emulation stores.

The template's own schedules are created there with the storage, those of ``PUT /schedules/{name}`` by the
dispatch function.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from neuralstream_core.errors import Invalid
from neuralstream_core.schedules.reconciler import SCHEDULED_TIME
from neuralstream_core.schedules.recurrence import Rate, Recurrence, parse
from neuralstream_core.time import Clock, Micros, iso, system_clock, to_micros

__all__ = ["Delivery", "LocalScheduler", "poll_schedules"]

_TICK_SECONDS: Final = 1.0
_ATTEMPTS: Final = 3

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One run of a schedule: the function to call, and with what."""

    schedule: str
    arn: str
    event: Any
    failures_arn: str | None
    """The queue for an event whose calls all failed."""


Call = Callable[[Delivery], Any]


class LocalScheduler:
    """Runs every enabled schedule of the emulation.

    Args:
        scheduler: ``boto3.client("scheduler")``.
        sqs: ``boto3.client("sqs")``, for what could not be delivered.
        clock: microseconds since the epoch; what was due before the first reading is not run.
    """

    def __init__(self, scheduler: Any, sqs: Any, clock: Clock = system_clock) -> None:
        self._scheduler, self._sqs, self._clock = scheduler, sqs, clock
        self._known: dict[tuple[str, str], tuple[Any, Mapping[str, Any]]] = {}
        self._until = clock()

    def due(self) -> list[Delivery]:
        """What became due since the last call.

        A schedule that was due several times meanwhile (the laptop slept) runs once, for its last time.
        """
        now = self._clock()
        runs = [self._run(schedule, self._until, now) for schedule in self._schedules()]
        self._until = now  # only now: what an error above left out is still due
        return [run for run in runs if run is not None]

    def deliver(self, delivery: Delivery, call: Call) -> None:
        """Call the function, again when it fails; then leave the event in the queue of failures."""
        for _ in range(_ATTEMPTS):
            try:
                call(delivery)
            except Exception:  # noqa: BLE001 - whatever it was, Lambda would try again
                _log.exception("schedule %s: the call failed", delivery.schedule)
            else:
                return
        if delivery.failures_arn is not None:
            url = self._sqs.get_queue_url(QueueName=delivery.failures_arn.rsplit(":", 1)[1])
            self._sqs.send_message(QueueUrl=url["QueueUrl"], MessageBody=json.dumps(delivery.event))

    def _schedules(self) -> Iterator[Mapping[str, Any]]:
        """Every enabled schedule, read anew only when it was changed."""
        known, self._known = self._known, {}
        for page in self._scheduler.get_paginator("list_schedules").paginate(State="ENABLED"):
            for listed in page["Schedules"]:
                key = (listed["GroupName"], listed["Name"])
                changed = listed["LastModificationDate"]
                kept = known.get(key)
                if kept is None or kept[0] != changed:
                    kept = changed, self._scheduler.get_schedule(GroupName=key[0], Name=key[1])
                self._known[key] = kept
                yield kept[1]

    def _run(self, schedule: Mapping[str, Any], since: Micros, until: Micros) -> Delivery | None:
        try:
            due = _last_due(_recurrence(schedule), since, until)
        except Invalid as error:
            _log.error("schedule %s cannot be run: %s", schedule["Name"], error.detail)
            return None
        if due is None:
            return None
        target = schedule["Target"]
        return Delivery(
            schedule=schedule["Name"],
            arn=target["Arn"],
            event=json.loads(target.get("Input", "{}").replace(SCHEDULED_TIME, iso(due))),
            failures_arn=target.get("DeadLetterConfig", {}).get("Arn"),
        )


def poll_schedules(scheduler: LocalScheduler, stop: threading.Event, call: Call) -> None:
    """Deliver every second what became due, each in a thread of its own: a slow function must not hold up
    the others."""
    while not stop.wait(_TICK_SECONDS):
        for delivery in scheduler.due():
            threading.Thread(target=scheduler.deliver, args=(delivery, call), daemon=True).start()


def _recurrence(schedule: Mapping[str, Any]) -> Recurrence:
    """When it runs; a rate counts from its start, or else from its creation."""
    recurrence = parse(
        schedule["ScheduleExpression"],
        schedule["ScheduleExpressionTimezone"],
        anchor=to_micros(schedule["CreationDate"]),
    )
    if isinstance(recurrence, Rate) and schedule.get("StartDate"):
        return recurrence.first_at(to_micros(schedule["StartDate"]))
    return recurrence


def _last_due(recurrence: Recurrence, since: Micros, until: Micros) -> Micros | None:
    """The last run after ``since`` and not after ``until``."""
    due = None
    following = recurrence.next_after(since)
    while following is not None and following <= until:
        due, following = following, recurrence.next_after(following)
    return due
