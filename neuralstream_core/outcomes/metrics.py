"""How good the predictions of a version were: the measures of classifiers and regressors.

Each equals scikit-learn's on the same rows and weights. A classifier without probabilities has its accuracy
alone; a row whose outcome is a class that the model does not know counts as wrong there, and for the measures
of probabilities it is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
from pydantic import Field

from neuralstream_core.outcomes.auc import area_interval, macro_area
from neuralstream_core.outcomes.calibration import calibration_error
from neuralstream_core.outcomes.intervals import (
    Interval,
    effective_rows,
    mean_interval,
    mean_of,
    share_interval,
)
from neuralstream_core.outcomes.scored import Kind, Scored, codes_of
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.outcomes.scored import Floats

__all__ = ["METRICS", "Measured", "Metric", "losses", "measure"]

_CLIP: Final = float(np.finfo(np.float64).eps)
"""Probabilities nearer to 0 or 1 count as so near, as scikit-learn has it: a log loss stays finite."""


class Metric(NamedTuple):
    """What a measure is.

    Attributes:
        better: which values are; ``zero``: the nearer to zero.
        mean: it is the mean of `losses`, or for ``rmse`` the root of it, so that versions can be compared by
            it with an always-valid interval.
        words: what a sentence calls it.
    """

    name: str
    kind: Kind
    better: Literal["higher", "lower", "zero"]
    mean: bool
    words: str


METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "classifier", "higher", True, "accuracy"),
        Metric("log_loss", "classifier", "lower", True, "log loss"),
        Metric("brier", "classifier", "lower", True, "Brier score"),
        Metric("auc", "classifier", "higher", False, "AUC"),
        Metric("ece", "classifier", "lower", False, "calibration error"),
        Metric("mae", "regressor", "lower", True, "mean absolute error"),
        Metric("rmse", "regressor", "lower", True, "root mean squared error"),
        Metric("bias", "regressor", "zero", True, "bias"),
        Metric("r2", "regressor", "higher", False, "R²"),
    )
}
"""By name, the first of each kind being the one that is compared when none is asked for."""


class Measured(Record):
    """A measure of the predictions of a window that have an outcome."""

    value: float | None = Field(description="null: not defined for these rows")
    low: float | None = Field(
        default=None, description="lower end of the 95 % confidence interval; null: not known"
    )
    high: float | None = Field(default=None, description="upper end, likewise")
    n: int = Field(description="predictions with an outcome that it is measured on")
    within: float = Field(
        default=0.0,
        description="by how much the exact value may differ; above 0 only for the AUC of more than"
        " 1,000,000 rows, which is taken from bins",
    )


def measure(scored: Scored) -> dict[str, Measured]:
    """Every measure that these rows allow, by the names in `METRICS`."""
    if scored.kind == "regressor":
        return _regression(scored)
    right = losses(scored, "accuracy")
    found = {"accuracy": _share(right, scored.weight)}
    if scored.probability is not None:
        found |= _probabilistic(scored)
    return found


def losses(scored: Scored, metric: str) -> Floats:
    """The numbers, one of each row, whose weighted mean is the measure; ``(n,)``.

    Of ``rmse`` it is the squared error. A row that does not count for the measure is NaN: an outcome that
    is none of the model's classes has no log loss.

    Raises:
        ValueError: not such a mean, not of this kind of model, or the version gives no probabilities.
    """
    known = METRICS.get(metric)
    if known is None or not known.mean or known.kind != scored.kind:
        raise ValueError(f"{metric} is not the mean of a number per row of a {scored.kind}")
    if metric == "accuracy":
        return np.asarray(scored.truth == scored.predicted, np.float64)
    if scored.kind == "regressor":
        error = _errors(scored)
        return {"mae": np.abs(error), "rmse": error**2, "bias": error}[metric]
    if scored.probability is None:
        raise ValueError(f"{metric} needs probabilities")
    truth = codes_of(scored.truth, scored.classes)
    known_rows = truth >= 0
    found = np.full(len(truth), np.nan)
    compute = _log_losses if metric == "log_loss" else _brier_scores
    found[known_rows] = compute(scored.probability[known_rows], truth[known_rows])
    return found


def _log_losses(probability: Floats, truth: NDArray[np.int64]) -> Floats:
    given = probability[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.clip(given, _CLIP, 1 - _CLIP)), np.float64)


def _brier_scores(probability: Floats, truth: NDArray[np.int64]) -> Floats:
    """Of two classes the squared error of one, of more the sum over all."""
    if probability.shape[1] == 2:
        return np.asarray((probability[:, 1] - truth) ** 2, np.float64)
    error = probability.copy()
    error[np.arange(len(truth)), truth] -= 1
    return np.asarray((error**2).sum(axis=1), np.float64)


def _probabilistic(scored: Scored) -> dict[str, Measured]:
    truth = codes_of(scored.truth, scored.classes)
    rows = np.flatnonzero(truth >= 0)
    n = len(rows)
    if scored.probability is None or not n:
        return {name: Measured(value=None, n=0) for name in ("log_loss", "brier", "auc", "ece")}
    probability, truth, weight = scored.probability[rows], truth[rows], scored.weight[rows]
    area = macro_area(probability, truth, weight)
    found = {
        "log_loss": _mean(_log_losses(probability, truth), weight),
        "brier": _mean(_brier_scores(probability, truth), weight),
        "auc": Measured(value=None, n=n)
        if area is None
        else _measured(area.value, area_interval(area), n, area.within),
    }
    error = calibration_error(scored.take(rows))
    if error is not None:
        found["ece"] = _measured(error[0], error[1], n)
    return found


def _regression(scored: Scored) -> dict[str, Measured]:
    weight, error = scored.weight, _errors(scored)
    square = _mean(error**2, weight)
    return {
        "mae": _mean(np.abs(error), weight),
        "rmse": Measured(
            value=_root(square.value), low=_root(square.low), high=_root(square.high), n=square.n
        ),
        "bias": _mean(error, weight),
        "r2": _determination(scored, error),
    }


def _determination(scored: Scored, error: Floats) -> Measured:
    """R², with the interval of ``ln(1 - R²)`` by the delta method."""
    n = len(error)
    truth, weight = np.asarray(scored.truth, np.float64), scored.weight
    if n < 2:
        return Measured(value=None, n=n)
    deviation = (truth - mean_of(truth, weight)) ** 2
    unexplained, total = mean_of(error**2, weight), mean_of(deviation, weight)
    if not total:
        return Measured(value=None, n=n)
    value = 1 - unexplained / total
    if not unexplained:
        return Measured(value=value, n=n)
    ends = mean_interval(error**2 / unexplained - deviation / total, weight)
    if ends is None:
        return Measured(value=value, n=n)
    low, high = (1 - math.exp(min(side, 700.0)) * (1 - value) for side in (ends[1], ends[0]))
    return Measured(value=value, low=low, high=high, n=n)


def _errors(scored: Scored) -> Floats:
    """Prediction less outcome: positive where the model predicts too much."""
    return np.asarray(scored.predicted, np.float64) - np.asarray(scored.truth, np.float64)


def _mean(values: Floats, weight: Floats) -> Measured:
    n = len(values)
    if not n:
        return Measured(value=None, n=0)
    return _measured(mean_of(values, weight), mean_interval(values, weight), n)


def _share(values: Floats, weight: Floats) -> Measured:
    n = len(values)
    if not n:
        return Measured(value=None, n=0)
    share = mean_of(values, weight)
    return _measured(share, share_interval(share, effective_rows(values, weight)), n)


def _measured(value: float, ends: Interval, n: int, within: float = 0.0) -> Measured:
    low, high = ends if ends is not None else (None, None)
    return Measured(value=value, low=low, high=high, n=n, within=within)


def _root(value: float | None) -> float | None:
    return None if value is None else math.sqrt(max(0.0, value))
