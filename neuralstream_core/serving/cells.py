"""The cells of a model's inputs: what a request gives, and what stands in for what is missing.

The form for one row (`overrides`, `filled`) and the form for columns (`override_columns`,
`fill_columns`) must accept and refuse the same cells; a property test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neuralstream_core.errors import FieldError, Invalid
from neuralstream_core.features.rows import CellStatus
from neuralstream_core.monitoring.observation import WRONG_TYPE
from neuralstream_core.serving.given import typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.registry.records import FeatureRef
    from neuralstream_core.serving.servable import Servable

__all__ = [
    "RowError",
    "empty_column",
    "fill_columns",
    "filled",
    "null_cells",
    "override_columns",
    "overrides",
]


class RowError(NamedTuple):
    """Why one row has no answer."""

    code: str
    detail: str


def overrides(
    servable: Servable, features: Mapping[str, Any], feature_view: str | None
) -> dict[int, Any]:
    """A request's own values by place, checked against the dtypes of the inputs.

    Raises:
        Invalid: names every value that is wrong.
    """
    given: dict[int, Any] = {}
    errors: list[FieldError] = []
    code: str | None = None
    for name, value in features.items():
        try:
            place = servable.place(name, feature_view)
            given[place] = None if value is None else typed(servable.features[place])(value)
        except Invalid as error:
            errors += error.errors
            code = error.code
        except ValueError as error:
            errors.append(FieldError(f"features.{name}", str(error)))
    if errors:
        raise Invalid(f"{errors[0].loc}: {errors[0].msg}", code=code, errors=errors)
    return given


def override_columns(
    servable: Servable,
    rows: NDArray[np.intp],
    overrides: Mapping[str, Sequence[Any] | np.ndarray],
    feature_view: str | None,
    errors: dict[int, RowError],
) -> tuple[list[NDArray[Any]], NDArray[np.uint8]]:
    """Columns that hold only the caller's own values; every other cell is NOT_FOUND.

    A refused value becomes an error of its row, and the status of its cell is `WRONG_TYPE`.

    Args:
        rows: positions ``(n,)`` within the values of ``overrides``.
        errors: by position; rows whose values are wrong are added.

    Returns:
        One column of ``n`` per feature, and the status ``(n, features)``.
    """
    servable.bound  # noqa: B018 - raises for a version without features
    n = len(rows)
    columns = [empty_column(ref.dtype, ref.size, n) for ref in servable.features]
    status = np.full((n, len(servable.features)), CellStatus.NOT_FOUND, np.uint8)
    for name, values in overrides.items():
        place = servable.place(name, feature_view)
        ref = servable.features[place]
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
    """A numeric column of the caller's own: NaN is null, infinity and a wrong kind are errors."""
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


def filled(servable: Servable, values: Sequence[Any], status: Sequence[int]) -> list[Any]:
    """The row with its missing cells filled by the version's missing-value policy.

    Raises:
        Invalid: ``missing_features`` names the missing cells that the policy does not fill.
    """
    filled = list(values)
    for place, cell in enumerate(status):
        if cell:
            fill = servable.fill[place]
            if fill is None:
                raise _missing_features(servable, status)
            filled[place] = fill[0]
    return filled


def fill_columns(
    servable: Servable,
    columns: list[NDArray[Any]],
    status: NDArray[np.uint8],
    rows: NDArray[np.intp],
    errors: dict[int, RowError],
) -> NDArray[np.intp]:
    """Apply the missing-value policy column by column; ``columns`` and ``errors`` are updated.

    Returns:
        Positions within ``rows`` of the rows without an error.
    """
    missing = status != CellStatus.PRESENT
    bad = np.zeros(len(rows), np.bool_)
    if missing.any():
        for place in np.flatnonzero(missing.any(axis=0)).tolist():
            fill = servable.fill[place]
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
                error = _missing_features(servable, status[at].tolist())
                reason = reasons[pattern] = RowError(error.code, error.detail)
            errors[int(rows[at])] = reason
    if errors:
        failed = np.fromiter(errors, np.intp, len(errors))
        bad |= np.isin(rows, failed)
    return np.flatnonzero(~bad)


def _missing_features(servable: Servable, status: Sequence[int]) -> Invalid:
    """The error of a row whose missing cells the policy does not fill."""
    errors = [
        FieldError(f"features.{ref.label}", CellStatus(int(cell)).name)
        for ref, cell, fill in zip(servable.features, status, servable.fill, strict=True)
        if cell and fill is None
    ]
    named = ", ".join(error.loc.removeprefix("features.") for error in errors[:10])
    more = f" and {len(errors) - 10} more" if len(errors) > 10 else ""
    return Invalid(f"missing features: {named}{more}", code="missing_features", errors=errors)


def null_cells(servable: Servable, status: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Missing cells that reach the model as null (NaN or empty text), ``(n, features)``; ``None`` if none."""
    nullable = np.array([fill == (None,) for fill in servable.fill], np.bool_)
    missing: NDArray[np.bool_] = (status != CellStatus.PRESENT) & nullable
    return missing if missing.any() else None


def empty_column(dtype: str, size: int, n: int) -> NDArray[Any]:
    """``n`` blank cells of a feature: 0, false or empty text."""
    kind: Any = {"string": object, "bool": np.bool_, "int64": np.int64, "timestamp": np.int64}.get(
        dtype, np.float64
    )
    blank = np.zeros((n, size) if size > 1 else n, dtype=kind)
    if kind is object:
        blank[:] = ""
    return blank
