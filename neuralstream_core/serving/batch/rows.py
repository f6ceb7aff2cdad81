"""Rows of an input file, in columns and in input order: CSV, JSON lines and Parquet.

Every record of the input is a row. A record that cannot be read, or a cell that does not fit its column,
gives its row an error and leaves the other rows as they are. Columns that no model needs are ignored.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json

from neuralstream_core.errors import Invalid
from neuralstream_core.features.rows import Entity
from neuralstream_core.serving.batch.cells import (
    Cells,
    Floats,
    RowErrors,
    convert,
    entities_of,
    ids_of,
    listed,
    taken,
)
from neuralstream_core.serving.batch.splitting import MAX_RECORD, Records
from neuralstream_core.serving.cells import RowError

if TYPE_CHECKING:
    from neuralstream_core.serving.batch.parquet import ParquetInput

__all__ = [
    "SLICE",
    "InputRows",
    "InputSchema",
    "csv_header",
    "csv_rows",
    "jsonl_rows",
    "parquet_rows",
]

SLICE: Final = 8192
"""Rows of one read from the feature store and one inference call."""

_SINGLE: Final = frozenset({str, int, bool})
"""Types of what may be one key; of a boolean the row's error says that it is none."""
_TOO_LARGE: Final = RowError("record_too_large", f"the record has more than {MAX_RECORD} bytes")


@dataclass(slots=True)
class InputRows:
    """Consecutive rows of an input.

    Attributes:
        lines: 1-based line (Parquet: row) of each.
        entities: an `Entity`, or ``None`` where the row is in ``errors``.
        others: further entity keys, for a model that reads views with different keys.
        features: one value or ``None`` per row, for each feature column of the input; an array where every
            row has a number.
        errors: rows that cannot be used.
        raw: cells as they were read, for each column that was asked for so.
        absent: of a sparse input, where a row does not name the column, for columns that some row leaves out.
    """

    lines: npt.NDArray[np.int64]
    entities: list[Any]
    others: dict[str, list[Any]]
    features: dict[str, list[Any] | Floats]
    errors: RowErrors
    raw: dict[str, list[Any]] = field(default_factory=dict)
    absent: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.entities)

    def good(self) -> tuple[list[int], InputRows]:
        """The rows without an error and their positions in this object."""
        if not self.errors:
            return list(range(len(self))), self
        places = [at for at in range(len(self)) if at not in self.errors]
        others, raw = (
            {name: [column[at] for at in places] for name, column in columns.items()}
            for columns in (self.others, self.raw)
        )
        features = {name: taken(column, places) for name, column in self.features.items()}
        entities = [self.entities[at] for at in places]
        absent = {name: mask[places] for name, mask in self.absent.items()}
        good = InputRows(self.lines[places], entities, others, features, {}, raw, absent)
        return places, good

    def failed(
        self, errors: RowErrors, named: Callable[[Entity], Any] = lambda entity: entity
    ) -> list[dict[str, Any]]:
        """What an errors file says of failed rows: ``{"line","entity_id"?,"code","reason"}`` each.

        Args:
            named: how an entity is named.
        """
        said: list[dict[str, Any]] = []
        for place, error in sorted(errors.items()):
            entity = self.entities[place]
            whose = {} if entity is None else {"entity_id": named(entity)}
            line = {"line": int(self.lines[place]), **whose}
            said.append({**line, "code": error.code, "reason": error.detail})
        return said


@dataclass(frozen=True, slots=True)
class InputSchema:
    """The columns to read of an input.

    Attributes:
        keys: of the entity, in the order of its key parts.
        others: of further entity keys and of roles.
        features: ``(dtype, size)`` of each feature column; a size above 1 is a vector.
        by_role: the keys are roles, which an ``entity_id`` gives by name only, never in an order.
        raw: columns to keep as they are read.
        sparse: JSON lines may leave out columns; where they do is told.
    """

    keys: tuple[str, ...]
    others: tuple[str, ...]
    features: Mapping[str, tuple[str, int]]
    by_role: bool = False
    raw: tuple[str, ...] = ()
    sparse: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, each once."""
        return tuple(dict.fromkeys((*self.keys, *self.others, *self.features, *self.raw)))

    def rows(
        self,
        lines: npt.NDArray[np.int64],
        cells: Mapping[str, Cells],
        errors: RowErrors,
        *,
        text: bool,
    ) -> InputRows:
        """Rows of unchecked cells.

        Args:
            cells: of the columns that the input has.
            errors: of rows that could not be read; extended.
            text: the cells are CSV text.
        """
        absent = [None] * len(lines)
        named = {name: listed(cells.get(name, absent)) for name in (*self.keys, *self.others)}
        return InputRows(
            lines,
            entities_of([named[key] for key in self.keys], self.keys, errors),
            {key: ids_of(named[key], key, errors) for key in self.others},
            {
                name: convert(cells[name], dtype, size, name, errors, text=text)
                for name, (dtype, size) in self.features.items()
                if name in cells
            },
            errors,
            {name: list(listed(cells.get(name, absent))) for name in self.raw},
        )


def csv_header(record: bytes) -> tuple[str, ...]:
    """Column names of a CSV file's first record.

    Raises:
        Invalid: not readable, or a name stands twice.
    """
    try:
        names = tuple(_one_csv(record.removesuffix(b"\r").decode("utf-8-sig")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid.at(
            "input", f"the header cannot be read: {error}", code="invalid_input"
        ) from None
    if len(set(names)) != len(names):
        raise Invalid.at("input", "the header names a column twice", code="invalid_input")
    return names


def csv_rows(records: Records, schema: InputSchema, header: Sequence[str]) -> InputRows:
    """Rows of CSV records; an empty cell is an absent value."""
    csv.field_size_limit(2 * MAX_RECORD)  # a record is bounded already; the default is below that
    errors: RowErrors = {}
    columns = _csv_columns(records.data, len(header), errors)
    wanted = schema.names
    cells = {name: column for name, column in zip(header, columns, strict=True) if name in wanted}
    return schema.rows(records.lines, cells, errors, text=True)


def _csv_columns(
    data: Sequence[bytes | None], width: int, errors: RowErrors
) -> list[tuple[str, ...]]:
    """The columns of the records; ``errors`` is extended by those that cannot be read."""
    rows = _csv_cells(data, width)
    if rows is None:
        rows = []
        for i, record in enumerate(data):
            row = _csv_row(record, width)
            if isinstance(row, RowError):
                errors[i] = row
                row = [""] * width
            rows.append(row)
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _csv_cells(data: Sequence[bytes | None], width: int) -> list[list[str]] | None:
    """All records parsed at once, or ``None`` when one of them is malformed.

    A record that ends inside a quoted field would take in the next one, so as many rows as records means
    one row for each.
    """
    try:
        rows = list(
            csv.reader([record.decode() for record in data if record is not None], strict=True)
        )
    except (UnicodeDecodeError, csv.Error):
        return None
    return rows if len(rows) == len(data) and set(map(len, rows)) <= {width} else None


def _csv_row(record: bytes | None, width: int) -> list[str] | RowError:
    if record is None:
        return _TOO_LARGE
    try:
        row = _one_csv(record.decode())
    except UnicodeDecodeError:
        return RowError("invalid_encoding", "not valid UTF-8")
    except csv.Error as error:
        return RowError("invalid_csv", str(error))
    if len(row) != width:
        return RowError("invalid_csv", f"has {len(row)} fields, the header has {width}")
    return row


def _one_csv(text: str) -> list[str]:
    rows = list(csv.reader([text], strict=True))
    if len(rows) != 1:
        raise csv.Error("not one record")
    return rows[0]


def jsonl_rows(records: Records, schema: InputSchema) -> InputRows:
    """Rows of JSON lines; ``null`` is an absent value.

    ``entity_id`` may also be a list of the keys' values in order, or an object of them by name.
    """
    errors: RowErrors = {}
    rows: list[dict[str, Any]] = []
    for i, record in enumerate(records.data):
        row: Any = None
        if record is None:
            errors[i] = _TOO_LARGE
        else:
            try:
                # ids and numbers hardly repeat: to look for them in a cache takes half of the time
                row = from_json(record, allow_inf_nan=False, cache_strings="keys")
                if type(row) is not dict:
                    raise ValueError("must be a JSON object")
            except ValueError as error:
                errors[i], row = RowError("invalid_json", str(error)), None
        rows.append(row or {})
    present = set().union(*rows)
    if "entity_id" in present and schema.keys != ("entity_id",):
        _spread(rows, schema)
        present = set().union(schema.keys, *rows)
    cells = {name: [row.get(name) for row in rows] for name in schema.names if name in present}
    found = schema.rows(records.lines, cells, errors, text=False)
    if schema.sparse:
        for name in found.features:
            if not all(name in row for row in rows):
                found.absent[name] = np.array([name not in row for row in rows])
    return found


def _spread(rows: Sequence[dict[str, Any]], schema: InputSchema) -> None:
    """Put each row's ``entity_id`` under the names of the keys, and of roles that it holds."""
    keys, single = schema.keys, len(schema.keys) == 1
    for row in rows:
        entity = row.get("entity_id")
        if type(entity) in _SINGLE:
            if single:
                row[keys[0]] = entity
        elif isinstance(entity, list):
            if len(entity) == len(keys) and not schema.by_role:
                row.update(zip(keys, entity, strict=True))
        elif isinstance(entity, dict):
            row.update({name: entity[name] for name in schema.others if name in entity})
            row.update({key: entity.get(key) for key in keys})


def parquet_rows(
    source: ParquetInput, schema: InputSchema, start: int, end: int
) -> Iterator[InputRows]:
    """Rows ``[start, end)`` of a Parquet file, counted from 0.

    Raises:
        Invalid: the file cannot be decoded.
    """
    for columns in source.read(schema.names, start, end, SLICE):
        cells = dict(zip(schema.names, columns, strict=True))
        count = len(columns[0])
        lines = np.arange(start + 1, start + 1 + count, dtype=np.int64)
        start += count
        yield schema.rows(lines, cells, {}, text=False)
