"""Whether a version predicts worse than it did: the outcomes of a window against those of a baseline window.

As a drifted series (`neuralstream_core.monitoring.decision`), a decline must be large enough to matter and
too large for chance, at a level from the same budget of false alarms. Right and wrong predictions are
compared by Fisher's exact test. Other losses are compared by their means, the variance of each side taken no
smaller than that of both: the normal test without that raises up to twelve times the intended false alarms
for skewed losses, where the baseline has fewer rows than the window (docs/decisions/0024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from neuralstream_core.monitoring.decision import MIN_SAMPLES, DriftStatus, graded
from neuralstream_core.monitoring.statistics import fisher_greater
from neuralstream_core.outcomes.intervals import effective_rows, mean_of, normal_tail
from neuralstream_core.outcomes.metrics import METRICS, losses
from neuralstream_core.outcomes.sentences import decline_sentence
from neuralstream_core.outcomes.sequences import arm_of, compare

if TYPE_CHECKING:
    from neuralstream_core.outcomes.scored import Floats, Kind, Scored

__all__ = ["TESTED", "Decline", "declines"]

TESTED: Final[Mapping[Kind, tuple[str, ...]]] = {
    "classifier": ("accuracy", "log_loss"),
    "regressor": ("mae",),
}
"""What is tested of a version in each window; `declines` counts against the budget with as many tests."""
_POINTS: Final = (0.02, 0.05)
"""Of accuracy: a fall that is a warning, and one that is drift."""
_SHARES: Final = (0.1, 0.25)
"""Of another measure: rises, as shares of its baseline."""


@dataclass(frozen=True, slots=True)
class Decline:
    """One measure of a version in a window.

    Attributes:
        reference, current: the measure on both sides; ``None``: no outcomes.
        n_reference, n_current: outcomes.
        p: the probability of so large a decline by chance; ``None``: not tested.
    """

    metric: str
    status: DriftStatus
    reference: float | None
    current: float | None
    n_reference: int
    n_current: int
    p: float | None
    sentence: str


def declines(reference: Scored, current: Scored, alpha: float) -> list[Decline]:
    """Judge a window of a version, one measure after another; without probabilities there is no log loss.

    Args:
        reference: the baseline window.
        alpha: level of each test.

    Raises:
        ValueError: they are of different kinds of models.
    """
    if reference.kind != current.kind:
        raise ValueError("a classifier and a regressor cannot be compared")
    names = TESTED[current.kind]
    if reference.probability is None or current.probability is None:
        names = tuple(name for name in names if name != "log_loss")
    return [_decline(name, reference, current, alpha) for name in names]


def _decline(name: str, reference: Scored, current: Scored, alpha: float) -> Decline:
    before, now = losses(reference, name), losses(current, name)
    base, arm = arm_of(before, reference.weight), arm_of(now, current.weight)
    n, m, metric = arm.n, base.n, METRICS[name]
    if min(n, m) < MIN_SAMPLES:
        return Decline(
            metric=name,
            status=DriftStatus.INSUFFICIENT_DATA,
            reference=base.mean if m else None,
            current=arm.mean if n else None,
            n_reference=m,
            n_current=n,
            p=None,
            sentence=f"{metric.words}: {min(n, m):,} outcomes are too few to judge, {MIN_SAMPLES} needed",
        )
    if name == "accuracy":
        p = _fisher(1 - now, current.weight, 1 - before, reference.weight)
        status = graded(base.mean - arm.mean if p < alpha else 0.0, *_POINTS)
    else:
        seen = compare(arm, base)
        p = normal_tail(seen.value / seen.error) if seen.error else 1.0
        rise = seen.value / base.mean if base.mean > 0 else float(seen.value > 0)
        status = graded(rise if p < alpha else 0.0, *_SHARES)
    worse = status is not DriftStatus.OK
    told = decline_sentence(metric, base.mean, arm.mean, n, worse=worse)
    return Decline(name, status, base.mean, arm.mean, m, n, p, told)


def _fisher(now: Floats, weight: Floats, before: Floats, reference_weight: Floats) -> float:
    """Of shares of wrong predictions; weighted rows as the equally weighted ones that would tell as much."""
    sides = []
    for values, weights in ((now, weight), (before, reference_weight)):
        n = max(1, round(min(effective_rows(values, weights), len(values))))
        sides += [round(mean_of(values, weights) * n), n]
    return fisher_greater(*sides)
