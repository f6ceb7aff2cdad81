"""The rows of one version on their way through a prediction in columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neuralstream_core.features.rows import CellStatus
from neuralstream_core.runtimes import Predictions
from neuralstream_core.serving.apart import infer_apart
from neuralstream_core.serving.cells import RowError
from neuralstream_core.serving.deadline import Deadline
from neuralstream_core.serving.outcomes import Answers, not_finite
from neuralstream_core.serving.plan import Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Group", "infer"]


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


def infer(group: Group, errors: dict[int, RowError], deadline: Deadline) -> None:
    """Ask the model about the rows of ``good``; rows it has no answer for are added to ``errors``."""
    plan, good = group.plan, group.good
    if not len(good):
        return
    everything = len(good) == len(group.rows)
    columns = group.columns if everything else [column[good] for column in group.columns]
    status = group.status if everything else group.status[good]
    nulls = np.array([fill == (None,) for fill in plan.fill], np.bool_)
    missing = (status != CellStatus.PRESENT) & nulls
    inputs = plan.bound.columns(columns, missing if missing.any() else None)

    def run(part: Mapping[str, np.ndarray], seconds: float) -> Predictions:
        return plan.reader.run(plan.runtime, part, len(next(iter(part.values()))), seconds)

    predictions, failed = infer_apart(run, inputs, deadline)
    if failed:
        for at, refused in failed.items():
            errors[int(group.rows[good[at]])] = RowError(refused.code, refused.detail)
        good = group.good = np.delete(good, list(failed))
    if predictions is None:
        return
    group.answers = answers = plan.reader.many(predictions)
    if not answers.good.all():
        bad = not_finite()
        for at in np.flatnonzero(~answers.good).tolist():
            errors[int(group.rows[good[at]])] = RowError(bad.code, bad.detail)
