"""Which counters of a series are compared as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from neuralstream_core.monitoring.profile import Series
from neuralstream_core.monitoring.statistics import psi_terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Group", "compared", "groups_of"]

GROUPS: Final = 10


@dataclass(frozen=True, slots=True)
class Group:
    """Slots that are compared as one, and how much they contribute to the index."""

    slots: tuple[int, ...]
    label: str
    reference: int
    current: int
    psi: float


def groups_of(series: Series, current: NDArray[np.int64]) -> list[list[int]]:
    """Which slots are compared as one: about ten groups, decided by the baseline alone.

    Neighbouring bins of a continuous series join until each group holds a tenth of the baseline, and
    the tails belong to the ends. A series of few distinct values keeps its tails apart (they are
    other values, not more of the last bin), where there is anything in them.
    """
    reference = series.reference or ()
    if series.type == "boolean":
        return [[0], [1]]
    if series.type == "category":
        return _category_groups(series, reference, current)
    bins = len(series.cuts) + 1
    low, high = bins, bins + 1
    total = sum(reference[:bins])
    found: list[list[int]] = []
    open_group: list[int] = []
    weight = 0
    for slot in range(bins):
        open_group.append(slot)
        weight += reference[slot]
        if weight * GROUPS >= 0.9 * total:  # two twentieths, give or take a tie
            found.append(open_group)
            open_group, weight = [], 0
    if open_group:
        if found:
            found[-1] += open_group
        else:
            found.append(open_group)
    if bins >= GROUPS and len(found) > 2:
        found[0].insert(0, low)
        found[-1].append(high)
    else:
        found = [
            *([[low]] if current[low] else []),
            *found,
            *([[high]] if current[high] else []),
        ]
    return found


def _category_groups(
    series: Series, reference: Sequence[int], current: NDArray[np.int64]
) -> list[list[int]]:
    """Each category that can expect five values in the window; the rarer ones join ``other``."""
    other = len(series.categories)
    m = sum(reference[: series.values])
    n = int(current[: series.values].sum())
    found: list[list[int]] = []
    rest = [other]
    for slot in range(other):
        if m and reference[slot] * min(n, m) >= 5 * m:
            found.append([slot])
        else:
            rest.append(slot)
    rest.append(other + 1)
    if any(reference[slot] or current[slot] for slot in rest):
        found.append(rest)
    return found


def compared(
    series: Series,
    slots: list[list[int]],
    reference: NDArray[np.int64],
    current: NDArray[np.int64],
) -> list[Group]:
    """The counts of each group of slots on both sides, and its part of the index."""
    labels = list(series.labels())
    a = np.asarray([int(reference[g].sum()) for g in slots], np.int64)
    b = np.asarray([int(current[g].sum()) for g in slots], np.int64)
    terms = psi_terms(a, b)
    return [
        Group(tuple(group), _label(series, group, labels), int(x), int(y), float(term))
        for group, x, y, term in zip(slots, a, b, terms, strict=True)
    ]


def _label(series: Series, group: list[int], labels: list[str]) -> str:
    if len(group) == 1:
        return labels[group[0]]
    if series.type == "category":
        return "(other)"
    bins = [slot for slot in group if slot <= len(series.cuts)]
    start = labels[bins[0]].split(",")[0]
    end = labels[bins[-1]].split(", ")[1]
    if len(series.cuts) + 1 in group:
        start = "(-inf"
    if len(series.cuts) + 2 in group:
        end = "inf)"
    return f"{start}, {end}"
