"""The median of a series of numbers, as far as its counters tell it."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from neuralstream_core.monitoring.profile import BINS, Series

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Median", "distinct_values", "edges_of", "median"]

_TOLERANCE: Final = 1e-5
_NOTHING: Final = 2e-6
"""What is smaller than this, relative to the range's ends, is what the ends' slack leaves of a zero."""


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


def median(series: Series, counts: Sequence[int]) -> Median | None:
    """The lower median of the values counted in ``counts``; ``None`` when there is none, or when it lies
    in a bin without an end.

    Args:
        series: of numbers, with a reference.
        counts: its slots.
    """
    bins = len(series.cuts) + 1
    ordered = _ordered(counts, bins)
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
    reference = _ordered(series.reference or (), bins)
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
    if abs(values[-1] - series.high) > slack:
        return None
    for place, value in enumerate(values):
        lower, upper = edges_of(series, place)
        if lower is None or upper is None or not lower - slack <= value <= upper + slack:
            return None
    return [0.0 if abs(value) <= _NOTHING * size else value for value in values]


def _ordered(counts: Sequence[int], bins: int) -> list[int]:
    """From the lowest to the highest: what is below the range comes first."""
    listed = [int(k) for k in counts[: bins + 2]] or [0] * (bins + 2)
    return [listed[bins], *listed[:bins], listed[bins + 1]]
