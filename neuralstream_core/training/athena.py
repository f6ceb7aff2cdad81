"""Training sets whose join Athena runs, as their history is too large for one function.

Below ``jobs/_work/{job_id}/`` in the data bucket: ``plan.json`` (`AthenaPlan`); ``labels/``, what the
function made of the labels; ``history-{n}/files.txt``, the files of lookup *n*; and ``joined/``, what Athena
writes. Until the job ends, the database of the history has a table for the labels and one for each lookup:
exactly the files of one snapshot, whatever the compaction does meanwhile.

Only ids, times and the labels' numbers go through Athena. The caller's own columns, of whatever type, are put
beside the features afterwards, by number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from neuralstream_core.errors import NotFound
from neuralstream_core.history.athena import LABEL, athena_query, unload
from neuralstream_core.history.catalog import CatalogDatabase, parquet_storage
from neuralstream_core.history.join import Lookup, Output
from neuralstream_core.history.manifest import DataFile
from neuralstream_core.history.mode import Mode
from neuralstream_core.history.schema import Column, columns_of
from neuralstream_core.history.sources import read_files, run_join
from neuralstream_core.jobs.files import WORK
from neuralstream_core.objects import Location, Objects
from neuralstream_core.parquet import ObjectFiles, quoted
from neuralstream_core.training.plan import ViewLookup
from neuralstream_core.training.records import ViewSnapshot
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Athena", "AthenaPlan", "Part"]

_PARQUET: Final = "application/vnd.apache.parquet"


class AthenaPlan(Record):
    """What the last task of a job needs to know.

    Attributes:
        rows: labels.
        labels: names of the caller's columns.
        features: names of the features in the result, in order.
        times: those of them that are timestamps.
        lookups: their number.
    """

    rows: int
    labels: list[str]
    features: list[str]
    times: list[str]
    lookups: int
    views: dict[str, ViewSnapshot]
    services: list[str]


class Part(NamedTuple):
    """One lookup and the files of the history that it reads."""

    lookup: ViewLookup
    files: Sequence[DataFile]


@dataclass(frozen=True, slots=True)
class Athena:
    """Prepares queries for Athena, which the state machine runs, and puts their results together.

    Attributes:
        catalog: where tables of jobs are made.
        bucket: the data bucket.
        from_bytes: size of labels and history from which Athena runs the join.

    Raises (every method):
        Unavailable: S3 or Glue cannot be reached or failed.
    """

    objects: Objects
    catalog: CatalogDatabase
    bucket: str
    from_bytes: int

    def prepare(
        self,
        job_id: str,
        plan: AthenaPlan,
        parts: Sequence[Part],
        columns: dict[str, str],
        mode: Mode,
        labels: Path,
    ) -> str:
        """Store what the query reads, and return its text.

        Args:
            columns: the result's column of each feature, by the text of its reference.
            labels: the Parquet file of `labels_file`.

        Raises:
            Invalid: the text would be longer than Athena takes.
        """
        places = {name: f"_f{place}" for place, name in enumerate(plan.features)}
        # what features were written together is not looked for: each by itself is always right
        lookups = [
            Lookup(
                part.lookup.view,
                f"_entity_{number}",
                [[Output(o.feature, places[columns[o.column]])] for o in part.lookup.outputs],
            )
            for number, part in enumerate(parts, 1)
        ]
        tables = _tables(job_id, len(parts))
        query = athena_query(
            self.catalog.name, tables[0], tables[1:], lookups, mode, list(places.values())
        )
        statement = unload(query, self._folder(job_id) / "joined/")
        self.objects.write(self._plan(job_id), plan.model_dump_json().encode(), "application/json")
        self.objects.write_file(self._labels(job_id), labels, _PARQUET)
        entities = [Column(lookup.entity, "VARCHAR") for lookup in lookups]
        known = [Column("_label", "BIGINT"), Column("_time", "BIGINT"), *entities]
        self._table(tables[0], known, self._folder(job_id) / "labels/", listed=False)
        for table, (number, part) in zip(tables[1:], enumerate(parts, 1), strict=True):
            folder = self._folder(job_id) / f"history-{number}/"
            if part.files:
                text = "".join(f"s3://{self.bucket}/{file.key}\n" for file in part.files)
                self.objects.write(folder / "files.txt", text.encode(), "text/plain")
            self._table(table, columns_of(part.lookup.view), folder, listed=True)
        return statement

    def plan(self, job_id: str) -> AthenaPlan | None:
        """What was prepared for a job; ``None`` if its join is not Athena's."""
        try:
            return AthenaPlan.model_validate_json(self.objects.read(self._plan(job_id)))
        except NotFound:
            return None

    def collect(
        self,
        database: DuckDBPyConnection,
        files: ObjectFiles,
        job_id: str,
        plan: AthenaPlan,
        path: Path,
    ) -> None:
        """Write the training set from what Athena wrote.

        Args:
            files: the file system of ``database``.

        Raises:
            RuntimeError: Athena did not write one row per label.
        """
        at = self._labels(job_id)
        labels = files.add(at, (stat := self.objects.stat(at)).size, stat.etag)
        joined = [
            files.add(found.at, found.size, "")
            for found in self.objects.listed(self._folder(job_id) / "joined/")
            if found.size
        ]
        source = read_files(joined) if joined else "(SELECT 0 AS _label WHERE false)"
        query = f"SELECT count(*), count(DISTINCT {LABEL}) FROM {source}"  # noqa: S608
        (counts,) = database.execute(query).fetchall()
        if counts != (plan.rows, plan.rows):
            raise RuntimeError(f"Athena wrote {counts[0]} rows for {plan.rows} labels")
        selected = [f"l._c{i} AS {quoted(name)}" for i, name in enumerate(plan.labels)]
        selected += [f"r._f{i} AS {quoted(name)}" for i, name in enumerate(plan.features)]
        text = (
            f"SELECT {', '.join(selected)} FROM {read_files([labels])} l"  # noqa: S608 - names are quoted
            f" JOIN {source} r ON l._label = r.{LABEL} ORDER BY l._label"
        )
        run_join(database, text, path, plan.times)

    def clean(self, job_id: str) -> None:
        """Remove the tables of a job. Its files go with those of all jobs, by their age."""
        plan = self.plan(job_id)
        for table in [] if plan is None else _tables(job_id, plan.lookups):
            self.catalog.remove(table)

    def _table(
        self, name: str, columns: Sequence[Column], folder: Location, *, listed: bool
    ) -> None:
        self.catalog.put(
            {
                "Name": name,
                "Description": "For one training set, until it is made",
                "TableType": "EXTERNAL_TABLE",
                "Parameters": {"EXTERNAL": "TRUE"},
                "StorageDescriptor": parquet_storage(columns, folder, listed=listed),
            }
        )

    def _folder(self, job_id: str) -> Location:
        return Location(self.bucket, f"{WORK}{job_id}/")

    def _plan(self, job_id: str) -> Location:
        return self._folder(job_id) / "plan.json"

    def _labels(self, job_id: str) -> Location:
        return self._folder(job_id) / "labels/labels.parquet"


def _tables(job_id: str, lookups: int) -> list[str]:
    """Names of the tables of a job: of its labels, and of each lookup."""
    base = job_id.replace("-", "_")
    return [f"{base}_labels", *(f"{base}_history_{n}" for n in range(1, lookups + 1))]
