"""Locations with dates in them: ``s3://bucket/in/{yyyy}/{mm}/{dd}.csv``."""

from __future__ import annotations

import re
from typing import Final
from zoneinfo import ZoneInfo

from neuralstream_core.errors import Invalid
from neuralstream_core.time import Micros, from_micros

__all__ = ["PLACEHOLDERS", "filled"]

PLACEHOLDERS: Final = {"yyyy": "%Y", "mm": "%m", "dd": "%d", "HH": "%H", "MM": "%M"}
"""What may stand in braces: year, month, day, hour and minute, in the schedule's time zone."""

_BRACES = re.compile(r"\{([^{}]*)\}|[{}]")
_KNOWN: Final = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)


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
        if name not in PLACEHOLDERS:
            raise Invalid.at(
                loc,
                f"{found[0][:40]} is not a placeholder; known are {_KNOWN}",
                code="unknown_placeholder",
            )
        return local.strftime(PLACEHOLDERS[name])

    if "<aws." in location:
        raise Invalid.at(
            loc, "EventBridge Scheduler would replace <aws.…>", code="invalid_location"
        )
    return _BRACES.sub(value, location)
