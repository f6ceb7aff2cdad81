"""Where a version is wrong most: its measures by the values of one of its features."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from pydantic import Field

from neuralstream_core.outcomes.intervals import normal_quantile
from neuralstream_core.outcomes.metrics import METRICS, Measured, losses, measure
from neuralstream_core.outcomes.sequences import arm_of, compare
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.outcomes.metrics import Metric
    from neuralstream_core.outcomes.scored import Scored

__all__ = ["MIN_ROWS", "Slice", "Value", "slices_of"]

Value: TypeAlias = float | int | bool | str | None

MIN_ROWS: Final = 30
"""Rows that a slice needs to be shown."""
_BINS: Final = 10
_CATEGORIES: Final = 20
_MISSING: Final = "no value"
_OTHER: Final = "any other value"
_LEVEL: Final = 0.05


class Slice(Record):
    """The predictions for which a feature had certain values."""

    values: str = Field(description="the feature's values: one, or a range of numbers")
    n: int = Field(description="predictions with an outcome that are measured")
    share: float = Field(description="their share of all measured predictions, 0 to 1")
    measured: Measured = Field(description="the measure that was asked for, of these predictions")
    worse: bool = Field(
        description="worse than the rest, at 5 % for all slices together; always false for a measure that is"
        " no mean (auc, ece, r2)"
    )


def slices_of(
    scored: Scored, values: Sequence[Value], metric: str, *, least: int = MIN_ROWS
) -> list[Slice]:
    """The slices of enough rows, the worst first.

    Numbers of more than ten distinct values are cut into tenths, text into its twenty most frequent values
    and the rest; rows without a value are a slice of their own.

    Args:
        values: of the feature, ``n`` of them.
        least: rows that a slice needs.

    Raises:
        ValueError: not a measure of such a model, or not as many values as rows.
    """
    known = METRICS.get(metric)
    if known is None or known.kind != scored.kind:
        raise ValueError(f"{metric} is no measure of a {scored.kind}")
    if len(values) != len(scored):
        raise ValueError("as many values as rows are needed")
    labels, place = _groups(values)
    total = float(scored.weight.sum())
    sizes = np.bincount(place, minlength=len(labels))
    shown = [number for number in range(len(labels)) if sizes[number] >= least]
    found: list[Slice] = []
    for number in shown:
        rows = place == number
        measured = measure(scored.take(rows)).get(metric)
        if measured is None or measured.value is None:
            continue
        found.append(
            Slice(
                values=labels[number],
                n=measured.n,
                share=float(scored.weight[rows].sum()) / total,
                measured=measured,
                worse=known.mean and _worse(scored, rows, known, len(shown)),
            )
        )
    return sorted(found, key=lambda one: _goodness(known, one.measured.value or 0.0))


def _goodness(metric: Metric, value: float) -> float:
    """Larger is better."""
    return {"higher": value, "lower": -value, "zero": -abs(value)}[metric.better]


def _worse(scored: Scored, rows: NDArray[np.bool_], metric: Metric, tests: int) -> bool:
    """Whether the mean of some rows is worse than that of the others, by more than chance."""
    every = losses(scored, metric.name)
    arm = arm_of(every[rows], scored.weight[rows])
    rest = arm_of(every[~rows], scored.weight[~rows])
    if not arm.n or not rest.n:
        return False
    seen = compare(arm, rest)
    if not seen.error:
        return False
    z = seen.value / seen.error
    if metric.better == "zero":
        away = abs(arm.mean) > abs(rest.mean)
        return away and abs(z) > normal_quantile(1 - _LEVEL / tests / 2)
    return (-z if metric.better == "higher" else z) > normal_quantile(1 - _LEVEL / tests)


def _groups(values: Sequence[Value]) -> tuple[list[str], NDArray[np.int64]]:
    """Labels of the groups, and the place of each row's group among them."""
    present = [value for value in values if _there(value)]
    if present and all(isinstance(v, int | float) and not isinstance(v, bool) for v in present):
        numbers = np.array([v if _there(v) else math.nan for v in values], np.float64)
        if len(np.unique(numbers[~np.isnan(numbers)])) > _BINS:
            return _ranges(numbers)
    texts = [_text(value) for value in values]
    counts = Counter(texts)
    counts.pop(_MISSING, None)
    kept = [text for text, _ in counts.most_common(_CATEGORIES)]
    labels = [*kept, _OTHER, _MISSING]
    places = {label: number for number, label in enumerate(labels)}
    other = places[_OTHER]
    return labels, np.array([places.get(text, other) for text in texts], np.int64)


def _ranges(numbers: NDArray[np.float64]) -> tuple[list[str], NDArray[np.int64]]:
    """Tenths of the numbers that are there; equal numbers are in one."""
    missing = np.isnan(numbers)
    cuts = np.unique(
        np.quantile(numbers[~missing], np.arange(1, _BINS) / _BINS, method="inverted_cdf")
    )
    distinct = np.unique(numbers[~missing])
    cuts = cuts[cuts > distinct[0]] if cuts[-1] > distinct[0] else distinct[1:2]
    place = np.searchsorted(cuts, numbers, side="right")
    place[missing] = len(cuts) + 1
    edges = [f"{cut:.6g}" for cut in cuts.tolist()]
    middle = [f"{a} to below {b}" for a, b in pairwise(edges)]
    return [f"below {edges[0]}", *middle, f"{edges[-1]} or more", _MISSING], place


def _there(value: Value) -> bool:
    return value is not None and value == value


def _text(value: Value) -> str:
    if not _there(value):
        return _MISSING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
