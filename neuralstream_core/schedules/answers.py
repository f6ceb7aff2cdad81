"""What the schedule routes answer."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field

from neuralstream_core.jobs.records import Failure, JobStatus
from neuralstream_core.schedules.records import ScheduleRecord, locations
from neuralstream_core.serving.batch.records import PredictJob
from neuralstream_core.serving.batch.requests import JobSpec
from neuralstream_core.time import Micros, from_micros
from neuralstream_core.types import NEXT_PAGE, Name, UtcTime

__all__ = ["NextRun", "RunAnswer", "ScheduleAnswer", "ScheduleDeletion", "SchedulesAnswer"]


class RunAnswer(BaseModel):
    """One run that took place, and its job."""

    scheduled_time: UtcTime = Field(description="the time the schedule named, UTC")
    job_id: str = Field(description="its job")
    status: JobStatus = Field(description="of the job")
    failure: Failure | None = Field(default=None, description="why it failed or was not started")
    started_at: UtcTime | None = Field(default=None, description="UTC; null while PENDING")
    finished_at: UtcTime | None = Field(default=None, description="UTC; null until it is finished")

    @classmethod
    def of(cls, job: PredictJob) -> Self:
        """The run of a job that a schedule asked for."""
        return cls(
            scheduled_time=job.scheduled_time or job.created_at,
            job_id=job.job_id,
            status=job.status,
            failure=job.failure,
            started_at=job.started_at,
            finished_at=job.finished_at,
        )


class NextRun(BaseModel):
    """The run to come, its locations filled in."""

    scheduled_time: UtcTime = Field(description="when, UTC")
    input: str = Field(description="`s3://` address of the input")
    output: str = Field(description="`s3://` address of the folder")


class ScheduleAnswer(JobSpec):
    """A schedule with its last and next run."""

    name: Name
    expression: str = Field(description="`rate(…)`, `cron(…)` or `at(…)`")
    timezone: str = Field(description="IANA name, in which `cron` and `at` are meant")
    enabled: bool = Field(description="false: it starts nothing")
    description: str | None = Field(default=None, description="for people")
    revision: int = Field(description="raised by every change")
    state: Literal["pending", "active", "disabled", "ended", "refused"] = Field(
        description="pending: EventBridge Scheduler does not have the present revision yet; ended: no"
        " further run; refused: see `refusal`"
    )
    refusal: str | None = Field(
        default=None, description="why EventBridge Scheduler refuses the present revision"
    )
    next_run: NextRun | None = Field(default=None, description="null: there is no further one")
    last_run: RunAnswer | None = Field(default=None, description="null: it has not run yet")
    runs: list[RunAnswer] = Field(
        default_factory=list, description="the last runs, newest first; listings leave them out"
    )
    created_at: UtcTime = Field(description="UTC")
    created_by: str = Field(description="principal of the API key, to whom its jobs belong")
    updated_at: UtcTime = Field(description="UTC")
    updated_by: str = Field(description="principal of the API key")

    @classmethod
    def of(
        cls, schedule: ScheduleRecord, jobs: list[PredictJob], now: Micros, *, brief: bool = False
    ) -> Self:
        """The answer at ``now``; ``jobs`` are those of the last runs, newest first.

        Args:
            brief: leave out the runs before the last.
        """
        following = schedule.recurrence.next_after(now) if schedule.enabled else None
        runs = [RunAnswer.of(job) for job in jobs]
        return cls.model_validate(
            {
                **schedule.model_dump(exclude={"job", "anchor", "applied"}),
                **{name: value for name, value in schedule.job.items() if name in cls.model_fields},
                "state": _state(schedule, following),
                "next_run": None if following is None else _next_run(schedule, following),
                "last_run": runs[0] if runs else None,
                "runs": [] if brief else runs,
            }
        )


class SchedulesAnswer(BaseModel):
    """Schedules by name."""

    schedules: list[ScheduleAnswer] = Field(description="by name, without the runs before the last")
    next_token: str | None = Field(default=None, description=NEXT_PAGE)


class ScheduleDeletion(BaseModel):
    """A schedule that was deleted; it starts nothing from now on."""

    name: Name
    status: Literal["deleted"] = Field(default="deleted", description="always `deleted`")


def _state(schedule: ScheduleRecord, following: Micros | None) -> str:
    if schedule.refusal is not None:
        return "refused"
    if schedule.applied != schedule.revision:
        return "pending"
    if not schedule.enabled:
        return "disabled"
    return "ended" if following is None else "active"


def _next_run(schedule: ScheduleRecord, scheduled: Micros) -> NextRun:
    at = locations(schedule.job, scheduled, schedule.timezone)
    return NextRun(scheduled_time=from_micros(scheduled), **at)
