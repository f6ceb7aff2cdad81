"""What to make of a split: one sentence or two for all of its versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neuralstream_core.outcomes.metrics import METRICS

if TYPE_CHECKING:
    from neuralstream_core.outcomes.answers import TrafficCheck, VersionComparison

__all__ = ["verdict"]


def verdict(
    primary: Sequence[VersionComparison],
    base: str,
    metric: str,
    challengers: Sequence[str],
    traffic: TrafficCheck | None,
) -> str:
    """What the comparisons say together.

    Args:
        primary: comparisons by ``metric``, at most one of each version.
        base: the version that the others are compared with.
        challengers: the other versions.
    """
    if traffic is not None and traffic.mismatch:
        return (
            f"The traffic does not follow the split (p = {traffic.p:.2g}), so its versions cannot be"
            " compared: find out first what routes or loses requests of one of them."
        )
    if not primary:
        words = METRICS[metric].words
        return f"No version can be compared with {base} by {words} yet: outcomes are missing."
    better = [each for each in primary if each.better]
    if better:
        sign = 1 if METRICS[metric].better == "higher" else -1
        best = max(better, key=lambda each: sign * each.value)
        return f"{best.sentence} It can be promoted."
    told = " ".join(each.sentence for each in primary)
    if len([each for each in primary if each.better is False]) == len(challengers):
        return f"{told} The split can be ended."
    return told
