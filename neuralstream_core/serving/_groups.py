"""The rows of one version on their way through a prediction in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neuralstream_core.errors import Invalid
from neuralstream_core.features.rows import Status
from neuralstream_core.serving.cells import RowError
from neuralstream_core.serving.outcomes import Answers, not_finite
from neuralstream_core.serving.plan import Plan
from neuralstream_core.serving.runtimes import Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Group", "infer"]

_OF_A_ROW: Final = frozenset({"inference_failed", "wrong_row_count"})
"""Failures of a run that may be the doing of a single row."""


@dataclass(slots=True)
class Group:
    """The rows of one version on their way through."""

    plan: Plan
    rows: NDArray[np.intp]
    columns: list[NDArray[Any]] = field(default_factory=list)
    status: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    good: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    """Positions within `rows` that reached the model and got an answer out of it."""
    answers: Answers | None = None
    """Of the rows of `good`."""


def infer(group: Group, errors: dict[int, RowError]) -> None:
    """Ask the model about the rows of ``good``; rows it has no answer for are added to ``errors``."""
    plan, good = group.plan, group.good
    if not len(good):
        return
    everything = len(good) == len(group.rows)
    columns = group.columns if everything else [column[good] for column in group.columns]
    status = group.status if everything else group.status[good]
    nulls = np.array([fill == (None,) for fill in plan.fill], np.bool_)
    missing = (status != Status.PRESENT) & nulls
    failed: dict[int, RowError] = {}
    predictions = _run(plan, columns, missing if missing.any() else None, 0, failed)
    if failed:
        for at, error in failed.items():
            errors[int(group.rows[good[at]])] = error
        keep = np.ones(len(good), np.bool_)
        keep[list(failed)] = False
        group.good = good = good[keep]
    if predictions is None:
        return
    group.answers = answers = plan.reader.many(predictions)
    if not answers.good.all():
        bad = not_finite()
        for at in np.flatnonzero(~answers.good).tolist():
            errors[int(group.rows[good[at]])] = RowError(bad.code, bad.detail)


def _run(
    plan: Plan,
    columns: Sequence[NDArray[Any]],
    missing: NDArray[np.bool_] | None,
    first: int,
    failed: dict[int, RowError],
) -> Predictions | None:
    """One run over the rows; where it fails, the same on each half, down to the rows at fault.

    Args:
        first: position of the first row, for ``failed``.
        failed: rows that the model refuses by themselves; extended.
    """
    n = len(columns[0])
    try:
        return plan.reader.run(plan.runtime, plan.bound.columns(columns, missing), n)
    except Invalid as error:
        if error.code not in _OF_A_ROW:
            raise
        if n == 1:
            failed[first] = RowError(error.code, error.detail)
            return None
    half = n // 2
    parts = [
        _run(
            plan,
            [column[part] for column in columns],
            None if missing is None else missing[part],
            first + (part.start or 0),
            failed,
        )
        for part in (slice(None, half), slice(half, None))
    ]
    answered = [part for part in parts if part is not None]
    if len(answered) < 2:
        return answered[0] if answered else None
    scores = [part.scores for part in answered if part.scores is not None]
    return Predictions(
        np.concatenate([part.values for part in answered]),
        np.concatenate(scores) if scores else None,
    )
