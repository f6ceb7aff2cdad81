"""Cells of an input file to values of a feature's dtype: a whole column at a time where all is well,
cell by cell where something is not, with the same verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, Final, NamedTuple, TypeAlias

from neuralstream_core.features.values import Dtype, checker
from neuralstream_core.types import MAX_ENTITY_ID

__all__ = ["Bad", "Entity", "RowError", "convert", "entities", "ids"]

Entity: TypeAlias = str | tuple[str, ...]


class RowError(NamedTuple):
    """Why a row has no prediction: a stable code and a sentence without its values."""

    code: str
    detail: str


Bad: TypeAlias = dict[int, RowError]
"""Failed rows by position; the first reason stands."""

_TRUTH: Final = {"true": True, "false": False, "1": True, "0": False}


_KEPT: Final = frozenset({Dtype.STRING, Dtype.TIMESTAMP})
"""Dtypes whose checked form is a packed one; the engine takes the original."""


def _text_float(cell: str) -> float:
    if "_" in cell:
        raise ValueError("must be a number")
    try:
        return float(cell)
    except ValueError:
        raise ValueError("must be a number") from None


def _text_int(cell: str) -> int:
    if "_" in cell:
        raise ValueError("must be a whole number")
    try:
        return int(cell)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _text_bool(cell: str) -> bool:
    try:
        return _TRUTH[cell.strip().lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


def _text_vector(cell: str) -> Any:
    from pydantic_core import from_json

    try:
        return from_json(cell, allow_inf_nan=False)
    except ValueError:
        raise ValueError("must be a JSON list of numbers") from None


_FROM_TEXT: Final[dict[Dtype, Callable[[str], Any]]] = {
    Dtype.FLOAT32: _text_float,
    Dtype.FLOAT64: _text_float,
    Dtype.INT64: _text_int,
    Dtype.BOOL: _text_bool,
    Dtype.STRING: str,
    Dtype.TIMESTAMP: str,
}


def convert(
    cells: Sequence[Any], dtype: str, size: int, name: str, bad: Bad, *, text: bool
) -> list[Any]:
    """One column's values: Python scalars (a vector: a list), ``None`` where the cell is empty.

    Args:
        text: the cells are CSV text, where an empty cell is an absent value.
        name: of the column, for the reason.
        bad: rows that failed; extended.
    """
    kind = Dtype(dtype)
    if kind is Dtype.FLOAT64 and size == 1 and (fast := _floats(cells, text=text)) is not None:
        return fast
    check = checker(kind, size if size > 1 else None)
    parse = (_text_vector if size > 1 else _FROM_TEXT[kind]) if text else None
    values: list[Any] = []
    for i, cell in enumerate(cells):
        if cell is None or (text and cell == ""):
            values.append(None)
            continue
        try:
            value = cell if parse is None else parse(cell)
            checked = check(value)
            values.append(value if kind in _KEPT else checked)
        except ValueError as error:
            values.append(None)
            bad.setdefault(i, RowError("invalid_feature", f"{name}: {error}"))
    return values


def _floats(cells: Sequence[Any], *, text: bool) -> list[Any] | None:
    """The whole column at once, or ``None`` when some cell needs a closer look."""
    try:
        if text:
            if any("_" in cell for cell in cells if cell is not None):
                return None
            values = [float(cell) if cell else None for cell in cells]
        else:
            kinds = set(map(type, cells))
            if not kinds <= {float, int, type(None)}:
                return None
            values = [None if cell is None else float(cell) for cell in cells]
    except (ValueError, OverflowError):
        return None
    return values if all(isfinite(v) for v in values if v is not None) else None


def entities(
    columns: Sequence[Sequence[Any]], keys: Sequence[str], bad: Bad
) -> list[Entity | None]:
    """The entity of each row from its key columns."""
    parts = [ids(column, key, bad) for column, key in zip(columns, keys, strict=True)]
    if len(parts) == 1:
        return list(parts[0])
    return [
        None if None in row else tuple(part for part in row if part is not None)
        for row in zip(*parts, strict=True)
    ]


def ids(cells: Sequence[Any], key: str, bad: Bad) -> list[str | None]:
    """One key of each row; a whole number is read as its decimal text."""
    if (
        set(map(type, cells)) == {str}
        and len(min(cells, key=len)) > 0
        and len(max(cells, key=len)) <= MAX_ENTITY_ID
    ):
        return list(cells)
    found: list[str | None] = []
    for i, cell in enumerate(cells):
        value = str(cell) if type(cell) is int else cell
        if isinstance(value, str) and 0 < len(value) <= MAX_ENTITY_ID:
            found.append(value)
            continue
        found.append(None)
        if value is None or value == "":
            bad.setdefault(i, RowError("missing_entity", f"{key} is empty or absent"))
        elif isinstance(value, str):
            bad.setdefault(
                i, RowError("invalid_entity", f"{key} has more than {MAX_ENTITY_ID} characters")
            )
        else:
            bad.setdefault(
                i, RowError("invalid_entity", f"{key} must be a string or a whole number")
            )
    return found
