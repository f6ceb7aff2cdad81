"""The history of one entity: the rows that were written of it, newest event time first, page by page.

Files are read from the newest day to the oldest, only as far as a page needs. A file is sorted by entity, so
the row groups of other entities are skipped. What is not in files yet comes from the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neuralstream_core.errors import Conflict, TooLarge, Unavailable
from neuralstream_core.features.catalog import Catalog
from neuralstream_core.features.entity import entity_bytes
from neuralstream_core.features.rows import Entity
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.history.files import select_rows
from neuralstream_core.history.manifest import DataFile
from neuralstream_core.history.reader import History, Snapshot
from neuralstream_core.history.recent import RecentRows
from neuralstream_core.history.rows import EntityPage, EntityRow, Place, Wanted
from neuralstream_core.history.schema import feature_columns, written_column
from neuralstream_core.history.sources import read_files
from neuralstream_core.history.staging import Forgotten
from neuralstream_core.parquet import Space, database, quoted
from neuralstream_core.time import Clock, Micros, to_micros

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["EntityHistory"]

_FILES: Final = 32
"""Of a page: no further day is begun once so many were read."""
_FIRST_FILES: Final = 2
"""Of the first query of a page; each further one reads twice as many."""
_BEHIND: Final[Micros] = 86_400 * 1_000_000
"""Of the log no more is read: files are usually ten minutes behind."""
_PLACE: Final = ("_event_time", "_write_time", "_request_id", "_row")


class EntityHistory:
    """Reads the history of single entities.

    Args:
        history: the files and the log.
        catalog: where views are looked up.
        space: what reading files may take.
        clock: now, in microseconds.
    """

    def __init__(self, history: History, catalog: Catalog, space: Space, clock: Clock) -> None:
        self._history, self._catalog = history, catalog
        self._space, self._clock = space, clock

    def read(
        self, name: str, entities: Callable[[FeatureView], Sequence[Entity]], wanted: Wanted
    ) -> EntityPage:
        """One page.

        Args:
            name: of the view.
            entities: the one entity, once its view is known.

        Raises:
            NotFound: no such view.
            Conflict: the view keeps no history.
            Invalid: the view has no such feature, or can have no such entity.
            TooLarge: the rows do not fit into memory.
            Unavailable: DynamoDB or S3 cannot be reached or failed, or more than a day of the log is not in
                files yet.
        """
        view = self._catalog.latest(name)
        (entity,) = entities(view)
        if not view.history:
            raise Conflict(f"view {name} keeps no history", code="view_without_history")
        names = wanted.names(view)
        key = entity_bytes(view.keys, entity)
        snapshot = self._history.snapshot(view)
        log = RecentRows(view, key, names, wanted.takes)
        self._read_log(snapshot, log)
        rows, end = log.rows(), log.complete_from
        if days := _days(snapshot.files, wanted):
            query = _Query(view, key.decode(), wanted, names, log.forgotten)
            rows, of_files = self._with_files(query, days, wanted.limit, rows)
            ends = [each for each in (end, of_files) if each is not None]
            end = max(ends, default=None)
        kept = [row for row in rows if end is None or row.place >= end]
        kept.sort(key=lambda row: row.place, reverse=True)
        if len(kept) > wanted.limit:
            end = kept[wanted.limit - 1].place
        return EntityPage(view, entity, kept[: wanted.limit], end)

    def _read_log(self, snapshot: Snapshot, into: RecentRows) -> None:
        if 0 < snapshot.consumed_until < self._clock() - _BEHIND:
            raise Unavailable(
                "more than a day of the history is not in its files yet: its compaction stands still",
                dependency="history",
                retry_after=300,
            )
        for write_time, part in self._history.tail(snapshot):
            into.add(write_time, part)

    def _with_files(
        self, query: _Query, days: Sequence[_Day], limit: int, recent: Sequence[EntityRow]
    ) -> tuple[list[EntityRow], Place | None]:
        """Rows of files and those of ``recent`` that no file has, and the place from which on no row is
        missing; ``None``: none is."""
        import duckdb

        attached, paths = self._history.attach([file for day in days for file in day.files])
        path = iter(paths)
        by_day = [(day, [next(path) for _ in day.files]) for day in days]
        folder = self._space.folder
        with (
            TemporaryDirectory(dir=folder) as spill,
            database(
                attached,
                memory=f"{self._space.memory_mb}MB",
                threads=self._space.threads,
                spill=Path(spill),
            ) as connection,
            attached.failing(),
        ):
            try:
                rows, end = _newest(connection, query, by_day, limit)
                late = [row for row in recent if end is None or row.place >= end]
                of_late = [
                    path
                    for day, of_day in by_day
                    if any(day.holds(row.place.event_time) for row in late)
                    for path in of_day
                ]
                known = query.known(connection, late, of_late)
            except duckdb.OutOfMemoryException as error:
                raise TooLarge("the rows are too large: ask for fewer with limit") from error
        return rows + [row for row in late if row.identity not in known], end


class _Day(NamedTuple):
    """The files of one day, and the times of their rows."""

    date: date
    files: list[DataFile]

    @property
    def start(self) -> Place:
        """The first place of the day, and of all that are later."""
        return Place.first(to_micros(datetime.combine(self.date, time(), UTC)))

    def holds(self, at: Micros) -> bool:
        """Whether a file may have a row of this event time."""
        return any(file.first_event_time <= at <= file.last_event_time for file in self.files)


def _days(files: Sequence[DataFile], wanted: Wanted) -> list[_Day]:
    """The files that may have a wanted row, the newest day first. No file has a row of another day."""
    last = wanted.last
    some = [
        file
        for file in files
        if (last is None or file.first_event_time <= last.event_time)
        and (wanted.start is None or file.last_event_time >= wanted.start)
    ]
    some.sort(key=lambda file: (file.date, file.key), reverse=True)
    return [_Day(day, list(of_day)) for day, of_day in groupby(some, lambda file: file.date)]


def _newest(
    connection: DuckDBPyConnection,
    query: _Query,
    days: Sequence[tuple[_Day, list[str]]],
    limit: int,
) -> tuple[list[EntityRow], Place | None]:
    """Rows of files, at least ``limit`` + 1 unless there are fewer or `_FILES` were read; and the place from
    which on no row is missing, ``None`` if none is."""
    found: list[EntityRow] = []
    at = read = 0
    while at < len(days):
        paths: list[str] = []
        while at < len(days) and len(paths) < max(_FIRST_FILES, read):
            paths += days[at][1]
            at += 1
        rows = query.newest(connection, query.holding(connection, paths), limit + 1)
        found += rows
        read += len(paths)
        if len(rows) > limit:
            return found, rows[-1].place
        if at < len(days) and (len(found) > limit or read >= _FILES):
            return found, days[at - 1][0].start
    return found, None


class _Query:
    """What is asked of files: the entity's wanted rows."""

    def __init__(
        self,
        view: FeatureView,
        entity: str,
        wanted: Wanted,
        names: Sequence[str],
        forgotten: Forgotten | None,
    ) -> None:
        self._view, self._entity, self._names = view, entity, names
        bits: dict[str, int] = {}
        for name in names:
            word, bit = written_column(view.index[name])
            bits[word] = bits.get(word, 0) | bit
        self._words = list(bits)
        wrote = " OR ".join(f"{word} & {mask} != 0" for word, mask in bits.items())
        self._where = ["_entity = ?", f"({wrote})"]
        self._values: list[Any] = [self._entity]
        if (last := wanted.last) is not None:
            # the second condition follows from the first; statistics of files are compared with it
            self._where += [f"({', '.join(_PLACE)}) < (?, ?, ?, ?)", "_event_time <= ?"]
            self._values += [*last, last.event_time]
        if wanted.start is not None:
            self._where.append("_event_time >= ?")
            self._values.append(wanted.start)
        if forgotten is not None:
            self._where.append(f"({', '.join(_PLACE[1:])}) > (?, ?, ?)")
            self._values += forgotten

    def holding(self, connection: DuckDBPyConnection, paths: Sequence[str]) -> list[str]:
        """The files that have a row of the entity. Of each file one column is read, where its row groups may
        have it; a row has many."""
        source = read_files(paths, "filename = true")
        found = connection.execute(
            f"SELECT DISTINCT filename FROM {source} WHERE _entity = ?",  # noqa: S608
            [self._entity],
        )
        return [path for (path,) in found.fetchall()]

    def newest(
        self, connection: DuckDBPyConnection, paths: Sequence[str], most: int
    ) -> list[EntityRow]:
        """The newest rows of files, at most ``most``."""
        if not paths:
            return []
        columns = feature_columns(self._view)
        selected = [*_PLACE, "_schema_version", *self._words]
        selected += [quoted(columns[name]) for name in self._names]
        order = ", ".join(f"{name} DESC" for name in _PLACE)
        found = connection.execute(
            f"SELECT {', '.join(selected)} FROM ({select_rows(self._view, paths)})"  # noqa: S608
            f" WHERE {' AND '.join(self._where)} ORDER BY {order} LIMIT {most}",
            self._values,
        )
        return [self._row(row) for row in found.fetchall()]

    def known(
        self, connection: DuckDBPyConnection, rows: Sequence[EntityRow], paths: Sequence[str]
    ) -> set[tuple[str, int, Micros]]:
        """The identities of those of ``rows`` that files have too."""
        if not rows or not paths:
            return set()
        requests = sorted({row.place.request_id for row in rows})
        found = connection.execute(
            f"SELECT _request_id, _row, _event_time FROM ({select_rows(self._view, paths)})"  # noqa: S608
            " WHERE _entity = ? AND _request_id IN (SELECT unnest(?::VARCHAR[]))",
            [self._entity, requests],
        )
        return set(found.fetchall())

    def _row(self, row: tuple[Any, ...]) -> EntityRow:
        place, version = Place(*row[: len(_PLACE)]), row[len(_PLACE)]
        start = len(_PLACE) + 1
        words = dict(zip(self._words, row[start:], strict=False))
        values: dict[str, Any] = {}
        for name, value in zip(self._names, row[start + len(words) :], strict=True):
            word, bit = written_column(self._view.index[name])
            if words[word] & bit:
                values[name] = value
        return EntityRow(place, version, values)
