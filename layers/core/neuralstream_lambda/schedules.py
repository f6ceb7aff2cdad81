"""What the batch function does for schedules: keep them, answer them, and start their jobs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from neuralstream_core.errors import Invalid
from neuralstream_core.schedules import ScheduleRecord, Schedules, ScheduleSpec
from neuralstream_core.schedules.answers import ScheduleAnswer, SchedulesAnswer
from neuralstream_core.schedules.places import filled
from neuralstream_core.schedules.recurrence import parse, zone_of
from neuralstream_core.serving.batch.jobs import JobRecord, Run
from neuralstream_core.serving.batch.locations import Buckets, input_format
from neuralstream_core.serving.batch.requests import JobSpec, ScheduledJob
from neuralstream_core.time import Micros, system_clock, to_micros
from neuralstream_lambda.access import Caller, Scope
from neuralstream_lambda.batch import BatchSettings, jobs, submission
from neuralstream_lambda.logs import logger
from neuralstream_lambda.wiring import table

__all__ = ["delete", "get", "listed", "put", "start"]

_RUNS: Final = 10
"""Past runs in the answer of one schedule."""


def put(
    settings: BatchSettings, name: str, spec: ScheduleSpec, caller: Caller
) -> tuple[ScheduleAnswer, bool]:
    """Create or replace a schedule; the answer says whether it is new.

    Raises:
        Invalid: the expression, the time zone or a location; names the place.
        NotFound: no such model or version.
        Conflict: it is not at ``expected_revision``, or another change came between.
        Forbidden: somebody else's schedule, without the scope ``models:write``.
    """
    _check(settings, spec)
    schedule, created = _schedules(settings).put(
        name, spec, caller.principal, any_owner=_any_owner(caller)
    )
    return _answer(settings, schedule, caller), created


def get(settings: BatchSettings, name: str, caller: Caller) -> ScheduleAnswer:
    """One schedule with those of its last runs whose jobs the caller may see."""
    return _answer(settings, _schedules(settings).get(name), caller)


def listed(
    settings: BatchSettings, limit: int, token: str | None, caller: Caller
) -> SchedulesAnswer:
    """A page of schedules, each with its last run if the caller may see that run's job."""
    page = _schedules(settings).list(limit=limit, token=token)
    ran = jobs(settings).last_of_schedules(each.name for each in page.schedules)
    last = {name: job for name, job in ran.items() if _visible(job, caller)}
    now = system_clock()
    return SchedulesAnswer(
        schedules=[
            ScheduleAnswer.of(each, [last[each.name]] if each.name in last else [], now, brief=True)
            for each in page.schedules
        ],
        next_token=page.next_token,
    )


def delete(settings: BatchSettings, name: str, caller: Caller) -> None:
    """End a schedule.

    Raises:
        NotFound: no such schedule.
        Conflict: another change came between.
        Forbidden: somebody else's schedule, without the scope ``models:write``.
    """
    _schedules(settings).delete(name, caller.principal, any_owner=_any_owner(caller))


def start(settings: BatchSettings, event: Mapping[str, Any]) -> dict[str, Any]:
    """Start the job of a delivery, once however often it is delivered.

    A job that is refused is stored as failed with the reason. A schedule that was deleted or disabled
    meanwhile starts nothing: the scheduler learns of it some moments later. An event that names no schedule
    starts its job for the principal ``schedule``.

    Raises:
        Invalid: a time zone or placeholder that does not exist; no schedule has one.
        Unavailable: a dependency is down; Lambda delivers again.
        Conflict: the event's idempotency key was used for another job.
    """
    scheduled = ScheduledJob.model_validate(event)
    if scheduled.schedule is None or scheduled.scheduled_time is None:
        spec = _spec(scheduled, _moment(scheduled))
        return _started(
            submission(settings).submit_scheduled(spec, "schedule", key=scheduled.idempotency_key)
        )
    schedule = _schedules(settings).state(scheduled.schedule).schedule
    if schedule is None or not schedule.enabled:
        logger("batch_predict").info("schedule is off", extra={"schedule": scheduled.schedule})
        return {"job_id": None, "status": "SKIPPED"}
    run = Run(scheduled.schedule, to_micros(scheduled.scheduled_time))
    spec = _spec(scheduled, run.scheduled)
    return _started(submission(settings).submit_scheduled(spec, schedule.created_by, run=run))


@cache
def _schedules(settings: BatchSettings) -> Schedules:
    return Schedules(table(settings), settings.namespace, system_clock)


def _answer(settings: BatchSettings, schedule: ScheduleRecord, caller: Caller) -> ScheduleAnswer:
    ran = jobs(settings).of_schedule(schedule.name, limit=_RUNS)
    runs = [job for job in ran if _visible(job, caller)]
    return ScheduleAnswer.of(schedule, runs, system_clock())


def _visible(job: JobRecord, caller: Caller) -> bool:
    """Whether ``GET /jobs/{job_id}`` would show the job to this caller."""
    return caller.jobs_of in (None, job.created_by)


def _any_owner(caller: Caller) -> bool:
    return Scope.MODELS_WRITE in caller.scopes


def _check(settings: BatchSettings, spec: ScheduleSpec) -> None:
    """Refuse now what would be refused at every run."""
    from neuralstream_core.registry.registry import Registry

    now = system_clock()
    following = parse(spec.expression, spec.timezone, anchor=now).next_after(now)
    if following is None:
        raise Invalid.at("expression", "matches no time to come", code="invalid_expression")
    zone = zone_of(spec.timezone)
    buckets = Buckets.of(settings.data_bucket, settings.job_buckets)
    source = buckets.check(filled(spec.input, following, zone, loc="input"), "input")
    buckets.check(filled(spec.output, following, zone, loc="output"), "output", folder=True)
    input_format(source, spec.input_format)
    registry = Registry(table(settings), settings.namespace, system_clock)
    registry.model(spec.model)
    if spec.version is not None:
        registry.version(spec.model, spec.version)


def _moment(scheduled: ScheduledJob) -> Micros:
    """The time whose dates go into the locations: the delivery's own, or now."""
    given = scheduled.scheduled_time
    return system_clock() if given is None else to_micros(given)


def _spec(scheduled: ScheduledJob, moment: Micros) -> JobSpec:
    """The job to start, dates filled in."""
    zone = zone_of(scheduled.timezone)
    fields = scheduled.model_dump(include=set(JobSpec.model_fields))
    return JobSpec.model_validate(
        {
            **fields,
            **{loc: filled(fields[loc], moment, zone, loc=loc) for loc in ("input", "output")},
        }
    )


def _started(job: JobRecord) -> dict[str, Any]:
    return {"job_id": job.job_id, "status": job.status}
