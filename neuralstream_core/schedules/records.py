"""A schedule as asked for and as stored, and the dates in its locations (``s3://bucket/{yyyy}/{mm}.csv``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, StringConstraints

from neuralstream_core.errors import Invalid
from neuralstream_core.schedules.recurrence import Recurrence, parse, zone_of
from neuralstream_core.serving.batch.requests import JobSpec
from neuralstream_core.time import Micros, from_micros
from neuralstream_core.types import Description, Name, Record

__all__ = ["ScheduleRecord", "ScheduleSpec", "filled", "locations"]

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

_PLACEHOLDERS: Final = {"yyyy": "%Y", "mm": "%m", "dd": "%d", "HH": "%H", "MM": "%M"}
"""What may stand in braces: year, month, day, hour and minute, in the schedule's time zone."""

_BRACES = re.compile(r"\{([^{}]*)\}|[{}]")
_KNOWN: Final = ", ".join(f"{{{name}}}" for name in _PLACEHOLDERS)


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


def locations(job: Mapping[str, Any], scheduled: Micros, timezone: str) -> dict[str, str]:
    """``input`` and ``output`` of a job, the dates of ``scheduled`` filled in.

    Raises:
        Invalid: no such time zone; or as `filled`.
    """
    zone = zone_of(timezone)
    return {loc: filled(job[loc], scheduled, zone, loc=loc) for loc in ("input", "output")}


def filled(location: str, scheduled: Micros, zone: ZoneInfo, *, loc: str) -> str:
    """``location`` with the local date and time of ``scheduled`` in place of its placeholders.

    Args:
        loc: names the field in errors.

    Raises:
        Invalid: an unknown placeholder, a lone brace, or an attribute that EventBridge Scheduler would
            replace by itself.
    """
    local = from_micros(scheduled).astimezone(zone)

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in _PLACEHOLDERS:
            raise Invalid.at(
                loc,
                f"{found[0][:40]} is not a placeholder; known are {_KNOWN}",
                code="unknown_placeholder",
            )
        return local.strftime(_PLACEHOLDERS[name])

    if "<aws." in location:
        raise Invalid.at(
            loc, "EventBridge Scheduler would replace <aws.…>", code="invalid_location"
        )
    return _BRACES.sub(value, location)
