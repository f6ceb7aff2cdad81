"""Confidence intervals of one look: of means, shares, and values between 0 and 1.

Rows carry weights, so variances are those of a ratio of sums, ``Σwx / Σw`` (Cochran 1977, §6.3).
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from neuralstream_core.outcomes.scored import Floats

__all__ = [
    "LEVEL",
    "Interval",
    "effective_rows",
    "logit_interval",
    "mean_interval",
    "mean_of",
    "normal_quantile",
    "normal_tail",
    "share_interval",
    "t_quantile",
]

LEVEL: Final = 0.95
"""Of the intervals of a single look."""
Interval: TypeAlias = tuple[float, float] | None
"""The ends, or ``None`` where the rows do not tell."""
_STANDARD: Final = NormalDist()


@lru_cache(maxsize=256)
def normal_quantile(p: float) -> float:
    """The ``z`` with ``P(Z < z) = p`` of a standard normal variable, ``0 < p < 1``."""
    return _STANDARD.inv_cdf(p)


def normal_tail(z: float) -> float:
    """``P(Z > z)``, exact far out too."""
    return math.erfc(z / math.sqrt(2)) / 2


@lru_cache(maxsize=4096)
def t_quantile(p: float, df: int) -> float:
    """The quantile of Student's t, by the expansion of Abramowitz and Stegun 26.7.5 in ``1/df``.

    Within 0.1 % of ``scipy.stats.t.ppf`` for ``df >= 10`` and ``0.001 <= p <= 0.999``.
    """
    z = normal_quantile(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / df**power for power, term in enumerate(terms, start=1))


def mean_of(values: Floats, weight: Floats) -> float:
    """``Σwx / Σw``; the weights' sum must be positive."""
    return float(values @ weight / weight.sum())


def mean_interval(values: Floats, weight: Floats) -> Interval:
    """The interval of a mean, corrected for skewness.

    Hall's transformation of the t statistic (Hall 1992, *On the removal of skewness by transformation*):
    squared errors and log losses are so skewed that the plain interval of 300 rows covers 92 % instead of 95.

    Args:
        values, weight: ``(n,)``; ``None`` is returned for fewer than two rows.
    """
    n = len(values)
    if n < 2:
        return None
    mean = mean_of(values, weight)
    parts = weight * (values - mean) * (n / weight.sum())
    variance = float(parts @ parts) / (n - 1)
    if variance <= 0:
        return mean, mean
    skew = float(np.mean(parts**3)) / (variance * (n - 1) / n) ** 1.5 / math.sqrt(n)
    error = math.sqrt(variance / n)
    z = t_quantile((1 + LEVEL) / 2, n - 1)
    return mean - error * _straightened(z, skew), mean - error * _straightened(-z, skew)


def _straightened(y: float, skew: float) -> float:
    """The t statistic whose Hall transform is ``y``.

    Args:
        skew: the values' skewness over ``√n``.
    """
    if abs(skew) < 1e-9:
        return y
    inner = 1 + skew * (y - skew / 6)
    return float(3 / skew * (np.cbrt(inner) - 1))


def effective_rows(values: Floats, weight: Floats) -> float:
    """How many equally weighted rows would tell a share as exactly as these do.

    Args:
        values: ``(n,)``, each 0 or 1.
    """
    share, total = mean_of(values, weight), weight.sum()
    variance = float(((weight * (values - share)) ** 2).sum() / total**2)
    if variance <= 0:
        return float(total**2 / (weight @ weight))
    return share * (1 - share) / variance


def share_interval(share: float, n: float) -> Interval:
    """Wilson's interval of a share of ``n`` rows (Wilson 1927; ``scipy.stats.binomtest``, ``wilson``)."""
    if n <= 0:
        return None
    z2 = normal_quantile((1 + LEVEL) / 2) ** 2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def logit_interval(value: float, error: float) -> Interval:
    """An interval inside (0, 1), by the delta method on the scale of ``ln(x / (1-x))``.

    Args:
        value: strictly between 0 and 1.
        error: its standard error.
    """
    centre = math.log(value / (1 - value))
    half = normal_quantile((1 + LEVEL) / 2) * error / (value * (1 - value))
    return _logistic(centre - half), _logistic(centre + half)


def _logistic(x: float) -> float:
    return (1 + math.tanh(x / 2)) / 2
