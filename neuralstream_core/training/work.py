"""A training set's way: accepted, joined by DuckDB, and its file and record written."""

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
from neuralstream_core.history.manifest import DataFile
from neuralstream_core.history.mode import Mode
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
from neuralstream_core.parquet import ObjectFiles, database, quoted
from neuralstream_core.serving.batch.locations import Buckets
from neuralstream_core.time import Micros, from_micros
from neuralstream_core.training.plan import Plan, ViewLookup, named_columns, plan_of
from neuralstream_core.training.records import (
    Coverage,
    LabelFormat,
    TrainingJob,
    TrainingJobs,
    TrainingRequest,
    TrainingResult,
    TrainingSpec,
    ViewSnapshot,
    new_job,
)
from neuralstream_core.types import Record

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["TrainingSubmission", "TrainingWork", "Workspace"]

_DEFAULT_OUTPUT: Final = "jobs/training-sets/"
_FILE: Final = "training_set.parquet"
_PARQUET: Final = "application/vnd.apache.parquet"
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
class Workspace:
    """What a join may take.

    Attributes:
        memory_mb: megabytes of memory of DuckDB, beyond which it spills.
        threads: of DuckDB.
        folder: where temporary files are made.
    """

    memory_mb: int
    threads: int
    folder: Path


@dataclass(frozen=True, slots=True)
class TrainingWork:
    """The tasks of training sets, see `neuralstream_core.jobs.tasks.Work`."""

    jobs: TrainingJobs
    objects: Objects
    history: History
    schemas: SchemaSource
    services: ServiceSource
    space: Workspace

    def plan(self, job_id: str) -> Planned:
        """Mark the job as running; it has one part."""
        self.jobs.begin(job_id, _Nothing())
        return Planned(1, "", "")

    def chunk(self, job_id: str, chunk: Mapping[str, Any]) -> ChunkCounts:
        """Nothing: the last task does all."""
        raise NotFound(f"{job_id} has no chunk {chunk}", code="chunk_not_found")

    def finish(self, job_id: str) -> TrainingJob:
        """Make the training set and end the job."""
        job = self.jobs.get(job_id)
        if job.status.done:
            return job
        with TemporaryDirectory(dir=self.space.folder) as folder:
            result = self._make(job, Path(folder))
        return self.jobs.finish(job_id, result, None)

    def fail(self, job_id: str, failure: Failure) -> TrainingJob:
        """End the job as failed. A job that has ended stays as it is."""
        return self.jobs.finish(job_id, None, failure)

    def _make(self, job: TrainingJob, folder: Path) -> TrainingResult:
        plan = plan_of(job.features, job.entity, self.schemas, self.services)
        files = ObjectFiles(self.objects)
        spill = folder / "spill"
        spill.mkdir()
        memory = f"{self.space.memory_mb}MB"
        with (
            database(files, memory=memory, threads=self.space.threads, spill=spill) as connection,
            _refusing(files),
        ):
            prepare(connection)
            labels, rows = self._labels(connection, files, job, plan)
            columns = named_columns(plan.features, labels)
            snapshots = {
                lookup.view.name: self.history.snapshot(lookup.view) for lookup in plan.lookups
            }
            ends = _ends(connection)
            lookups: list[Lookup] = []
            for number, lookup in enumerate(plan.lookups, 1):
                some = _needed(snapshots[lookup.view.name].files, lookup, ends, job.mode)
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
            coverage = _coverage(connection, path, names, rows)
        at = Location.parse(job.output) / _FILE
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.objects.write_file(at, path, _PARQUET)
        return TrainingResult(
            rows=rows,
            columns=[*labels, *names],
            coverage=coverage,
            sha256=digest,
            bytes=path.stat().st_size,
            output=str(at),
            views={name: _described(snapshot) for name, snapshot in snapshots.items()},
            services=list(plan.services),
        )

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


def _ends(connection: DuckDBPyConnection) -> tuple[Micros, Micros]:
    """The first and the last time of the labels."""
    ((first, last),) = connection.execute("SELECT min(_time), max(_time) FROM labels").fetchall()
    return (0, -1) if first is None else (first, last)


def _needed(
    files: Sequence[DataFile], lookup: ViewLookup, ends: tuple[Micros, Micros], mode: Mode
) -> list[DataFile]:
    """The files that hold a row which some label may see, by day."""
    first, last = ends
    ttl = lookup.view.ttl_micros
    found = [
        file
        for file in files
        if file.first_event_time <= last
        and (ttl is None or file.last_event_time >= first - ttl)
        and (mode is Mode.AS_OF or file.first_write_time <= last)
    ]
    return sorted(found, key=lambda file: (file.date, file.key))


def _coverage(
    connection: DuckDBPyConnection, path: Path, names: Sequence[str], rows: int
) -> dict[str, Coverage]:
    counts = ", ".join(f"count({quoted(name)})" for name in names)
    query = f"SELECT {counts} FROM {read_files([str(path)])}"  # noqa: S608 - names are quoted
    (found,) = connection.execute(query).fetchall()
    return {
        name: Coverage(present=count, share=count / rows if rows else 0.0)
        for name, count in zip(names, found, strict=True)
    }


def _described(snapshot: Snapshot) -> ViewSnapshot:
    until = snapshot.consumed_until
    return ViewSnapshot(
        history_version=snapshot.version,
        schema_version=snapshot.view.schema_version,
        history_until=from_micros(until) if until else None,
    )


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
