"""What `neuralstream_core.history.join` reads, in DuckDB's words: files of the history as relations.

``_at`` of a row is its file's place in the list of files and its position in the file. That is the order of
`neuralstream_core.history.schema.ORDER` for the rows of an entity when files are listed by day: a file is
sorted. Files of one day that overlap are sorted together first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from neuralstream_core.features.schema import FeatureView
from neuralstream_core.history.join import Output
from neuralstream_core.history.schema import ORDER, columns_of, written_column
from neuralstream_core.parquet import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["classes_of", "define_history", "prepare", "read_csv", "read_files", "run_join"]

_ROW_BITS: Final = 36
"""Of ``_at``: positions in a file."""
_MASKS: Final = 4096
"""Distinct sets of written features that are looked at one by one."""


def prepare(database: DuckDBPyConnection) -> None:
    """Make a database ready for the text of `neuralstream_core.history.join.join_text`."""
    database.execute("CREATE OR REPLACE MACRO bitwise_and(a, b) AS a & b")
    # the text names the smaller side of each join last, as Trino builds; estimates of window results are bad
    database.execute("SET disabled_optimizers = 'build_side_probe_side,join_order'")
    database.execute("SET preserve_insertion_order = true")


def define_history(
    database: DuckDBPyConnection,
    number: int,
    view: FeatureView,
    days: Sequence[Sequence[str]],
    folder: Path,
) -> None:
    """Make the relation ``history_<number>``.

    Args:
        view: at the schema version in which rows are read; a file of another version may lack columns.
        days: paths of files, by day in ascending order.
        folder: for copies of what must be sorted.
    """
    paths: list[str] = []
    for of_day in days:
        paths += of_day if len(of_day) < 2 else _in_order(database, of_day, folder)
    columns = columns_of(view)
    if paths:
        source = read_files(paths, "file_row_number = true")
        described = database.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608
        known = {str(row[0]).lower() for row in described}
        at = f"(CAST(file_index AS BIGINT) << {_ROW_BITS}) + file_row_number"
    else:
        source, known, at = "(SELECT 1) none WHERE false", set(), "CAST(NULL AS BIGINT)"
    selected = [f"{at} AS _at"]
    for name, type_ in columns:
        value = quoted(name) if name.lower() in known else f"CAST(NULL AS {type_})"
        if name.startswith("_written_"):
            value = f"coalesce({value}, 0)"
        selected.append(f"{value} AS {quoted(name)}")
    database.execute(
        f"CREATE OR REPLACE TEMP VIEW history_{number} AS SELECT {', '.join(selected)} FROM {source}"  # noqa: S608
    )


def classes_of(
    database: DuckDBPyConnection, number: int, view: FeatureView, outputs: Sequence[Output]
) -> list[list[Output]]:
    """``outputs`` in groups that were written together in every row of ``history_<number>``."""
    places = {output: written_column(view.index[output.feature]) for output in outputs}
    words = sorted({word for word, _ in places.values()})
    query = f"SELECT DISTINCT {', '.join(words)} FROM history_{number} LIMIT {_MASKS}"  # noqa: S608
    masks = [dict(zip(words, row, strict=True)) for row in database.execute(query).fetchall()]
    found: dict[tuple[bool, ...], list[Output]] = {}
    for output in outputs:
        word, bit = places[output]
        found.setdefault(tuple(bool(mask[word] & bit) for mask in masks), []).append(output)
    if len(masks) < _MASKS:
        return list(found.values())
    # more masks than were looked at: a group stands if no row wrote only some of it
    return [
        group
        for members in found.values()
        for group in (
            [members]
            if len(members) == 1 or _together(database, number, [places[m] for m in members])
            else [[member] for member in members]
        )
    ]


def run_join(
    database: DuckDBPyConnection, text: str, path: Path, times: Sequence[str] = ()
) -> None:
    """Write the rows of a join as a Parquet file.

    Args:
        text: of `neuralstream_core.history.join.join_text`.
        times: columns that hold microseconds and become timestamps in UTC.
    """
    shown = ", ".join(f"make_timestamptz({quoted(name)}) AS {quoted(name)}" for name in times)
    select = f"SELECT * REPLACE ({shown}) FROM ({text})" if times else text  # noqa: S608 - names are quoted
    database.execute(f"COPY ({select}) TO {_text(str(path))} (FORMAT parquet, COMPRESSION zstd)")


def read_files(paths: Sequence[str], *options: str) -> str:
    """A table function over Parquet files."""
    listed = ", ".join(map(_text, paths))
    more = "".join(f", {option}" for option in options)
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false{more})"


def read_csv(database: DuckDBPyConnection, path: str, texts: Iterable[str]) -> str:
    """A table function over a CSV file with a header; the types of columns are found by reading all of it.

    Args:
        texts: columns that stay texts: ids and times, which are not to be guessed at.
    """
    whole = "header = true, sample_size = -1"
    described = database.execute(
        f"DESCRIBE SELECT * FROM read_csv({_text(path)}, {whole}, all_varchar = true)"  # noqa: S608
    ).fetchall()
    known = {str(row[0]) for row in described}
    types = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in texts if name in known)
    return f"read_csv({_text(path)}, {whole}, types = {{{types}}})"


def _together(database: DuckDBPyConnection, number: int, places: Sequence[tuple[str, int]]) -> bool:
    bits: dict[str, int] = {}
    for word, bit in places:
        bits[word] = bits.get(word, 0) | bit
    none = " AND ".join(f"{word} & {mask} = 0" for word, mask in bits.items())
    every = " AND ".join(f"{word} & {mask} = {mask}" for word, mask in bits.items())
    query = f"SELECT count(*) FROM history_{number} WHERE NOT ({none}) AND NOT ({every})"  # noqa: S608
    return database.execute(query).fetchall() == [(0,)]


def _in_order(database: DuckDBPyConnection, paths: Sequence[str], folder: Path) -> list[str]:
    """Files of one day, so that the rows of an entity are in order; sorted into one if they overlap."""
    order = ", ".join(ORDER)
    ends: list[tuple[tuple[object, ...], tuple[object, ...], str]] = []
    for path in paths:
        query = f"SELECT min(k), max(k) FROM (SELECT row({order}) AS k FROM {read_files([path])})"  # noqa: S608
        ((first, last),) = database.execute(query).fetchall()
        if first is not None:
            ends.append((_key(first), _key(last), path))
    ends.sort()
    if all(before[1] <= after[0] for before, after in pairwise(ends)):
        return [path for _, _, path in ends]
    target = str(folder / f"{uuid4().hex}.parquet")
    query = f"SELECT * FROM {read_files(paths)} ORDER BY {order}"  # noqa: S608
    database.execute(f"COPY ({query}) TO {_text(target)} (FORMAT parquet, COMPRESSION lz4)")
    return [target]


def _key(row: Mapping[str, object] | Sequence[object]) -> tuple[object, ...]:
    return tuple(row.values()) if isinstance(row, Mapping) else tuple(row)


def _text(value: str) -> str:
    """A text literal in SQL."""
    return "'" + value.replace("'", "''") + "'"
