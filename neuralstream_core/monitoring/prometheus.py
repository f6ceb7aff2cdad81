"""The counters as Prometheus text, by prometheus_client.

Counters count since 00:00 UTC and start again at 0 at midnight, which Prometheus takes for the restart of a
process: ``rate`` and ``increase`` handle it. Gauges are of the last hour. Durations are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from neuralstream_core.monitoring.decision import DriftStatus
from neuralstream_core.monitoring.latency import PARTS, SCALES, mean

if TYPE_CHECKING:
    from prometheus_client import Metric

    from neuralstream_core.history.consistency import ViewConsistency
    from neuralstream_core.monitoring.drift import DriftReport
    from neuralstream_core.monitoring.stats import VersionCounts

__all__ = ["CONTENT_TYPE", "exposition"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Seconds: the ``le`` of the latency histograms; each count is exact to one bucket (2.2 %) around it."""

_COUNTERS: Final = {
    "requests": ("requests", "API calls answered by a version, failed ones included."),
    "failed": ("failed_requests", "API calls that failed."),
    "failed_rows": ("failed_rows", "Rows of batches that failed."),
    "cold": ("cold_starts", "First predictions of an execution environment."),
    "stale_routing": ("stale_routing", "Predictions routed while the registry was away."),
    "pinned": ("pinned_predictions", "Predictions whose version the caller chose."),
    "lost": ("recording_lost", "API calls that could not be recorded when they happened."),
    "logged": ("logged_predictions", "Predictions given to the prediction log."),
    "overflowed": ("log_overflow", "Predictions that the prediction log had no room for."),
}
_LEVELS: Final = {DriftStatus.WARNING: 1, DriftStatus.DRIFT: 2}
_LEVELS_TEXT: Final = "0 ok or not judged, 1 warning, 2 drift"
_GAUGES: Final = {
    "drift_status": f"Drift of the last hour: {_LEVELS_TEXT}.",
    "feature_drift_status": f"By series: {_LEVELS_TEXT}.",
    "feature_psi": "Population stability index of the last hour.",
    "feature_missing_ratio": "Missing share of the last hour.",
    "failed_rows_ratio": "Share of rows failed with a code.",
    "failed_rows_status": f"Failed rows by code: {_LEVELS_TEXT}.",
}

Sample: TypeAlias = tuple[str, dict[str, str], float]
"""Suffix of the family's name, labels, value."""


def exposition(
    versions: Sequence[VersionCounts],
    unrouted: Mapping[str, Mapping[str, int]],
    reports: Sequence[DriftReport],
    compared: Sequence[ViewConsistency],
) -> str:
    """The whole text.

    Args:
        versions: today's counts.
        unrouted: by model, failed calls by code before a version was chosen.
        reports: of the last hour.
        compared: the last comparison of each view with its history.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    families = [*_counters(versions, unrouted), *_gauges(reports), _consistency(compared)]
    registry.register(_Families(families))
    return generate_latest(registry).decode()


@dataclass(eq=False, slots=True)
class _Families:
    """A collector of prometheus_client, for families that are complete."""

    families: list[Metric]

    def collect(self) -> list[Metric]:
        return self.families


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> Metric:
    from prometheus_client import Metric

    family = Metric(f"neuralstream_{name}", text, kind)
    for suffix, labels, value in samples:
        family.add_sample(family.name + suffix, labels, value)
    return family


def _counters(
    versions: Sequence[VersionCounts], unrouted: Mapping[str, Mapping[str, int]]
) -> Iterator[Metric]:
    def counter(name: str, text: str, samples: Iterable[tuple[dict[str, str], int]]) -> Metric:
        totals = (("_total", labels, float(k)) for labels, k in samples)
        return _family(name, "counter", text, totals)

    services = [(_of(v), v.counts.service) for v in versions]
    for key, (name, text) in _COUNTERS.items():
        yield counter(name, text, ((of, service.counters[key]) for of, service in services))
    yield counter("predictions", "Rows answered.", ((_of(v), v.counts.rows()) for v in versions))
    errors: list[tuple[dict[str, str], Mapping[str, int]]]
    errors = [(of, service.request_errors) for of, service in services]
    errors += [({"model": model, "version": ""}, codes) for model, codes in unrouted.items()]
    yield counter("errors", "Failed API calls by error code.", _by_code(errors))
    yield counter(
        "row_errors",
        "Rows without an answer by error code, all rows of a failed call included.",
        _by_code((of, service.failed_rows()) for of, service in services),
    )
    yield _family(
        "latency_seconds",
        "histogram",
        "Duration of a prediction and its parts.",
        (sample for v in versions for sample in _latency(v)),
    )
    yield counter(
        "feature_cells",
        "Feature values read, by state, those of refused rows included.",
        (
            ({**_of(v), "feature": name, "state": state}, int(k))
            for v in versions
            for name, cells in v.cells().items()
            for state, k in zip(("present", "missing", "expired", "invalid"), cells, strict=True)
        ),
    )
    yield counter(
        "prediction_values",
        "Predictions and probabilities by bin.",
        (sample for v in versions for sample in _prediction_values(v)),
    )


def _of(seen: VersionCounts) -> dict[str, str]:
    return {"model": seen.record.model, "version": seen.record.version}


def _by_code(
    counts: Iterable[tuple[dict[str, str], Mapping[str, int]]],
) -> Iterator[tuple[dict[str, str], int]]:
    for of, codes in counts:
        yield from (({**of, "code": code}, k) for code, k in sorted(codes.items()))


def _latency(seen: VersionCounts) -> Iterator[Sample]:
    for part, scale in zip(PARTS, SCALES, strict=True):
        counts = seen.counts.service.latency[scale.first : scale.first + scale.size]
        total = float(counts.sum())
        labels = {**_of(seen), "part": part}
        upto = np.cumsum(counts)
        for bound in _BOUNDS:
            yield "_bucket", {**labels, "le": repr(bound)}, float(upto[scale.bucket(bound)])
        yield "_bucket", {**labels, "le": "+Inf"}, total
        yield "_sum", labels, (mean(scale, counts) or 0.0) * total
        yield "_count", labels, total


def _prediction_values(seen: VersionCounts) -> Iterator[tuple[dict[str, str], int]]:
    profile = seen.profiles[0]
    for series, slots in profile.parts(seen.counts.series[profile.digest]):
        if series.kind == "prediction":
            for label, k in zip(series.labels(), slots.tolist(), strict=True):
                if k:
                    yield {**_of(seen), "series": series.name, "bin": label}, k


def _consistency(compared: Sequence[ViewConsistency]) -> Metric:
    samples = (
        ("", {"feature_view": view.feature_view, "feature": name, "result": result}, number)
        for view in compared
        for name, counts in view.features.items()
        for result, number in counts.model_dump().items()
    )
    text = "Cells of the last comparison of the online store with the history, by result."
    return _family("consistency_cells", "gauge", text, samples)


def _gauges(reports: Sequence[DriftReport]) -> Iterator[Metric]:
    """The drift reports; rows that failed are series of kind ``errors``, with a code for a name."""
    found: dict[str, list[Sample]] = {name: [] for name in _GAUGES}
    for report in reports:
        of = {"model": report.model, "version": report.version}
        found["drift_status"].append(("", of, _LEVELS.get(report.status, 0)))
        for series in report.series:
            level = _LEVELS.get(series.status, 0)
            if series.errors is not None:
                at = {**of, "code": series.feature}
                found["failed_rows_ratio"].append(("", at, series.errors.current or 0.0))
                found["failed_rows_status"].append(("", at, level))
                continue
            at = {**of, "feature": series.feature}
            found["feature_drift_status"].append(("", at, level))
            if series.psi is not None:
                found["feature_psi"].append(("", at, series.psi))
            if series.missing.current is not None:
                found["feature_missing_ratio"].append(("", at, series.missing.current))
    for name, samples in found.items():
        yield _family(name, "gauge", _GAUGES[name], samples)
