"""The rows of a model: read from a frame or array, changed cell by cell, given back to the model.

Numbers are held as float64 with NaN for a missing cell, text as objects with ``None``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from neuralstream_client.log_model.errors import LogModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Column", "Table", "concatenated", "read_table"]

_WHOLE: Final = ("int64", "bool")
_EXACT: Final = 2**53
"""Beyond it float64 does not hold every whole number."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        dtype: of the feature: ``float64``, ``float32``, ``int64``, ``bool`` or ``string``.
        original: of the frame or array, to which `Table.source` returns where it can hold the values.
    """

    name: str
    dtype: str
    original: Any
    values: NDArray[Any]

    @property
    def text(self) -> bool:
        return self.dtype == "string"

    @property
    def missing(self) -> NDArray[np.bool_]:
        if self.text:
            return np.array([value is None for value in self.values], np.bool_)
        missing: NDArray[np.bool_] = np.isnan(self.values)
        return missing

    def cell(self, row: int) -> Any:
        """A value as it is sent in JSON; ``None`` for a missing one."""
        value = self.values[row]
        if value is None or value != value:
            return None
        if self.dtype == "int64":
            return int(value)
        return bool(value) if self.dtype == "bool" else value if self.text else float(value)


@dataclass(frozen=True)
class Table:
    """Rows of a model's inputs.

    Attributes:
        form: what the model is given: ``pandas``, ``polars`` or ``array``.
    """

    columns: tuple[Column, ...]
    form: Literal["pandas", "polars", "array"]

    def __len__(self) -> int:
        return len(self.columns[0].values)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def numeric(self) -> bool:
        """Whether no column is text."""
        return not any(column.text for column in self.columns)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> Table:
        places = np.asarray(rows, np.intp)
        made = tuple(replace(column, values=column.values[places]) for column in self.columns)
        return replace(self, columns=made)

    def replaced(self, column: int, values: Sequence[Any]) -> Table:
        """The same rows with other values in one column."""
        old = self.columns[column]
        made = np.empty(len(self), old.values.dtype)
        made[:] = values
        columns = list(self.columns)
        columns[column] = replace(old, values=made)
        return replace(self, columns=tuple(columns))

    def typed(self, dtypes: Sequence[str]) -> Table:
        """The same values as features of other types.

        Raises:
            LogModelError: a column's values do not fit its feature's type.
        """
        pairs = zip(self.columns, dtypes, strict=True)
        return replace(self, columns=tuple(_as(column, dtype) for column, dtype in pairs))

    def row(self, row: int) -> dict[str, Any]:
        """The cells of one row by column, as in JSON."""
        return {column.name: column.cell(row) for column in self.columns}

    def source(self) -> Any:
        """The rows in the form that the model was fitted with."""
        if self.form == "pandas":
            import pandas as pd

            return pd.DataFrame(
                {c.name: pd.Series(_held(c), dtype=_dtype(c)) for c in self.columns}
            )
        if self.form == "polars":
            import polars as pl

            return pl.DataFrame({c.name: _series(c, pl) for c in self.columns})
        if not self.numeric:
            made = np.empty((len(self), len(self.columns)), object)
            for place, column in enumerate(self.columns):
                made[:, place] = column.values
            return made
        numbers = np.column_stack([column.values for column in self.columns])
        kind = np.dtype(self.columns[0].original)
        whole = kind.kind in "iub"
        return numbers if whole and np.isnan(numbers).any() else numbers.astype(kind)


def concatenated(parts: Sequence[Table]) -> Table:
    """The rows of all parts, in order."""
    columns = tuple(
        replace(column, values=np.concatenate([part.columns[at].values for part in parts]))
        for at, column in enumerate(parts[0].columns)
    )
    return replace(parts[0], columns=columns)


def read_table(X: Any) -> Table:  # noqa: N803 - the name that every library has for it
    """The rows of a pandas or polars frame, of an array or of nested lists.

    Raises:
        LogModelError: a column is of a type that no feature has, or there are no rows.
    """
    module = type(X).__module__.partition(".")[0]
    if module == "polars":
        columns = [_column(str(name), X[name].dtype, X[name].to_list()) for name in X.columns]
        table = Table(tuple(columns), "polars")
    elif module == "pandas" and hasattr(X, "columns"):
        made = [_column(str(name), X[name].dtype, X[name].to_list()) for name in X.columns]
        table = Table(tuple(made), "pandas")
    else:
        array = np.asarray(X)
        if array.ndim != 2:
            raise LogModelError(f"X has the shape {array.shape}; it must have rows and columns")
        made = [_column(f"f{i}", array.dtype, array[:, i].tolist()) for i in range(array.shape[1])]
        table = Table(tuple(made), "array")
    if not table.columns or not len(table):
        raise LogModelError("X has no rows")
    return table


def _column(name: str, original: Any, cells: list[Any]) -> Column:
    kind = str(original).lower()
    if kind in ("category", "categorical", "enum") or kind.startswith("enum("):
        raise LogModelError(
            f"the column {name!r} is categorical; a feature is text or a number. Train on text with an "
            "encoder in the pipeline (OneHotEncoder, OrdinalEncoder), or on the codes"
        )
    known = [cell for cell in cells if not _missing(cell)]
    if all(isinstance(cell, bool | np.bool_) for cell in known) and known:
        dtype = "bool"
    elif all(isinstance(cell, int | np.integer) for cell in known) and known:
        dtype = "int64" if not kind.startswith("float") else "float64"
        if any(abs(int(cell)) > _EXACT for cell in known):
            raise LogModelError(f"the column {name!r} has whole numbers beyond 2**53")
    elif all(isinstance(cell, int | float | np.number) for cell in known):
        dtype = "float32" if kind == "float32" else "float64"
    elif all(isinstance(cell, str) for cell in known):
        dtype = "string"
    else:
        strange = next(type(c).__name__ for c in known if not isinstance(c, str))
        raise LogModelError(
            f"the column {name!r} holds values of type {strange}; a model input is a number or text. "
            "Turn dates into numbers before training, and mixed columns into one type"
        )
    if dtype != "string":
        numbers = [np.nan if _missing(cell) else float(cell) for cell in cells]
        return Column(name, dtype, original, np.array(numbers, np.float64))
    texts = np.empty(len(cells), object)
    texts[:] = [None if _missing(cell) else str(cell) for cell in cells]
    return Column(name, dtype, original, texts)


def _missing(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, float | np.floating) and bool(np.isnan(cell))


def _as(column: Column, dtype: str) -> Column:
    if column.text != (dtype == "string"):
        raise LogModelError(
            f"the column {column.name!r} holds {column.dtype}, its feature is {dtype}"
        )
    if dtype in (*_WHOLE, "timestamp"):
        known = column.values[~column.missing]
        whole = bool((known == np.round(known)).all())
        if not whole or (dtype == "bool" and not set(known.tolist()) <= {0.0, 1.0}):
            raise LogModelError(
                f"the column {column.name!r} holds {column.dtype} values that its feature, "
                f"of type {dtype}, cannot hold"
            )
    return replace(column, dtype="int64" if dtype == "timestamp" else dtype)


def _held(column: Column) -> list[Any]:
    """The values as Python objects of the original column."""
    return [column.cell(row) for row in range(len(column.values))]


def _dtype(column: Column) -> Any:
    """The frame's own type; float64 where that cannot hold a missing or fractional value."""
    if column.text:
        return column.original
    plain = isinstance(column.original, np.dtype)
    whole = plain and column.original.kind in "iub"
    return np.float64 if whole and column.missing.any() else column.original


def _series(column: Column, polars: Any) -> Any:
    return polars.Series(column.name, _held(column), dtype=column.original, strict=False)
