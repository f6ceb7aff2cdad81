"""Drift reports: a window's counts of a version against its profile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from pydantic import AwareDatetime, Field

from neuralstream_core.monitoring.decision import (
    MIN_SAMPLES,
    NOT_TESTED,
    DriftStatus,
    Rate,
    Severity,
    Verdict,
    alpha_for,
    judge,
    overall,
    severity_of,
)
from neuralstream_core.monitoring.failures import FailureTest, Refusals, Traffic, judge_failures
from neuralstream_core.monitoring.layout import U32_MAX, Span, Window
from neuralstream_core.monitoring.sentences import (
    failure_sentence,
    names_of,
    series_sentence,
    summary_sentence,
)
from neuralstream_core.monitoring.statistics import Group, js_distance, ks_bracket
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.monitoring.profile import Profile, Series
    from neuralstream_core.registry.records import FeatureRef

__all__ = [
    "Alarm",
    "DriftReport",
    "DriftSummaries",
    "DriftSummary",
    "SeriesReport",
    "drift_report",
]

_BINS_SHOWN: Final = 5
_FIRST: Final = 1e9
"""Among series of one status those of failed rows come first."""
_NO_REFUSALS: Final = Refusals()


class BinShare(Record):
    """A group of values: its share on both sides and its part of the PSI."""

    bin: str = Field(description="the values in it")
    reference: float = Field(description="share in the baseline, 0 to 1")
    current: float = Field(description="share in the window, 0 to 1")
    psi: float = Field(description="its part of the series' PSI")


class SeriesReport(Record):
    """One distribution of one version in one window, or the rows that failed with one code."""

    feature: str = Field(
        description="of kind errors: the code, or `errors` for all codes but missing_features together"
    )
    kind: Literal["feature", "prediction", "errors"] = Field(description="what is compared")
    type: Literal["numeric", "boolean", "category", "rate"] = Field(
        description="of the values; a rate for failed rows"
    )
    dimension: int | None = Field(
        default=None, description="of a vector feature; -1 is its Euclidean norm"
    )
    status: DriftStatus = Field(description="the most urgent of its tests")
    sentence: str = Field(description="what moved, from where to where, rounded")
    severity: Severity = Field(description="how far it has moved")
    reasons: list[str] = Field(
        description="which tests gave the status: distribution, missing, unknown, errors"
    )
    n_reference: int = Field(
        description="present, valid values compared; of kind errors: rows behind the expected share"
    )
    n_current: int = Field(
        description="values of answered and of refused rows; of kind errors: all rows"
    )
    psi: float | None = Field(description="population stability index; 0: equal distributions")
    threshold: float | None = Field(description="PSI above which this is a warning")
    alert_threshold: float | None = Field(description="PSI above which this is drift")
    threshold_set_by: Literal["practical", "sample_size"] | None = Field(
        description="`sample_size`: so few values that chance alone exceeds the practical threshold"
    )
    js: float | None = Field(description="Jensen-Shannon distance, base 2, in [0, 1]")
    ks: tuple[float, float] | None = Field(
        description="bounds of the Kolmogorov-Smirnov statistic; numbers only"
    )
    missing: Rate = Field(description="NULL, not found, expired and invalid cells together")
    unknown: Rate = Field(description="unknown categories, numbers outside the baseline's range")
    errors: Rate | None = Field(
        default=None, description="of kind errors: share of rows that failed, expected and seen"
    )
    bins: list[BinShare] = Field(
        description="the largest contributions to the PSI first; five unless all are asked for"
    )
    saturated: bool = Field(
        default=False, description="a counter reached its ceiling, so that shares are approximate"
    )


class Alarm(Record):
    """What scheduled evaluation holds of the version, with hysteresis."""

    status: DriftStatus = Field(description="as it was announced last")
    since: AwareDatetime = Field(description="when it came to be so, UTC")
    evaluated: AwareDatetime | None = Field(
        default=None, description="end of the last window that was evaluated, UTC"
    )


class DriftReport(Record):
    """Drift of one version in one window."""

    model: str = Field(description="its name")
    version: str = Field(description="the version reported on, such as `v2`")
    window: Span = Field(description="the time covered")
    status: DriftStatus = Field(description="the most urgent of its series")
    summary: str = Field(description="the whole report in a sentence")
    rows: int = Field(description="answered under the present baseline")
    failed: int = Field(description="rows without an answer")
    error_rate: float | None = Field(description="share of all rows that failed")
    lost: int = Field(description="calls that could not be recorded when they happened")
    alpha: float = Field(description="level of each test, from the false-alarm budget")
    series: list[SeriesReport] = Field(description="the most drifted first")
    alarm: Alarm | None = Field(
        default=None, description="the alarm as announced; null: never evaluated"
    )


class DriftSummary(Record):
    """One version in the list of all."""

    model: str = Field(description="its name")
    version: str = Field(description="such as `v2`")
    status: DriftStatus = Field(description="the most urgent of its series")
    summary: str = Field(description="its report in a sentence")
    rows: int = Field(description="answered predictions")
    error_rate: float | None = Field(description="share of all rows that failed, 0 to 1")
    drifted: list[str] = Field(description="series with a warning or drift")


class DriftSummaries(Record):
    """Versions with traffic in the window, the most urgent first."""

    window: Span = Field(description="the time covered")
    models: list[DriftSummary] = Field(description="one for each version with traffic")


def drift_report(
    model: str,
    version: str,
    window: Window,
    profile: Profile,
    slots: NDArray[np.int64],
    *,
    traffic: Traffic | None = None,
    refusals: Refusals = _NO_REFUSALS,
    features: Sequence[FeatureRef] = (),
    alarm: Alarm | None = None,
    all_bins: bool = False,
) -> DriftReport:
    """The report of one version.

    Args:
        all_bins: with every group of values of each series, not only those that moved most.
        slots: int64 ``(profile.size,)``, the window's counts under ``profile``.
        traffic: what became of the window's rows; by default all were answered.
        refusals: see `failures.expected_refusals`.
        features: the version's own, which say what is a time.
    """
    alpha = alpha_for(profile)
    answered = int(slots[profile.rows_slot])
    traffic = traffic or Traffic(answered)
    judged: list[tuple[tuple[int, float], SeriesReport]] = []
    needed = MIN_SAMPLES
    times = {place for place, ref in enumerate(features) if ref.dtype == "timestamp"}
    for name, (series, current) in zip(names_of(profile), profile.parts(slots), strict=True):
        verdict = judge(series, current, alpha=alpha)
        needed = max(needed, verdict.needed)
        counts, moments = current.tolist(), series.source in times
        sentence = series_sentence(series, name, verdict, counts, moments=moments)
        shown = verdict.groups if all_bins else verdict.groups[:_BINS_SHOWN]
        report = _series_report(series, current, verdict, sentence, shown)
        judged.append((_urgency(verdict), report))
    status = overall(report.status for _, report in judged)
    for failure in judge_failures(traffic, refusals, alpha=alpha):
        report = _failure_report(failure)
        judged.append(((report.status.rank, _FIRST + failure.failed), report))
        if report.status.alarming:
            status = overall((status, report.status))
    judged.sort(key=lambda pair: pair[0], reverse=True)
    found = [report for _, report in judged]
    told = [report.sentence for report in found if report.status.alarming]
    return DriftReport(
        model=model,
        version=version,
        window=window.span(),
        status=status,
        summary=summary_sentence(status, told, len(found), needed, traffic),
        rows=answered,
        failed=traffic.failures,
        error_rate=traffic.failures / traffic.rows if traffic.rows else None,
        lost=traffic.lost,
        alpha=alpha,
        series=found,
        alarm=alarm,
    )


def _urgency(verdict: Verdict) -> tuple[int, float]:
    contribution = 0.0
    if verdict.psi is not None and verdict.threshold:
        contribution = verdict.psi / verdict.threshold
    for test in (verdict.missing, verdict.unknown):
        if test.status.alarming and test.current is not None and test.reference is not None:
            contribution += 10 * abs(test.current - test.reference)
    return verdict.status.rank, contribution


def _series_report(
    series: Series,
    current: NDArray[np.int64],
    verdict: Verdict,
    sentence: str,
    groups: Sequence[Group],
) -> SeriesReport:
    n, m = verdict.n_current, verdict.n_reference
    js = ks = None
    if series.reference is not None:
        sides = np.asarray(series.reference, np.int64)[: series.values], current[: series.values]
        js = js_distance(*sides)
        if series.type == "numeric":
            ks = ks_bracket(*(np.asarray(series.ordered(side.tolist())) for side in sides))
    shown = groups if n and m else ()
    return SeriesReport(
        **dict(verdict),
        feature=series.name,
        kind="prediction" if series.kind == "prediction" else "feature",
        type=series.type,
        dimension=series.component,
        sentence=sentence,
        js=js,
        ks=ks,
        bins=[
            BinShare(bin=g.label, reference=g.reference / m, current=g.current / n, psi=g.psi)
            for g in shown
        ],
        saturated=bool((current >= U32_MAX).any()),
    )


def _failure_report(found: FailureTest) -> SeriesReport:
    """Rows that failed, as one more series."""
    test = found.test
    verdict = Verdict(
        status=test.status,
        severity=severity_of(test.status, None, (test,)),
        reasons=("errors",) if test.status.alarming else (),
        n_reference=found.n_reference,
        n_current=found.rows,
        missing=NOT_TESTED,
        unknown=NOT_TESTED,
    )
    return SeriesReport(
        **dict(verdict),
        feature=found.code,
        kind="errors",
        type="rate",
        sentence=failure_sentence(found),
        js=None,
        ks=None,
        errors=test,
        bins=[],
    )
