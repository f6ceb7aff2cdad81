"""The history as its readers see it: a snapshot of files, and what was appended since.

::

    history = History(log, heads, objects, bucket, clock)
    snapshot = history.snapshot(view)
    files, paths = history.attach(snapshot.files)
    rows = database(files).execute(select_rows(snapshot.view, paths))
    for write_time, part in history.tail(snapshot): …
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from neuralstream_core.errors import NotFound
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.history.entries import FORGOTTEN, Part
from neuralstream_core.history.log import SLOT, HistoryLog, slot_of
from neuralstream_core.history.manifest import DataFile, Heads, Manifests
from neuralstream_core.objects import Location, Objects
from neuralstream_core.time import Clock, Micros

if TYPE_CHECKING:
    from neuralstream_core.parquet import ObjectFiles

__all__ = ["History", "Snapshot"]

_ATTEMPTS: Final = 5


class Snapshot(NamedTuple):
    """The files of a view at one moment.

    Rows are never changed, so the rows of this snapshot are those rows of any later one whose write time is
    before ``consumed_until``, less what was forgotten since.

    Attributes:
        view: in the schema version in which rows are read.
        version: of the history; 0 if there are no files yet.
        consumed_until: exclusive, in microseconds: every acknowledged write of an earlier write time is in
            the files. 0 before the first run of the compaction.
        files: each with its times, rows and bytes.
    """

    view: FeatureView
    version: int
    consumed_until: Micros
    files: tuple[DataFile, ...]

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)


class History:
    """Reads the history.

    Args:
        log: for what is not in files yet.
        heads: see `Heads`.
        objects: S3.
        bucket: the data bucket.
        clock: now, in microseconds.

    Raises (every method):
        Unavailable: DynamoDB or S3 cannot be reached or failed.
    """

    def __init__(
        self, log: HistoryLog, heads: Heads, objects: Objects, bucket: str, clock: Clock
    ) -> None:
        self._log, self._heads, self._clock = log, heads, clock
        self._objects, self._bucket = objects, bucket
        self._manifests = Manifests(objects, bucket)

    def snapshot(self, view: FeatureView) -> Snapshot:
        """The newest files of ``view``. They stay readable for a day after they were replaced."""
        for _ in range(_ATTEMPTS):
            cursor = self._heads.cursor()  # before the head: what it says holds for any later head
            head = self._heads.get(view.name, view.generation)
            try:
                manifest = self._manifests.read(head)
            except NotFound:
                continue  # it was replaced and removed since
            consumed = max(head.consumed_until, -1 if cursor is None else cursor.slot)
            return Snapshot(view, head.version, (consumed + 1) * SLOT, manifest.files)
        raise NotFound(f"the history of view {view.name} was removed", code="history_not_found")

    def attach(self, files: Sequence[DataFile]) -> tuple[ObjectFiles, list[str]]:
        """A file system for `neuralstream_core.parquet.database`, and the path of each file in it.

        A query fetches only what it needs; `neuralstream_core.history.files.select_rows` is the query for
        all of it.
        """
        from neuralstream_core.parquet import ObjectFiles

        system = ObjectFiles(self._objects)
        return system, [system.add(self.location(file), file.bytes, "") for file in files]

    def location(self, file: DataFile) -> Location:
        """Where a file is."""
        return Location(self._bucket, file.key)

    def download(self, files: Sequence[DataFile], folder: Path) -> list[Path]:
        """Copies of files in ``folder``, in their order, for who reads them more than once."""
        paths: list[Path] = []
        for number, file in enumerate(files):
            paths.append(folder / f"{number}.parquet")
            with paths[-1].open("wb") as copy:
                copy.writelines(self._objects.stream(self.location(file), 0, file.bytes))
        return paths

    def tail(self, *snapshots: Snapshot) -> Iterator[tuple[Micros, Part]]:
        """What was appended to views since their snapshots up to now, with its write time, in the order of
        minutes. The log is read once for all of them.

        Rows of a message that was delivered twice may be in it twice, and in the files too.
        """
        since = {each.view.generation: each.consumed_until // SLOT for each in snapshots}
        first = min(since.values(), default=0) or self._log.oldest()
        if first is None:
            return
        for slot, entry in self._log.entries(first, slot_of(self._clock())):
            for part in entry.parts:
                if slot >= since.get(part.generation, slot + 1):
                    yield entry.write_time, part

    def forgotten(self, snapshot: Snapshot) -> set[bytes]:
        """Entities of a view that were forgotten since its snapshot, whatever was written of them later."""
        return {
            entity
            for _, part in self.tail(snapshot)
            for entity, row in zip(part.entities, part.rows, strict=True)
            if row == FORGOTTEN
        }
