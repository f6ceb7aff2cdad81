"""Tables that are given, of any kind, as lists of Python values.

A table is a list of dicts, a dict of columns, or a frame of pandas, polars or Arrow.

No library is imported here for a table of another kind: a pandas frame can only be given by someone who has
imported pandas. NaN and each library's own missing values become ``None``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from neuralstream_client.errors import DataError
from neuralstream_client.extras import extra

__all__ = ["ABSENT", "ColumnTable", "RowTable", "Table", "TableLike", "plain", "table_of"]

ABSENT: Final = object()
"""In a column: the row does not have this value, not even a missing one."""

TableLike: TypeAlias = Any
"""A list of dicts, a dict of columns, a pandas or polars frame, a pyarrow table, or anything with
``__arrow_c_stream__``."""


class Table(Protocol):
    """A table of ``length`` rows with named columns.

    Attributes:
        ragged: whether a row may leave columns out.
    """

    ragged: bool

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def length(self) -> int: ...

    def column(self, name: str, start: int, stop: int) -> list[Any]:
        """Values of one column; ``None`` is a missing value, `ABSENT` one that a row leaves out."""
        ...


class RowTable:
    """A list of dicts, each of which may leave columns out."""

    ragged = True

    def __init__(self, given: Sequence[Mapping[str, Any]]) -> None:
        self._rows = given
        self.names = tuple(dict.fromkeys(name for row in given for name in row))
        self.length = len(given)

    def column(self, name: str, start: int, stop: int) -> list[Any]:
        return [plain(row.get(name, ABSENT)) for row in self._rows[start:stop]]


class ColumnTable:
    """Columns of equal length: lists, arrays, or columns of pandas, polars or Arrow."""

    ragged = False

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._columns = dict(columns)
        self.names = tuple(self._columns)
        lengths = {name: len(column) for name, column in self._columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"the columns have different lengths: {lengths}")
        self.length = next(iter(lengths.values()), 0)

    def column(self, name: str, start: int, stop: int) -> list[Any]:
        return _values(self._columns[name], start, stop)

    def kind(self, name: str) -> str:
        """The library's name of a column's type, such as ``int64`` or ``timestamp[us, tz=UTC]``."""
        column = self._columns[name]
        return str(getattr(column, "dtype", getattr(column, "type", "")))


def table_of(given: TableLike) -> Table:
    """The table in one form.

    Raises:
        DataError: it is no table, or its columns have different lengths or names that are no text.
    """
    table: Table
    if isinstance(given, (RowTable, ColumnTable)):
        return given
    if isinstance(given, Mapping):
        table = ColumnTable(given)
    elif isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        if not all(isinstance(row, Mapping) for row in given):
            raise DataError("give a list of dicts, one for each row")
        table = RowTable(given)
    else:
        table = ColumnTable(_columns_of(given))
    if wrong := [name for name in table.names if not isinstance(name, str)]:
        raise DataError(f"column names must be text: {wrong[:3]}")
    return table


def _columns_of(frame: Any) -> dict[Any, Any]:
    library = type(frame).__module__.partition(".")[0]
    if library == "polars":
        collected = frame.collect() if hasattr(frame, "collect") else frame
        return {series.name: series for series in collected.get_columns()}
    if library == "pandas" and hasattr(frame, "columns"):
        if not frame.columns.is_unique:
            raise DataError("the frame has several columns of one name")
        return {name: _numpy_or_pandas(frame[name]) for name in frame.columns}
    if library == "pyarrow" and hasattr(frame, "column_names"):
        return dict(zip(frame.column_names, frame.columns, strict=True))
    if hasattr(frame, "__arrow_c_stream__"):
        return _columns_of(extra("pyarrow", "arrow").table(frame))
    raise DataError(
        f"a {type(frame).__name__} is no table: give a list of dicts, a dict of columns, or a pandas, "
        "polars or Arrow table"
    )


def _values(column: Any, start: int, stop: int) -> list[Any]:
    """Python values of a part of a column."""
    library = type(column).__module__.partition(".")[0]
    if library == "pyarrow":
        return _plain_all(column.slice(start, stop - start).to_pylist())
    if library == "polars":
        return _plain_all(column.slice(start, stop - start).to_list())
    if library == "pandas":
        return _pandas_values(column.iloc[start:stop])
    part = column[start:stop]
    if library == "numpy" and part.dtype.kind in _NUMBERS:
        values: list[Any] = part.tolist()
        return _without_nan(values) if (part != part).any() else values
    return _plain_all(part.tolist() if hasattr(part, "tolist") else list(part))


def _numpy_or_pandas(series: Any) -> Any:
    """The numpy array of a column of numbers: it is cut and converted in a third of the time."""
    return series.to_numpy() if series.dtype.kind in _NUMBERS and _is_numpy(series) else series


def _is_numpy(series: Any) -> bool:
    return not hasattr(series.dtype, "na_value")


def _pandas_values(series: Any) -> list[Any]:
    values: list[Any] = series.astype(object).tolist()
    if not series.hasnans:
        return _plain_all(values)
    present = series.notna().tolist()
    return [plain(value) if here else None for value, here in zip(values, present, strict=True)]


_NUMBERS: Final = "biuf"
"""Kinds of numpy types whose values are JSON's own; only floats can be missing."""


def _plain_all(values: list[Any]) -> list[Any]:
    first = next((type(value) for value in values if value is not None), None)
    if first in {float, int, bool, str} and {*map(type, values)} <= {first, type(None)}:
        return _without_nan(values) if first is float else values
    return [plain(value) for value in values]


def _without_nan(values: list[Any]) -> list[Any]:
    """NaN is the one value that differs from itself."""
    return [None if value != value else value for value in values]


def plain(value: Any) -> Any:
    """A value as JSON can have it: scalars and arrays of numpy become Python's, NaN becomes ``None``."""
    if type(value) is float:
        return None if math.isnan(value) else value
    if hasattr(value, "to_pydatetime"):
        return None if value != value else value.to_pydatetime(warn=False)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if hasattr(value, "as_py"):
        return plain(value.as_py())
    return value
