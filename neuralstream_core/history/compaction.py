"""Compaction: the entries of the log become files of the history, each row exactly once.

A run reads the slots between the cursor and the newest sealed slot, stages their rows on local disk, and
commits view generation by view generation (`neuralstream_core.history.manifest`). Whatever stops it, the next
run goes on: a generation whose head was written skips the slots that head covers, and files that no head
names are not part of the history. Of two runs at once the second to commit fails.

Slots that were consumed soon after they were sealed are counted once more, ten minutes later. An entry that
came late (of a writer whose clock was minutes off, or whose write was answered with 503) makes them be
consumed again: what the files hold already is left out as repeated.
"""

from __future__ import annotations

import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from neuralstream_core.errors import NotFound
from neuralstream_core.features.catalog import Catalog
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.history.entries import Entry
from neuralstream_core.history.files import Bounds, LocalFile, Workbench
from neuralstream_core.history.log import HistoryLog
from neuralstream_core.history.manifest import (
    Cursor,
    DataFile,
    Head,
    Heads,
    Manifest,
    Manifests,
    Replaced,
)
from neuralstream_core.history.staging import Staging
from neuralstream_core.objects import Location, Objects
from neuralstream_core.table import Table
from neuralstream_core.time import Clock, Micros

__all__ = ["GRACE", "Compacted", "Compactor", "view_lookup"]

GRACE: Final[Micros] = 86_400 * 1_000_000
"""How long a file is kept after it was replaced, for those who still read it."""
_BATCH_BYTES: Final = 256 << 20
"""Packed bytes after which no further slot is added to what is committed together."""
_UNWRITTEN_BYTES: Final = 64 << 20
"""Packed bytes that wait in memory at most, over all views."""
_MANY_SLOTS: Final = 1440
"""A day; each slot takes 16 queries to find it empty."""
_CHECKED_AFTER: Final = 10
"""Slots after which a consumed one is counted once more."""
_UPLOADS_AT_ONCE: Final = 8
_PARQUET: Final = "application/vnd.apache.parquet"

Views = Callable[[str], FeatureView | None]


class Compacted(NamedTuple):
    """What a run did.

    Attributes:
        slots: of the log that were consumed.
        entries: read.
        rows: staged, of living views, before repeated ones are left out.
        dropped: rows of views that are gone.
        commits: heads written.
        files: written.
        behind: slots that are sealed and not consumed, because the time was over.
        late: entries that came after their slot was consumed.
    """

    slots: int = 0
    entries: int = 0
    rows: int = 0
    dropped: int = 0
    commits: int = 0
    files: int = 0
    behind: int = 0
    late: int = 0

    def __add__(self, other: tuple[object, ...]) -> Compacted:
        """The sum, field by field."""
        return Compacted(*(a + b for a, b in zip(self, other, strict=True)))  # type: ignore[operator]


def view_lookup(
    table: Table, namespace: str, clock: Clock, internal: Mapping[str, FeatureView] | None = None
) -> Views:
    """Views as the registry table has them now; ``None`` for one that is gone or going.

    Args:
        internal: views that are not in the table, by name.

    Raises (the function):
        Unavailable: the table cannot answer; no view is taken for gone because of that.
    """

    def lookup(name: str) -> FeatureView | None:
        if internal is not None and name in internal:
            return internal[name]
        try:
            return Catalog(table, namespace, clock).fetch(name)
        except NotFound:
            return None

    return lookup


class _Batch:
    """Slots that are committed together.

    Args:
        bench: where rows are staged.
        views: see `view_lookup`; asked once for each name.
        heads: where heads are read.
        again: a consumed slot that is consumed again with all that follow it, if any.

    Attributes:
        staged: by generation, with the head that the commit will follow.
        entries: read.
        dropped: rows of views that are gone.
        bytes: of packed rows.
        counts: entries by slot.
    """

    def __init__(self, bench: Workbench, views: Views, heads: Heads, again: int | None) -> None:
        self._bench, self._lookup, self._heads, self._again = bench, views, heads, again
        self._views: dict[str, FeatureView | None] = {}
        self._unwritten = 0
        self.staged: dict[str, tuple[Head, Staging]] = {}
        self.counts: Counter[int] = Counter()
        self.entries = self.dropped = self.bytes = 0

    @property
    def rows(self) -> int:
        """Rows staged."""
        return sum(staging.rows for _, staging in self.staged.values())

    def add(self, slot: int, entry: Entry) -> None:
        """Stage what the files do not hold yet."""
        self.entries += 1
        self.counts[slot] += 1
        for part in entry.parts:
            if part.view not in self._views:
                self._views[part.view] = self._lookup(part.view)
            view = self._views[part.view]
            if view is None or view.generation != part.generation:
                self.dropped += len(part.rows)
                continue
            if part.generation not in self.staged:
                head = self._heads.get(part.view, part.generation)
                self.staged[part.generation] = (head, self._bench.staging(view))
            head, staging = self.staged[part.generation]
            if slot > head.consumed_until or self._again is not None:
                staging.add(entry.write_time, part)
                size = sum(map(len, part.rows))
                self.bytes += size
                self._unwritten += size
        if self._unwritten >= _UNWRITTEN_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write everything staged to disk."""
        for _, staging in self.staged.values():
            staging.flush()
        self._unwritten = 0


class Compactor:
    """Runs compactions.

    Args:
        log: what is consumed.
        heads: what is committed.
        views: see `view_lookup`.
        objects: S3.
        bucket: the data bucket.
        clock: now, in microseconds.
        bounds: sizes of files and memory.
        batch_bytes: packed bytes after which no further slot is added to what is committed together.
        folder: where temporary folders are made; the system's if not given.

    Raises (every method):
        Conflict: another run was first.
        Unavailable: a dependency cannot answer; the next run goes on.
    """

    def __init__(
        self,
        log: HistoryLog,
        heads: Heads,
        views: Views,
        objects: Objects,
        bucket: str,
        clock: Clock,
        *,
        bounds: Bounds | None = None,
        batch_bytes: int = _BATCH_BYTES,
        folder: Path | None = None,
    ) -> None:
        self._log, self._heads, self._views = log, heads, views
        self._objects, self._bucket, self._clock = objects, bucket, clock
        self._manifests = Manifests(objects, bucket)
        self._bounds = bounds or Bounds()
        self._batch_bytes = batch_bytes
        self._folder = folder

    def run(self, seconds: float = 600.0) -> Compacted:
        """Consume what is sealed; after about ``seconds`` no further batch is begun."""
        until = monotonic() + seconds
        sealed = self._log.sealed()
        cursor = self._start(sealed)
        again, late = self._late(cursor, sealed)
        done = Compacted(late=late)
        position = cursor.slot if again is None else again - 1
        while position < sealed:
            if monotonic() >= until:
                return done._replace(behind=sealed - cursor.slot)
            with self._workbench() as bench:
                last, batch = self._read(bench, position + 1, sealed, again)
                done += Compacted(last - position, batch.entries, batch.rows, batch.dropped)
                for head, staging in batch.staged.values():
                    done += self._commit(bench, head, staging, last)
            position = last
            if position > cursor.slot:
                after = _advanced(cursor, position, sealed, batch.counts)
                self._heads.advance(cursor, after)
                cursor = after
        return done

    def _late(self, cursor: Cursor, sealed: int) -> tuple[int | None, int]:
        """The first consumed slot that got entries since, and how many came late in all."""
        more = {
            slot: self._log.count(slot) - count
            for slot, count in sorted(cursor.unchecked.items())
            if slot <= sealed - _CHECKED_AFTER
        }
        late = [slot for slot, count in more.items() if count]
        return (late[0] if late else None), sum(more.values())

    def _start(self, sealed: int) -> Cursor:
        """The cursor, moved over slots that have no entries if there are many."""
        cursor = self._heads.cursor()
        if cursor is not None and sealed - cursor.slot <= _MANY_SLOTS:
            return cursor
        first = self._log.oldest(-1 if cursor is None else cursor.slot)
        start = Cursor(slot=sealed if first is None else min(first - 1, sealed))
        self._heads.advance(cursor, start)
        return start

    @contextmanager
    def _workbench(self) -> Iterator[Workbench]:
        with tempfile.TemporaryDirectory(prefix="history-", dir=self._folder) as folder:
            bench = Workbench(self._objects, self._bucket, Path(folder), self._bounds)
            try:
                yield bench
            finally:
                bench.close()

    def _read(
        self, bench: Workbench, first: int, sealed: int, again: int | None
    ) -> tuple[int, _Batch]:
        """Stage the rows of the slots from ``first`` on; returns the last one read, and what it staged."""
        batch = _Batch(bench, self._views, self._heads, again)
        before = first
        for slot, entry in self._log.entries(first, sealed):
            if slot > before and batch.bytes >= self._batch_bytes:
                batch.flush()
                return slot - 1, batch
            before = slot
            batch.add(slot, entry)
        batch.flush()
        return sealed, batch

    def _commit(self, bench: Workbench, head: Head, staging: Staging, last: int) -> Compacted:
        """Make the staged rows part of their generation's history."""
        manifest = self._manifests.read(head)
        gone: set[str] = set()
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
            uploads: list[Future[DataFile]] = []
            for merged in bench.merge(staging, manifest.files):
                uploads += [pool.submit(self._upload, staging.view, file) for file in merged.new]
                gone |= {file.key for file in merged.gone}
            new = [upload.result() for upload in uploads]
        if not new and not gone:
            return Compacted()
        now = self._clock()
        after = Manifest(
            view=head.view,
            generation=head.generation,
            version=head.version + 1,
            created_at=now,
            files=(*(file for file in manifest.files if file.key not in gone), *new),
            replaced=(
                *(file for file in manifest.replaced if file.at > now - GRACE),
                *(Replaced(key=key, at=now) for key in sorted(gone)),
            ),
        )
        update = {
            "version": after.version,
            "manifest": self._manifests.write(after),
            "consumed_until": max(last, head.consumed_until),
            "rows": after.rows,
        }
        self._heads.commit(head, head.model_copy(update=update))
        return Compacted(commits=1, files=len(new))

    def _upload(self, view: FeatureView, file: LocalFile) -> DataFile:
        folder = self._manifests.folder(view.name, view.generation)
        key = f"{folder}date={file.date}/{secrets.token_hex(16)}.parquet"
        size = file.path.stat().st_size
        self._objects.write_file(Location(self._bucket, key), file.path, _PARQUET)
        file.path.unlink()
        fields = file._asdict()
        del fields["path"]
        return DataFile(key=key, bytes=size, schema_version=view.schema_version, **fields)


def _advanced(cursor: Cursor, last: int, sealed: int, counts: Mapping[int, int]) -> Cursor:
    """The cursor behind the slot ``last``; of what was consumed just when sealed, the count is kept."""
    young = sealed - _CHECKED_AFTER
    kept = {slot: count for slot, count in cursor.unchecked.items() if slot > young}
    new = {slot: counts.get(slot, 0) for slot in range(max(cursor.slot, young) + 1, last + 1)}
    return Cursor(slot=last, unchecked=kept | new)
