"""The history as tables of the Glue catalog, for Athena and whatever else reads that.

Each view generation is a table, partitioned by the day of the event times with partition projection. Its
location does not hold the files themselves but, for each day, a text file that lists those of the newest
manifest: ``history/{view}/{generation}/tables/date=YYYY-MM-DD/files.txt``. So a query sees neither a file
that was replaced nor one that was never committed. Days are published one after another, each all at once.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date
from typing import Any, Final

from neuralstream_core.errors import NotFound
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.history.catalog import CatalogDatabase, parquet_storage
from neuralstream_core.history.manifest import Head, Heads, Manifest, Manifests
from neuralstream_core.history.schema import columns_of
from neuralstream_core.objects import Location, Objects

__all__ = ["DAY_COLUMN", "GlueTables", "table_name"]

DAY_COLUMN: Final = "_day"
"""The partition column, a text; no feature can have this name."""


def table_name(view: str, generation: str) -> str:
    """The table of a view generation: Glue has lower case letters, digits and underscores."""
    readable = re.sub(r"[^a-z0-9_]", "_", view.lower())
    return f"{readable}_{hashlib.sha256(generation.encode()).hexdigest()[:12]}"


class GlueTables:
    """Creates, changes and removes the tables.

    Args:
        glue: ``boto3.client("glue")``.
        database: of the catalog.
        heads: where it is kept what was published.
        objects: S3.
        bucket: the data bucket.

    Raises (every method):
        Unavailable: Glue, S3 or DynamoDB cannot be reached or failed.
    """

    def __init__(
        self, glue: Any, database: str, heads: Heads, objects: Objects, bucket: str
    ) -> None:
        self._database = CatalogDatabase(glue, database)
        self._heads, self._objects, self._bucket = heads, objects, bucket
        self._manifests = Manifests(objects, bucket)

    def publish(self, view: FeatureView, head: Head) -> bool:
        """Make the table show what ``head`` names; whether there was anything to do.

        Raises:
            Conflict: another process committed or published meanwhile; to be done again.
        """
        if head.published == head.manifest:
            return False
        manifest = self._manifests.read(head)
        before = self._published(head)
        listed, now = _by_day(before), _by_day(manifest)
        if (_shape(before), view.schema_version) != (_shape(manifest), _version(before)):
            self._put_table(view, manifest)
        for day in sorted(listed.keys() | now.keys()):
            if listed.get(day) != now.get(day):
                self._list(manifest, day, now.get(day, ()))
        self._heads.commit(head, head.model_copy(update={"published": head.manifest}))
        return True

    def remove(self, head: Head) -> None:
        """Remove the table of a generation; its objects are not touched."""
        self._database.remove(table_name(head.view, head.generation))

    def _published(self, head: Head) -> Manifest:
        """What the table shows now; nothing if that is not known."""
        nothing = Manifest(view=head.view, generation=head.generation, version=0, created_at=0)
        if not head.published:
            return nothing
        try:
            return self._manifests.at(head.published)
        except NotFound:
            return nothing

    def _list(self, manifest: Manifest, day: date, keys: tuple[str, ...]) -> None:
        folder = self._manifests.folder(manifest.view, manifest.generation)
        at = Location(self._bucket, f"{folder}tables/date={day}/files.txt")
        if not keys:
            self._objects.delete([at])
            return
        text = "".join(f"s3://{self._bucket}/{key}\n" for key in keys)
        self._objects.write(at, text.encode(), "text/plain")

    def _put_table(self, view: FeatureView, manifest: Manifest) -> None:
        self._database.put(self._table(view, manifest))

    def _table(self, view: FeatureView, manifest: Manifest) -> dict[str, Any]:
        folder = self._manifests.folder(manifest.view, manifest.generation)
        at = Location(self._bucket, f"{folder}tables/")
        days = sorted({file.date for file in manifest.files}) or [date(1970, 1, 1)]
        return {
            "Name": table_name(manifest.view, manifest.generation),
            "Description": f"History of the feature view {view.name}"[:2048],
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {
                "EXTERNAL": "TRUE",
                "projection.enabled": "true",
                f"projection.{DAY_COLUMN}.type": "date",
                f"projection.{DAY_COLUMN}.format": "yyyy-MM-dd",
                f"projection.{DAY_COLUMN}.range": f"{days[0]},{days[-1]}",
                "storage.location.template": f"{at}date=${{{DAY_COLUMN}}}/",
                "neuralstream.schema_version": str(view.schema_version),
            },
            "PartitionKeys": [{"Name": DAY_COLUMN, "Type": "string"}],
            "StorageDescriptor": parquet_storage(columns_of(view), at),
        }


def _by_day(manifest: Manifest) -> dict[date, tuple[str, ...]]:
    """Keys of the files of each day."""
    found: dict[date, tuple[str, ...]] = {}
    for file in manifest.files:
        found[file.date] = (*found.get(file.date, ()), file.key)
    return found


def _shape(manifest: Manifest) -> tuple[date, date] | None:
    """The first and the last day; ``None`` without files."""
    days = [file.date for file in manifest.files]
    return (min(days), max(days)) if days else None


def _version(manifest: Manifest) -> int:
    """The newest schema version of the files."""
    return max((file.schema_version for file in manifest.files), default=0)
