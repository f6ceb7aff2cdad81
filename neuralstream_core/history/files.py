"""The history's Parquet files by DuckDB: what a query reads of them, and how new rows become files.

A file is never changed. Rows are added by writing the files of their day anew, as long as those are small, or
beside them; rows are removed by writing a file without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from neuralstream_core.features.schema import FeatureView
from neuralstream_core.history.manifest import DataFile
from neuralstream_core.history.schema import ORDER, columns_of
from neuralstream_core.history.staging import STAGED, Staging
from neuralstream_core.objects import Location, Objects
from neuralstream_core.parquet import ObjectFiles, database, quoted
from neuralstream_core.time import Micros

__all__ = ["Bounds", "LocalFile", "Merged", "Workbench", "select_rows"]

_DAY: Final[Micros] = 86_400 * 1_000_000
_EPOCH: Final = date(1970, 1, 1)
_LAST_DAY: Final = (date(2099, 12, 31) - _EPOCH).days
"""Files are by day from 1970 to 2099: an event time beyond belongs to the first or the last of these days."""
_GROUP_BYTES: Final = 16 << 20
_GROUP_ROWS: Final = 122_880
_SORTED_DAYS: Final = 8
"""With rows of more days than this, staged rows are sorted by day first."""
_REPEAT_WINDOW: Final[Micros] = 15 * _DAY
"""How much later a row can come again: messages of a queue are kept for 14 days."""


class Bounds(NamedTuple):
    """Sizes.

    Attributes:
        small: bytes of a file below which rows of the same day are merged into it.
        large: bytes that a file should not exceed.
        memory: most memory of DuckDB, as it writes sizes.
        threads: of DuckDB.
    """

    small: int = 32 << 20
    large: int = 128 << 20
    memory: str = "1GiB"
    threads: int = 2


class LocalFile(NamedTuple):
    """A file of the history that is not in S3 yet; the fields are those of `DataFile`."""

    path: Path
    date: date
    rows: int
    first_event_time: Micros
    last_event_time: Micros
    first_write_time: Micros
    last_write_time: Micros


class Merged(NamedTuple):
    """What becomes of the files of one day: ``gone`` are replaced by ``new``."""

    new: list[LocalFile]
    gone: list[DataFile]


def select_rows(view: FeatureView, paths: Sequence[str]) -> str:
    """The query for all rows of files, in the columns of ``view`` at its schema version.

    Files of other schema versions have fewer or more columns: a feature that a file does not know was not
    written in it.

    Args:
        paths: where DuckDB finds the files; may be empty.
    """
    columns = columns_of(view)
    typed = ", ".join(f"CAST(NULL AS {c.type}) AS {quoted(c.name)}" for c in columns)
    listed = ", ".join(map(_text, paths))
    files = (
        " UNION ALL BY NAME SELECT * FROM read_parquet"  # noqa: S608 - paths and names are quoted
        f"([{listed}], union_by_name = true, hive_partitioning = false)"
    )
    selected = [
        f"coalesce({quoted(c.name)}, 0) AS {quoted(c.name)}"
        if c.name.startswith("_written_")
        else quoted(c.name)
        for c in columns
    ]
    return f"SELECT {', '.join(selected)} FROM (SELECT {typed} WHERE false{files if paths else ''})"  # noqa: S608


class Workbench:
    """A DuckDB database with bounded memory, a local folder and the history's files in S3.

    Args:
        objects: S3.
        bucket: the data bucket.
        folder: for staged and new files and what does not fit into memory.
        bounds: sizes.

    Raises (every method that reads files):
        NotFound, Forbidden, Unavailable: as `Objects`.
    """

    def __init__(self, objects: Objects, bucket: str, folder: Path, bounds: Bounds) -> None:
        self._bucket, self._folder, self._bounds = bucket, folder, bounds
        self._files = ObjectFiles(objects)
        spill = folder / "spill"
        spill.mkdir()
        self._database = database(
            self._files, memory=bounds.memory, threads=bounds.threads, spill=spill
        )
        self._made = 0
        self._kept = ""
        """Follows a table ``r`` and leaves out the rows of forgotten entities, if any are."""

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def staging(self, view: FeatureView) -> Staging:
        """An empty staging, in a folder of its own."""
        return Staging(view, self._new_folder(), self._database)

    def merge(self, staging: Staging, files: Sequence[DataFile]) -> Iterator[Merged]:
        """Make files of the staged rows, one day after another.

        Rows of forgotten entities are left out of the new files, and files that hold such rows are
        replaced. A row that is staged twice, or is in a file already, is left out.

        Args:
            files: all files of the generation.
        """
        staging.flush()
        with self._files.failing():
            self._database.execute(
                "CREATE OR REPLACE TEMP TABLE forgotten"
                " (entity VARCHAR, write_time BIGINT, request_id VARCHAR, row INTEGER)"
            )
            self._kept = _NOT_FORGOTTEN if staging.forgotten else ""
            if staging.forgotten:
                self._database.executemany(
                    "INSERT INTO forgotten VALUES (?, ?, ?, ?)",
                    [[entity, *when] for entity, when in staging.forgotten.items()],
                )
            self._find_repeated(staging, files)
            fresh = self._fresh(staging)
            affected = self._affected(staging, files)
            for day in sorted(fresh.keys() | {_day(file.date) for file in affected}):
                of_day = [file for file in files if _day(file.date) == day]
                gone = [
                    file
                    for file in of_day
                    if file in affected or (day in fresh and file.bytes < self._bounds.small)
                ]
                sources = [f"FROM ({select_rows(staging.view, self._paths(gone))})"]
                if day in fresh:
                    sources.append(fresh[day])
                yield Merged(self._write_day(staging.view, day, sources), gone)

    # --- which rows ----------------------------------------------------------------------------

    def _find_repeated(self, staging: Staging, files: Sequence[DataFile]) -> None:
        """Fill the table ``repeated`` with the numbers of staged rows that came before."""
        self._database.execute(f"CREATE OR REPLACE TEMP TABLE repeated ({STAGED} BIGINT)")
        if not staging.files:
            return
        key = "_request_id, _row, _event_time"
        rows = f"{_parquet(staging.files)} r {self._kept}"
        self._database.execute(
            f"CREATE OR REPLACE TEMP TABLE twice AS SELECT {key} FROM {rows}"  # noqa: S608
            f" GROUP BY {key} HAVING count(*) > 1"
        )
        self._database.execute(
            f"INSERT INTO repeated SELECT {STAGED} FROM ("  # noqa: S608
            f"SELECT {STAGED}, row_number() OVER (PARTITION BY {key} ORDER BY _write_time, {STAGED}) AS n"
            f" FROM (SELECT r.* FROM {rows}) SEMI JOIN twice USING ({key})) WHERE n > 1"
        )
        if staging.first_write_time is None:
            return
        days = {day for (day,) in self._rows(f"SELECT DISTINCT {_DAY_OF} FROM {rows}")}  # noqa: S608
        oldest = staging.first_write_time - _REPEAT_WINDOW
        known = [
            file for file in files if _day(file.date) in days and file.last_write_time >= oldest
        ]
        if known:
            kept = f"{_parquet(self._paths(known))} r {self._kept}"
            self._database.execute(
                f"INSERT INTO repeated SELECT {STAGED} FROM (SELECT r.* FROM {rows})"  # noqa: S608
                f" SEMI JOIN (SELECT {key} FROM {kept}) USING ({key})"
            )

    def _fresh(self, staging: Staging) -> dict[int, str]:
        """By day, the query (from its FROM on) for the staged rows that become rows of files."""
        if not staging.files:
            return {}
        rows = (
            f"(SELECT r.* FROM {_parquet(staging.files)} r {self._kept})"  # noqa: S608
            f" ANTI JOIN repeated USING ({STAGED})"
        )
        days = [int(day) for (day,) in self._rows(f"SELECT DISTINCT {_DAY_OF} FROM {rows}")]  # noqa: S608
        if len(days) > _SORTED_DAYS:
            path = self._new_folder() / "sorted.parquet"
            order = ", ".join(ORDER)
            self._copy(f"SELECT * FROM {rows} ORDER BY {_DAY_OF}, {order}", path, "lz4", 10_000)  # noqa: S608
            rows = _parquet([path])
        return {day: f"FROM {rows} WHERE {_within(day)}" for day in days}

    def _affected(self, staging: Staging, files: Sequence[DataFile]) -> list[DataFile]:
        """The files that hold rows of forgotten entities."""
        if not staging.forgotten:
            return []
        last = max(staging.forgotten.values()).write_time
        found: list[DataFile] = []
        for file in files:
            if file.first_write_time > last:
                continue
            rows = _parquet(self._paths([file]))
            ((count,),) = self._rows(
                f"SELECT count(*) FROM {rows} r JOIN forgotten f ON r._entity = f.entity"  # noqa: S608
                f" WHERE NOT {_LATER}"
            )
            if count:
                found.append(file)
        return found

    # --- files ---------------------------------------------------------------------------------

    def _write_day(self, view: FeatureView, day: int, sources: Iterable[str]) -> list[LocalFile]:
        """New files of one day, in order; none without rows."""
        columns = ", ".join(quoted(column.name) for column in columns_of(view))
        rows = " UNION ALL ".join(f"SELECT {columns} {source}" for source in sources)
        path = self._new_folder() / "0.parquet"
        group = _group_rows(view)
        self._copy(
            f"SELECT r.* FROM ({rows}) r {self._kept} ORDER BY {', '.join(ORDER)}",  # noqa: S608
            path,
            "zstd",
            group,
        )
        whole = self._described(path, day)
        if whole is None:
            return []
        pieces = -(-path.stat().st_size // self._bounds.large)
        if pieces == 1:
            return [whole]
        found: list[LocalFile] = []
        each = -(-whole.rows // pieces)
        for number in range(pieces):
            piece = path.with_name(f"{number + 1}.parquet")
            some = f"LIMIT {each} OFFSET {number * each}"
            self._copy(f"SELECT * FROM {_parquet([path])} {some}", piece, "zstd", group)  # noqa: S608
            if (described := self._described(piece, day)) is not None:
                found.append(described)
        path.unlink()
        return found

    def _copy(self, query: str, path: Path, compression: str, group: int) -> None:
        options = f"FORMAT parquet, COMPRESSION {compression}, ROW_GROUP_SIZE {group}"
        self._database.execute(f"COPY ({query}) TO {_text(str(path))} ({options})")

    def _described(self, path: Path, day: int) -> LocalFile | None:
        """A written file; ``None`` without rows."""
        ((rows, *times),) = self._rows(
            "SELECT count(*), min(_event_time), max(_event_time), min(_write_time), max(_write_time)"  # noqa: S608
            f" FROM {_parquet([path])}"
        )
        return LocalFile(path, _EPOCH + timedelta(days=day), rows, *times) if rows else None

    def _paths(self, files: Iterable[DataFile]) -> list[str]:
        return [self._files.add(Location(self._bucket, file.key), file.bytes, "") for file in files]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._database.execute(query).fetchall()

    def _new_folder(self) -> Path:
        folder = self._folder / str(self._made)
        folder.mkdir()
        self._made += 1
        return folder


_LATER: Final = "(r._write_time, r._request_id, r._row) > (f.write_time, f.request_id, f.row)"
_NOT_FORGOTTEN: Final = (
    f"LEFT JOIN forgotten f ON r._entity = f.entity WHERE (f.entity IS NULL OR {_LATER})"
)
_DAY_OF: Final = f"least(greatest(_event_time, 0) // {_DAY}, {_LAST_DAY})"


def _within(day: int) -> str:
    """The condition on ``_event_time`` for one day's files."""
    bounds = [
        f"_event_time >= {day * _DAY}" if day > 0 else "",
        f"_event_time < {(day + 1) * _DAY}" if day < _LAST_DAY else "",
    ]
    return " AND ".join(filter(None, bounds))


def _day(of: date) -> int:
    return (of - _EPOCH).days


def _group_rows(view: FeatureView) -> int:
    """Rows of a row group, so that one takes bounded memory."""
    width = 64 + sum(feature.width for feature in view.features)
    return max(2048, min(_GROUP_ROWS, _GROUP_BYTES // width))


def _parquet(paths: Iterable[str | Path]) -> str:
    """A table function over files."""
    listed = ", ".join(_text(str(path)) for path in paths)
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"


def _text(value: str) -> str:
    """A text literal in SQL."""
    return "'" + value.replace("'", "''") + "'"
