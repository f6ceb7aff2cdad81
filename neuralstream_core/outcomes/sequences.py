"""Comparing two versions with an interval that holds at every look.

An ordinary 95 % interval holds at one look that was planned. Who looks every hour and stops when it leaves
zero is wrong far more often (docs/decisions/0024). A confidence sequence holds at all looks together.

This one is the asymptotic sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (*Time-uniform
central limit theory and asymptotic confidence sequences*, arXiv 2103.06476), whose boundary is Robbins'
normal mixture as in Howard, Ramdas, McAuliffe and Sekhon (*Time-uniform, nonparametric, nonasymptotic
confidence sequences*, Annals of Statistics 49, 2021). With the estimated variance ``S`` of the difference
of two means::

    S = s_a²/n_a + s_b²/n_b        t = 2·(s_a² + s_b²) / S
    difference ± √S · √( (t·ρ² + 1)/(t·ρ²) · ln( (t·ρ² + 1) / α² ) )

``t`` is the information so far, in outcomes of a test with arms of equal size: then it is ``n_a + n_b``. A
difference of means is a Brownian motion in the time of its information, also while the shares of the
arms change (Jennison and Turnbull 2000, *Group Sequential Methods*, §3), as on a ramp.

The variance of an arm is taken no smaller than that of both together: a small arm without an error so far
would else be surer of itself than it can be, and 24 % of A/A tests of 1 % errors with a tenth of the traffic
were false alarms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from neuralstream_core.outcomes.intervals import mean_of

if TYPE_CHECKING:
    from neuralstream_core.outcomes.scored import Floats

__all__ = ["ALPHA", "LEAST", "Arm", "Difference", "arm_of", "around", "compare", "radius"]

ALPHA: Final = 0.05
LEAST: Final = 100
"""Outcomes that each version needs: the sequence's level is that of large samples."""
_TUNED_FOR: Final = 10_000
"""The ``t`` at which the interval is as narrow as it can be. It must not depend on what is observed; at a
tenth or ten times as many it is 26 % or 7 % wider than one tuned for that."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What is known of a version's losses.

    Attributes:
        n: outcomes.
        mean: of the losses.
        variance: so that ``variance / n`` is that of the mean.
    """

    n: int
    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A version's mean loss less that of the one it is compared with.

    Attributes:
        low, high: the always-valid interval; ``None``: too few outcomes to tell, see `LEAST`.
        error: the standard error of ``value``.
        n: outcomes of both.
        information: ``t`` of the formula above.
    """

    value: float
    low: float | None
    high: float | None
    error: float
    n: int
    information: float

    @property
    def shown(self) -> bool:
        """Whether there is a difference, at the level of the interval."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def arm_of(values: Floats, weight: Floats) -> Arm:
    """Of the losses of one version, those that are NaN left out.

    Args:
        values, weight: ``(n,)``, see `neuralstream_core.outcomes.metrics.losses`.
    """
    counted = ~np.isnan(values)
    values, weight = values[counted], weight[counted]
    n = len(values)
    if not n:
        return Arm(0, math.nan, math.nan)
    mean = mean_of(values, weight)
    parts = weight * (values - mean) * (n / weight.sum())
    return Arm(n, mean, float(parts @ parts) / max(1, n - 1))


def compare(arm: Arm, base: Arm, alpha: float = ALPHA) -> Difference:
    """The difference of two means and its always-valid interval.

    Args:
        alpha: the probability that the interval is wrong at any look at all. Who compares several versions
            with one divides it by their number.

    Raises:
        ValueError: a version without outcomes.
    """
    if not arm.n or not base.n:
        raise ValueError("a version without outcomes cannot be compared")
    value, n = arm.mean - base.mean, arm.n + base.n
    pooled = (arm.n * arm.variance + base.n * base.variance) / n
    own, other = max(arm.variance, pooled), max(base.variance, pooled)
    variance = own / arm.n + other / base.n
    if not variance:
        return Difference(value, None, None, 0.0, n, 0.0)
    error, information = math.sqrt(variance), 2 * (own + other) / variance
    if min(arm.n, base.n) < LEAST:
        return Difference(value, None, None, error, n, information)
    half = error * radius(information, alpha)
    return Difference(value, value - half, value + half, error, n, information)


def around(
    arm: Arm, alpha: float = ALPHA, least_variance: float = 0.0
) -> tuple[float, float] | None:
    """The always-valid interval of one mean; ``None``: too few outcomes, or no variance.

    Args:
        least_variance: the variance is taken no smaller. Who asks whether an accuracy is below ``b`` gives
            ``b·(1 − b)``, as losses of 0 and 1 seem without doubt as long as one of the two has not come.
    """
    variance = max(arm.variance, least_variance)
    if arm.n < LEAST or not variance:
        return None
    half = math.sqrt(variance / arm.n) * radius(arm.n, alpha)
    return arm.mean - half, arm.mean + half


def radius(information: float, alpha: float = ALPHA, tuned_for: float = _TUNED_FOR) -> float:
    """How many standard errors the interval reaches to each side.

    Args:
        information: ``t`` of the formula above, above 0.
    """
    v = information * _mixing(alpha) / tuned_for
    return math.sqrt((1 + 1 / v) * (math.log1p(v) - 2 * math.log(alpha)))


@lru_cache(maxsize=64)
def _mixing(alpha: float) -> float:
    """``t·ρ²`` at the ``t`` that the interval is tuned for.

    The radius is least where ``v = ln(1 + v) − 2·ln α`` for ``v = t·ρ²``.
    """
    v = -2 * math.log(alpha)
    for _ in range(60):
        v = math.log1p(v) - 2 * math.log(alpha)
    return v
