"""What a comparison says in words: which version is better, or what it takes to find out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from neuralstream_core.outcomes.metrics import METRICS
from neuralstream_core.outcomes.sequences import LEAST
from neuralstream_core.time import Micros, to_micros

if TYPE_CHECKING:
    from neuralstream_core.outcomes.answers import TrafficCheck, VersionComparison

__all__ = ["comparison_sentence", "verdict"]

_HOUR: Final[Micros] = 3600 * 1_000_000


def comparison_sentence(
    told: VersionComparison, base: str, mean: float, base_mean: float, now: Micros
) -> str:
    """One comparison.

    Args:
        told: all of it but the sentence.
        mean, base_mean: of the losses: of ``rmse`` they are squared errors.
    """
    metric = METRICS[told.metric]
    words = "mean squared error" if told.metric == "rmse" else metric.words
    facts = f"{words} {mean:.4g} against {base_mean:.4g}"
    if told.low is None or told.high is None:
        return (
            f"{told.version}: {facts} of {base}; too few outcomes to compare"
            f" (each version needs {LEAST} entities with one)."
        )
    facts += f", a difference of {told.value:+.3g} ({told.low:+.3g} to {told.high:+.3g})"
    if told.better is not None:
        return f"{told.version} is {'better' if told.better else 'worse'} than {base}: {facts}."
    return f"{told.version} and {base} are not shown to differ: {facts}. {_plan(told, now)}"


def verdict(
    primary: Sequence[VersionComparison],
    base: str,
    metric: str,
    challengers: Sequence[str],
    traffic: TrafficCheck | None,
) -> str:
    """The comparison as a whole, in a sentence or two.

    Args:
        primary: comparisons by ``metric``, at most one of each version.
        base: the version in production.
        challengers: the other versions.
    """
    words = METRICS[metric].words
    if traffic is not None and traffic.mismatch:
        return (
            f"The traffic does not follow the split (p = {traffic.p:.2g}), so the versions are not"
            " comparable: look for what routes or loses requests of one of them first."
        )
    better = [each for each in primary if each.better]
    worse = [each.version for each in primary if each.better is False]
    if better:
        direction = METRICS[metric].better == "higher"
        best = max(better, key=lambda each: each.value if direction else -each.value)
        return f"{best.sentence} It can be promoted."
    if worse and len(worse) == len(challengers):
        said = " and ".join(worse)
        return f"{said} {'is' if len(worse) == 1 else 'are'} worse than {base} by {words}: end the split."
    if not primary:
        return f"No version beside {base} can be compared by {words} yet: outcomes are missing."
    told = " ".join(each.sentence for each in primary if each.better is None)
    more = f" {' and '.join(worse)} is worse." if worse else ""
    return f"{told}{more}"


def _plan(told: VersionComparison, now: Micros) -> str:
    """What would have been found by now, and when more will be."""
    by_now = ""
    if told.detectable is not None:
        by_now = f"A difference of {told.detectable:.3g} would have been found by now"
    if told.needed is None:
        return by_now + "." if by_now else ""
    missing = told.needed - told.entities
    if missing <= 0:
        return f"{by_now}."
    soon = "" if told.ready_at is None else f", {_span(to_micros(told.ready_at) - now)} as it goes"
    return (
        f"{by_now}; one of {told.effect:.3g} takes {missing:,} more entities with an outcome{soon}."
    )


def _span(length: Micros) -> str:
    hours = length / _HOUR
    if hours < 48:
        return f"about {max(1, round(hours))} hour{'s' if round(hours) > 1 else ''}"
    return f"about {round(hours / 24)} days"
