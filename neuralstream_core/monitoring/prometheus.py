"""The counters as Prometheus text (exposition format 0.0.4).

Counters count since 00:00 UTC and start again at 0 at midnight, which is what Prometheus expects of a
counter whose process restarted: ``rate`` and ``increase`` handle it. Gauges of drift are those of the
last hour. Durations are in seconds, as the conventions ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from neuralstream_core.monitoring.decision import Status
from neuralstream_core.monitoring.latency import PARTS, SCALES, mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.monitoring.answers import DriftReport
    from neuralstream_core.monitoring.reports import VersionCounts

__all__ = ["CONTENT_TYPE", "LATENCY_BOUNDS", "exposition"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_BOUNDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Seconds: the ``le`` of the latency histograms; each count is exact to one bucket (2.2 %) around it."""

_COUNTERS: Final = (
    ("requests", "requests_total", "API calls answered by a version, failed ones included."),
    ("failed", "failed_requests_total", "API calls that failed."),
    ("failed_rows", "failed_rows_total", "Rows of batches that failed."),
    ("cold", "cold_starts_total", "First predictions of an execution environment."),
    ("stale_routing", "stale_routing_total", "Predictions routed while the registry was away."),
    ("pinned", "pinned_predictions_total", "Predictions whose version the caller chose."),
    ("lost", "recording_lost_total", "API calls that could not be recorded when they happened."),
)

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]


def exposition(
    versions: Iterable[VersionCounts],
    unrouted: Mapping[str, Mapping[str, int]],
    drifts: Iterable[DriftReport],
) -> str:
    """The whole text.

    Args:
        versions: today's counts.
        unrouted: by model, failed calls by code before a version was chosen.
        drifts: reports of the last hour.
    """
    seen = list(versions)
    reports = list(drifts)
    lines: list[str] = []
    for name, metric, text in _COUNTERS:
        samples = [("", _of(v), float(v.counts.service.counters[name])) for v in seen]
        lines += _family(metric, "counter", text, samples)
    lines += _family(
        "predictions_total",
        "counter",
        "Rows answered.",
        [("", _of(v), float(v.counts.rows())) for v in seen],
    )
    errors: list[Sample] = [
        ("", {**_of(v), "code": code}, float(k))
        for v in seen
        for code, k in sorted(v.counts.service.request_errors.items())
    ]
    errors += [
        ("", {"model": model, "version": "", "code": code}, float(k))
        for model, codes in unrouted.items()
        for code, k in sorted(codes.items())
    ]
    lines += _family("errors_total", "counter", "Failed API calls by error code.", errors)
    row_errors: list[Sample] = [
        ("", {**_of(v), "code": code}, float(k))
        for v in seen
        for code, k in sorted(v.counts.service.failed_rows().items())
    ]
    text = "Rows without an answer by error code, all rows of a failed call included."
    lines += _family("row_errors_total", "counter", text, row_errors)
    lines += _family(
        "latency_seconds",
        "histogram",
        "Duration of a prediction and its parts.",
        [sample for v in seen for sample in _latency(v)],
    )
    lines += _family(
        "feature_cells_total",
        "counter",
        "Feature values read, by state, those of refused rows included.",
        [sample for v in seen for sample in _cells(v)],
    )
    lines += _family(
        "prediction_values_total",
        "counter",
        "Predictions and probabilities by bin.",
        [sample for v in seen for sample in _values(v)],
    )
    lines += _drift(reports)
    return "\n".join(lines) + "\n"


def _of(seen: VersionCounts) -> dict[str, str]:
    return {"model": seen.record.model, "version": seen.record.version}


def _latency(seen: VersionCounts) -> Iterator[Sample]:
    for part, scale in zip(PARTS, SCALES, strict=True):
        counts = seen.counts.service.latency[scale.first : scale.first + scale.size]
        total = int(counts.sum())
        labels = {**_of(seen), "part": part}
        upto = np.cumsum(counts)
        for bound in LATENCY_BOUNDS:
            yield "_bucket", {**labels, "le": repr(bound)}, float(upto[scale.bucket(bound)])
        yield "_bucket", {**labels, "le": "+Inf"}, float(total)
        yield "_sum", labels, (mean(scale, counts.tolist()) or 0.0) * total
        yield "_count", labels, float(total)


def _cells(seen: VersionCounts) -> Iterator[Sample]:
    found: dict[str, NDArray[np.int64]] = {}
    for profile in seen.profiles:
        slots = seen.counts.series[profile.digest]
        for series, start in zip(profile.series, profile.offsets, strict=False):
            if series.kind == "feature":
                states = slots[start + series.missing_slot : start + series.size]
                present = slots[start : start + series.values].sum()
                kept = found.setdefault(series.name, np.zeros(4, np.int64))
                kept += np.concatenate(([present], states))
    for name, counts in found.items():
        for state, k in zip(("present", "missing", "expired", "invalid"), counts, strict=True):
            yield "", {**_of(seen), "feature": name, "state": state}, float(k)


def _values(seen: VersionCounts) -> Iterator[Sample]:
    profile = seen.profiles[0]
    slots = seen.counts.series[profile.digest]
    for series, start in zip(profile.series, profile.offsets, strict=False):
        if series.kind == "prediction":
            for slot, label in enumerate(series.labels()):
                if k := int(slots[start + slot]):
                    yield "", {**_of(seen), "series": series.name, "bin": label}, float(k)


def _drift(reports: list[DriftReport]) -> list[str]:
    psi: list[Sample] = []
    missing: list[Sample] = []
    series_status: list[Sample] = []
    failed: list[Sample] = []
    failure_status: list[Sample] = []
    status: list[Sample] = []
    for report in reports:
        labels = {"model": report.model, "version": report.version}
        status.append(("", labels, float(_level(report.status))))
        for series in report.series:
            if series.errors is not None:
                of = {**labels, "code": series.feature}
                failed.append(("", of, series.errors.current or 0.0))
                failure_status.append(("", of, float(_level(series.status))))
                continue
            at = {**labels, "feature": series.feature}
            series_status.append(("", at, float(_level(series.status))))
            if series.psi is not None:
                psi.append(("", at, series.psi))
            if series.missing.current is not None:
                missing.append(("", at, series.missing.current))
    levels = "0 ok or not judged, 1 warning, 2 drift"
    return [
        *_family("drift_status", "gauge", f"Drift of the last hour: {levels}.", status),
        *_family("feature_drift_status", "gauge", f"By series: {levels}.", series_status),
        *_family("feature_psi", "gauge", "Population stability index of the last hour.", psi),
        *_family("feature_missing_ratio", "gauge", "Missing share of the last hour.", missing),
        *_family("failed_rows_ratio", "gauge", "Share of rows failed with a code.", failed),
        *_family("failed_rows_status", "gauge", f"Failed rows by code: {levels}.", failure_status),
    ]


def _level(status: Status) -> int:
    return {Status.WARNING: 1, Status.DRIFT: 2}.get(status, 0)


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> list[str]:
    full = f"neuralstream_{name}"
    lines = [f"# HELP {full} {text}", f"# TYPE {full} {kind}"]
    for suffix, labels, value in samples:
        inside = ",".join(f'{key}="{_escape(label)}"' for key, label in labels.items())
        lines.append(f"{full}{suffix}{{{inside}}} {_number(value)}")
    return lines


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
