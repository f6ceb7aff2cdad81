"""Which files are the history of a view generation: immutable manifests in S3, and an item for the newest.

Below ``history/{view}/{generation}/`` in the data bucket: ``date=YYYY-MM-DD/{id}.parquet`` and
``manifest/{version}-{id}.json`` (`Manifest`), none of which is ever replaced. Items of the history table of
namespace ``ns``:

==================================  ==================================================================
``PK = HEAD#{ns}, SK = {generation}``  `Head`: the newest manifest, and up to which slot of the log its
                                    files hold the generation's rows. A commit is one conditional write
                                    of it: what it does not name is not part of the history
``PK = CURSOR#{ns}, SK = CURSOR``   `Cursor`: all generations hold their rows up to this slot
==================================  ==================================================================
"""

from __future__ import annotations

import secrets
from datetime import date
from typing import Final

from pydantic import Field

from neuralstream_core.errors import ConditionFailed, Conflict
from neuralstream_core.objects import Location, Objects
from neuralstream_core.table import Item, Table
from neuralstream_core.time import Micros
from neuralstream_core.types import Record

__all__ = ["Cursor", "DataFile", "Head", "Heads", "Manifest", "Manifests", "Replaced"]

_JSON: Final = "application/json"
_CURSOR: Final = "CURSOR"


class DataFile(Record):
    """One Parquet file; see `neuralstream_core.history.schema` for its columns."""

    key: str
    """In the data bucket."""
    date: date
    """UTC day of its rows' event times; the first or last day that files have for times beyond those."""
    rows: int
    bytes: int
    first_event_time: Micros
    last_event_time: Micros
    first_write_time: Micros
    last_write_time: Micros
    schema_version: int
    """Of the view when the file was written: it has the columns of this version."""


class Replaced(Record):
    """A file that is no longer part of the history, and since when."""

    key: str
    at: Micros


class Manifest(Record):
    """The files of one version of a generation's history."""

    view: str
    generation: str
    version: int
    created_at: Micros
    files: tuple[DataFile, ...] = ()
    replaced: tuple[Replaced, ...] = ()
    """Files of earlier versions that who reads one of those may still need."""

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)


class Head(Record):
    """The newest version of a generation's history."""

    view: str
    generation: str
    version: int = 0
    """0: nothing is committed yet."""
    manifest: str = ""
    """Its key in the data bucket."""
    consumed_until: int = -1
    """The last slot of the log whose rows of this generation are in the files."""
    rows: int = 0
    deleted: bool = False
    """The view is gone, and the files are being removed."""
    published: str = ""
    """Key of the manifest that the generation's table in the Glue catalog shows."""


class Cursor(Record):
    """How far the log is consumed."""

    slot: int
    """The last slot whose rows are in the files of all generations."""
    unchecked: dict[int, int] = Field(default_factory=dict)
    """The entries found in slots that are to be counted once more, by slot."""


class Manifests:
    """Reads and writes manifests.

    Raises (every method):
        NotFound: no such manifest.
        Unavailable: S3 cannot be reached or failed.
    """

    def __init__(self, objects: Objects, bucket: str) -> None:
        self._objects, self._bucket = objects, bucket

    @staticmethod
    def folder(view: str, generation: str) -> str:
        """Prefix of all objects of a generation."""
        return f"history/{view}/{generation}/"

    def read(self, head: Head) -> Manifest:
        """The manifest that ``head`` names; an empty one for version 0."""
        if not head.manifest:
            return Manifest(view=head.view, generation=head.generation, version=0, created_at=0)
        return self.at(head.manifest)

    def at(self, key: str) -> Manifest:
        """The manifest under a key of the data bucket."""
        return Manifest.model_validate_json(self._objects.read(Location(self._bucket, key)))

    def write(self, manifest: Manifest) -> str:
        """Store a manifest under a key of its own, which is returned."""
        folder = self.folder(manifest.view, manifest.generation)
        key = f"{folder}manifest/{manifest.version:010d}-{secrets.token_hex(8)}.json"
        self._objects.write(Location(self._bucket, key), manifest.model_dump_json().encode(), _JSON)
        return key


class Heads:
    """Reads and conditional writes of the items above.

    Args:
        table: the history table.
        namespace: see `neuralstream_core.settings.BaseSettings.namespace`.

    Raises (every method):
        Unavailable: DynamoDB cannot be reached, throttles or failed.
    """

    def __init__(self, table: Table, namespace: str) -> None:
        self._table = table
        self._heads = f"HEAD#{namespace}"
        self._cursor = f"CURSOR#{namespace}"

    def cursor(self) -> Cursor | None:
        """How far the log is consumed; ``None`` before the first run."""
        item = self._table.get(self._cursor, _CURSOR)
        if item is None:
            return None
        return Cursor(slot=item["slot"], unchecked=item.get("unchecked", {}))

    def advance(self, before: Cursor | None, after: Cursor) -> None:
        """Put ``after`` in the place of ``before``.

        Raises:
            Conflict: another process moved the cursor.
        """
        unchecked = {str(slot): count for slot, count in after.unchecked.items()}
        item: Item = {
            "PK": self._cursor,
            "SK": _CURSOR,
            "slot": after.slot,
            "unchecked": unchecked,
        }
        try:
            if before is None:
                self._table.put(item, condition="attribute_not_exists(PK)")
            else:
                self._table.put(item, condition="slot = :before", values={":before": before.slot})
        except ConditionFailed:
            raise _raced() from None

    def get(self, view: str, generation: str) -> Head:
        """The newest version; version 0 if there is none."""
        item = self._table.get(self._heads, generation)
        if item is None:
            return Head(view=view, generation=generation)
        return Head.model_validate(item)

    def all(self) -> list[Head]:
        """Of every generation that has a history."""
        return [Head.model_validate(item) for item in self._table.query_all(self._heads)]

    def commit(self, before: Head, after: Head) -> None:
        """Put ``after`` in the place of ``before``: all or nothing.

        Raises:
            Conflict: another process was first; nothing changed.
        """
        item: Item = {"PK": self._heads, "SK": after.generation, **after.model_dump()}
        try:
            if before.version:
                self._table.put(
                    item,
                    condition="version = :version AND published = :published",
                    values={":version": before.version, ":published": before.published},
                )
            else:
                self._table.put(item, condition="attribute_not_exists(PK)")
        except ConditionFailed:
            raise _raced() from None

    def remove(self, head: Head) -> None:
        """Forget a generation whose files are gone."""
        self._table.delete(self._heads, head.generation)


def _raced() -> Conflict:
    return Conflict("another run of the compaction was first", code="compaction_raced")
