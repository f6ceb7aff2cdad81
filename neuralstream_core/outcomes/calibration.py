"""Whether probabilities mean what they say: of rows with 0.8, did eight in ten turn out so?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import Field

from neuralstream_core.outcomes.intervals import (
    LEVEL,
    Interval,
    effective_rows,
    mean_of,
    share_interval,
)
from neuralstream_core.outcomes.scored import codes_of
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.outcomes.scored import Floats, Scored

__all__ = ["CalibrationBin", "calibration", "calibration_error"]

_BINS: Final = 10
_DRAWS: Final = 4000
_SEED: Final = 17


class CalibrationBin(Record):
    """The rows whose probability lies in one tenth of the range."""

    low: float = Field(description="lower end, itself part of the bin of 0 only")
    high: float = Field(description="upper end, itself part of the bin")
    n: int = Field(description="predictions with an outcome")
    predicted: float = Field(description="mean probability")
    observed: float = Field(description="share that turned out so")
    observed_low: float | None = Field(description="95 % confidence interval of it")
    observed_high: float | None = Field(description="upper end")


def calibration(scored: Scored) -> list[CalibrationBin]:
    """The bins that have rows, by rising probability; empty for a version without probabilities.

    Of two classes the probability is that of the second; of more it is the highest, and what is observed is
    whether that class came true. The bins are those of ``sklearn.calibration.calibration_curve``.
    """
    claims = _claims(scored)
    if claims is None:
        return []
    probability, came_true, weight = claims
    place = _places(probability)
    found = []
    for b in np.unique(place).tolist():
        rows = place == b
        observed = mean_of(came_true[rows], weight[rows])
        ends = share_interval(observed, effective_rows(came_true[rows], weight[rows]))
        found.append(
            CalibrationBin(
                low=b / _BINS,
                high=(b + 1) / _BINS,
                n=int(rows.sum()),
                predicted=mean_of(probability[rows], weight[rows]),
                observed=observed,
                observed_low=None if ends is None else ends[0],
                observed_high=None if ends is None else ends[1],
            )
        )
    return found


def calibration_error(scored: Scored, level: float = LEVEL) -> tuple[float, Interval] | None:
    """The expected calibration error of the bins and its interval; ``None`` without probabilities.

    ``Σ_b (n_b/n)·|observed_b − predicted_b|`` (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017). An
    absolute value has no derivative at 0, where a calibrated model is, so the interval is by the estimated
    directional derivative (Fang and Santos 2019): the error of a bin that is not clearly off counts with
    its size, that of one that is, with its sign.
    """
    claims = _claims(scored)
    if claims is None or not len(claims[0]):
        return None
    probability, came_true, weight = claims
    place, n = _places(probability), len(probability)
    gaps = weight * (came_true - probability) / weight.sum()
    off = np.bincount(place, gaps, _BINS)
    value = float(np.abs(off).sum())
    if n < 2:
        return value, None
    spread = np.bincount(place, gaps**2, _BINS) - off**2 / n
    used = spread > 0
    if not used.any():
        return value, None
    errors = np.sqrt(spread[used]) * np.random.default_rng(_SEED).standard_normal(
        (_DRAWS, int(used.sum()))
    )
    clear = np.abs(off[used]) > np.sqrt(spread[used] * max(1.0, math.log(n)))
    moves = np.where(clear, np.sign(off[used]) * errors, np.abs(errors)).sum(axis=1)
    moves.sort()
    # The interval holds its value also where the value is sure to be too high.
    miss = 1 - level
    below = min(0.0, float(np.quantile(moves, miss / 2)))
    missed = float(np.searchsorted(moves, below)) / len(moves)
    above = float(np.quantile(moves, 1 - (miss - missed)))
    return value, (max(0.0, min(value, value - above)), min(1.0, value - below))


def _claims(scored: Scored) -> tuple[Floats, Floats, Floats] | None:
    """Probability, whether it came true, and weight of each row with a known class."""
    if scored.probability is None:
        return None
    truth = codes_of(scored.truth, scored.classes)
    rows = np.flatnonzero(truth >= 0)
    probability, truth = scored.probability[rows], truth[rows]
    claimed = np.ones(len(rows), np.int64)
    if probability.shape[1] > 2:
        claimed = np.argmax(probability, axis=1)
    given = probability[np.arange(len(rows)), claimed]
    return given, np.asarray(truth == claimed, np.float64), scored.weight[rows]


def _places(probability: Floats) -> NDArray[np.int64]:
    """As scikit-learn has it: a probability on an edge is in the lower bin."""
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    return np.asarray(np.searchsorted(edges[1:-1], probability), np.int64)
