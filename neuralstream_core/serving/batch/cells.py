"""Cells of an input: read, checked and converted by column, with an error for each row that does not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json

from neuralstream_core.features.rows import Entity
from neuralstream_core.features.values import Dtype, checker
from neuralstream_core.serving.cells import RowError
from neuralstream_core.types import MAX_ENTITY_ID

__all__ = ["Cells", "Floats", "RowErrors", "convert", "entities_of", "ids_of", "listed", "taken"]

Floats: TypeAlias = npt.NDArray[np.float64]
Cells: TypeAlias = "Sequence[Any] | Floats"
"""A column as it was read; an array only of float64 without a gap."""
RowErrors: TypeAlias = dict[int, RowError]
"""Failed rows by position; the first error of a row is kept."""

_TRUTH: Final = {"true": True, "false": False, "1": True, "0": False}

_KEPT: Final = frozenset({Dtype.STRING, Dtype.TIMESTAMP})
"""Dtypes whose checked form is a packed one; the engine takes the original value."""


def _parser(read: Callable[[str], Any], reason: str) -> Callable[[str], Any]:
    """The reader of a cell's text; it raises ``ValueError`` with ``reason``, which never repeats the text."""

    def parse(cell: str) -> Any:
        try:
            if "_" in cell:  # Python reads 1_000 as a number
                raise ValueError
            return read(cell)
        except (ValueError, KeyError):
            raise ValueError(reason) from None

    return parse


_number: Final = _parser(float, "must be a number")
_vector: Final = _parser(partial(from_json, allow_inf_nan=False), "must be a JSON list of numbers")
_FROM_TEXT: Final[dict[Dtype, Callable[[str], Any]]] = {
    Dtype.FLOAT32: _number,
    Dtype.FLOAT64: _number,
    Dtype.INT64: _parser(int, "must be a whole number"),
    Dtype.BOOL: _parser(lambda cell: _TRUTH[cell.strip().lower()], "must be true or false"),
    Dtype.STRING: str,
    Dtype.TIMESTAMP: str,
}


def convert(
    cells: Cells, dtype: str, size: int, name: str, errors: RowErrors, *, text: bool
) -> list[Any] | Floats:
    """One column's values: Python scalars (a vector: a list), ``None`` where the cell is empty; an array of
    finite numbers where all are float64.

    Args:
        text: the cells are CSV text, where an empty cell is an absent value.
        name: of the column, for the reason.
        errors: extended by the rows whose cell does not fit.
    """
    kind = Dtype(dtype)
    if kind is Dtype.FLOAT64 and size == 1 and (fast := _floats(cells, text=text)) is not None:
        return fast
    check = checker(kind, size if size > 1 else None)
    parse = (_vector if size > 1 else _FROM_TEXT[kind]) if text else None
    values: list[Any] = [None] * len(cells)
    for i, cell in enumerate(listed(cells)):
        if cell is None or (text and cell == ""):
            continue
        try:
            value = cell if parse is None else parse(cell)
            checked = check(value)
            values[i] = value if kind in _KEPT else checked
        except ValueError as error:
            errors.setdefault(i, RowError("invalid_feature", f"{name}: {error}"))
    return values


def listed(cells: Cells) -> Sequence[Any]:
    """The cells as Python values."""
    found: Sequence[Any] = cells.tolist() if isinstance(cells, np.ndarray) else cells
    return found


def taken(cells: Cells, places: list[int]) -> list[Any] | Floats:
    """The cells at ``places``."""
    return cells[places] if isinstance(cells, np.ndarray) else [cells[at] for at in places]


def _floats(cells: Cells, *, text: bool) -> list[Any] | Floats | None:
    """The whole column at once, or ``None`` when some cell needs a closer look."""
    try:
        if isinstance(cells, np.ndarray):
            given = cells
        elif text:
            given = _floats_of_text(cells if "" not in cells else list(filter(None, cells)))
        elif set(map(type, cells)) <= {float, int, type(None)}:
            present = cells if None not in cells else [cell for cell in cells if cell is not None]
            given = np.array(present, np.float64)
        else:
            return None
    except (ValueError, OverflowError):
        return None
    if not np.isfinite(given).all():
        return None
    if len(given) == len(cells):
        return given
    rest = iter(given.tolist())
    empty = "" if text else None
    return [None if cell == empty else next(rest) for cell in cells]


def _floats_of_text(cells: Sequence[str]) -> Floats:
    """Each cell as a number; infinities and NaN are left to the caller.

    Raises:
        ValueError: some cell needs a closer look.
        OverflowError: likewise.
    """
    text = ",".join(cells)
    try:
        numbers = from_json(
            f"[{text}]", allow_inf_nan=False
        )  # takes a third of the time of float()
        if len(numbers) == len(cells) and set(map(type, numbers)) <= {float, int}:
            return np.array(numbers, np.float64)
    except ValueError:
        pass  # JSON has no +1, .5 and 5.
    if "_" in text:
        raise ValueError("an underscore is no part of a number")
    return np.array(list(map(float, cells)), np.float64)


def entities_of(
    columns: Sequence[Sequence[Any]], keys: Sequence[str], errors: RowErrors
) -> list[Entity | None]:
    """The entity of each row from its key columns."""
    parts = [ids_of(column, key, errors) for column, key in zip(columns, keys, strict=True)]
    if len(parts) == 1:
        return list(parts[0])
    return [
        None if None in row else tuple(part for part in row if part is not None)
        for row in zip(*parts, strict=True)
    ]


def ids_of(cells: Sequence[Any], key: str, errors: RowErrors) -> list[str | None]:
    """One key of each row; a whole number is read as its decimal text."""
    if set(map(type, cells)) == {str}:
        lengths = set(map(len, cells))
        if 0 not in lengths and max(lengths) <= MAX_ENTITY_ID:
            return list(cells)
    found: list[str | None] = [None] * len(cells)
    for i, cell in enumerate(cells):
        value = str(cell) if type(cell) is int else cell
        if value is None or value == "":
            error = RowError("missing_entity", f"{key} is empty or absent")
        elif not isinstance(value, str):
            error = RowError("invalid_entity", f"{key} must be a string or a whole number")
        elif len(value) > MAX_ENTITY_ID:
            error = RowError("invalid_entity", f"{key} has more than {MAX_ENTITY_ID} characters")
        else:
            found[i] = value
            continue
        errors.setdefault(i, error)
    return found
