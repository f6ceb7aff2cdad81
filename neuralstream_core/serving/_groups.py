"""The rows of one version on their way through a prediction in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neuralstream_core.errors import Invalid
from neuralstream_core.features.rows import Status
from neuralstream_core.serving.apart import infer_apart
from neuralstream_core.serving.deadline import Deadline
from neuralstream_core.serving.plan import Plan, missing_features, not_finite, typed
from neuralstream_core.serving.runtimes import Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Group", "RowError", "answers", "blank", "fill_missing", "infer"]


class RowError(NamedTuple):
    """Why one row has no answer."""

    code: str
    detail: str


@dataclass(slots=True)
class Group:
    """The rows of one version on their way through."""

    plan: Plan
    rows: NDArray[np.intp]
    columns: list[NDArray[Any]] = field(default_factory=list)
    status: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    good: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    """Positions within `rows` that reached the model."""
    predictions: Predictions | None = None
    prediction: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    probability: NDArray[np.float64] | None = None


def blank(
    group: Group,
    overrides: Mapping[str, Sequence[Any] | np.ndarray],
    feature_view: str | None,
    errors: dict[int, RowError],
) -> None:
    """Columns of nothing but the caller's own values; every other cell is NOT_FOUND."""
    plan = group.plan
    group.plan.bound  # noqa: B018 - raises for a version without features
    n = len(group.rows)
    group.columns = [_empty(ref.dtype, ref.size, n) for ref in plan.features]
    group.status = np.full((n, len(plan.features)), Status.NOT_FOUND, np.uint8)
    for name, values in overrides.items():
        place = plan.place(name, feature_view)
        ref = plan.features[place]
        if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
            _override_array(group, place, values[group.rows], errors)
            continue
        check = typed(ref)
        column, status = group.columns[place], group.status[:, place]
        for at, row in enumerate(group.rows.tolist()):
            value = values[row]
            if value is None:
                status[at] = Status.NULL
                continue
            try:
                column[at] = check(value)
                status[at] = Status.PRESENT
            except ValueError as error:
                errors.setdefault(row, RowError("invalid", f"features.{name}: {error}"))
    return


def _override_array(
    group: Group, place: int, values: np.ndarray, errors: dict[int, RowError]
) -> None:
    """A numeric column of the caller's: NaN is null, infinity and a wrong kind are errors."""
    ref = group.plan.features[place]
    kind = values.dtype.kind
    if (
        ref.dtype == "string"
        or ref.size * len(values) != values.size
        or (ref.dtype == "bool") != (kind == "b")
        or (ref.dtype in ("int64", "timestamp") and kind == "f")
    ):
        raise Invalid.at(f"features.{ref.label}", f"must be a column of {ref.dtype}")
    status = group.status[:, place]
    status[:] = Status.PRESENT
    if kind == "f":
        cells = values.reshape(len(values), -1)
        status[np.isnan(cells).any(axis=1)] = Status.NULL
        for at in np.flatnonzero(np.isinf(cells).any(axis=1)).tolist():
            errors.setdefault(
                int(group.rows[at]), RowError("invalid", f"features.{ref.label}: must be finite")
            )
    group.columns[place] = values


def fill_missing(group: Group, errors: dict[int, RowError]) -> None:
    """Apply the missing-value policy column by column and pick the rows that go on."""
    plan = group.plan
    missing = group.status != Status.PRESENT
    bad = np.zeros(len(group.rows), np.bool_)
    if missing.any():
        for place in np.flatnonzero(missing.any(axis=0)).tolist():
            fill = plan.fill[place]
            cells = missing[:, place]
            if fill is None:
                bad |= cells
            elif fill[0] is not None:
                column = group.columns[place]
                if not column.flags.writeable:
                    column = column.copy()
                column[cells] = fill[0]
                group.columns[place] = column
        reasons: dict[bytes, RowError] = {}  # rows of one pattern share one message
        for at in np.flatnonzero(bad).tolist():
            pattern = group.status[at].tobytes()
            reason = reasons.get(pattern)
            if reason is None:
                error = missing_features(plan, group.status[at].tolist())
                reason = reasons[pattern] = RowError(error.code, error.detail)
            errors.setdefault(int(group.rows[at]), reason)
    if errors:
        failed = np.fromiter(errors, np.intp, len(errors))
        bad |= np.isin(group.rows, failed)
    group.good = np.flatnonzero(~bad)


def infer(group: Group, errors: dict[int, RowError], deadline: Deadline) -> None:
    plan, good = group.plan, group.good
    if not len(good):
        return
    everything = len(good) == len(group.rows)
    columns = group.columns if everything else [column[good] for column in group.columns]
    status = group.status if everything else group.status[good]
    nulls = np.array([fill == (None,) for fill in plan.fill], np.bool_)
    missing = (status != Status.PRESENT) & nulls
    inputs = plan.bound.columns(columns, missing if missing.any() else None)
    predictions, failed = infer_apart(plan.runtime.run, inputs, deadline)
    if failed:
        for at, refused in failed.items():
            errors[int(group.rows[good[at]])] = RowError(refused.code, refused.detail)
        good = group.good = np.delete(good, list(failed))
    if predictions is None:
        return
    group.prediction, group.probability = answers(plan, predictions)
    group.predictions = predictions
    finite = np.ones(len(good), np.bool_)
    if plan.runtime.signature.kind == "regressor" and group.prediction.dtype.kind == "f":
        finite = np.isfinite(predictions.values.reshape(len(good), -1)).all(axis=1)
    elif group.probability is not None:
        finite = np.isfinite(group.probability)
    if not finite.all():
        error = not_finite()
        for at in np.flatnonzero(~finite).tolist():
            errors[int(group.rows[good[at]])] = RowError(error.code, error.detail)


def answers(
    plan: Plan, predictions: Predictions
) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    values, scores = predictions.values, predictions.probabilities
    if scores is None:
        return values, None
    if scores.shape[1] <= 2:
        return values, scores[:, -1].astype(np.float64)
    if plan.classes is None:
        return values, scores.max(axis=1).astype(np.float64)
    order = {label: at for at, label in enumerate(plan.classes)}
    picked = np.fromiter((order.get(v, 0) for v in values.tolist()), np.intp, len(values))
    return values, scores[np.arange(len(values)), picked].astype(np.float64)


def _empty(dtype: str, size: int, n: int) -> NDArray[Any]:
    kind: Any = {"string": object, "bool": np.bool_, "int64": np.int64, "timestamp": np.int64}.get(
        dtype, np.float64
    )
    blank = np.zeros((n, size) if size > 1 else n, dtype=kind)
    if kind is object:
        blank[:] = ""
    return blank
