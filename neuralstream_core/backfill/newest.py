"""The newest rows of the history, which together hold the newest cell of every entity and feature.

Of an entity's rows that were written with the same features only the last can hold a newest cell. So an
entity has as many rows to merge as there are sets of features that it was written with: usually one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from neuralstream_core.backfill.cells import Cells
from neuralstream_core.features.schema import Feature, FeatureView
from neuralstream_core.features.upkeep import Alive
from neuralstream_core.features.values import Dtype
from neuralstream_core.history.files import select_rows
from neuralstream_core.history.schema import ORDER, columns_of, feature_columns, written_column
from neuralstream_core.parquet import ObjectFiles, database

__all__ = ["BUCKETS", "NewestRows", "Share"]

BUCKETS: Final = 4096
_ROWS: Final = 16_384
"""Of one flight of merges."""
_MEMORY: Final = "1536MiB"


class Share(NamedTuple):
    """A share of all entities, by hash: those whose bucket is one of ``buckets`` from ``first`` on."""

    first: int
    buckets: int

    def has(self, entity: bytes) -> bool:
        """Whether an entity belongs to it: by the first 12 bits of its MD5."""
        digest = hashlib.md5(entity, usedforsecurity=False).hexdigest()
        return (int(digest[:3], 16) - self.first) % BUCKETS < self.buckets


class NewestRows:
    """Reads files of one view.

    Args:
        view: in whose schema version rows are read.
        files: the file system of `History.attach`, and the paths of the files in it.
        spill: a folder for what does not fit into memory.

    Raises (every method):
        NotFound, Forbidden, Unavailable: as `Objects`.
    """

    def __init__(
        self, view: FeatureView, files: ObjectFiles, paths: Sequence[str], spill: Path
    ) -> None:
        self._view, self._files, self._paths = view, files, list(paths)
        self._words = [c.name for c in columns_of(view) if c.name.startswith("_written_")]
        self._database = database(files, memory=_MEMORY, threads=2, spill=spill)

    def boundaries(self, rows: int) -> list[str]:
        """Entities that cut all entities into ranges of about ``rows`` rows each, in order.

        By the statistics of row groups, which are sorted by entity: only the ends of files are read.
        """
        cuts: list[str] = []
        held = 0
        for first, size in self._groups():
            if held >= rows and (not cuts or first > cuts[-1]):
                cuts.append(first)
                held = 0
            held += size
        return cuts

    def _groups(self) -> list[tuple[str, int]]:
        """The first entity of each row group of all files, in order, and its rows."""
        if not self._paths:
            return []
        query = (
            "SELECT stats_min_value, row_group_num_rows FROM parquet_metadata(?)"
            " WHERE path_in_schema = '_entity' AND stats_min_value IS NOT NULL ORDER BY 1"
        )
        return [(str(first), int(rows)) for first, rows in self._fetch(query, [self._paths])]

    def cells(
        self,
        first: str | None,
        end: str | None,
        alive: Alive,
        without: Sequence[str] = (),
        share: Share | None = None,
        only: Sequence[str] | None = None,
    ) -> Iterator[Cells]:
        """The rows to merge, older ones first: of equal event times the later write has the last word.

        Args:
            first, end: of the entities, from ``first`` up to and without ``end``.
            alive: whose rows to take.
            without: entities whose rows to leave out.
            share: of the entities; all where ``None``.
            only: these entities; all where ``None``.
        """
        if not self._paths:
            return
        bounds: list[Any] = [value for value in (first, end) if value is not None]
        where = ["_entity >= ?"] * (first is not None) + ["_entity < ?"] * (end is not None)
        if without:
            where.append("_entity NOT IN (SELECT unnest(?::VARCHAR[]))")
            bounds.append(list(without))
        if only is not None:
            where.append("_entity IN (SELECT unnest(?::VARCHAR[]))")
            bounds.append(list(only))
        if share is not None and share.buckets < BUCKETS:
            bucket = "('0x' || substr(md5(_entity), 1, 3))::INTEGER"
            where.append(f"({bucket} - ? + {BUCKETS}) % {BUCKETS} < ?")
            bounds += share
        kept = "max(_write_time) OVER (PARTITION BY _entity) >= ?"
        lives: list[int] = [alive.write_time]
        if alive.event_time is not None:
            kept = f"({kept} OR max(_event_time) OVER (PARTITION BY _entity) >= ?)"
            lives.append(alive.event_time)
        latest = ", ".join(f"{name} DESC" for name in ORDER[1:])
        order = ", ".join(ORDER[1:])
        rows = (
            f"SELECT * FROM ({select_rows(self._view, self._paths)})"  # noqa: S608 - names are quoted
            f" WHERE {' AND '.join(where) or 'true'}"
            f" QUALIFY row_number() OVER (PARTITION BY {', '.join(['_entity', *self._words])}"
            f" ORDER BY {latest}) = 1 AND {kept}"
        )
        self._execute(
            "CREATE OR REPLACE TEMP TABLE newest AS"  # noqa: S608
            f" SELECT *, row_number() OVER (ORDER BY {order}) AS place FROM ({rows}) ORDER BY place",
            [*bounds, *lives],
        )
        ((count,),) = self._fetch("SELECT count(*) FROM newest")
        for start in range(1, count + 1, _ROWS):
            yield self._slice(start, start + _ROWS)

    def _slice(self, start: int, end: int) -> Cells:
        query = "SELECT * FROM newest WHERE place >= ? AND place < ? ORDER BY place"
        found: dict[str, Any] = self._execute(query, [start, end]).fetchnumpy()
        names = feature_columns(self._view)
        written = np.zeros((len(found["_entity"]), len(self._view.features)), np.bool_)
        columns: dict[str, Any] = {}
        for position, feature in enumerate(self._view.features):
            word, bit = written_column(position)
            written[:, position] = (np.asarray(found[word]) & bit) != 0
            columns[feature.name] = _column(feature, found[names[feature.name]])
        entities = [text.encode() for text in found["_entity"].tolist()]
        times: npt.NDArray[np.int64] = np.asarray(found["_event_time"], np.int64)
        return Cells(entities, times, written, columns)

    def _fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._execute(query, values).fetchall()
        return found

    def _execute(self, query: str, values: Sequence[Any] = ()) -> Any:
        import duckdb

        try:
            return self._database.execute(query, list(values))
        except duckdb.Error as error:
            if self._files.failure is not None:
                raise self._files.failure from error
            raise


def _column(feature: Feature, values: Any) -> Any:
    """As `GivenColumns` takes it."""
    if feature.size is None and feature.dtype is not Dtype.STRING:
        return values
    listed: list[Any] = values.tolist()
    if feature.size is None:
        return listed
    return [None if value is None else np.asarray(value).tolist() for value in listed]
