"""The statistics of the reports, and the groups of slots that the population stability index is taken over.

They are in closed form: SciPy is too large for a Lambda layer (docs/decisions/0011).

Each is checked against SciPy or a closed form to 1e-6 in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.monitoring.profile import Series

__all__ = [
    "Group",
    "binomial_greater",
    "chi2_quantile",
    "chi2_sf",
    "compared",
    "fisher_greater",
    "goodness_of_fit",
    "groups_of",
    "js_distance",
    "ks_bracket",
    "psi_terms",
]

Counts: TypeAlias = "NDArray[np.int64]"
Floats: TypeAlias = "NDArray[np.float64]"

_EPS: Final = 1e-16
_GROUPS: Final = 10


def psi_terms(reference: Counts, current: Counts) -> Floats:
    """Each group's part of the population stability index, with half a count added everywhere.

    ``(q-p)·ln(q/p)`` with ``p = (a+½)/(m+B/2)``. With the half count the index divided by
    ``1/n+1/m`` is close to χ² with B-1 degrees of freedom when nothing has changed (Yurdakul 2018);
    a small floor instead of it gives seven times the intended false alarms at n = 50.
    """
    groups = len(reference)
    p = (reference + 0.5) / (reference.sum() + 0.5 * groups)
    q = (current + 0.5) / (current.sum() + 0.5 * groups)
    return np.asarray((q - p) * np.log(q / p), np.float64)


def js_distance(reference: Counts, current: Counts) -> float | None:
    """Jensen-Shannon distance, base 2: 0 for equal shares, 1 for disjoint ones; ``None`` if a side is empty.

    The square root of the divergence, as ``scipy.spatial.distance.jensenshannon(p, q, base=2)``.
    """
    m, n = int(reference.sum()), int(current.sum())
    if not m or not n:
        return None
    p, q = reference / m, current / n
    middle = (p + q) / 2
    divergence = sum(
        float((side[side > 0] * np.log2(side[side > 0] / middle[side > 0])).sum())
        for side in (p, q)
    )
    return math.sqrt(max(0.0, divergence / 2))


def ks_bracket(reference: Counts, current: Counts) -> tuple[float, float] | None:
    """Bounds of the two-sample Kolmogorov-Smirnov statistic of the values behind ordered bins.

    The statistic of the raw values is at least the largest difference at a cut, and at most the largest
    difference that any order of the values inside one bin could produce.
    """
    m, n = int(reference.sum()), int(current.sum())
    if not m or not n:
        return None
    f = np.concatenate(([0.0], np.cumsum(reference) / m))
    g = np.concatenate(([0.0], np.cumsum(current) / n))
    low = float(np.abs(f - g).max())
    high = float(np.maximum(f[1:] - g[:-1], g[1:] - f[:-1]).max())
    return low, max(low, min(high, 1.0))


def fisher_greater(k: int, n: int, reference_k: int, m: int) -> float:
    """One-sided exact p-value of a rate that has risen: ``k`` of ``n`` against ``reference_k`` of ``m``.

    As ``scipy.stats.fisher_exact(…, alternative="greater")``. A normal approximation would raise false
    alarms for rare events, such as one null in 200 against none in 10,000.
    """
    total = k + reference_k
    least, top = max(0, total - m), min(n, total)
    if k <= least:
        return 1.0
    log_first = _log_choose(n, k) + _log_choose(m, reference_k) - _log_choose(n + m, total)

    def ratio(x: int) -> float:
        return (n - x) * (total - x) / ((x + 1) * (m - total + x + 1))

    return _upper_tail(k, range(least, top), log_first, ratio, below_mean=k * (n + m) <= n * total)


def binomial_greater(k: int, n: int, rate: float) -> float:
    """``P(X >= k)`` of ``n`` independent trials that each succeed with probability ``rate`` in (0, 1), as
    ``scipy.stats.binom.sf(k - 1, n, rate)``."""
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    log_first = _log_choose(n, k) + k * math.log(rate) + (n - k) * math.log1p(-rate)
    odds = rate / (1 - rate)

    def ratio(x: int) -> float:
        return (n - x) * odds / (x + 1)

    return _upper_tail(k, range(n), log_first, ratio, below_mean=k <= n * rate)


def _upper_tail(
    k: int, values: range, log_first: float, ratio: Callable[[int], float], *, below_mean: bool
) -> float:
    """``P(X >= k)``, summed on the side of ``k`` where the terms fall, until one is negligible.

    Args:
        values: all values of X but the largest.
        log_first: ``ln P(X = k)``.
        ratio: ``P(X = x + 1) / P(X = x)``, which falls with ``x``.
    """
    total, term = (0.0, 1.0) if below_mean else (1.0, 1.0)
    for x in range(k - 1, values.start - 1, -1) if below_mean else range(k, values.stop):
        term = term / ratio(x) if below_mean else term * ratio(x)
        total += term
        if term < total * _EPS:
            break
    share = math.exp(log_first) * total
    return max(0.0, 1.0 - share) if below_mean else min(1.0, share)


def goodness_of_fit(observed: Counts, expected: Floats) -> tuple[float, float]:
    """Pearson's χ² of counts against expected shares, and its p-value (``scipy.stats.chisquare``).

    Args:
        expected: shares that sum to 1; a share of 0 must have no observation.
    """
    n = int(observed.sum())
    used = expected > 0
    if int(observed[~used].sum()):
        return math.inf, 0.0
    if n == 0 or int(used.sum()) < 2:
        return 0.0, 1.0
    want = n * expected[used]
    statistic = float((((observed[used] - want) ** 2) / want).sum())
    return statistic, chi2_sf(statistic, int(used.sum()) - 1)


def chi2_sf(x: float, df: int) -> float:
    """``P(X > x)`` of χ² with ``df`` degrees of freedom: the upper regularised incomplete gamma function
    ``Q(df/2, x/2)``, from ``Q(1/2, h)`` or ``Q(1, h)`` by ``Q(a+1, h) = Q(a, h) + h^a·e^-h/Γ(a+1)``
    (DLMF 8.4.6, 8.8.6)."""
    if x <= 0:
        return 1.0
    half = x / 2
    a, total = (0.5, math.erfc(math.sqrt(half))) if df % 2 else (1.0, math.exp(-half))
    while a < df / 2:
        total += math.exp(a * math.log(half) - half - math.lgamma(a + 1))
        a += 1
    return min(1.0, total)


@lru_cache(maxsize=4096)
def chi2_quantile(tail: float, df: int) -> float:
    """The ``x`` with ``P(X > x) = tail``, by bisection."""
    if not 0 < tail < 1 or df < 1:
        raise ValueError("needs 0 < tail < 1 and df >= 1")
    low, high = 0.0, float(df)
    while chi2_sf(high, df) > tail:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        if chi2_sf(middle, df) > tail:
            low = middle
        else:
            high = middle
    return middle


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


# -- groups of slots -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """Slots that are compared as one: their counts on both sides, and their part of the PSI."""

    slots: tuple[int, ...]
    label: str
    reference: int
    current: int
    psi: float


def compared(series: Series, reference: Counts, current: Counts) -> list[Group]:
    """The groups of a series with a reference; their parts add up to the PSI.

    Args:
        reference, current: int64 ``(series.size,)``.
    """
    slots = groups_of(series, current)
    labels = list(series.labels())
    a, b = (np.asarray([int(side[g].sum()) for g in slots]) for side in (reference, current))
    return [
        Group(tuple(group), _group_label(series, group, labels), int(x), int(y), float(term))
        for group, x, y, term in zip(slots, a, b, psi_terms(a, b), strict=True)
    ]


def groups_of(series: Series, current: Counts) -> list[list[int]]:
    """Which slots are compared as one: about ten groups, decided by the baseline alone.

    Neighbouring bins of a continuous series join until each group holds a tenth of the baseline, and
    the tails belong to the ends. The tails of a series of few distinct values are other values than those
    of its end bins, so they are groups of their own where they are not empty.
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
        if weight * _GROUPS >= 0.9 * total:  # two twentieths, or slightly less with ties
            found.append(open_group)
            open_group, weight = [], 0
    if open_group:
        last = found.pop() if found else []
        found.append(last + open_group)
    if bins >= _GROUPS and len(found) > 2:
        found[0].insert(0, low)
        found[-1].append(high)
        return found
    return [*([[low]] if current[low] else []), *found, *([[high]] if current[high] else [])]


def _category_groups(series: Series, reference: Sequence[int], current: Counts) -> list[list[int]]:
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


def _group_label(series: Series, group: list[int], labels: list[str]) -> str:
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
