"""EventBridge Scheduler's cron fields, checked and translated into croniter's.

EventBridge has six fields (minutes, hours, day of month, month, day of week, year), counts the days of the
week from 1 (Sunday) and demands ``?`` in exactly one of the two day fields. croniter has the usual fields,
counts from 0 (Sunday) and takes seconds and year after the day of the week. Every list, range and step is
written out as numbers, so that nothing depends on how croniter reads it; only ``L``, ``W`` and ``#`` remain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

__all__ = ["LAST_YEAR", "translated"]

LAST_YEAR: Final = 2099
"""croniter's last year; EventBridge would take a hundred more."""

_MONTHS: Final = (
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
)
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_NUMBER = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = field(default=())
    """Names of the values from ``low`` on."""

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
        if text.upper() in self.names:
            return self.low + self.names.index(text.upper())
        if _NUMBER.fullmatch(text) and self.low <= int(text) <= self.high:
            return int(text)
        named = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        raise ValueError(
            f"{self.name}: {text[:20] or 'nothing'} is not in {self.low}-{self.high}{named}"
        )


_MINUTES: Final = _Field("minutes", 0, 59)
_HOURS: Final = _Field("hours", 0, 23)
_DAY_OF_MONTH: Final = _Field("day of month", 1, 31)
_DAY_BEFORE_W: Final = _Field("day of month before W", 1, 28)
"""Nothing says what EventBridge does in a month without the day; croniter takes the month's last weekday."""
_MONTH: Final = _Field("month", 1, 12, _MONTHS)
_DAY_OF_WEEK: Final = _Field("day of week", 1, 7, _DAYS)
_YEAR: Final = _Field("year", 1970, LAST_YEAR)


def translated(text: str) -> str:
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
