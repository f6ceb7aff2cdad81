"""Numbers as a person reads them: rounded, but never so far that two different ones look the same."""

from __future__ import annotations

import math
from typing import Final

from neuralstream_core.time import from_micros

__all__ = ["moment_pair", "number", "number_pair", "percent", "percent_pair"]

_LARGE: Final = 1e12


def percent(share: float, decimals: int | None = None) -> str:
    """A share in percent: whole, with a decimal where that is nearly nothing or nearly all. ``0 %`` and
    ``100 %`` are said only of exactly none and all."""
    if share in (0.0, 1.0):
        return f"{share * 100:.0f} %"
    if decimals is None:
        decimals = 1 if share < 0.01 or share > 0.99 else 0
    least = 10.0**-decimals
    text = f"{100 * share:.{decimals}f}"
    if float(text) == 0:
        return f"under {least:.{decimals}f} %"
    if float(text) == 100:
        return f"over {100 - least:.{decimals}f} %"
    return f"{text} %"


def percent_pair(before: float, now: float) -> tuple[str, str]:
    """Two shares, with as many decimals as it takes to tell them apart."""
    said = percent(before), percent(now)
    for decimals in range(1, 8):
        if before == now or said[0] != said[1]:
            break
        said = percent(before, decimals), percent(now, decimals)
    return said


def number(value: float) -> str:
    """Three digits, and whole numbers up to four."""
    return _written(value, _unit(value))


def number_pair(before: float, now: float) -> tuple[str, str]:
    """Two numbers, neither rounded by more than a quarter of what lies between them."""
    between, finest = abs(now - before), math.inf
    if between and math.isfinite(between):
        finest = 10.0 ** max(math.floor(math.log10(between / 2)), -300)
    return _written(before, min(_unit(before), finest)), _written(now, min(_unit(now), finest))


def moment_pair(before: float, now: float) -> tuple[str, str]:
    """Two times, given as microseconds, to the minute; to the second where that tells them apart."""
    try:
        moments = from_micros(round(before)), from_micros(round(now))
    except (OverflowError, ValueError, OSError):
        return number_pair(before, now)
    forms = ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f")
    for form in forms:
        said = tuple(moment.strftime(form) + " UTC" for moment in moments)
        if said[0] != said[1]:
            break
    return said[0], said[1]


def _unit(value: float) -> float:
    size = abs(value)
    if size == 0 or not math.isfinite(size):
        return 1.0
    digits = 4 if size >= 1000 else 3
    return 10.0 ** max(math.floor(math.log10(size)) - digits + 1, -300)


def _written(value: float, unit: float) -> str:
    """``value`` rounded to ``unit``, a power of ten."""
    if value == 0:
        return "0"
    power = math.floor(math.log10(unit) + 0.5)
    if abs(value) >= _LARGE or power < -9:
        digits = max(math.floor(math.log10(abs(value))) - power + 1, 1)
        return f"{value:.{min(digits, 17)}g}"
    if power >= 0:
        return f"{round(value, -power):,.0f}"
    text = f"{value:,.{-power}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
