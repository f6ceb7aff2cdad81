"""Versions of a split compared by their outcomes, with intervals that hold at every look.

Only answered predictions for an entity take part: without one there is no split. An entity counts once, with
the mean of its outcomes, as its predictions are no independent tries. While weights change, as on a ramp, the
outcomes of the version that is compared with are weighted so that each phase has the same part in both means:
else a change over time would look like one between versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from neuralstream_core.outcomes.metrics import METRICS, Metric, losses
from neuralstream_core.outcomes.power import detectable, needed
from neuralstream_core.outcomes.sequences import Arm, Difference, arm_of, compare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.outcomes.scored import Floats, Scored
    from neuralstream_core.registry.trail import Phase

__all__ = ["COMPARABLE", "Compared", "Routed", "compared", "default_effect"]

COMPARABLE: Final = tuple(
    name for name, metric in METRICS.items() if metric.mean and metric.better != "zero"
)
"""Measures by which versions are compared."""
_POINTS: Final = 0.02
_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Routed:
    """Scored predictions of one version of a split.

    Attributes:
        scored: of ``n`` predictions.
        entity: ``(n,)``, a number for each entity.
    """

    scored: Scored
    entity: NDArray[np.uint64]


class Compared(NamedTuple):
    """A version against the one in production, by one measure.

    Attributes:
        seen: the difference of the means of the losses.
        arm, base: their means over entities.
        detectable: difference that by now would have been found with 90 %.
        effect: difference that ``needed`` is for.
        needed: entities of both versions that it takes, also in total.
    """

    metric: Metric
    seen: Difference
    arm: Arm
    base: Arm
    detectable: float | None
    effect: float
    needed: int | None

    @property
    def better(self) -> bool | None:
        """Whether the version is better; ``None``: that is not shown."""
        if not self.seen.shown:
            return None
        return (self.seen.value > 0) == (self.metric.better == "higher")


def default_effect(metric: Metric, base: Arm) -> float:
    """The difference that a plan is made for: two points of a share, else 5 % of what production has."""
    return _POINTS if metric.name == "accuracy" else _SHARE * abs(base.mean)


def compared(
    version: Routed,
    base: Routed,
    phases: Sequence[Phase],
    metric: str,
    alpha: float,
    effect: float | None = None,
) -> Compared | None:
    """Compare two versions; ``None`` where one has no outcome by which that is possible.

    Args:
        phases: those in which both had a share of the traffic, in order.
        alpha: probability of a wrong interval at any look.
        effect: see `Compared`; `default_effect` unless given.
    """
    if version.scored.kind != base.scored.kind or METRICS[metric].kind != base.scored.kind:
        return None
    try:
        own, other = losses(version.scored, metric), losses(base.scored, metric)
    except ValueError:  # one of them gives no probabilities
        return None
    own_weight, other_weight = version.scored.weight.copy(), base.scored.weight.copy()
    own_weight[np.isnan(own)] = 0
    other_weight[np.isnan(other)] = 0
    places = _places(version.scored.at, phases), _places(base.scored.at, phases)
    _equalise(places, (own_weight, other_weight), len(phases))
    arm = _by_entity(own, own_weight, version.entity)
    rest = _by_entity(other, other_weight, base.entity)
    if not arm.n or not rest.n:
        return None
    seen = compare(arm, rest, alpha)
    size = default_effect(METRICS[metric], rest) if effect is None else effect
    return Compared(
        METRICS[metric],
        seen,
        arm,
        rest,
        detectable(seen, alpha),
        size,
        needed(seen, size, alpha) if size else None,
    )


def _places(at: NDArray[np.int64], phases: Sequence[Phase]) -> NDArray[np.int64]:
    """The phase of each prediction, -1 outside of them."""
    found = np.full(len(at), -1)
    for place, phase in enumerate(phases):
        inside = at >= phase.start
        if phase.end is not None:
            inside &= at < phase.end
        found[inside] = place
    return found


def _equalise(
    places: tuple[NDArray[np.int64], NDArray[np.int64]],
    weights: tuple[Floats, Floats],
    phases: int,
) -> None:
    """Change weights so that each phase has the same part in both sums; what only one has is left out."""
    own, other = weights
    for place, weight in zip(places, weights, strict=True):
        weight[place < 0] = 0
    totals = [
        np.bincount(np.maximum(place, 0), weight, phases)
        for place, weight in zip(places, weights, strict=True)
    ]
    for number in range(phases):
        mine, theirs = totals[0][number], totals[1][number]
        if not mine or not theirs:
            own[places[0] == number] = 0
            other[places[1] == number] = 0
        elif phases > 1:
            other[places[1] == number] *= mine / theirs


def _by_entity(values: Floats, weight: Floats, entity: NDArray[np.uint64]) -> Arm:
    """What is known of the losses, an entity being one observation: its mean, with the weight of all of its
    predictions. The variance of this mean of means is that of a sample of clusters."""
    used = weight > 0
    values, weight = values[used], weight[used]
    _, place = np.unique(entity[used], return_inverse=True)
    total = np.bincount(place, weight).astype(np.float64)
    return arm_of(np.bincount(place, weight * values) / total, total)
