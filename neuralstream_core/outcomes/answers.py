"""What the routes about outcomes answer."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from neuralstream_core.monitoring.layout import Span
from neuralstream_core.outcomes.calibration import CalibrationBin
from neuralstream_core.outcomes.metrics import Measured
from neuralstream_core.types import Name, Record, VersionName

__all__ = ["OutcomesAnswer", "Performance", "PeriodPerformance", "VersionPerformance"]


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
