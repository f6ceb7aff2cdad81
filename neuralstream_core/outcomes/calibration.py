"""Whether probabilities mean what they say: of rows with 0.8, did eight in ten turn out so?"""

from __future__ import annotations

from collections.abc import Callable
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
_DRAWS: Final = 2000
_SEED: Final = 17
_HALVINGS: Final = 12


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
    counts = np.bincount(place, minlength=_BINS)
    by_bin = np.argsort(
        place.astype(np.int8), kind="stable"
    )  # of one byte: by counting, not comparing
    found = []
    for b, rows in enumerate(np.split(by_bin, np.cumsum(counts)[:-1])):
        if not len(rows):
            continue
        truth, weights = came_true[rows], weight[rows]
        observed = mean_of(truth, weights)
        ends = share_interval(observed, effective_rows(truth, weights))
        found.append(
            CalibrationBin(
                low=b / _BINS,
                high=(b + 1) / _BINS,
                n=len(rows),
                predicted=mean_of(probability[rows], weights),
                observed=observed,
                observed_low=None if ends is None else ends[0],
                observed_high=None if ends is None else ends[1],
            )
        )
    return found


def calibration_error(scored: Scored) -> tuple[float, Interval] | None:
    """The expected calibration error of the bins and its interval; ``None`` without probabilities.

    ``Σ_b (n_b/n)·|observed_b − predicted_b|`` (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017).
    """
    claims = _claims(scored)
    if claims is None or not len(claims[0]):
        return None
    probability, came_true, weight = claims
    place, n = _places(probability), len(probability)
    gaps = weight * (came_true - probability) / weight.sum()
    off = np.asarray(np.bincount(place, gaps, _BINS), np.float64)
    value = float(np.abs(off).sum())
    variance = np.bincount(place, gaps**2, _BINS) - off**2 / n
    if n < 2 or not (variance > 0).any():
        return value, None
    return value, _error_interval(off, np.maximum(variance, 0.0), 1 - LEVEL)


def _error_interval(off: Floats, variance: Floats, miss: float) -> tuple[float, float]:
    """Every true error that would not make the measured one a surprise.

    A sum of absolute values is too high by its noise, most of all where the true error is 0, so no normal
    interval around it covers. Supposed is a true error θ that is spread over the bins as the measured one is,
    each bin's part being no smaller than half its noise; what would then be measured is drawn. Where ``miss``
    is not used up below, the rest is used above, so that also a calibrated model's interval misses as often
    as it says. The measured value is always inside.

    Args:
        off, variance: ``(bins,)``, observed less predicted share of all rows, and its variance.
    """
    value, noise = float(np.abs(off).sum()), np.sqrt(variance)
    shape = np.sqrt(off**2 + variance / 2)
    shape /= shape.sum()
    errors = noise * np.random.default_rng(_SEED).standard_normal((_DRAWS, len(noise)))

    def measured_if(error: float) -> Floats:
        return np.asarray(np.sort(np.abs(error * shape + errors).sum(axis=1)), np.float64)

    def not_too_high(error: float) -> bool:
        return value >= min(float(measured_if(error)[int(_DRAWS * miss / 2)]), error)

    def not_too_low(error: float) -> bool:
        drawn = measured_if(error)
        missed = min(miss / 2, float(np.searchsorted(drawn, error)) / _DRAWS)
        return value <= float(drawn[min(_DRAWS - 1, int(_DRAWS * (1 - miss + missed)))])

    reach = 4 * float(np.sqrt(variance.sum()))
    high = _last(not_too_high, value, value + reach)
    low = 0.0 if not_too_low(0.0) else _last(not_too_low, value, 0.0)
    return low, min(1.0, high)


def _last(holds: Callable[[float], bool], near: float, far: float) -> float:
    """The last value on the way from ``near``, for which it holds, to ``far``, by bisection."""
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        if holds(middle):
            near = middle
        else:
            far = middle
    return near


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
