"""Rows of one chunk of an input, block by block, in input order: CSV, JSONL and Parquet alike.

Every record of the input is a row, also one that cannot be read: it then has a reason instead of an
entity. What is read: the entity's key columns, and columns that carry feature values; others are
ignored.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final, cast

import numpy as np
import numpy.typing as npt

from neuralstream_core.errors import Invalid
from neuralstream_core.serving.batch.cells import Bad, Entity, RowError, convert, entities, ids
from neuralstream_core.serving.batch.objects import ObjectFile
from neuralstream_core.serving.batch.splitting import MAX_RECORD, Records

__all__ = ["Reader", "Rows", "csv_header", "csv_rows", "jsonl_rows", "parquet_rows"]


@dataclass(slots=True)
class Rows:
    """Some consecutive rows.

    ``lines``: 1-based line (Parquet: row) of each; ``entities``: ``None`` where the row is in ``bad``;
    ``others``: further keys, for a model whose views have different ones; ``features``: for each column
    present, a Python value or ``None`` per row.
    """

    lines: npt.NDArray[np.int64]
    entities: list[Entity | None]
    others: dict[str, list[str | None]]
    features: dict[str, list[Any]]
    bad: Bad

    def __len__(self) -> int:
        return len(self.entities)

    @classmethod
    def empty(cls) -> Rows:
        return cls(np.empty(0, np.int64), [], {}, {}, {})


@dataclass(frozen=True, slots=True)
class Reader:
    """What to read of a row.

    Args:
        keys: the entity's key columns, in order.
        others: columns of further keys.
        features: feature columns and their ``(dtype, size)``.
    """

    keys: tuple[str, ...]
    others: tuple[str, ...]
    features: Mapping[str, tuple[str, int]]

    def rows(
        self,
        lines: npt.NDArray[np.int64],
        cells: Mapping[str, Sequence[Any]],
        bad: Bad,
        *,
        text: bool,
    ) -> Rows:
        """Columns of raw cells as rows; rows already in ``bad`` keep their reason."""
        absent = [None] * len(lines)
        return Rows(
            lines,
            entities([cells.get(key, absent) for key in self.keys], self.keys, bad),
            {key: ids(cells.get(key, absent), key, bad) for key in self.others},
            {
                name: convert(cells[name], dtype, size, name, bad, text=text)
                for name, (dtype, size) in self.features.items()
                if name in cells
            },
            bad,
        )


_TOO_LARGE: Final = RowError("record_too_large", f"the record has more than {MAX_RECORD} bytes")
_ENCODING: Final = RowError("invalid_encoding", "not valid UTF-8")


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


def csv_rows(records: Records, reader: Reader, header: Sequence[str]) -> Rows:
    """Rows of CSV records; an empty cell is an absent value."""
    csv.field_size_limit(2 * MAX_RECORD)  # a record is bounded already; the default is below that
    bad: Bad = {}
    rows = _csv_cells(records, header)
    if rows is None:
        blank = [""] * len(header)
        rows = []
        for i, record in enumerate(records.data):
            row = _csv_row(record, header)
            if isinstance(row, RowError):
                bad[i] = row
                rows.append(blank)
            else:
                rows.append(row)
    wanted = {*reader.keys, *reader.others, *reader.features}
    cells = {name: [row[at] for row in rows] for at, name in enumerate(header) if name in wanted}
    return reader.rows(records.lines, cells, bad, text=True)


def _csv_cells(records: Records, header: Sequence[str]) -> list[list[str]] | None:
    """All records at once, or ``None`` when one of them is not as it should be.

    A record that ends inside a quoted field would swallow the next one, so as many rows as records
    means one row for each.
    """
    try:
        texts = [record.decode() for record in records.data]  # type: ignore[union-attr]  # None raises, as meant
        rows = list(csv.reader(texts, strict=True))
    except (AttributeError, UnicodeDecodeError, csv.Error):
        return None
    if len(rows) != len(texts) or set(map(len, rows)) - {len(header)}:
        return None
    return rows


def _csv_row(record: bytes | None, header: Sequence[str]) -> list[str] | RowError:
    if record is None:
        return _TOO_LARGE
    try:
        row = _one_csv(record.decode())
    except UnicodeDecodeError:
        return _ENCODING
    except csv.Error as error:
        return RowError("invalid_csv", str(error))
    if len(row) != len(header):
        return RowError("invalid_csv", f"has {len(row)} fields, the header has {len(header)}")
    return row


def _one_csv(text: str) -> list[str]:
    rows = list(csv.reader([text], strict=True))
    if len(rows) != 1:
        raise csv.Error("not one record")
    return rows[0]


def jsonl_rows(records: Records, reader: Reader) -> Rows:
    """Rows of JSON lines; ``null`` is an absent value.

    ``entity_id`` may also be a list of the keys' values in order, or an object of them by name.
    """
    from pydantic_core import from_json

    bad: Bad = {}
    rows: list[dict[str, Any]] = []
    for i, record in enumerate(records.data):
        if record is None:
            bad[i] = _TOO_LARGE
            rows.append({})
            continue
        try:
            row = from_json(record, allow_inf_nan=False)
        except ValueError as error:
            bad[i] = RowError("invalid_json", str(error))
            rows.append({})
            continue
        if type(row) is not dict:
            bad[i] = RowError("invalid_json", "must be a JSON object")
            row = {}
        rows.append(row)
    present = set().union(*rows)
    if "entity_id" in present and reader.keys != ("entity_id",):
        rows = [_spread(row, reader.keys) for row in rows]
        present.update(reader.keys)
    wanted = [name for name in (*reader.keys, *reader.others, *reader.features) if name in present]
    cells = {name: [row.get(name) for row in rows] for name in wanted}
    return reader.rows(records.lines, cells, bad, text=False)


def _spread(row: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The row with its ``entity_id`` under the names of the keys."""
    match row.get("entity_id"):
        case None:
            return row
        case str() | int() as single if len(keys) == 1:
            return {**row, keys[0]: single}
        case list(parts) if len(parts) == len(keys):
            return {**row, **dict(zip(keys, parts, strict=True))}
        case dict(parts):
            return {**row, **{key: parts.get(key) for key in keys}}
        case _:
            return row


def parquet_rows(file: ObjectFile, reader: Reader, *, batch: int, first_row: int) -> Iterator[Rows]:
    """Rows of a Parquet file that holds only the columns to read.

    Args:
        batch: rows a step.
        first_row: 1-based number of the file's first row.

    Raises:
        Invalid: the file cannot be decoded.
    """
    for part in _decoding(file, batch):
        cells = {name: part[name].to_pylist() for name in part.schema.names}
        lines = np.arange(first_row, first_row + part.num_rows, dtype=np.int64)
        first_row += part.num_rows
        yield reader.rows(lines, cells, {}, text=False)


def _decoding(file: ObjectFile, batch: int) -> Iterator[Any]:
    """Record batches; what goes wrong inside the Arrow library comes out as one of our errors.

    One thing cannot: the library reads through a C stream, and over some damaged data pages it ends the
    process. The state machine then tries the chunk again and in the end fails the job.
    """
    from arro3.io import read_parquet

    source: Any = None
    while True:
        try:
            source = (
                source
                if source is not None
                else read_parquet(cast("IO[bytes]", file), batch_size=batch)
            )
            part = next(source, None)
        except BaseException as error:
            if file.failure is not None:  # S3 failed below the library, which only says "I/O error"
                raise file.failure from error
            # the library raises plain Exception for bad pages, and panics for a bad footer
            if type(error) is Exception or type(error).__name__ == "PanicException":
                raise Invalid.at(
                    "input", "a row group cannot be decoded as Parquet", code="invalid_input"
                ) from error
            raise
        if part is None:
            return
        yield part
