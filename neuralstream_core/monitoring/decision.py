"""When a difference counts as drift: large enough to matter, and too large for chance.

**Distribution.** The index is taken over about ten groups of slots. Without drift
``PSI / (1/n + 1/m)`` is close to χ² with B-1 degrees of freedom, so the threshold is the larger of a
practical τ (0.1 warning, 0.2 drift) and ``χ²(1-α, B-1)·(1/n + 1/m)``. A small window can thus not raise
an alarm by its noise alone, and a large one not by a difference nobody cares about.

**Rates.** Missing values, and values the baseline never had (unknown categories, numbers outside its
range), are each tested by themselves: the rate has moved by at least 2 points (warning) or 5 (drift), and
Fisher's exact test says p < α. A baseline of 1,000 rows would itself find a few of its rows unknown if
it had to judge them by the others (`Series.novel`), so that is what the current rate is compared with.

**Failures.** Rows that failed are tested by error code (`failures`).

**α.** A budget of false alarms per model and month, shared by all tests of all windows in it
(Bonferroni). Scheduled evaluation looks at one window an hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from neuralstream_core.monitoring.profile import Profile, Series
from neuralstream_core.monitoring.statistics import chi2_quantile, fisher_greater, psi_terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "DEFAULT_RULE",
    "DriftStatus",
    "RateTest",
    "Rule",
    "Severity",
    "Verdict",
    "alpha_for",
    "judge",
    "severity_of",
]

WINDOWS_PER_MONTH: Final = 720
_GROUPS: Final = 10
FAILURE_TESTS: Final = 2
"""Tests of failed rows in each window, see `failures`."""


class DriftStatus(StrEnum):
    """In rising order of urgency: see `rank`."""

    NO_REFERENCE = "no_reference"
    INSUFFICIENT_DATA = "insufficient_data"
    OK = "ok"
    WARNING = "warning"
    DRIFT = "drift"

    @property
    def rank(self) -> int:
        return list(DriftStatus).index(self)

    @property
    def alarming(self) -> bool:
        return self in (DriftStatus.WARNING, DriftStatus.DRIFT)


class Severity(StrEnum):
    """How far a series has moved, however sure that is."""

    NONE = "none"
    MODERATE = "moderate"
    MAJOR = "major"
    EXTREME = "extreme"


@dataclass(frozen=True, slots=True)
class Rule:
    """The thresholds.

    Attributes:
        warn, alert: practical PSI.
        warn_rate, alert_rate: practical change of a rate.
        warn_errors, alert_errors: practical share of rows that fail beyond what is expected.
        usual_errors: a share of rows whose failing is nothing unusual.
        false_alarms: expected false alarms per model and month.
        min_samples, min_per_group: what a window needs at least: ``max(min_samples, min_per_group·B)``.
    """

    warn: float = 0.1
    alert: float = 0.2
    warn_rate: float = 0.02
    alert_rate: float = 0.05
    warn_errors: float = 0.01
    alert_errors: float = 0.05
    usual_errors: float = 0.001
    false_alarms: float = 1.0
    min_samples: int = 200
    min_per_group: int = 20


DEFAULT_RULE: Final = Rule()


@dataclass(frozen=True, slots=True)
class RateTest:
    """A rate on both sides; ``p`` is one-sided for the direction the rate moved in."""

    reference: float | None
    current: float | None
    p: float | None
    status: DriftStatus


@dataclass(frozen=True, slots=True)
class Group:
    """Slots that are compared as one, and how much they contribute to the index."""

    slots: tuple[int, ...]
    label: str
    reference: int
    current: int
    psi: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said about one series in one window.

    Attributes:
        n_reference, n_current: values compared (present and valid); ``needed`` so many at least.
        groups: largest contribution first.
        threshold, alert_threshold: PSI for a warning and for drift; ``set_by`` names the term that
            was the larger one for the warning.
        reasons: which tests made the status.
    """

    status: DriftStatus
    severity: Severity
    n_reference: int
    n_current: int
    needed: int
    psi: float | None
    threshold: float | None
    alert_threshold: float | None
    set_by: Literal["practical", "sample_size"] | None
    groups: Sequence[Group]
    missing: RateTest
    unknown: RateTest
    reasons: Sequence[str]


def alpha_for(profile: Profile, rule: Rule) -> float:
    """The level of one test, so that all tests of a month raise ``rule.false_alarms`` in expectation."""
    tests = sum(
        1 + 2 * series.has_states for series in profile.series if series.reference is not None
    )
    return min(0.05, rule.false_alarms / (WINDOWS_PER_MONTH * (tests + FAILURE_TESTS)))


def judge(
    series: Series, current: NDArray[np.int64], *, rule: Rule = DEFAULT_RULE, alpha: float
) -> Verdict:
    """Compare a window's counts of one series with its reference.

    Args:
        current: int64 ``(series.size,)``.
        alpha: level of each test, see `alpha_for`.
    """
    n = int(current[: series.values].sum())
    if series.reference is None:
        return _without_reference(series, current, n)
    reference = np.asarray(series.reference, np.int64)
    m = int(reference[: series.values].sum())
    missing = _missing(series, reference, current, rule, alpha)
    unknown = _unknown(series, m, current, n, rule, alpha)
    slots = groups_of(series, current)
    groups = _compared(series, slots, reference, current)
    index = sum(group.psi for group in groups) if m and n else None
    least = max(rule.min_samples, rule.min_per_group * len(groups))
    status, reasons = DriftStatus.OK, []
    noise = 0.0
    if n and m:
        degrees = max(1, len(groups) - 1)
        noise = chi2_quantile(alpha, degrees) * (1 / n + 1 / m)
    threshold, alert = max(rule.warn, noise), max(rule.alert, noise)
    if index is None or n < least:
        status = DriftStatus.INSUFFICIENT_DATA
    elif index > threshold:
        status = DriftStatus.DRIFT if index > alert else DriftStatus.WARNING
        reasons.append("distribution")
    for name, test in (("missing", missing), ("unknown", unknown)):
        if test.status.alarming:
            reasons.append(name)
            if test.status.rank > status.rank:
                status = test.status
    if (
        status is DriftStatus.INSUFFICIENT_DATA
        and missing.status is DriftStatus.OK
        and n < least <= _all(series, current)
    ):
        # Enough rows, and as many of them missing as in the baseline: there is nothing to compare.
        reasons.append("too few present values")
    return Verdict(
        status=status,
        severity=severity_of(status, index, rule, (missing, unknown)),
        n_reference=m,
        n_current=n,
        needed=least,
        psi=index,
        threshold=threshold if index is not None else None,
        alert_threshold=alert if index is not None else None,
        set_by=None if index is None else "sample_size" if noise > rule.warn else "practical",
        groups=sorted(groups, key=lambda group: -group.psi),
        missing=missing,
        unknown=unknown,
        reasons=reasons,
    )


def _missing(
    series: Series,
    reference: NDArray[np.int64],
    current: NDArray[np.int64],
    rule: Rule,
    alpha: float,
) -> RateTest:
    """Missing, expired and invalid together: cells a model could not use."""
    if not series.has_states:
        return RateTest(None, None, None, DriftStatus.OK)
    at = series.missing_slot
    return _rate(
        int(current[at:].sum()),
        _all(series, current),
        int(reference[at:].sum()),
        _all(series, reference),
        rule,
        alpha,
        both=True,
    )


def _unknown(
    series: Series, m: int, current: NDArray[np.int64], n: int, rule: Rule, alpha: float
) -> RateTest:
    """Values the baseline never had: unknown categories, numbers outside its range."""
    if series.type == "boolean" or (series.type == "category" and not series.closed):
        return RateTest(None, None, None, DriftStatus.OK)
    last = series.values
    k = int(current[last - 2 : last].sum()) if series.type == "numeric" else int(current[last - 1])
    return _rate(k, n, min(series.novel, m), m, rule, alpha, both=False)


def _rate(
    k: int, n: int, reference_k: int, m: int, rule: Rule, alpha: float, *, both: bool
) -> RateTest:
    if not m or not n:
        return RateTest(
            reference_k / m if m else None,
            k / n if n else None,
            None,
            DriftStatus.INSUFFICIENT_DATA,
        )
    was, now = reference_k / m, k / n
    if now >= was:
        p = fisher_greater(k, n, reference_k, m)
    else:
        p = fisher_greater(n - k, n, m - reference_k, m) if both else 1.0
    if n < rule.min_samples:
        return RateTest(was, now, p, DriftStatus.INSUFFICIENT_DATA)
    moved = abs(now - was)
    significant = p < (alpha / 2 if both else alpha)
    status = DriftStatus.OK
    if significant and moved >= rule.warn_rate:
        status = DriftStatus.DRIFT if moved >= rule.alert_rate else DriftStatus.WARNING
    return RateTest(was, now, p, status)


def _without_reference(series: Series, current: NDArray[np.int64], n: int) -> Verdict:
    total = _all(series, current)
    rate = None
    if series.has_states and total:
        rate = int(current[series.missing_slot :].sum()) / total
    return Verdict(
        status=DriftStatus.NO_REFERENCE,
        severity=Severity.NONE,
        n_reference=0,
        n_current=n,
        needed=0,
        psi=None,
        threshold=None,
        alert_threshold=None,
        set_by=None,
        groups=(),
        missing=RateTest(None, rate, None, DriftStatus.NO_REFERENCE),
        unknown=RateTest(None, None, None, DriftStatus.NO_REFERENCE),
        reasons=(),
    )


def severity_of(
    status: DriftStatus, index: float | None, rule: Rule, rates: Sequence[RateTest]
) -> Severity:
    """How far an alarming series is from what was expected."""
    if not status.alarming:
        return Severity.NONE
    moved = max(
        (
            abs(test.current - test.reference)
            for test in rates
            if test.status.alarming and test.current is not None and test.reference is not None
        ),
        default=0.0,
    )
    if (index or 0.0) > 5 * rule.alert or moved > 0.5:
        return Severity.EXTREME
    return Severity.MAJOR if status is DriftStatus.DRIFT else Severity.MODERATE


def _all(series: Series, counts: NDArray[np.int64]) -> int:
    return int(counts[: series.size].sum())


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
        if weight * _GROUPS >= 0.9 * total:  # two twentieths, give or take a tie
            found.append(open_group)
            open_group, weight = [], 0
    if open_group:
        if found:
            found[-1] += open_group
        else:
            found.append(open_group)
    if bins >= _GROUPS and len(found) > 2:
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


def _compared(
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
        Group(tuple(group), _group_label(series, group, labels), int(x), int(y), float(term))
        for group, x, y, term in zip(slots, a, b, terms, strict=True)
    ]


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
