"""Drift reports: a window's counts of a version against its profile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

from neuralstream_core.monitoring.answers import BinShare, DriftReport, Rate, SeriesReport, Span
from neuralstream_core.monitoring.decision import (
    DEFAULT_RULE,
    RateTest,
    Rule,
    Status,
    Verdict,
    alpha_for,
    judge,
)
from neuralstream_core.monitoring.layout import U32_MAX
from neuralstream_core.monitoring.statistics import js_distance, ks_bracket
from neuralstream_core.time import from_micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.monitoring.answers import Alarm
    from neuralstream_core.monitoring.profile import Profile, Series
    from neuralstream_core.monitoring.windows import Window

__all__ = ["drift_report", "overall"]

_BINS_SHOWN: Final = 5


def drift_report(
    model: str,
    version: str,
    window: Window,
    profile: Profile,
    slots: NDArray[np.int64],
    *,
    rule: Rule = DEFAULT_RULE,
    alarm: Alarm | None = None,
) -> DriftReport:
    """The report of one version.

    Args:
        slots: int64 ``(profile.size,)``, the window's counts under ``profile``.
    """
    alpha = alpha_for(profile, rule)
    judged: list[tuple[SeriesReport, Verdict]] = []
    for series, start in zip(profile.series, profile.offsets, strict=False):
        current = slots[start : start + series.size]
        verdict = judge(series, current, rule=rule, alpha=alpha)
        judged.append((_series_report(series, current, verdict), verdict))
    judged.sort(key=lambda pair: _urgency(*pair), reverse=True)
    return DriftReport(
        model=model,
        version=version,
        window=Span(start=from_micros(window.start), end=from_micros(window.end)),
        status=overall(report.status for report, _ in judged),
        rows=int(slots[profile.rows_slot]),
        alpha=alpha,
        series=[report for report, _ in judged],
        alarm=alarm,
    )


def overall(statuses: Iterable[Status]) -> Status:
    """One status for many: the worst alarm, else ``ok`` if anything could be judged."""
    found = set(statuses)
    for status in (Status.DRIFT, Status.WARNING, Status.OK, Status.INSUFFICIENT_DATA):
        if status in found:
            return status
    return Status.NO_REFERENCE


def _urgency(report: SeriesReport, verdict: Verdict) -> tuple[int, float]:
    contribution = 0.0
    if verdict.psi is not None and verdict.threshold:
        contribution = verdict.psi / verdict.threshold
    for test in (verdict.missing, verdict.unknown):
        if test.status.alarming and test.current is not None and test.reference is not None:
            contribution += 10 * abs(test.current - test.reference)
    return report.status.rank, contribution


def _series_report(series: Series, current: NDArray[np.int64], verdict: Verdict) -> SeriesReport:
    n, m = verdict.n_current, verdict.n_reference
    js = ks = None
    if series.reference is not None:
        reference = np.asarray(series.reference, np.int64)[: series.values]
        values = current[: series.values]
        js = js_distance(reference, values)
        if series.type == "numeric":
            ks = ks_bracket(_ordered(reference), _ordered(values))
    return SeriesReport(
        feature=series.name,
        kind="prediction" if series.kind == "prediction" else "feature",
        type=series.type,
        dimension=series.component,
        status=verdict.status,
        severity=verdict.severity,
        reasons=list(verdict.reasons),
        n_reference=m,
        n_current=n,
        psi=verdict.psi,
        threshold=verdict.threshold,
        alert_threshold=verdict.alert_threshold,
        threshold_set_by=verdict.set_by,
        js=js,
        ks=ks,
        missing=_rate(verdict.missing),
        unknown=_rate(verdict.unknown),
        bins=[
            BinShare(bin=g.label, reference=g.reference / m, current=g.current / n, psi=g.psi)
            for g in verdict.groups[:_BINS_SHOWN]
        ]
        if n and m
        else [],
        saturated=bool((current >= U32_MAX).any()),
    )


def _ordered(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Slots of a numeric series from the lowest to the highest value: the low tail comes first."""
    return np.concatenate((values[-2:-1], values[:-2], values[-1:]))


def _rate(test: RateTest) -> Rate:
    return Rate(reference=test.reference, current=test.current, p=test.p, status=test.status)
