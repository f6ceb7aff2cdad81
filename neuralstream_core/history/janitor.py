"""What is no longer part of the history is deleted: replaced files and manifests, files of runs that broke
off, and all of a view that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from neuralstream_core.errors import NotFound
from neuralstream_core.history.compaction import GRACE, Views
from neuralstream_core.history.manifest import Head, Heads, Manifests
from neuralstream_core.history.tables import GlueTables
from neuralstream_core.objects import ListedObject, Location, Objects
from neuralstream_core.time import Clock

__all__ = ["Cleaned", "Janitor"]


class Cleaned(NamedTuple):
    """What was deleted: objects, and generations with all that they had."""

    objects: int
    generations: int


class Janitor:
    """Deletes.

    Args:
        heads: of the generations.
        views: see `neuralstream_core.history.compaction.view_lookup`.
        objects: S3.
        bucket: the data bucket.
        clock: now, in microseconds.
        tables: of the Glue catalog, if there is one.

    Raises (every method):
        Conflict: a run of the compaction was first; the next run of the janitor goes on.
        Unavailable: a dependency cannot answer.
    """

    def __init__(
        self,
        heads: Heads,
        views: Views,
        objects: Objects,
        bucket: str,
        clock: Clock,
        *,
        tables: GlueTables | None,
    ) -> None:
        self._heads, self._views = heads, views
        self._objects, self._bucket, self._clock = objects, bucket, clock
        self._manifests = Manifests(objects, bucket)
        self._tables = tables

    def run(self) -> Cleaned:
        """One pass over all generations."""
        objects = generations = 0
        for head in self._heads.all():
            view = self._views(head.view)
            if view is None or view.generation != head.generation:
                objects += self._retire(head)
                generations += 1
            else:
                objects += self._objects.delete(self._outdated(head))
        return Cleaned(objects, generations)

    def _retire(self, head: Head) -> int:
        """Delete all of a generation. What stops it, the next run goes on, as the head is removed last."""
        if not head.deleted:
            gone = head.model_copy(update={"deleted": True, "version": head.version + 1})
            self._heads.commit(head, gone)
        if self._tables is not None:
            self._tables.remove(head)
        count = self._objects.delete(entry.at for entry in self._listed(head))
        self._heads.remove(head)
        return count

    def _outdated(self, head: Head) -> Iterator[Location]:
        """What no reader can need any more: not named by the newest manifest, and older than the grace."""
        before = self._clock() - GRACE
        try:
            manifest = self._manifests.read(head)
        except NotFound:
            return  # a newer one took its place since
        needed = {file.key for file in manifest.files}
        needed |= {file.key for file in manifest.replaced if file.at > before}
        needed |= {head.manifest, head.published}
        folder = self._manifests.folder(head.view, head.generation)
        manifests: list[ListedObject] = []
        for entry in self._listed(head):
            key = entry.at.key
            if key.startswith(f"{folder}manifest/"):
                manifests.append(entry)
            elif (
                key.startswith(f"{folder}date=") and entry.modified <= before and key not in needed
            ):
                yield entry.at
        for entry, newer in pairwise(manifests):
            if newer.modified <= before and entry.at.key not in needed:
                yield entry.at

    def _listed(self, head: Head) -> Iterator[ListedObject]:
        folder = self._manifests.folder(head.view, head.generation)
        return self._objects.listed(Location(self._bucket, folder))
