"""Statistics reports: traffic, errors, latency, predictions, missing features, the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import AwareDatetime, Field

from neuralstream_core.history.consistency import ViewConsistency
from neuralstream_core.monitoring.latency import PARTS, SCALES, mean, quantile
from neuralstream_core.monitoring.layout import Span
from neuralstream_core.monitoring.statistics import goodness_of_fit
from neuralstream_core.time import from_micros
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.monitoring.profile import Profile
    from neuralstream_core.monitoring.reader import Counts
    from neuralstream_core.registry.records import VersionRecord
    from neuralstream_core.time import Micros

__all__ = [
    "Latency",
    "ModelStats",
    "ModelsStats",
    "VersionCounts",
    "VersionStats",
    "latency_of",
    "split_check",
    "version_stats",
]

MISMATCH: Final = 0.001
"""p below which the observed split is called a mismatch."""


class Latency(Record):
    """Milliseconds; percentiles within 1.1 %."""

    p50: float | None = Field(description="milliseconds; null without requests")
    p95: float | None = Field(description="milliseconds; null without requests")
    p99: float | None = Field(description="milliseconds; null without requests")
    mean: float | None = Field(description="milliseconds; null without requests")


class FeatureQuality(Record):
    """Shares of a feature's cells, those of refused rows included."""

    missing: float = Field(description="NULL or never written, 0 to 1")
    expired: float = Field(description="older than the view's time to live, 0 to 1")
    invalid: float = Field(description="not of the feature's dtype, 0 to 1")


class PredictionStats(Record):
    """How predictions, or a classifier's probabilities, are distributed."""

    series: str = Field(description="`prediction` or `probability`")
    n: int = Field(description="how many were counted")
    bins: list[tuple[str, int]] = Field(description="label and count of each bin with any")


class VersionStats(Record):
    """What one version did."""

    version: str = Field(description="such as `v2`")
    stage: str | None = Field(description="its present stage")
    requests: int = Field(description="API calls, failed ones included")
    rows: int = Field(description="answered predictions")
    failed: int = Field(description="API calls without an answer")
    failed_rows: int = Field(description="rows of answered batches that have an error")
    errors: dict[str, int] = Field(description="failed calls by code")
    row_errors: dict[str, int] = Field(description="failed rows of answered batches by code")
    error_rate: float | None = Field(
        description="share of all rows that failed, those of a failed call included"
    )
    latency_ms: dict[str, Latency] = Field(description="by part: total, features, inference")
    cold_starts: int = Field(description="calls that were the first of their process")
    stale_routing: int = Field(
        description="calls routed by what was last known, as the registry did not answer"
    )
    lost: int = Field(
        description="calls that could not be recorded when they happened; they are not in the prediction log"
    )
    logged: int = Field(description="predictions given to the prediction log")
    overflowed: int = Field(description="predictions that the prediction log had no room for")
    saturated: bool = Field(description="a counter reached its ceiling: counts are lower bounds")
    predictions: list[PredictionStats] = Field(
        description="distributions; empty for a version without a baseline"
    )
    missing_rate: float | None = Field(
        description="share of all feature cells that are missing, 0 to 1; null: no cells counted"
    )
    expired_rate: float | None = Field(
        description="share of all feature cells that are expired, 0 to 1; null: no cells counted"
    )
    features: dict[str, FeatureQuality] = Field(
        description="by feature, `view:feature` or `view@role:feature`"
    )
    traffic_share: float | None = Field(
        description="of the model's rows that the split routed, 0 to 1"
    )
    configured_share: float | None = Field(description="weight in the running split, 0 to 1")


class SplitCheck(Record):
    """Observed traffic against the split: Pearson's χ² (sample-ratio mismatch).

    It takes rows as independent; few entities with very many requests each can make it too strict.
    """

    start: AwareDatetime = Field(description="since when rows are counted, UTC")
    n: int = Field(description="rows that the split routed")
    chi2: float = Field(description="Pearson's statistic")
    p: float = Field(description="probability of so large a deviation by chance")
    mismatch: bool = Field(description="p < 0.001: the traffic does not follow the split")


class ModelStats(Record):
    """What a model did in a window."""

    model: str = Field(description="its name")
    window: Span = Field(description="the time covered")
    versions: list[VersionStats] = Field(description="those with traffic or a share of the split")
    shadows: list[VersionStats] = Field(
        default_factory=list,
        description="versions that saw traffic and did not answer; they are in no other number",
    )
    unrouted: dict[str, int] = Field(
        description="failed calls by code, before a version was chosen"
    )
    split: SplitCheck | None = Field(description="null: no split is running, or it routed no row")


class ModelsStats(Record):
    """All models with traffic in the window."""

    models: list[ModelStats] = Field(description="one for each model")
    consistency: list[ViewConsistency] = Field(
        default_factory=list,
        description="the last comparison of each feature view with its history, whatever the window",
    )


@dataclass(frozen=True, slots=True)
class VersionCounts:
    """A version with its counts, and the profiles they were read under (the present one first)."""

    record: VersionRecord
    profiles: Sequence[Profile]
    counts: Counts

    @property
    def routed(self) -> int:
        """Answered rows whose version the split chose."""
        return self.counts.rows() - self.counts.service.counters["pinned"]

    def cells(self) -> dict[str, NDArray[np.int64]]:
        """Cells by state (present, missing, expired, invalid) of every feature."""
        found: dict[str, NDArray[np.int64]] = {}
        for profile in self.profiles:
            for series, slots in profile.parts(self.counts.series[profile.digest]):
                if series.kind == "feature":
                    kept = found.setdefault(series.name, np.zeros(4, np.int64))
                    kept[0] += slots[: series.values].sum()
                    kept[1:] += slots[series.missing_slot :]
        return found


def version_stats(
    seen: VersionCounts, *, traffic_share: float | None, configured_share: float | None
) -> VersionStats:
    """The statistics of one version."""
    counts, service = seen.counts, seen.counts.service
    features = {name: cells for name, cells in seen.cells().items() if cells.sum()}
    states = sum(features.values(), np.zeros(4, np.int64))
    rates = {name: k / k.sum() for name, k in features.items()}
    whole = states / states.sum() if features else None
    failures = service.failed_rows().total()
    rows = counts.rows()
    return VersionStats(
        version=seen.record.version,
        stage=seen.record.stage,
        requests=service.counters["requests"],
        rows=rows,
        failed=service.counters["failed"],
        failed_rows=service.counters["failed_rows"],
        errors=dict(sorted(service.request_errors.items())),
        row_errors=dict(sorted(service.row_errors.items())),
        error_rate=failures / (failures + rows) if failures + rows else None,
        latency_ms=latency_of(service.latency),
        cold_starts=service.counters["cold"],
        stale_routing=service.counters["stale_routing"],
        lost=service.counters["lost"],
        logged=service.counters["logged"],
        overflowed=service.counters["overflowed"],
        saturated=bool(counts.saturated),
        predictions=_predictions(seen),
        missing_rate=None if whole is None else float(whole[1]),
        expired_rate=None if whole is None else float(whole[2]),
        features={
            name: FeatureQuality(missing=k[1], expired=k[2], invalid=k[3])
            for name, k in rates.items()
        },
        traffic_share=traffic_share,
        configured_share=configured_share,
    )


def latency_of(buckets: NDArray[np.int64]) -> dict[str, Latency]:
    """Percentiles in milliseconds of each part."""
    found: dict[str, Latency] = {}
    for part, scale in zip(PARTS, SCALES, strict=True):
        counts = buckets[scale.first : scale.first + scale.size]
        found[part] = Latency(
            p50=_ms(quantile(scale, counts, 0.50)),
            p95=_ms(quantile(scale, counts, 0.95)),
            p99=_ms(quantile(scale, counts, 0.99)),
            mean=_ms(mean(scale, counts)),
        )
    return found


def split_check(
    routed: Mapping[str, int], configured: Mapping[str, float], start: Micros
) -> SplitCheck | None:
    """Whether routed rows follow the split; ``None`` when there are none.

    Args:
        routed: answered rows that the split assigned, by version.
        configured: weights that sum to 1.
        start: since when ``routed`` counts.
    """
    names = sorted(configured)
    observed = np.asarray([routed.get(name, 0) for name in names], np.int64)
    n = int(observed.sum())
    if not n:
        return None
    statistic, p = goodness_of_fit(observed, np.asarray([configured[name] for name in names]))
    return SplitCheck(
        start=from_micros(start), n=n, chi2=min(statistic, 1e300), p=p, mismatch=p < MISMATCH
    )


def _predictions(seen: VersionCounts) -> list[PredictionStats]:
    """The distribution under the profile that holds most of the window's rows."""
    counts = seen.counts.series
    profile = max(seen.profiles, key=lambda p: int(counts[p.digest][-1]))
    found: list[PredictionStats] = []
    for series, slots in profile.parts(counts[profile.digest]):
        if series.kind == "prediction":
            values = slots[: series.values].tolist()
            bins = [(label, k) for label, k in zip(series.labels(), values, strict=False) if k]
            found.append(PredictionStats(series=series.name, n=sum(values), bins=bins))
    return found


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
