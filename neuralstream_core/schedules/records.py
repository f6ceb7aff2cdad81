"""A schedule as asked for and as stored."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field, StringConstraints

from neuralstream_core.schedules.places import filled
from neuralstream_core.schedules.recurrence import Recurrence, parse, zone_of
from neuralstream_core.serving.batch.requests import JobSpec
from neuralstream_core.time import Micros
from neuralstream_core.types import Description, Name, Record

__all__ = ["ScheduleRecord", "ScheduleSpec"]

Expression = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256),
    Field(
        description="`rate(5 minutes)`, `cron(0 3 * * ? *)` or `at(2030-01-31T03:00:00)`, as EventBridge"
        " Scheduler takes them"
    ),
]
Timezone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=50),
    Field(description="IANA name, in which `cron` and `at` are meant"),
]


class ScheduleSpec(JobSpec):
    """The job to start, and when. ``input`` and ``output`` may hold ``{yyyy}``, ``{mm}``, ``{dd}``,
    ``{HH}`` and ``{MM}``: the scheduled time in the schedule's time zone."""

    expression: Expression
    timezone: Timezone = "UTC"
    enabled: bool = Field(default=True, description="false: keep it, but start nothing")
    description: Description | None = Field(
        default=None, description="for people, at most 2048 characters"
    )
    expected_revision: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="refuse with 409 unless this is the present revision; 0: none yet"
    )

    def job(self) -> dict[str, Any]:
        """What differs from the defaults of the job to start, as JSON-compatible data."""
        return self.model_dump(
            mode="json", include=set(JobSpec.model_fields), exclude_defaults=True
        )


class ScheduleRecord(Record):
    """A schedule as stored."""

    name: Name
    revision: int
    job: dict[str, Any]
    """A `JobSpec` without its defaults."""
    expression: str
    timezone: str
    enabled: bool
    description: str | None = None
    anchor: Micros
    """When a rate began to count."""
    created_at: AwareDatetime
    created_by: str
    updated_at: AwareDatetime
    updated_by: str
    applied: int = 0
    """The last revision that the scheduler is known to have."""
    refusal: str | None = None
    """Why the scheduler does not take the present revision."""

    @property
    def recurrence(self) -> Recurrence:
        """When it runs."""
        return parse(self.expression, self.timezone, anchor=self.anchor)

    def locations(self, scheduled: Micros) -> tuple[str, str]:
        """Input and output of the run at ``scheduled``."""
        zone = zone_of(self.timezone)
        return (
            filled(self.job["input"], scheduled, zone, loc="input"),
            filled(self.job["output"], scheduled, zone, loc="output"),
        )
