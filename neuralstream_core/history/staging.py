"""Rows of the log as Parquet on local disk, until they become files of the history.

A staged file has the columns of `neuralstream_core.history.schema` and ``_staged`` (BIGINT), a number of its
own for each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from neuralstream_core.errors import Unavailable
from neuralstream_core.features.block import build_written
from neuralstream_core.features.rows import CellStatus
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.history.entries import FORGOTTEN, Part
from neuralstream_core.history.schema import BITS, columns_of, feature_columns
from neuralstream_core.parquet import quoted
from neuralstream_core.time import Micros

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

__all__ = ["STAGED", "Forgotten", "Staging", "check_version"]

STAGED: Final = "_staged"
_ROWS: Final = 100_000
_BYTES: Final = 32 << 20
"""Rows, or bytes of packed rows, that are decoded together."""


class Forgotten(NamedTuple):
    """When an entity was forgotten: its rows that are less than this are to be removed."""

    write_time: Micros
    request_id: str
    row: int


class Staging:
    """Rows of one view generation.

    Args:
        view: in a schema version that knows every row's features.
        folder: that exists, for this staging alone.
        database: writes the files.

    Attributes:
        files: written so far; `flush` writes what is left.
        rows: staged so far.
        forgotten: by entity.
        first_write_time: of all rows; ``None`` without one.
    """

    def __init__(self, view: FeatureView, folder: Path, database: DuckDBPyConnection) -> None:
        self.view = view
        self.files: list[Path] = []
        self.rows = 0
        self.forgotten: dict[str, Forgotten] = {}
        self.first_write_time: Micros | None = None
        self._folder, self._database = folder, database
        self._waiting: list[tuple[Micros, Part, Sequence[int]]] = []
        self._count = self._bytes = 0

    def add(self, write_time: Micros, part: Part) -> None:
        """Stage the rows of a part.

        Raises:
            Unavailable: a row of a schema version that the view has not reached, or a damaged row.
        """
        check_version(self.view, part)
        rows = [i for i, row in enumerate(part.rows) if row != FORGOTTEN]
        if len(rows) < len(part.rows):
            self._forget(write_time, part)
        if not rows:
            return
        if self.first_write_time is None or write_time < self.first_write_time:
            self.first_write_time = write_time
        self._waiting.append((write_time, part, rows))
        self._count += len(rows)
        self._bytes += sum(map(len, part.rows))
        if self._count >= _ROWS or self._bytes >= _BYTES:
            self.flush()

    def _forget(self, write_time: Micros, part: Part) -> None:
        for i, row in enumerate(part.rows):
            if row == FORGOTTEN:
                entity = part.entities[i].decode()
                when = Forgotten(write_time, part.request_id, i)
                self.forgotten[entity] = max(when, self.forgotten.get(entity, when))

    def flush(self) -> None:
        """Write what was added since the last time to a file."""
        if not self._waiting:
            return
        entities: list[str] = []
        packed: list[bytes] = []
        counts: list[int] = []
        positions: list[int] = []
        for _, part, rows in self._waiting:
            entities += [part.entities[i].decode() for i in rows]
            packed += [part.rows[i] for i in rows]
            positions += rows
            counts.append(len(rows))
        block = build_written(self.view, packed)
        parts = [part for _, part, _ in self._waiting]
        columns: dict[str, NDArray[Any]] = {
            STAGED: np.arange(self.rows, self.rows + len(packed)),
            "_entity": _objects(entities),
            "_event_time": _times(block.event_times),
            "_write_time": np.repeat(np.array([time for time, _, _ in self._waiting]), counts),
            "_request_id": np.repeat(_objects([part.request_id for part in parts]), counts),
            "_row": np.array(positions, np.int32),
            "_schema_version": np.repeat(
                np.array([part.schema_version for part in parts], np.int32), counts
            ),
        }
        written = block.status != CellStatus.NOT_FOUND
        for start in range(0, written.shape[1], BITS):
            bits = written[:, start : start + BITS]
            columns[f"_written_{start // BITS}"] = bits @ (1 << np.arange(bits.shape[1]))
        names = feature_columns(self.view)
        for j, (name, values) in enumerate(block.columns.items()):
            absent = block.status[:, j] != CellStatus.PRESENT
            columns[names[name]] = _nullable(values, absent)
        self._write(columns)
        self.rows += len(packed)
        self._waiting.clear()
        self._count = self._bytes = 0

    def _write(self, columns: dict[str, NDArray[Any]]) -> None:
        path = self._folder / f"{len(self.files)}.parquet"
        selected = [
            f"CAST({quoted(c.name)} AS {c.type}) AS {quoted(c.name)}" for c in columns_of(self.view)
        ]
        query = f"SELECT {STAGED}, {', '.join(selected)} FROM staged_rows"  # noqa: S608 - names are quoted
        self._database.register("staged_rows", columns)
        try:
            self._database.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION lz4)")
        finally:
            self._database.unregister("staged_rows")
        self.files.append(path)


def check_version(view: FeatureView, part: Part) -> None:
    """Make sure that the rows of ``part`` can be read as rows of ``view``.

    Raises:
        Unavailable: they are of a schema version that the view has not reached.
    """
    if part.schema_version > view.schema_version:
        raise Unavailable(
            f"view {part.view} has rows of a schema version that the catalog does not know",
            dependency="registry",
        )


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def _times(times: NDArray[np.int64] | None) -> NDArray[np.int64]:
    if times is None:
        raise AssertionError("the block was asked for without event times")
    return times


def _nullable(values: NDArray[Any], absent: NDArray[np.bool_]) -> NDArray[Any]:
    """A column as DuckDB takes it: NULL where ``absent``."""
    if values.ndim == 2:
        vectors = _objects(list(values))
        vectors[absent] = None
        return vectors
    if values.dtype == object:
        return values
    if not absent.any():
        return values
    return np.ma.masked_array(values, absent)
