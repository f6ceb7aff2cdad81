"""A training set's way: accepted, joined by DuckDB or Athena, and its file and record written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import TypeAdapter

from neuralstream_core.errors import Invalid, NotFound
from neuralstream_core.features.listing import SchemaSource, ServiceSource
from neuralstream_core.history.join import Lookup, Output, join_text
from neuralstream_core.history.labels import define_labels, register_rows
from neuralstream_core.history.reader import History, Snapshot
from neuralstream_core.history.sources import (
    classes_of,
    define_history,
    prepare,
    read_csv,
    read_files,
    run_join,
)
from neuralstream_core.jobs.files import WORK
from neuralstream_core.jobs.records import Failure
from neuralstream_core.jobs.tasks import ChunkCounts, Planned
from neuralstream_core.objects import Location, Objects
from neuralstream_core.parquet import ObjectFiles, Space, database
from neuralstream_core.serving.batch.locations import Buckets
from neuralstream_core.training.athena import Athena, AthenaPlan, Part
from neuralstream_core.training.plan import Plan, named_columns, plan_of
from neuralstream_core.training.reading import coverage, described, ends, needed
from neuralstream_core.training.records import (
    LabelFormat,
    TrainingJob,
    TrainingJobs,
    TrainingRequest,
    TrainingResult,
    TrainingSpec,
    new_job,
)
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["TrainingSubmission", "TrainingWork"]

_DEFAULT_OUTPUT: Final = "jobs/training-sets/"
_FILE: Final = "training_set.parquet"
_PARQUET: Final = "application/vnd.apache.parquet"
_MAX_FILE: Final = 5 << 30
"""Bytes that S3 takes in one request."""
_ROWS: Final = TypeAdapter(list[dict[str, Any]])
_FORMATS: Final[Mapping[str, Literal["csv", "parquet"]]] = {"csv": "csv", "parquet": "parquet"}


class _Nothing(Record):
    """A training set pins nothing at its start: a repeated task makes it anew."""


@dataclass(frozen=True, slots=True)
class TrainingSubmission:
    """Accepts training sets."""

    jobs: TrainingJobs
    objects: Objects
    buckets: Buckets
    bucket: str
    schemas: SchemaSource
    services: ServiceSource

    def submit(self, body: TrainingRequest, actor: str, *, key: str | None = None) -> TrainingJob:
        """Check a request and store its job; arguments as `Jobs.submit`.

        Raises:
            NotFound: there is no such input.
            Invalid: a feature, column or location is wrong; each is named.
            Conflict: ``key`` was used for another request.
        """
        plan = plan_of(body.features, body.entity, self.schemas, self.services)
        output = body.output or f"s3://{self.bucket}/{_DEFAULT_OUTPUT}"
        self.buckets.check(output, "output", folder=True)
        rows, given = body.labels.rows, body.labels.input
        if rows is not None:
            columns = list(dict.fromkeys(name for row in rows for name in row))
            _check_columns(plan, body.timestamp, columns)
            named_columns(plan.features, columns)
            at, kind = self._keep(rows)
        else:
            at = self.buckets.check(given or "", "labels.input")
            kind = body.labels.input_format or _format_of(at)
            self.objects.stat(at)
        spec = TrainingSpec(
            input=str(at),
            input_format=kind,
            output=output,
            **body.model_dump(include={"features", "entity", "timestamp", "mode"}),
        )
        return self.jobs.submit(new_job(spec), actor, key=key)

    def _keep(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Location, LabelFormat]:
        """Rows of a request as an object: a job's record holds no data."""
        data = _ROWS.dump_json(list(rows))  # type: ignore[arg-type]
        name = hashlib.sha256(data).hexdigest()
        at = Location(self.bucket, f"{WORK}labels/{name}.json")
        self.objects.write(at, data, "application/json")
        return at, "json"


@dataclass(frozen=True, slots=True)
class TrainingWork:
    """The tasks of training sets, see `neuralstream_core.jobs.tasks.Work`."""

    jobs: TrainingJobs
    objects: Objects
    history: History
    schemas: SchemaSource
    services: ServiceSource
    space: Space
    athena: Athena | None = None
    """For what is too large for one function; ``None``: this deployment has no such thing."""

    def plan(self, job_id: str) -> Planned:
        """Mark the job as running, and decide what runs its join."""
        job, _ = self.jobs.begin(job_id, _Nothing())
        query = "" if self.athena is None else self._query(job, self.athena)
        return Planned(1, "", "", "athena" if query else "duckdb", query)

    def chunk(self, job_id: str, chunk: Mapping[str, Any]) -> ChunkCounts:
        """Nothing: the last task does all."""
        raise NotFound(f"{job_id} has no chunk {chunk}", code="chunk_not_found")

    def finish(self, job_id: str) -> TrainingJob:
        """Make the training set and end the job."""
        job = self.jobs.get(job_id)
        if job.status.done:
            return job
        plan = None if self.athena is None else self.athena.plan(job_id)
        if self.athena is None or plan is None:
            with self._opened() as (connection, files, folder):
                result = self._make(job, connection, files, folder)
        else:
            with self._opened() as (connection, files, folder):
                result = self._collect(job, connection, files, folder, self.athena, plan)
            self.athena.clean(job_id)
        return self.jobs.finish(job_id, result, None)

    def fail(self, job_id: str, failure: Failure) -> TrainingJob:
        """End the job as failed. A job that has ended stays as it is."""
        if self.athena is not None:
            self.athena.clean(job_id)
        return self.jobs.finish(job_id, None, failure)

    @contextmanager
    def _opened(self) -> Iterator[tuple[DuckDBPyConnection, ObjectFiles, Path]]:
        """A database, the objects it may read, and a folder for files."""
        files = ObjectFiles(self.objects)
        memory = f"{self.space.memory_mb}MB"
        with TemporaryDirectory(dir=self.space.folder) as name:
            folder = Path(name)
            spill = folder / "spill"
            spill.mkdir()
            with (
                database(files, memory=memory, threads=self.space.threads, spill=spill) as found,
                _refusing(files),
            ):
                yield found, files, folder

    def _make(
        self, job: TrainingJob, connection: DuckDBPyConnection, files: ObjectFiles, folder: Path
    ) -> TrainingResult:
        plan = plan_of(job.features, job.entity, self.schemas, self.services)
        prepare(connection)
        labels, rows = self._labels(connection, files, job, plan)
        columns = named_columns(plan.features, labels)
        snapshots = self._snapshots(plan)
        times = ends(connection)
        lookups: list[Lookup] = []
        for number, lookup in enumerate(plan.lookups, 1):
            some = needed(snapshots[lookup.view.name].files, lookup, times, job.mode)
            days = [
                [files.add(self.history.location(file), file.bytes, "") for file in of_day]
                for _, of_day in groupby(some, key=lambda file: file.date)
            ]
            define_history(connection, number, lookup.view, days, folder)
            outputs = [Output(o.feature, columns[o.column]) for o in lookup.outputs]
            classes = classes_of(connection, number, lookup.view, outputs)
            lookups.append(Lookup(lookup.view, f"_entity_{number}", classes))
        names = list(columns.values())
        text = join_text(lookups, job.mode, labels, names)
        path = folder / _FILE
        run_join(connection, text, path, sorted(columns[text] for text in plan.times))
        return self._kept(
            job,
            path,
            rows=rows,
            columns=[*labels, *names],
            coverage=coverage(connection, path, names, rows),
            views={name: described(snapshot) for name, snapshot in snapshots.items()},
            services=list(plan.services),
        )

    def _query(self, job: TrainingJob, athena: Athena) -> str:
        """Athena's statement for a job; empty if DuckDB is to run the join."""
        plan = plan_of(job.features, job.entity, self.schemas, self.services)
        snapshots = self._snapshots(plan)
        size = self.objects.stat(Location.parse(job.input)).size
        size += sum(file.bytes for snapshot in snapshots.values() for file in snapshot.files)
        if size < athena.from_bytes:
            return ""
        with self._opened() as (connection, files, folder):
            labels, rows = self._labels(connection, files, job, plan)
            if not rows:
                return ""
            columns = named_columns(plan.features, labels)
            times = ends(connection)
            parts = [
                Part(one, needed(snapshots[one.view.name].files, one, times, job.mode))
                for one in plan.lookups
            ]
            path = folder / "labels.parquet"
            run_join(connection, "SELECT * FROM labels", path)
            pinned = AthenaPlan(
                rows=rows,
                labels=labels,
                features=list(columns.values()),
                times=sorted(columns[text] for text in plan.times),
                lookups=len(parts),
                views={name: described(snapshot) for name, snapshot in snapshots.items()},
                services=list(plan.services),
            )
            return athena.prepare(job.job_id, pinned, parts, columns, job.mode, path)

    def _collect(
        self,
        job: TrainingJob,
        connection: DuckDBPyConnection,
        files: ObjectFiles,
        folder: Path,
        athena: Athena,
        plan: AthenaPlan,
    ) -> TrainingResult:
        path = folder / _FILE
        athena.collect(connection, files, job.job_id, plan, path)
        return self._kept(
            job,
            path,
            rows=plan.rows,
            columns=[*plan.labels, *plan.features],
            coverage=coverage(connection, path, plan.features, plan.rows),
            views=plan.views,
            services=plan.services,
            engine="athena",
        )

    def _kept(self, job: TrainingJob, path: Path, **found: Any) -> TrainingResult:
        """Store the file; ``found`` are the fields of the result that are not the file's own."""
        size = path.stat().st_size
        if size > _MAX_FILE:
            raise Invalid(
                "the training set is larger than 5 GB: ask for fewer features or labels",
                code="training_set_too_large",
            )
        at = Location.parse(job.output) / _FILE
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.objects.write_file(at, path, _PARQUET)
        return TrainingResult(sha256=digest, bytes=size, output=str(at), **found)

    def _snapshots(self, plan: Plan) -> dict[str, Snapshot]:
        """The history of each view, by its name."""
        return {lookup.view.name: self.history.snapshot(lookup.view) for lookup in plan.lookups}

    def _labels(
        self, connection: DuckDBPyConnection, files: ObjectFiles, job: TrainingJob, plan: Plan
    ) -> tuple[list[str], int]:
        at = Location.parse(job.input)
        ids = [lookup.ids for lookup in plan.lookups]
        if job.input_format == "json":
            source = register_rows(connection, json.loads(self.objects.read(at)))
        else:
            stat = self.objects.stat(at)
            path = files.add(at, stat.size, stat.etag)
            texts = {job.timestamp, *(column for columns in ids for column in columns)}
            source = (
                read_files([path])
                if job.input_format == "parquet"
                else read_csv(connection, path, texts)
            )
        return define_labels(connection, source, job.timestamp, ids)


def _check_columns(plan: Plan, timestamp: str, columns: Sequence[str]) -> None:
    """Raise `Invalid` unless the labels have the columns that are needed."""
    wanted = [("timestamp", timestamp)]
    wanted += [("entity", name) for lookup in plan.lookups for name in lookup.ids]
    for loc, name in wanted:
        if name not in columns:
            raise Invalid.at(
                loc,
                f"the labels have no column {name}; name it in {loc}",
                code="invalid_labels",
            )


def _format_of(at: Location) -> Literal["csv", "parquet"]:
    extension = at.key.rpartition(".")[2].lower()
    if extension not in _FORMATS:
        raise Invalid.at(
            "labels.input", "end it in .csv or .parquet, or say input_format", code="unknown_format"
        )
    return _FORMATS[extension]


@contextmanager
def _refusing(files: ObjectFiles) -> Iterator[None]:
    """Errors of DuckDB as ours: what failed in S3, or what is wrong with the labels or their size."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise Invalid(
            "the training set is too large for this deployment: ask for fewer features or labels",
            code="training_set_too_large",
        ) from error
    except (
        duckdb.InvalidInputException,
        duckdb.ConversionException,
        duckdb.IOException,
    ) as error:
        if files.failure is not None:
            raise files.failure from error
        raise Invalid.at(
            "labels.input", "is no file of its format, or it is damaged", code="invalid_labels"
        ) from error
