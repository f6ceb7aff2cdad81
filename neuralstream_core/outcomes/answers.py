"""What the routes about outcomes answer."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from neuralstream_core.monitoring.layout import Span
from neuralstream_core.outcomes.calibration import CalibrationBin
from neuralstream_core.outcomes.declining import DeclineAlarm
from neuralstream_core.outcomes.metrics import Measured
from neuralstream_core.outcomes.slices import Slice
from neuralstream_core.types import Name, Record, VersionName

__all__ = [
    "OutcomesAnswer",
    "Performance",
    "PeriodPerformance",
    "SplitResults",
    "TrafficCheck",
    "VersionComparison",
    "VersionPerformance",
    "VersionResult",
]


class OutcomesAnswer(Record):
    """Outcomes that are kept. Whether their predictions are known shows in the performance."""

    model: Name = Field(description="the model")
    accepted: int = Field(description="outcomes that are kept: all of the request")
    versions: dict[VersionName, int] = Field(
        description="how many of them name a prediction of which version; an outcome by entity names none"
    )


class PeriodPerformance(Record):
    """The predictions of one hour or day."""

    start: AwareDatetime = Field(description="its beginning, UTC")
    predictions: float | None = Field(
        description="predictions made in it; null where the window is by outcome"
    )
    n: int = Field(description="predictions with an outcome that are measured")
    metrics: dict[str, Measured] = Field(description="by name, as those of the version")


class VersionPerformance(Record):
    """How good the predictions of one version in the window were."""

    version: VersionName = Field(description="the version")
    kind: Literal["classifier", "regressor"] | None = Field(
        description="what it is measured as; null: its predictions cannot be held against a label"
    )
    shadow: bool = Field(description="its predictions were not answered, only logged")
    sentence: str = Field(description="the main numbers in words")
    predictions: float | None = Field(
        description="predictions of the window; of a model that logs a sample, as many as the logged ones"
        " stand for. Null where the window is by outcome"
    )
    matched: float = Field(description="those among them that have an outcome")
    coverage: float | None = Field(
        description="share of the predictions that have an outcome, 0 to 1; null without predictions, or"
        " where the window is by outcome"
    )
    n: int = Field(description="logged predictions with an outcome that are measured")
    share: float = Field(
        description="share of the logged predictions with an outcome that was measured, by hash; below 1"
        " with more than 1,000,000 of them"
    )
    left_out: int = Field(
        description="others of them whose label is no number, of a regressor, or whose prediction was not"
        " one label or number"
    )
    decline: DeclineAlarm | None = Field(
        default=None,
        description="whether the version predicts worse than it did; null until 1,000 outcomes are its"
        " baseline and a later window of 200 was judged",
    )
    metrics: dict[str, Measured] = Field(
        description="accuracy, and with probabilities log_loss, brier, auc and ece, of a classifier; mae,"
        " rmse, bias and r2 of a regressor"
    )
    calibration: list[CalibrationBin] = Field(
        default_factory=list, description="of a classifier with probabilities, by tenths"
    )
    series: list[PeriodPerformance] = Field(
        default_factory=list, description="with `series`: hour by hour or day by day"
    )
    slices: list[Slice] = Field(
        default_factory=list,
        description="with `slices`: by values of the feature, the worst accuracy or mean absolute error"
        " first, each of at least 30 predictions; empty where its values were not logged",
    )


class Performance(Record):
    """How good the predictions of a model were, as far as outcomes tell."""

    model: Name = Field(description="the model")
    window: Span = Field(description="what is covered, UTC")
    by: Literal["predicted", "observed"] = Field(
        description="which time lies in the window: of the prediction or of its outcome"
    )
    versions: list[VersionPerformance] = Field(
        description="those with predictions in the window, by number; shadows beside the others"
    )
    unmatched: int = Field(
        description="outcomes of the window that belong to no prediction in the log; they are kept, and count"
        " as soon as their prediction is there"
    )


class VersionResult(Record):
    """One version of a split."""

    version: VersionName = Field(description="the version")
    share: float = Field(description="its share of the traffic at last, 0 to 1")
    predictions: float = Field(description="predictions since the split began")
    matched: float = Field(description="those among them that have an outcome")
    coverage: float | None = Field(description="their share; null without predictions")
    n: int = Field(
        description="logged predictions for an entity with an outcome: what is compared; without an entity"
        " production answers, whatever the split"
    )
    entities: int = Field(description="entities that these are for")
    metrics: dict[str, Measured] = Field(
        description="of these predictions, by name, each with an interval for one look"
    )


class VersionComparison(Record):
    """One version against the one in production, by one measure."""

    version: VersionName = Field(description="the version")
    metric: str = Field(description="the measure; of rmse the differences are of the squared error")
    value: float = Field(description="mean of the version less that of production")
    low: float | None = Field(
        description="lower end of an interval that holds at every look; null with fewer than 100 entities"
        " in one of the two"
    )
    high: float | None = Field(description="upper end, likewise")
    better: bool | None = Field(
        description="whether the version is better than production; null: not shown, 0 is in the interval"
    )
    entities: int = Field(description="entities with an outcome of both versions together")
    detectable: float | None = Field(
        description="a true difference of this size would have been found by now with 90 % probability"
    )
    effect: float = Field(
        description="difference that `needed` is for: 0.02 of accuracy, else 5 % of production's mean, unless"
        " the request gives one"
    )
    needed: int | None = Field(
        description="entities of both versions that it takes to find a difference of `effect` with 90 %"
        " probability; null: not known, or beyond reach"
    )
    ready_at: AwareDatetime | None = Field(
        description="when that many will have an outcome, as it goes, UTC; null if the split has ended or"
        " that is not known"
    )
    sentence: str = Field(description="the same in words")


class TrafficCheck(Record):
    """Observed traffic against the weights of the split (sample-ratio mismatch, Pearson's chi-squared)."""

    start: AwareDatetime = Field(description="since when the weights are what they are, UTC")
    entities: dict[VersionName, int] = Field(description="entities with a logged prediction since")
    p: float = Field(description="probability of so large a deviation by chance")
    mismatch: bool = Field(description="p < 0.001: the traffic does not follow the split")


class SplitResults(Record):
    """Which version of a split is better, as far as outcomes tell."""

    model: Name = Field(description="the model")
    running: bool = Field(description="false: the split has ended, these are its results")
    start: AwareDatetime = Field(description="when the split began, UTC, or what was asked for")
    end: AwareDatetime = Field(description="when it ended, UTC, or now")
    production: VersionName = Field(description="the version that the others are compared with")
    metric: str = Field(description="the measure of the verdict")
    alpha: float = Field(
        description="probability that the interval of any version by `metric` is wrong at any look"
    )
    verdict: str = Field(description="what to make of it")
    versions: list[VersionResult] = Field(description="those of the split, by number")
    comparisons: list[VersionComparison] = Field(
        description="each other version against production, by every measure that both have"
    )
    traffic: TrafficCheck | None = Field(
        description="null: no prediction for an entity is logged yet"
    )
    unmatched: int = Field(description="outcomes that belong to no prediction in the log")
