"""The shapes of monitoring's answers."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from neuralstream_core.monitoring.decision import Severity, Status
from neuralstream_core.types import Record

__all__ = [
    "Alarm",
    "BinShare",
    "DriftReport",
    "DriftSummaries",
    "DriftSummary",
    "FeatureQuality",
    "Latency",
    "ModelStats",
    "ModelsStats",
    "PredictionStats",
    "Rate",
    "SeriesReport",
    "Span",
    "SplitCheck",
    "VersionStats",
]


class Span(Record):
    """``[start, end)``; start is a whole minute or hour."""

    start: AwareDatetime
    end: AwareDatetime


class Rate(Record):
    """A rate on both sides; ``p`` one-sided, of an exact test: Fisher's, or of failed rows the binomial."""

    reference: float | None
    current: float | None
    p: float | None = None
    status: Status


class BinShare(Record):
    """A group of values: its share on both sides and its part of the PSI."""

    bin: str
    reference: float
    current: float
    psi: float


class SeriesReport(Record):
    """One distribution of one version in one window, or the rows that failed with one code."""

    feature: str = Field(
        description="of kind errors: the code, or `errors` for all codes but missing_features together"
    )
    kind: Literal["feature", "prediction", "errors"]
    type: Literal["numeric", "boolean", "category", "rate"]
    dimension: int | None = Field(
        default=None, description="of a vector feature; -1 is its Euclidean norm"
    )
    status: Status
    sentence: str = Field(description="what moved, from where to where, rounded")
    severity: Severity
    reasons: list[str] = Field(description="distribution, missing, unknown, errors")
    n_reference: int = Field(
        description="present, valid values compared; of kind errors: rows behind the expected share"
    )
    n_current: int = Field(
        description="values of answered and of refused rows; of kind errors: all rows"
    )
    psi: float | None
    threshold: float | None = Field(description="PSI above which this is a warning")
    alert_threshold: float | None
    threshold_set_by: Literal["practical", "sample_size"] | None
    js: float | None = Field(description="Jensen-Shannon distance, base 2, in [0, 1]")
    ks: tuple[float, float] | None = Field(
        description="bounds of the Kolmogorov-Smirnov statistic; numbers only"
    )
    missing: Rate = Field(description="NULL, not found, expired and invalid cells together")
    unknown: Rate = Field(description="unknown categories, numbers outside the baseline's range")
    errors: Rate | None = Field(
        default=None, description="of kind errors: share of rows that failed, expected and seen"
    )
    bins: list[BinShare] = Field(description="the largest contributions to the PSI")
    saturated: bool = False


class Alarm(Record):
    """What scheduled evaluation holds of the version, with hysteresis."""

    status: Status
    since: AwareDatetime
    evaluated: AwareDatetime | None = None


class DriftReport(Record):
    """Drift of one version in one window."""

    model: str
    version: str
    window: Span
    status: Status
    summary: str = Field(description="the whole report in a sentence")
    rows: int = Field(description="answered under the present baseline")
    failed: int = Field(description="rows without an answer")
    error_rate: float | None = Field(description="share of all rows that failed")
    lost: int = Field(description="calls that could not be recorded when they happened")
    alpha: float = Field(description="level of each test, from the false-alarm budget")
    series: list[SeriesReport] = Field(description="the most drifted first")
    alarm: Alarm | None = None


class DriftSummary(Record):
    """One version in the list of all."""

    model: str
    version: str
    status: Status
    summary: str
    rows: int
    error_rate: float | None
    drifted: list[str] = Field(description="series with a warning or drift")


class DriftSummaries(Record):
    """Versions with traffic in the window, the most urgent first."""

    window: Span
    models: list[DriftSummary]


class Latency(Record):
    """Milliseconds; percentiles within 1.1 %."""

    p50: float | None
    p95: float | None
    p99: float | None
    mean: float | None


class FeatureQuality(Record):
    """Shares of a feature's cells, those of refused rows included."""

    missing: float
    expired: float
    invalid: float


class PredictionStats(Record):
    """How predictions, or a classifier's probabilities, are distributed."""

    series: str
    n: int
    bins: list[tuple[str, int]] = Field(description="only those with any count")


class VersionStats(Record):
    """What one version did."""

    version: str
    stage: str | None
    requests: int = Field(description="API calls, failed ones included")
    rows: int = Field(description="answered predictions")
    failed: int
    failed_rows: int = Field(description="rows of answered batches")
    errors: dict[str, int] = Field(description="failed calls by code")
    row_errors: dict[str, int]
    error_rate: float | None = Field(
        description="share of all rows that failed, those of a failed call included"
    )
    latency_ms: dict[str, Latency] = Field(description="total, features, inference")
    cold_starts: int
    stale_routing: int
    lost: int = Field(description="calls that could not be recorded when they happened")
    saturated: bool
    predictions: list[PredictionStats]
    missing_rate: float | None
    expired_rate: float | None
    features: dict[str, FeatureQuality]
    traffic_share: float | None = Field(description="of the model's rows that the split routed")
    configured_share: float | None


class SplitCheck(Record):
    """Observed traffic against the split: Pearson's χ² (sample-ratio mismatch).

    It takes rows as independent; few entities with very many requests each can make it too strict.
    """

    start: AwareDatetime
    n: int
    chi2: float
    p: float
    mismatch: bool = Field(description="p < 0.001")


class ModelStats(Record):
    """What a model did in a window."""

    model: str
    window: Span
    versions: list[VersionStats]
    unrouted: dict[str, int] = Field(
        description="failed calls by code, before a version was chosen"
    )
    split: SplitCheck | None


class ModelsStats(Record):
    """All models with traffic in the window."""

    models: list[ModelStats]
