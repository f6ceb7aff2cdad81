"""The area under the ROC curve, its interval, and its bound where it is taken from bins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from neuralstream_core.outcomes.intervals import LEVEL, Interval, logit_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.outcomes.scored import Floats

__all__ = ["EXACT_ROWS", "Area", "area_interval", "area_under_roc", "macro_area"]

EXACT_ROWS: Final = 1_000_000
"""Up to so many rows by exact ranks; beyond, probabilities are equal where they fall into one bin."""
_BINS: Final = 1 << 16


class Area(NamedTuple):
    """The area under the ROC curve.

    Attributes:
        value: 0 to 1.
        within: by how much the area of the exact probabilities may differ; 0 from exact ranks.
        influence: float64 ``(n,)``, each row's part of the error: its squares add up to the variance
            (DeLong, DeLong and Clarke-Pearson 1988).
        pairs: rows of the rarer side, in equally weighted rows.
    """

    value: float
    within: float
    influence: Floats
    pairs: float


def area_under_roc(
    score: Floats, positive: NDArray[np.bool_], weight: Floats, exact_rows: int = EXACT_ROWS
) -> Area | None:
    """The probability that a positive row has a higher score than a negative one, ties counting half.

    As ``sklearn.metrics.roc_auc_score``; ``None`` where one side has no rows.

    Args:
        score: ``(n,)``, of more than ``exact_rows`` rows within [0, 1].
    """
    total_positive = float(weight[positive].sum())
    total_negative = float(weight[~positive].sum())
    if not total_positive or not total_negative:
        return None
    if len(score) > exact_rows:
        place = np.minimum((score * _BINS).astype(np.int64), _BINS - 1)
        size = _BINS
    else:
        values, place = np.unique(score, return_inverse=True)
        size = len(values)
    p = np.bincount(place, np.where(positive, weight, 0.0), size) / total_positive
    q = np.bincount(place, np.where(positive, 0.0, weight), size) / total_negative
    below = np.cumsum(q) - q / 2
    above = 1 - (np.cumsum(p) - p / 2)
    value = float(p @ below)
    influence = np.where(
        positive,
        weight * (below[place] - value) / total_positive,
        weight * (above[place] - value) / total_negative,
    )
    within = float(p @ q) / 2 if size == _BINS and len(score) > exact_rows else 0.0
    pairs = min(_kish(weight[positive]), _kish(weight[~positive]))
    return Area(min(1.0, max(0.0, value)), within, influence, pairs)


def macro_area(
    probability: Floats,
    truth: NDArray[np.int64],
    weight: Floats,
) -> Area | None:
    """Of two classes the area for the second; of more the mean over classes, each against all others.

    As ``roc_auc_score(…, multi_class="ovr", average="macro")``, of the classes that some rows have and
    others have not; ``None`` where there is none.

    Args:
        probability: ``(n, k)``.
        truth: ``(n,)``, places of classes.
    """
    k = probability.shape[1]
    found = [
        area_under_roc(probability[:, c], truth == c, weight) for c in (range(k) if k > 2 else (1,))
    ]
    areas = [area for area in found if area is not None]
    if not areas:
        return None
    return Area(
        value=sum(area.value for area in areas) / len(areas),
        within=sum(area.within for area in areas) / len(areas),
        influence=sum((area.influence for area in areas), np.zeros(len(truth))) / len(areas),
        pairs=min(area.pairs for area in areas),
    )


def area_interval(area: Area) -> Interval:
    """DeLong's interval on the logit scale.

    Where the scores separate the classes without an error there is no variance to measure: then the bound is
    of as many disjoint pairs as the rarer class has rows, each of which was in order (Clopper-Pearson).
    """
    if area.pairs < 2:
        return None
    error = math.sqrt(float(area.influence @ area.influence))
    if 0 < area.value < 1 and error > 0:
        return logit_interval(area.value, error)
    bound = ((1 - LEVEL) / 2) ** (1 / area.pairs)
    if area.value >= 1:
        return bound, 1.0
    return (0.0, 1 - bound) if area.value <= 0 else None


def _kish(weight: Floats) -> float:
    return float(weight.sum() ** 2 / (weight @ weight))
