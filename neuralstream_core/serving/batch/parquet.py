"""Parquet files of jobs: row ranges of a pinned S3 object are read, output files are written.

Each file that is read gets a database of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import numpy as np
from fsspec.implementations.memory import MemoryFileSystem

from neuralstream_core.errors import Invalid
from neuralstream_core.objects import Location, Objects
from neuralstream_core.parquet import ObjectFiles, database, quoted
from neuralstream_core.serving.batch.cells import Cells

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["ParquetInput", "write_parquet"]

_ROW: Final = "file_row_number"
"""DuckDB's column for the 0-based position of a row in its file."""
_DESCRIBE: Final = "DESCRIBE SELECT * FROM read_parquet(?)"
_NUMBERS: Final = frozenset({"DOUBLE", "FLOAT", "BIGINT", "INTEGER"})
"""Types that numpy makes the same Python numbers of as DuckDB, in a fraction of the time."""
_CELLS: Final = 8 << 20
"""Read into arrays at once: 64 MiB."""


class ParquetInput:
    """One pinned Parquet object.

    Raises (every method):
        Invalid: not a Parquet file, or it is damaged, encrypted or too large to decode.
        NotFound, Conflict, Forbidden, Unavailable: as `Objects`.
    """

    def __init__(self, objects: Objects, at: Location, size: int, etag: str) -> None:
        self._at = at
        self._files = ObjectFiles(objects)
        self._path = self._files.add(at, size, etag)
        self._database = database(self._files)

    def columns(self) -> tuple[str, ...]:
        """Names of the top-level columns.

        Raises:
            Invalid: besides, two names differ only in case, which SQL cannot tell apart.
        """
        described = self._rows(_DESCRIBE)
        stored = {name for (name,) in self._rows("SELECT name FROM parquet_schema(?)")}
        names = tuple(str(row[0]) for row in described)
        if not stored.issuperset(names) or _ROW in names:
            raise Invalid.at(
                "input",
                f"the columns of {self._at} need distinct names (upper and lower case are the same)"
                f" other than {_ROW}",
                code="invalid_input",
            )
        return names

    def row_groups(self) -> list[int]:
        """Rows of each row group."""
        found = self._rows(
            "SELECT any_value(row_group_num_rows) FROM parquet_metadata(?)"
            " GROUP BY row_group_id ORDER BY row_group_id"
        )
        return [int(rows) for (rows,) in found]

    def read(self, names: Sequence[str], start: int, end: int, size: int) -> Iterator[list[Cells]]:
        """The values of rows ``[start, end)`` in file order, by column, at most ``size`` rows per step.

        Args:
            names: of the columns to read, at least one.

        Raises:
            Invalid: the file cannot be decoded, or has no such column.
        """
        with self._refusing():
            types = {name: str(kind) for name, kind, *_ in self._rows(_DESCRIBE)}
        if missing := [name for name in names if name not in types]:
            raise Invalid.at(
                "input", f"{self._at} has no column {missing[0]}", code="invalid_input"
            )
        numbers = [name for name in names if types[name] in _NUMBERS]
        others = [name for name in names if types[name] not in _NUMBERS]
        step = max(size, _CELLS // len(names) // size * size)
        for first in range(start, end, step):
            last = min(end, first + step)
            arrays: dict[str, Any] = {}
            if numbers:
                with self._refusing():
                    arrays = self._range(numbers, first, last).fetchnumpy()
            rest = self._slices(others, first, last, size)
            for at in range(0, last - first, size):
                found: dict[str, Cells] = {
                    name: _cells(values[at : at + size]) for name, values in arrays.items()
                }
                if others:
                    found |= zip(others, zip(*next(rest), strict=True), strict=True)
                yield [found[name] for name in names]

    def _slices(
        self, names: Sequence[str], start: int, end: int, size: int
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Rows ``[start, end)``, ``size`` at a time."""
        if not names:
            return
        with self._refusing():
            found = self._range(names, start, end)
        while True:
            with self._refusing():
                rows = found.fetchmany(size)
            if not rows:
                return
            yield rows

    def _range(self, names: Sequence[str], start: int, end: int) -> DuckDBPyConnection:
        query = f"SELECT {', '.join(map(quoted, names))} FROM read_parquet(?, {_ROW}=true)"  # noqa: S608 - names are quoted
        query += f" WHERE {_ROW} >= ? AND {_ROW} < ?"
        return self._database.cursor().execute(query, [self._path, start, end])

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with self._refusing():
            return self._database.execute(query, [self._path]).fetchall()

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        import duckdb

        try:
            yield
        except (duckdb.Error, UnicodeError) as error:  # its messages quote bytes of the file
            if self._files.failure is not None:
                raise self._files.failure from error
            raise Invalid.at(
                "input",
                f"{self._at} is not a Parquet file, or it is damaged, encrypted or too large to decode",
                code="invalid_input",
            ) from error


def _cells(values: Any) -> Cells:
    """The cells of an array, which may be a masked one."""
    if values.dtype != np.float64 or np.ma.is_masked(values):
        found: list[Any] = values.tolist()
        return found
    return np.asarray(values)


@cache
def _writer() -> DuckDBPyConnection:
    """Writes all files of this process: to make a database takes as long as to write 30,000 rows."""
    return database(MemoryFileSystem())


def write_parquet(
    columns: Mapping[str, Sequence[Any]], types: Mapping[str, str | Mapping[str, str]]
) -> bytes:
    """A Parquet file of Python values; the same values make the same bytes.

    Args:
        types: the SQL type of each column; of a column of objects, the types of their fields by name.
    """
    files = MemoryFileSystem()
    path = f"/{uuid4().hex}.parquet"
    arrays: dict[str, np.ndarray] = {}
    selected: list[str] = []
    for name, values in columns.items():
        type_ = types[name]
        arrays[name] = np.empty(len(values), object)
        if isinstance(type_, str):
            arrays[name][:] = values
        else:
            # DuckDB takes dictionaries for objects of one type only if they have the same keys
            arrays[name][:] = [v if v is None else {f: v.get(f) for f in type_} for v in values]
            fields = (f"{quoted(field)} {inner}" for field, inner in type_.items())
            type_ = f"STRUCT({', '.join(fields)})"
        selected.append(f"CAST({quoted(name)} AS {type_}) AS {quoted(name)}")
    query = f"SELECT {', '.join(selected)} FROM output_rows"  # noqa: S608 - names are quoted
    with _writer().cursor() as writer:
        writer.register("output_rows", arrays)
        writer.execute(f"COPY ({query}) TO 'memory:/{path}' (FORMAT parquet, COMPRESSION zstd)")
    try:
        data: bytes = files.cat_file(path)
    finally:
        files.rm_file(path)
    return data
