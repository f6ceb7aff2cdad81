"""When a schedule runs: EventBridge Scheduler's ``rate(…)``, ``cron(…)`` and ``at(…)``.

Local times follow EventBridge Scheduler where clocks change: a time that clocks skip is not run, a time that
they pass twice is run once, at the first passing. A rate counts seconds and knows no clocks.

croniter is imported when a cron expression is first asked for a time: who only stores expressions needs no
croniter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from neuralstream_core.errors import Invalid
from neuralstream_core.schedules.cron import LAST_YEAR, translated
from neuralstream_core.time import Micros, from_micros, to_micros

__all__ = ["Cron", "Once", "Rate", "Recurrence", "parse", "rate_of", "zone_of"]

_SECOND: Final = 1_000_000
_RATE = re.compile(r"rate\(([1-9][0-9]{0,5}) (minutes?|hours?|days?)\)")
_CRON = re.compile(r"cron\(([^()]*)\)")
_AT = re.compile(r"at\(((?:19[7-9]|20[0-9])[0-9]-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\)")
_UNITS: Final = {"minute": 60 * _SECOND, "hour": 3600 * _SECOND, "day": 86400 * _SECOND}
_YEARS: Final = LAST_YEAR - 1970
"""How far to look for the next match: croniter's own fifty years would end a schedule that is to come."""
_NOT_PLACES: Final = frozenset({"localtime", "Factory"})
"""Files beside the time zones of some systems."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Every ``interval`` microseconds, first one interval after ``anchor``."""

    interval: int
    anchor: Micros = 0

    def next_after(self, moment: Micros) -> Micros | None:
        """The first run later than ``moment``."""
        passed = max(0, (moment - self.anchor) // self.interval)
        return self.anchor + (passed + 1) * self.interval

    def first_at(self, moment: Micros) -> Rate:
        """The same rate with its first run at ``moment``."""
        return replace(self, anchor=moment - self.interval)


@dataclass(frozen=True, slots=True)
class Once:
    """At one moment."""

    moment: Micros

    def next_after(self, moment: Micros) -> Micros | None:
        """The run, when it is later than ``moment``."""
        return self.moment if self.moment > moment else None


@dataclass(frozen=True, slots=True)
class Cron:
    """At the local times of a zone that match croniter's ``fields``."""

    fields: str
    zone: ZoneInfo

    def next_after(self, moment: Micros) -> Micros | None:
        """The first run later than ``moment``; ``None`` when the expression matches no further time."""
        croniter, no_date = _croniter()
        local = from_micros(moment).astimezone(self.zone).replace(tzinfo=None)
        # Without a zone croniter computes on the calendar alone; clocks are dealt with here.
        times = croniter(
            self.fields,
            local.replace(microsecond=0),
            ret_type=datetime,
            max_years_between_matches=_YEARS,
        )
        while True:
            try:
                found = _moment(times.get_next(), self.zone)
            except no_date:
                return None
            if found is not None and found > moment:
                return found


Recurrence: TypeAlias = Rate | Once | Cron


def parse(expression: str, timezone: str = "UTC", *, anchor: Micros = 0) -> Recurrence:
    """Read an expression.

    Args:
        expression: ``rate(…)``, ``cron(…)`` or ``at(…)`` as EventBridge Scheduler takes it.
        timezone: IANA name, for ``cron`` and ``at``.
        anchor: when a rate began.

    Raises:
        Invalid: names ``expression`` or ``timezone`` and what is wrong with it.
    """
    zone = zone_of(timezone)
    try:
        if not expression.isascii():
            raise ValueError("only ASCII characters")
        if (rate := rate_of(expression, anchor)) is not None:
            return rate
        if matched := _CRON.fullmatch(expression):
            return Cron(translated(matched[1]), zone)
        if matched := _AT.fullmatch(expression):
            moment = _moment(datetime.fromisoformat(matched[1]), zone)
            if moment is None:
                raise ValueError(f"clocks in {timezone} skip this time")
            return Once(moment)
        raise ValueError(
            "must be rate(5 minutes), cron(0 3 * * ? *) or at(2030-01-31T03:00:00), as EventBridge"
            " Scheduler takes them"
        )
    except ValueError as error:
        raise Invalid.at("expression", str(error), code="invalid_expression") from None


def rate_of(expression: str, anchor: Micros) -> Rate | None:
    """The rate that an expression is, or ``None``; asks for no time zone, which not every function has.

    Raises:
        ValueError: a unit that does not agree with its number.
    """
    matched = _RATE.fullmatch(expression)
    return None if matched is None else Rate(_interval(int(matched[1]), matched[2]), anchor)


def zone_of(timezone: str) -> ZoneInfo:
    """The time zone of an IANA name.

    Raises:
        Invalid: no such zone.
    """
    if timezone not in _zones():
        raise Invalid.at(
            "timezone",
            "not a time zone of the IANA database, such as Europe/Berlin",
            code="unknown_timezone",
        )
    return ZoneInfo(timezone)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - _NOT_PLACES)


def _interval(count: int, unit: str) -> int:
    if (count == 1) == unit.endswith("s"):
        raise ValueError(
            f"write rate({count} {unit.removesuffix('s') + ('s' if count > 1 else '')})"
        )
    return count * _UNITS[unit.removesuffix("s")]


def _moment(local: datetime, zone: ZoneInfo) -> Micros | None:
    """The moment of a local time, the first when clocks pass it twice, ``None`` when they skip it."""
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    skipped = moment.astimezone(zone).replace(tzinfo=None) != local
    return None if skipped else to_micros(moment)


@cache
def _croniter() -> tuple[Any, type[Exception]]:
    """croniter and the error by which it says that there is no further time."""
    from croniter import CroniterBadDateError, croniter

    return croniter, CroniterBadDateError
