"""What the comparison of two versions, a slice or a decline says in words.

A sentence claims only what the intervals prove; numbers are rounded, the answers also have the exact ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neuralstream_core.monitoring.sentences import number_pair, percent_pair
from neuralstream_core.outcomes.sequences import LEAST

if TYPE_CHECKING:
    from neuralstream_core.outcomes.metrics import Metric
    from neuralstream_core.outcomes.sequences import Arm, Difference

__all__ = ["comparison_sentence", "decline_sentence", "duration", "means"]

_MINUTE: Final = 60.0
_UNITS: Final = (("day", 24 * 60 * _MINUTE), ("hour", 60 * _MINUTE), ("minute", _MINUTE))


def comparison_sentence(
    version: str,
    production: str,
    metric: Metric,
    arms: tuple[Arm, Arm],
    seen: Difference,
    *,
    effect: float,
    needed: int | None,
    seconds: float | None,
) -> str:
    """Which of two versions is better, or what it takes to know.

    Args:
        arms: of ``version`` and of ``production``.
        effect: the difference that matters, in the unit of the losses.
        needed: how many entities of both together it takes to see it, in total.
        seconds: until they have come; ``None``: not known.
    """
    arm, base = arms
    name = "mean squared error" if metric.name == "rmse" else metric.words
    fewer, at = min((arm.n, version), (base.n, production))
    if fewer < LEAST:
        return (
            f"{at} has {fewer:,} entities, too few to compare {version} with {production}: "
            f"{LEAST} needed of each."
        )
    said = f"{name} {means(metric, arm.mean, base.mean)} over {seen.n:,} entities"
    if seen.low is None or seen.high is None:
        return f"{version} and {production} are alike so far: {said}, without any variation."
    said += f", a difference of {_between(metric, seen.low, seen.high)} at any look"
    if seen.shown:
        better = (seen.value > 0) == (metric.better == "higher")
        if metric.better == "zero":
            better = abs(arm.mean) < abs(base.mean)
        return f"{version} is {'better' if better else 'worse'} than {production}: {said}."
    size = abs(effect)
    if -size < seen.low and seen.high < size:
        return (
            f"{version} and {production} differ by less than {_size(metric, size)}: {said}. "
            "There is no more to wait for."
        )
    return (
        f"No difference between {version} and {production} is shown yet: {said}."
        f"{_outlook(metric, size, seen.n, needed, seconds)}"
    )


def _outlook(metric: Metric, size: float, n: int, needed: int | None, seconds: float | None) -> str:
    if not size:
        return ""
    wanted = f" A difference of {_size(metric, size)}"
    if needed is None:
        return f"{wanted} is out of reach."
    if needed <= n:
        return f"{wanted} would have been found by now with 90 % probability."
    when = "" if seconds is None else f", {duration(seconds)} from now at the present traffic"
    return f"{wanted} would be found with 90 % probability at {needed:,} entities{when}."


def decline_sentence(metric: Metric, before: float, now: float, n: int, *, worse: bool) -> str:
    """Whether a version predicts worse than it did."""
    if metric.name == "accuracy":
        was, said = percent_pair(before, now)
    else:
        was, said = number_pair(before, now)
    verb = "fell" if now < before else "rose"
    if not worse:
        return f"{metric.words}: no notable decline, {said} after {was}, over {n:,} outcomes"
    return f"{metric.words} {verb} from {was} to {said} over {n:,} outcomes"


def means(metric: Metric, now: float, before: float) -> str:
    """Two means side by side: ``91 % against 89 %``."""
    if metric.name == "accuracy":
        was, said = percent_pair(before, now)
    else:
        was, said = number_pair(before, now)
    return f"{said} against {was}"


def duration(seconds: float) -> str:
    """A time to wait: in the largest unit of which there are two, rounded."""
    for name, length in _UNITS:
        count = round(seconds / length)
        if count >= 2:
            return f"{count:,} {name}s"
    return "a minute"


def _between(metric: Metric, low: float, high: float) -> str:
    """An interval of differences, with signs."""
    scale, unit = (100, " points") if metric.name == "accuracy" else (1, "")
    first, last = number_pair(scale * low, scale * high)
    return f"{_signed(first)} to {_signed(last)}{unit}"


def _size(metric: Metric, size: float) -> str:
    if metric.name == "accuracy":
        return f"{100 * size:.3g} points"
    return f"{size:.3g}"


def _signed(text: str) -> str:
    return text.replace("-", "−") if text.startswith("-") or text == "0" else f"+{text}"
