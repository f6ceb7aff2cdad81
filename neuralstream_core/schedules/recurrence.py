"""When a schedule runs: EventBridge Scheduler's ``rate(…)``, ``cron(…)`` and ``at(…)``.

Local times follow EventBridge Scheduler where clocks change: a time that clocks skip is not run, a time that
they pass twice is run once, at the first passing. A rate counts elapsed seconds.

EventBridge's cron has six fields (minutes, hours, day of month, month, day of week, year), counts the days
of the week from 1 (Sunday) and demands ``?`` in exactly one of the two day fields. croniter has the usual
fields, counts from 0 (Sunday) and takes seconds and year after the day of the week. Every list, range and
step is written out for it as numbers; only ``L``, ``W`` and ``#`` remain. It is imported when a cron
expression is first asked for a time: storing expressions does not need it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from neuralstream_core.errors import Invalid
from neuralstream_core.time import Micros, from_micros, to_micros

__all__ = ["Cron", "Once", "Rate", "Recurrence", "parse", "rate_of", "zone_of"]

_SECOND: Final = 1_000_000
_RATE = re.compile(r"rate\(([1-9][0-9]{0,5}) (minutes?|hours?|days?)\)")
_CRON = re.compile(r"cron\(([^()]*)\)")
_AT = re.compile(r"at\(((?:19[7-9]|20[0-9])[0-9]-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\)")
_NUMBER = re.compile(r"[0-9]{1,4}")
_UNITS: Final = {"minute": 60 * _SECOND, "hour": 3600 * _SECOND, "day": 86400 * _SECOND}
_LAST_YEAR: Final = 2099
"""croniter's last year; EventBridge would take a hundred more."""
_YEARS: Final = _LAST_YEAR - 1970
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
        from croniter import CroniterBadDateError, croniter

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
            except CroniterBadDateError:
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
            return Cron(_translated(matched[1]), zone)
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
    """The rate that an expression is, or ``None``; needs no time zone data.

    Raises:
        ValueError: a unit that does not agree with its number.
    """
    matched = _RATE.fullmatch(expression)
    if matched is None:
        return None
    count, unit = int(matched[1]), matched[2].removesuffix("s")
    agreeing = unit if count == 1 else f"{unit}s"
    if matched[2] != agreeing:
        raise ValueError(f"write rate({count} {agreeing})")
    return Rate(count * _UNITS[unit], anchor)


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


def _moment(local: datetime, zone: ZoneInfo) -> Micros | None:
    """The moment of a local time, the first when clocks pass it twice, ``None`` when they skip it."""
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    skipped = moment.astimezone(zone).replace(tzinfo=None) != local
    return None if skipped else to_micros(moment)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    named: str = ""
    """Names of the values from ``low`` on, separated by spaces."""

    def values(self, text: str) -> list[int] | None:
        """The sorted values of a list such as ``1-5,10/20``; ``None`` for every value."""
        found: set[int] = set()
        for item in text.split(","):
            found.update(self._item(item))
        return None if len(found) > self.high - self.low else sorted(found)

    def _item(self, item: str) -> range:
        span, slash, step = item.partition("/")
        if slash and not (_NUMBER.fullmatch(step) and 1 <= int(step) <= self.high):
            raise ValueError(f"{self.name}: {item} needs a step from 1 to {self.high}")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = self.low, self.high
        elif dash:
            low, high = self.number(first), self.number(last)
            if high < low:
                raise ValueError(f"{self.name}: the range {span} runs backwards")
        else:
            low = self.number(first)
            high = self.high if slash else low
        return range(low, high + 1, int(step) if slash else 1)

    def number(self, text: str) -> int:
        """One value, by number or name."""
        names = self.named.split()
        if text.upper() in names:
            return self.low + names.index(text.upper())
        if _NUMBER.fullmatch(text) and self.low <= int(text) <= self.high:
            return int(text)
        named = f" or {names[0]}-{names[-1]}" if names else ""
        raise ValueError(
            f"{self.name}: {text[:20] or 'nothing'} is not in {self.low}-{self.high}{named}"
        )


_MINUTES: Final = _Field("minutes", 0, 59)
_HOURS: Final = _Field("hours", 0, 23)
_DAY_OF_MONTH: Final = _Field("day of month", 1, 31)
_DAY_BEFORE_W: Final = _Field("day of month before W", 1, 28)
"""Nothing says what EventBridge does in a month without the day; croniter takes the month's last weekday."""
_MONTH: Final = _Field("month", 1, 12, "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC")
_DAY_OF_WEEK: Final = _Field("day of week", 1, 7, "SUN MON TUE WED THU FRI SAT")
_YEAR: Final = _Field("year", 1970, _LAST_YEAR)


def _translated(text: str) -> str:
    """What is between the parentheses of ``cron(…)`` as a croniter expression of seven fields.

    Raises:
        ValueError: not such an expression; the message names the field.
    """
    fields = text.split(" ")
    if len(fields) != 6:
        raise ValueError(
            "cron needs six fields: minutes, hours, day of month, month, day of week, year"
        )
    minutes, hours, day_of_month, month, day_of_week, year = fields
    if (day_of_month == "?") == (day_of_week == "?"):
        raise ValueError("exactly one of day of month and day of week must be ?")
    return " ".join(
        (
            _plain(_MINUTES, minutes),
            _plain(_HOURS, hours),
            _day_of_month(day_of_month),
            _plain(_MONTH, month),
            _day_of_week(day_of_week),
            "0",
            _plain(_YEAR, year),
        )
    )


def _plain(field_: _Field, text: str, shift: int = 0) -> str:
    values = field_.values(text)
    return "*" if values is None else ",".join(str(value - shift) for value in values)


def _day_of_month(text: str) -> str:
    if text == "?":
        return "*"
    if text.upper() == "L":
        return "l"
    if text[-1:].upper() == "W":
        return f"{_DAY_BEFORE_W.number(text[:-1])}w"
    return _plain(_DAY_OF_MONTH, text)


def _day_of_week(text: str) -> str:
    if text == "?":
        return "*"
    day, hash_, nth = text.partition("#")
    if hash_:
        if nth not in {"1", "2", "3", "4", "5"}:
            raise ValueError("day of week: after # comes a number from 1 to 5")
        return f"{_DAY_OF_WEEK.number(day) - 1}#{nth}"
    if text.upper() == "L":
        return "6"  # the last day of the week is Saturday
    if text[-1:].upper() == "L":
        return f"l{_DAY_OF_WEEK.number(text[:-1]) - 1}"
    return _plain(_DAY_OF_WEEK, text, shift=1)
