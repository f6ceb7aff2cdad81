"""Schedules with the jobs they start: checked and stored, answered with their runs, delivered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from neuralstream_core.errors import Invalid
from neuralstream_core.jobs.records import Run
from neuralstream_core.registry.registry import Registry
from neuralstream_core.schedules.answers import ScheduleAnswer, SchedulesAnswer
from neuralstream_core.schedules.records import ScheduleRecord, ScheduleSpec, locations
from neuralstream_core.schedules.recurrence import parse
from neuralstream_core.schedules.store import Schedules
from neuralstream_core.serving.batch.locations import Buckets, input_format
from neuralstream_core.serving.batch.records import PredictJob, PredictJobs
from neuralstream_core.serving.batch.requests import JobSpec, ScheduledJob
from neuralstream_core.serving.batch.tasks import Submission
from neuralstream_core.time import Clock, to_micros

__all__ = ["Scheduling"]

_RUNS: Final = 10
"""Past runs in the answer of one schedule."""


class Scheduling:
    """Schedules of one namespace and their jobs.

    Args:
        buckets: which jobs may use.

    Raises (every method):
        Unavailable: a dependency is down; try again.
    """

    def __init__(
        self,
        schedules: Schedules,
        jobs: PredictJobs,
        submission: Submission,
        registry: Registry,
        buckets: Buckets,
        clock: Clock,
    ) -> None:
        self.schedules = schedules
        self._jobs, self._submission, self._registry = jobs, submission, registry
        self._buckets, self._clock = buckets, clock

    def put(
        self, name: str, spec: ScheduleSpec, principal: str, *, any_owner: bool
    ) -> tuple[ScheduleRecord, bool]:
        """Create or replace a schedule, as `Schedules.put`, unless every run of it would be refused.

        Raises:
            Invalid: the expression, the time zone or a location; names the place.
            NotFound: no such model or version.
        """
        now = self._clock()
        following = parse(spec.expression, spec.timezone, anchor=now).next_after(now)
        if following is None:
            raise Invalid.at("expression", "matches no time to come", code="invalid_expression")
        at = locations(spec.job(), following, spec.timezone)
        source = self._buckets.check(at["input"], "input")
        self._buckets.check(at["output"], "output", folder=True)
        input_format(source, spec.input_format)
        self._registry.model(spec.model)
        if spec.version is not None:
            self._registry.version(spec.model, spec.version)
        return self.schedules.put(name, spec, principal, any_owner=any_owner)

    def answer(self, schedule: ScheduleRecord, owner: str | None) -> ScheduleAnswer:
        """A schedule with those of its last runs whose jobs belong to ``owner``; ``None``: with all."""
        ran = self._jobs.of_schedule(schedule.name, limit=_RUNS)
        runs = [job for job in ran if owner in (None, job.created_by)]
        return ScheduleAnswer.of(schedule, runs, self._clock())

    def list(self, owner: str | None, *, limit: int, token: str | None) -> SchedulesAnswer:
        """A page of schedules, each with its last run if that run's job belongs to ``owner``."""
        page = self.schedules.list(limit=limit, token=token)
        ran = self._jobs.last_of_schedules(each.name for each in page.schedules)
        last = {name: [job] for name, job in ran.items() if owner in (None, job.created_by)}
        now = self._clock()
        return SchedulesAnswer(
            schedules=[
                ScheduleAnswer.of(each, last.get(each.name, []), now, brief=True)
                for each in page.schedules
            ],
            next_token=page.next_token,
        )

    def start(self, event: Mapping[str, Any]) -> PredictJob | None:
        """Start the job of a delivery (a `ScheduledJob`), once however often it is delivered.

        A job that is refused is stored as failed with the reason. A schedule that was deleted or disabled
        meanwhile starts nothing, and the answer is ``None``: the scheduler learns of it some moments later.
        An event that names no schedule starts its job for the principal ``schedule``.

        Raises:
            Invalid: a time zone or placeholder that does not exist; no schedule has one.
            Conflict: the event's idempotency key was used for another job.
        """
        delivered = ScheduledJob.model_validate(event)
        given = delivered.scheduled_time
        moment = self._clock() if given is None else to_micros(given)
        submit = self._submission.submit_scheduled
        if delivered.schedule is None or given is None:
            return submit(_job(delivered, moment), "schedule", key=delivered.idempotency_key)
        schedule = self.schedules.state(delivered.schedule).schedule
        if schedule is None or not schedule.enabled:
            return None
        run = Run(delivered.schedule, moment)
        return submit(_job(delivered, moment), schedule.created_by, run=run)


def _job(delivered: ScheduledJob, moment: int) -> JobSpec:
    """The job to start, dates filled in."""
    fields = delivered.model_dump(include=set(JobSpec.model_fields))
    return JobSpec.model_validate(fields | locations(fields, moment, delivered.timezone))
