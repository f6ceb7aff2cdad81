"""What a report says in words: one sentence per series, and one for the whole.

A sentence claims only what the counters prove. A median is said to have moved when it lies in another
bin than the baseline's; otherwise the sentence tells which share of the values has grown or shrunk.
Numbers are rounded; the report also has the exact ones.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from neuralstream_core.monitoring.decision import DriftStatus
from neuralstream_core.monitoring.failures import ALL_CODES, MISSING_FEATURES
from neuralstream_core.monitoring.profile import BINS, Profile, Series
from neuralstream_core.time import from_micros

if TYPE_CHECKING:
    from neuralstream_core.monitoring.decision import Rate, Verdict
    from neuralstream_core.monitoring.failures import FailureTest, Traffic

__all__ = ["failure_sentence", "names_of", "series_sentence", "summary_sentence"]

_SHIFT: Final = 0.1
"""A median is worth telling when it has passed this share of the baseline's values."""
_TOLD: Final = 3
_LONGEST: Final = 60
_TOLERANCE: Final = 1e-5
_NOTHING: Final = 2e-6
"""A value below this, relative to the range's ends, is a zero with rounding error."""
_LARGE: Final = 1e12

_Pair: TypeAlias = Callable[[float, float], tuple[str, str]]
"""Writes two values, from the baseline and from the window, so that they can be told apart."""


def names_of(profile: Profile) -> list[str]:
    """What each series is called in a sentence: without its view where that is unambiguous."""
    bare = [
        series.name if series.kind == "prediction" else series.name.partition(":")[2]
        for series in profile.series
    ]
    uses = Counter([*bare, ALL_CODES])
    return [
        short if short and uses[short] == 1 else series.name
        for short, series in zip(bare, profile.series, strict=True)
    ]


def series_sentence(
    series: Series, name: str, verdict: Verdict, current: Sequence[int], *, moments: bool = False
) -> str:
    """What happened to one series.

    Args:
        name: what to call it, see `names_of`.
        current: the window's counts, ``(series.size,)``.
        moments: the numbers are microseconds since the epoch.
    """
    pair = moment_pair if moments else number_pair
    parts: list[str] = []
    if "distribution" in verdict.reasons:
        parts.append(f"{_movement(series, verdict, current, pair)} ({_index(verdict)})")
    elif verdict.status is DriftStatus.NO_REFERENCE:
        parts.append("no baseline to compare with")
    elif verdict.status is DriftStatus.INSUFFICIENT_DATA:
        parts.append(
            f"{verdict.n_current:,} values are too few to judge, {verdict.needed:,} needed"
        )
    elif not verdict.reasons:
        calm = moment_pair if moments else _each
        parts.append(f"no notable change{_median(series, current, calm)} ({_index(verdict)})")
    if verdict.missing.current:
        parts.append(_missing(series, verdict.missing, current))
    elif "missing" in verdict.reasons and verdict.missing.reference is not None:
        was = percent(verdict.missing.reference)
        parts.append(f"every row has a value ({was} had none in the baseline)")
    if "unknown" in verdict.reasons:
        parts.append(_unknown(series, verdict.unknown, pair))
    return f"{name}: {'; '.join(parts)}"


def failure_sentence(found: FailureTest) -> str:
    """How many rows failed with one code, or with several."""
    was, now = percent_pair(found.test.reference or 0.0, found.failed / found.rows)
    expected = f"at most {was} expected" if found.test.reference else f"{was} expected"
    what = found.code
    if what == ALL_CODES:
        what = f"{found.codes} codes other than {MISSING_FEATURES}"
    return f"errors: {now} of {found.rows:,} rows failed with {what} ({expected})"


def summary_sentence(
    status: DriftStatus, alarming: Sequence[str], series: int, needed: int, traffic: Traffic
) -> str:
    """The whole report in a sentence.

    Args:
        alarming: sentences of the series with a warning or drift, the most urgent first.
        series: how many were looked at.
        needed: values that every series needs at least.
    """
    failed = "no row failed"
    if traffic.failures:
        failed = f"{percent(traffic.failures / traffic.rows)} of them failed"
    if status.alarming:
        text = f"{status.capitalize()} in {len(alarming)} of {series} series over "
        text += f"{traffic.rows:,} rows; {failed}. {'. '.join(alarming[:_TOLD])}"
        if len(alarming) > _TOLD:
            text += f". And {len(alarming) - _TOLD} more"
    elif status is DriftStatus.OK:
        text = f"No drift in {series} series over {traffic.rows:,} rows; {failed}"
    elif status is DriftStatus.INSUFFICIENT_DATA:
        text = f"{traffic.rows:,} rows are too few to judge, {needed:,} needed; {failed}"
    else:
        text = f"No baseline to compare {traffic.rows:,} rows with; {failed}"
    if traffic.lost:
        text += f"; {traffic.lost:,} more calls could not be recorded"
    return text + "."


def _movement(series: Series, verdict: Verdict, current: Sequence[int], pair: _Pair) -> str:
    before, now = _medians(series, current)
    if before and now and before.bin != now.bin and abs(now.at - 0.5) >= _SHIFT:
        was, said = pair(before.value, now.value)
        if now.bin < 0:
            said = f"below {said}"
        elif now.bin > len(series.cuts):
            said = f"above {said}"
        verb = "rose" if now.bin > before.bin else "fell"
        of = "median norm" if series.component == -1 else "median"
        return f"{of} {verb} from {was} to {said}"
    group = verdict.groups[0]
    a, b, slots = group.reference, group.current, group.slots
    if series.type == "boolean" and series.reference is not None:
        a, b, slots = series.reference[1], current[1], (1,)
    was_share, share = a / verdict.n_reference, b / verdict.n_current
    verb = "rose" if share > was_share else "fell"
    was, said = percent_pair(was_share, share)
    return f"the share of {_values(series, slots, pair)} {verb} from {was} to {said}"


def _values(series: Series, slots: Sequence[int], pair: _Pair) -> str:
    """The values that are counted in some slots of one series."""
    if series.type == "boolean":
        return "true"
    if series.type == "category":
        if len(slots) > 1 or slots[0] >= len(series.categories):
            return "all other categories"
        text = series.categories[slots[0]]
        return f'"{text if len(text) <= _LONGEST else text[:_LONGEST] + "…"}"'
    bins = len(series.cuts) + 1
    places = sorted({bins: -1, bins + 1: bins}.get(slot, slot) for slot in slots)
    lower, upper = edges_of(series, places[0])[0], edges_of(series, places[-1])[1]
    values = distinct_values(series)
    if values is not None and places[0] >= 0 and places[-1] < bins:
        lower, upper = values[places[0]], values[places[-1]]
        first, last = pair(lower, upper)
        return f"values of {first}" if lower == upper else f"values from {first} to {last}"
    match lower, upper:
        case None, None:
            return "all values"
        case None, float(end):
            return f"values below {pair(end, end)[0]}"
        case float(end), None:
            return f"values above {pair(end, end)[0]}"
    first, last = pair(lower or 0.0, upper or 0.0)
    return f"values between {first} and {last}"


def _median(series: Series, current: Sequence[int], pair: _Pair) -> str:
    before, now = _medians(series, current)
    if not before or not now or not 0 <= now.bin <= len(series.cuts):
        return ""
    was, said = pair(before.value, now.value)
    return f", median {said}" + (f" after {was}" if was != said else "")


def _index(verdict: Verdict) -> str:
    """The PSI and the threshold it was compared with, with as many decimals as tell them apart."""
    if verdict.psi is None or verdict.threshold is None or verdict.alert_threshold is None:
        return "PSI unknown"
    above = verdict.psi > verdict.threshold
    drift = verdict.psi > verdict.alert_threshold
    limit = verdict.alert_threshold if drift else verdict.threshold
    decimals = 2
    while decimals < 6 and f"{verdict.psi:.{decimals}f}" == f"{limit:.{decimals}f}":
        decimals += 1
    index = f"{verdict.psi:.{decimals}f}"
    return f"PSI {index}, {'above' if above else 'below'} {f'{limit:.{decimals}f}'.rstrip('0')}"


def _missing(series: Series, test: Rate, current: Sequence[int]) -> str:
    """How many rows had no value, and of which kinds where it is more than plain absence."""
    now = test.current or 0.0
    said, behind = percent(now), ""
    if test.reference is not None:
        was, said = percent_pair(test.reference, now)
        behind = f" ({was} in the baseline)"
    total = sum(current)
    absent, expired, invalid = current[series.missing_slot : series.missing_slot + 3]
    text = f"{said} of rows have no value{behind}"
    if expired or invalid:
        kinds = ((absent, "NULL or not found"), (expired, "expired"), (invalid, "of a wrong type"))
        listed = [f"{percent(k / total)} {kind}" for k, kind in kinds if k]
        text += f": {', '.join(listed)}"
    return text


def _unknown(series: Series, test: Rate, pair: _Pair) -> str:
    was, now = percent_pair(test.reference or 0.0, test.current or 0.0)
    if series.type == "category":
        return f"{now} of values are categories that the baseline does not have ({was} expected)"
    low, high = pair(series.low or 0.0, series.high or 0.0)
    return f"{now} of values are outside the baseline's range of {low} to {high} ({was} expected)"


# -- medians --------------------------------------------------------------------------------------


class Median(NamedTuple):
    """Where the middle value lies.

    Attributes:
        bin: its bin from the lowest to the highest; -1 below the baseline's range, the number of bins
            above it. Medians in different bins differ for certain, in the direction of their bins.
        value: within the bin, interpolated; the end of the range for a value outside of it.
        at: share of the baseline's values below it, with as much of its own bin as lies below it.
    """

    bin: int
    value: float
    at: float


def _medians(series: Series, current: Sequence[int]) -> tuple[Median | None, Median | None]:
    """Of the baseline and of the window."""
    if series.type != "numeric" or series.reference is None:
        return None, None
    return median(series, series.reference), median(series, current)


def median(series: Series, counts: Sequence[int]) -> Median | None:
    """The lower median of the values counted in ``counts``; ``None`` when there is none, or when it lies
    in a bin without an end.

    Args:
        series: of numbers, with a reference.
        counts: its slots.
    """
    bins = len(series.cuts) + 1
    ordered = series.ordered(counts)
    total = sum(ordered)
    if not total:
        return None
    upto = list(accumulate(ordered))
    found = bisect_left(upto, total / 2)
    lower, upper = edges_of(series, found - 1)
    if found == 0:
        lower = upper
    elif found == bins + 1:
        upper = lower
    if lower is None or upper is None:
        return None
    within = (total / 2 - upto[found] + ordered[found]) / ordered[found]
    value = lower + (upper - lower) * within
    values = distinct_values(series)
    if values is not None and 0 < found <= bins:
        value, within = values[found - 1], 0.5
    reference = series.ordered(series.reference or [0] * (bins + 2))
    below = sum(reference[:found]) + reference[found] * within
    return Median(found - 1, value, below / max(1, sum(reference)))


def edges_of(series: Series, bin_: int) -> tuple[float | None, float | None]:
    """The ends of a bin, ``None`` where it has none; bin -1 is below the range, the last one above it."""
    ends = (None, series.low, *series.cuts, series.high, None)
    return ends[bin_ + 1], ends[bin_ + 2]


def distinct_values(series: Series) -> list[float] | None:
    """The values of a series that has a bin for each of them; ``None`` for any other.

    A cut lies half-way between two neighbouring values, so each value follows from the one before.
    """
    if series.low is None or series.high is None or len(series.cuts) >= BINS:
        return None
    values = [series.low]
    for cut in series.cuts:
        values.append(2 * cut - values[-1])
    size = max(abs(series.low), abs(series.high))
    slack = _TOLERANCE * size
    bins = pairwise((series.low, *series.cuts, series.high))
    inside = all(
        a - slack <= value <= b + slack for value, (a, b) in zip(values, bins, strict=True)
    )
    if not inside or abs(values[-1] - series.high) > slack:
        return None
    return [0.0 if abs(value) <= _NOTHING * size else value for value in values]


# -- numbers --------------------------------------------------------------------------------------


def percent(share: float, decimals: int | None = None) -> str:
    """A share in percent, with a decimal below 1 % and above 99 %; ``0 %`` and ``100 %`` are exact."""
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


def _each(before: float, now: float) -> tuple[str, str]:
    """Two numbers, each rounded by itself: to three digits, whole numbers up to four."""
    return _written(before, _unit(before)), _written(now, _unit(now))


def number_pair(before: float, now: float) -> tuple[str, str]:
    """Two numbers, neither rounded by more than a quarter of what lies between them."""
    between, finest = abs(now - before), math.inf
    if between / 2 and math.isfinite(between):
        finest = 10.0 ** max(math.floor(math.log10(between / 2)), -300)
    return _written(before, min(_unit(before), finest)), _written(now, min(_unit(now), finest))


def moment_pair(before: float, now: float) -> tuple[str, str]:
    """Two times, given as microseconds, to the minute; to the second where that tells them apart."""
    try:
        moments = from_micros(round(before)), from_micros(round(now))
    except (OverflowError, ValueError, OSError):
        return number_pair(before, now)
    was = said = ""
    for form in ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f"):
        was, said = (moment.strftime(f"{form} UTC") for moment in moments)
        if was != said:
            break
    return was, said


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
