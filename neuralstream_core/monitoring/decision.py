"""When a difference counts as drift: large enough to matter, and too large for chance.

**Distribution.** The index is taken over about ten groups of slots. Without drift
``PSI / (1/n + 1/m)`` is close to χ² with B-1 degrees of freedom, so the threshold is the larger of a
practical τ (0.1 warning, 0.2 drift) and ``χ²(1-α, B-1)·(1/n + 1/m)``. A small window can thus not raise
an alarm by its noise alone, nor a large one by a negligible difference.

**Rates.** Missing values, and values the baseline never had (unknown categories, numbers outside its
range), are each tested by themselves: the rate has moved by at least 2 points (warning) or 5 (drift), and
Fisher's exact test says p < α. Unknown values are expected as often as the baseline's rows would be unknown
to the rest of the baseline (`Series.novel`).

**Failures.** Rows that failed are tested by error code (`failures`).

**α.** A budget of false alarms per model and month, shared by all tests of all windows in it
(Bonferroni). Scheduled evaluation looks at one window per hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from pydantic import Field

from neuralstream_core.monitoring.statistics import (
    Group,
    chi2_quantile,
    compared,
    fisher_greater,
)
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.monitoring.profile import Profile, Series

__all__ = [
    "MIN_SAMPLES",
    "NOT_TESTED",
    "DriftStatus",
    "Rate",
    "Severity",
    "Verdict",
    "alpha_for",
    "graded",
    "judge",
    "overall",
    "severity_of",
]

_PSI_WARNING: Final = 0.1
_PSI_DRIFT: Final = 0.2
_RATE_WARNING: Final = 0.02
_RATE_DRIFT: Final = 0.05
"""Change of a rate."""
MIN_SAMPLES: Final = 200
"""Values or rows that a window needs to be judged; of a series also `_MIN_PER_GROUP` per group."""
_MIN_PER_GROUP: Final = 20
_FALSE_ALARMS: Final = 1.0
"""Expected number per model and month."""
_WINDOWS_PER_MONTH: Final = 720
_FAILURE_TESTS: Final = 2
"""Tests of failed rows in each window, see `failures`."""
_PERFORMANCE_TESTS: Final = 2
"""Tests of outcomes, see `neuralstream_core.outcomes.decline`."""


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


class Rate(Record):
    """A rate on both sides; ``p`` one-sided, of an exact test: Fisher's, or of failed rows the binomial."""

    reference: float | None = Field(description="share in the baseline, 0 to 1")
    current: float | None = Field(description="share in the window, 0 to 1")
    p: float | None = Field(
        default=None, description="probability of so large a rise by chance; null: not tested"
    )
    status: DriftStatus = Field(description="what the test found")


NOT_TESTED: Final = Rate(reference=None, current=None, status=DriftStatus.OK)


class Verdict(Record):
    """The judgement of one series in one window; the fields that a report shows are in `drift.SeriesReport`.

    Attributes:
        needed: present, valid values that a window must have.
        groups: largest contribution to the PSI first.
    """

    status: DriftStatus
    severity: Severity = Severity.NONE
    reasons: tuple[str, ...] = ()
    n_reference: int
    n_current: int
    needed: int = 0
    psi: float | None = None
    threshold: float | None = None
    alert_threshold: float | None = None
    threshold_set_by: Literal["practical", "sample_size"] | None = None
    missing: Rate
    unknown: Rate
    groups: tuple[Group, ...] = ()


def alpha_for(profile: Profile) -> float:
    """The level of one test, so that all tests of a month raise `_FALSE_ALARMS` in expectation."""
    tests = sum(
        1 + 2 * series.has_states for series in profile.series if series.reference is not None
    )
    return min(
        0.05, _FALSE_ALARMS / (_WINDOWS_PER_MONTH * (tests + _FAILURE_TESTS + _PERFORMANCE_TESTS))
    )


def judge(series: Series, current: NDArray[np.int64], *, alpha: float) -> Verdict:
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
    missing = _missing(series, reference, current, alpha)
    unknown = _unknown(series, m, current, n, alpha)
    groups = compared(series, reference, current)
    least = max(MIN_SAMPLES, _MIN_PER_GROUP * len(groups))
    status, reasons = DriftStatus.INSUFFICIENT_DATA, []
    index = threshold = alert = None
    set_by: Literal["practical", "sample_size"] | None = None
    if n and m:
        index = sum(group.psi for group in groups)
        noise = chi2_quantile(alpha, max(1, len(groups) - 1)) * (1 / n + 1 / m)
        threshold, alert = max(_PSI_WARNING, noise), max(_PSI_DRIFT, noise)
        set_by = "sample_size" if noise > _PSI_WARNING else "practical"
        if n >= least:
            status = DriftStatus.OK
            if index > threshold:
                status = DriftStatus.DRIFT if index > alert else DriftStatus.WARNING
                reasons.append("distribution")
    for name, test in (("missing", missing), ("unknown", unknown)):
        if test.status.alarming:
            reasons.append(name)
            status = overall((status, test.status))
    if (
        status is DriftStatus.INSUFFICIENT_DATA
        and missing.status is DriftStatus.OK
        and n < least <= int(current.sum())
    ):
        # Enough rows, and as many of them missing as in the baseline: there is nothing to compare.
        reasons.append("too few present values")
    return Verdict(
        status=status,
        severity=severity_of(status, index, (missing, unknown)),
        n_reference=m,
        n_current=n,
        needed=least,
        psi=index,
        threshold=threshold,
        alert_threshold=alert,
        threshold_set_by=set_by,
        groups=tuple(sorted(groups, key=lambda group: -group.psi)),
        missing=missing,
        unknown=unknown,
        reasons=tuple(reasons),
    )


def overall(statuses: Iterable[DriftStatus]) -> DriftStatus:
    """One status for many: the most urgent."""
    return max(statuses, key=lambda status: status.rank, default=DriftStatus.NO_REFERENCE)


def graded(change: float, warning: float, drift: float) -> DriftStatus:
    """The status of a significant change by its size."""
    if change < warning:
        return DriftStatus.OK
    return DriftStatus.DRIFT if change >= drift else DriftStatus.WARNING


def _missing(
    series: Series, reference: NDArray[np.int64], current: NDArray[np.int64], alpha: float
) -> Rate:
    """Missing, expired and invalid together: cells a model could not use."""
    if not series.has_states:
        return NOT_TESTED
    k, reference_k = (int(side[series.missing_slot :].sum()) for side in (current, reference))
    return _rate(k, int(current.sum()), reference_k, int(reference.sum()), alpha, both=True)


def _unknown(series: Series, m: int, current: NDArray[np.int64], n: int, alpha: float) -> Rate:
    """Values the baseline never had: unknown categories, numbers outside its range."""
    if series.type == "boolean" or (series.type == "category" and not series.closed):
        return NOT_TESTED
    last = series.values
    k = int(current[last - 2 : last].sum()) if series.type == "numeric" else int(current[last - 1])
    return _rate(k, n, min(series.novel, m), m, alpha, both=False)


def _rate(k: int, n: int, reference_k: int, m: int, alpha: float, *, both: bool) -> Rate:
    """``k`` of ``n`` against ``reference_k`` of ``m``; ``both``: a rate that has fallen counts too."""
    was, now = reference_k / m if m else None, k / n if n else None
    p, status = None, DriftStatus.INSUFFICIENT_DATA
    if was is not None and now is not None:
        if now >= was:
            p = fisher_greater(k, n, reference_k, m)
        else:
            p = fisher_greater(n - k, n, m - reference_k, m) if both else 1.0
        if n >= MIN_SAMPLES:
            significant = p < (alpha / 2 if both else alpha)
            change = abs(now - was) if significant else 0.0
            status = graded(change, _RATE_WARNING, _RATE_DRIFT)
    return Rate(reference=was, current=now, p=p, status=status)


def _without_reference(series: Series, current: NDArray[np.int64], n: int) -> Verdict:
    none = DriftStatus.NO_REFERENCE
    total, rate = int(current.sum()), None
    if series.has_states and total:
        rate = int(current[series.missing_slot :].sum()) / total
    return Verdict(
        status=none,
        n_reference=0,
        n_current=n,
        missing=Rate(reference=None, current=rate, status=none),
        unknown=Rate(reference=None, current=None, status=none),
    )


def severity_of(status: DriftStatus, index: float | None, rates: Sequence[Rate]) -> Severity:
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
    if (index or 0.0) > 5 * _PSI_DRIFT or moved > 0.5:
        return Severity.EXTREME
    return Severity.MAJOR if status is DriftStatus.DRIFT else Severity.MODERATE
