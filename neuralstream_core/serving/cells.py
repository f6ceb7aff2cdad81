"""Cells on their way to a model: what a request gives, and what stands in for what is missing.

The row path (`overrides`, `filled`) and the column path (`override_columns`, `fill_columns`) stand side
by side because they must give the same verdict on the same cells; a property test holds them equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neuralstream_core.errors import FieldError, Invalid, Unavailable
from neuralstream_core.features.rows import CellStatus
from neuralstream_core.features.values import Dtype, checker
from neuralstream_core.monitoring.observation import WRONG_TYPE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.registry.records import FeatureRef
    from neuralstream_core.serving.plan import Plan

__all__ = [
    "RowError",
    "empty_column",
    "fallback",
    "fill_columns",
    "filled",
    "first_output",
    "missing_features",
    "override_columns",
    "overrides",
    "typed",
]

_NOT_FOUND = int(CellStatus.NOT_FOUND)


class RowError(NamedTuple):
    """Why one row has no answer."""

    code: str
    detail: str


def typed(ref: FeatureRef) -> Callable[[Any], Any]:
    """The check of a value a request gives for this input: of the view's dtype, nothing coerced.

    The check raises ``ValueError`` with a sentence that never repeats the value.
    """
    dtype = Dtype(ref.dtype)
    check = checker(dtype, ref.size if ref.size > 1 else None)
    if dtype is Dtype.STRING:

        def text(value: Any) -> Any:
            check(value)
            return value

        return text
    if ref.size == 1 and dtype.numeric:
        single = checker(dtype, 1)
        return lambda value: single(value)[0] if isinstance(value, list | tuple) else check(value)
    return check


def overrides(plan: Plan, features: Mapping[str, Any], feature_view: str | None) -> dict[int, Any]:
    """A request's own values by place, checked against the dtype of what they stand for.

    Raises:
        Invalid: names every value that is wrong.
    """
    given: dict[int, Any] = {}
    errors: list[FieldError] = []
    code: str | None = None
    for name, value in features.items():
        try:
            place = plan.place(name, feature_view)
            given[place] = None if value is None else typed(plan.features[place])(value)
        except Invalid as error:
            errors += error.errors
            code = error.code
        except ValueError as error:
            errors.append(FieldError(f"features.{name}", str(error)))
    if errors:
        raise Invalid(f"{errors[0].loc}: {errors[0].msg}", code=code, errors=errors)
    return given


def override_columns(
    plan: Plan,
    rows: NDArray[np.intp],
    overrides: Mapping[str, Sequence[Any] | np.ndarray],
    feature_view: str | None,
    errors: dict[int, RowError],
) -> tuple[list[NDArray[Any]], NDArray[np.uint8]]:
    """Columns of nothing but the caller's own values; every other cell is NOT_FOUND.

    A value that is refused makes an error of its row, and its cell `WRONG_TYPE`.

    Args:
        rows: positions ``(n,)`` within the values of ``overrides``.
        errors: by position; rows whose values are wrong are added.

    Returns:
        One column of ``n`` per feature, and the status ``(n, features)``.
    """
    plan.bound  # noqa: B018 - raises for a version without features
    n = len(rows)
    columns = [empty_column(ref.dtype, ref.size, n) for ref in plan.features]
    status = np.full((n, len(plan.features)), CellStatus.NOT_FOUND, np.uint8)
    for name, values in overrides.items():
        place = plan.place(name, feature_view)
        ref = plan.features[place]
        if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
            columns[place] = _override_array(ref, values[rows], rows, status[:, place], errors)
            continue
        check = typed(ref)
        column, cells = columns[place], status[:, place]
        for at, row in enumerate(rows.tolist()):
            value = values[row]
            if value is None:
                cells[at] = CellStatus.NULL
                continue
            try:
                column[at] = check(value)
                cells[at] = CellStatus.PRESENT
            except ValueError as error:
                cells[at] = WRONG_TYPE
                errors.setdefault(row, RowError("invalid", f"features.{name}: {error}"))
    return columns, status


def _override_array(
    ref: FeatureRef,
    values: np.ndarray,
    rows: NDArray[np.intp],
    status: NDArray[np.uint8],
    errors: dict[int, RowError],
) -> np.ndarray:
    """A numeric column of the caller's: NaN is null, infinity and a wrong kind are errors."""
    kind = values.dtype.kind
    if (
        ref.dtype == "string"
        or ref.size * len(values) != values.size
        or (ref.dtype == "bool") != (kind == "b")
        or (ref.dtype in ("int64", "timestamp") and kind == "f")
    ):
        raise Invalid.at(f"features.{ref.label}", f"must be a column of {ref.dtype}")
    status[:] = CellStatus.PRESENT
    if kind == "f":
        cells = values.reshape(len(values), -1)
        status[np.isnan(cells).any(axis=1)] = CellStatus.NULL
        for at in np.flatnonzero(np.isinf(cells).any(axis=1)).tolist():
            errors.setdefault(
                int(rows[at]), RowError("invalid", f"features.{ref.label}: must be finite")
            )
    return values


def first_output(prediction: Any) -> Any:
    """What monitoring follows of a model with several outputs: the first."""
    return prediction[0] if type(prediction) is list else prediction


def filled(plan: Plan, values: Sequence[Any], status: Sequence[int]) -> list[Any]:
    """The row with its missing cells as the policy has them.

    Raises:
        Invalid: one is missing that must not be.
    """
    filled = list(values)
    for place, cell in enumerate(status):
        if cell:
            fill = plan.fill[place]
            if fill is None:
                raise missing_features(plan, status)
            filled[place] = fill[0]
    return filled


def fallback(plan: Plan, error: Unavailable, needed: Sequence[int]) -> tuple[list[Any], list[int]]:
    """Blank cells to be filled by declared defaults, or the store's own error."""
    if error.dependency != "redis" or not plan.defaulted(needed):
        raise error
    count = len(plan.features)
    return [None] * count, [_NOT_FOUND] * count


def fill_columns(
    plan: Plan,
    columns: list[NDArray[Any]],
    status: NDArray[np.uint8],
    rows: NDArray[np.intp],
    errors: dict[int, RowError],
) -> NDArray[np.intp]:
    """Apply the missing-value policy column by column; ``columns`` and ``errors`` are updated.

    Returns:
        Positions within ``rows`` of the rows that go on: those without an error.
    """
    missing = status != CellStatus.PRESENT
    bad = np.zeros(len(rows), np.bool_)
    if missing.any():
        for place in np.flatnonzero(missing.any(axis=0)).tolist():
            fill = plan.fill[place]
            cells = missing[:, place]
            if fill is None:
                bad |= cells
            elif fill[0] is not None:
                column = columns[place]
                if not column.flags.writeable:
                    column = column.copy()
                column[cells] = fill[0]
                columns[place] = column
        reasons: dict[bytes, RowError] = {}  # rows of one pattern share one message
        for at in np.flatnonzero(bad).tolist():
            if int(rows[at]) in errors:
                continue
            pattern = status[at].tobytes()
            reason = reasons.get(pattern)
            if reason is None:
                error = missing_features(plan, status[at].tolist())
                reason = reasons[pattern] = RowError(error.code, error.detail)
            errors[int(rows[at])] = reason
    if errors:
        failed = np.fromiter(errors, np.intp, len(errors))
        bad |= np.isin(rows, failed)
    return np.flatnonzero(~bad)


def missing_features(plan: Plan, status: Sequence[int]) -> Invalid:
    """The error of a row whose missing cells the policy does not fill."""
    errors = [
        FieldError(f"features.{ref.label}", CellStatus(int(cell)).name)
        for ref, cell, fill in zip(plan.features, status, plan.fill, strict=True)
        if cell and fill is None
    ]
    named = ", ".join(error.loc.removeprefix("features.") for error in errors[:10])
    more = f" and {len(errors) - 10} more" if len(errors) > 10 else ""
    return Invalid(f"missing features: {named}{more}", code="missing_features", errors=errors)


def empty_column(dtype: str, size: int, n: int) -> NDArray[Any]:
    """``n`` blank cells of a feature: 0, false or empty text."""
    kind: Any = {"string": object, "bool": np.bool_, "int64": np.int64, "timestamp": np.int64}.get(
        dtype, np.float64
    )
    blank = np.zeros((n, size) if size > 1 else n, dtype=kind)
    if kind is object:
        blank[:] = ""
    return blank
