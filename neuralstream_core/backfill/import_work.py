"""How a job that takes the rows of a file in is accepted and worked on: backfills, files of outcomes.

A chunk may be repeated: what it appends to the history has the same request ids, by which the compaction
finds what is there twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from neuralstream_core.backfill.import_records import ImportJob, ImportPlan, ImportRequest
from neuralstream_core.jobs.files import JOBS, JobFiles
from neuralstream_core.jobs.records import Failure
from neuralstream_core.jobs.rows import (
    RowsChunk,
    RowsManifest,
    RowsPins,
    RowsResult,
    concluded,
    written_errors,
)
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.jobs.tasks import ChunkCounts, Planned
from neuralstream_core.objects import Objects
from neuralstream_core.serving.batch.cells import RowErrors
from neuralstream_core.serving.batch.inputs import CutInput, InputFile
from neuralstream_core.serving.batch.locations import Buckets, input_format
from neuralstream_core.serving.batch.rows import InputRows, InputSchema
from neuralstream_core.serving.batch.splitting import Chunk
from neuralstream_core.table import Item
from neuralstream_core.time import Clock

__all__ = ["ChunkImport", "ImportWork", "Imports"]

J = TypeVar("J", bound=ImportJob)
N = TypeVar("N", bound=RowsPins)
P = TypeVar("P", bound=ImportPlan)
R = TypeVar("R", bound=RowsChunk)


@dataclass(frozen=True, slots=True)
class Imports:
    """Checks the places that a request names.

    Attributes:
        data_bucket: holds the outputs of requests that name no place.
        folder: for these, below ``jobs/``.
    """

    objects: Objects
    buckets: Buckets
    data_bucket: str
    folder: str

    def checked(self, source: str, request: ImportRequest) -> Callable[[str], Item]:
        """The fields of the job's record that say in which format its input is and where its output goes, by
        the job's id.

        Args:
            source: address of the input.

        Raises:
            NotFound: no such input.
            Invalid: a location that jobs may not use, or an unknown format.
        """
        at = self.buckets.check(source, "input")
        base = request.output
        if base is None:
            base = f"s3://{self.data_bucket}/{JOBS}{self.folder}/"
        else:
            self.buckets.check(base, "output", folder=True)
        kind = input_format(at, request.input_format)
        self.objects.stat(at)

        def fields(job_id: str) -> Item:
            return {"input_format": kind, "output": f"{base.rstrip('/')}/{job_id}/"}

        return fields


class ChunkImport(ABC, Generic[R]):
    """One chunk under way. A kind of job says what it does with the rows.

    Args:
        request_id: prefix of the request ids of what the chunk appends.
    """

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._slices = self._rows = 0
        self._failed: list[dict[str, Any]] = []

    @property
    @abstractmethod
    def schema(self) -> InputSchema:
        """The columns that are read."""

    @abstractmethod
    def take(self, rows: InputRows, errors: RowErrors, request_id: str) -> None:
        """Take the rows without an error, and add an error for each that is wrong."""

    @abstractmethod
    def append(self) -> None:
        """Append to the history what was taken."""

    @abstractmethod
    def result(self, counts: Mapping[str, Any]) -> R:
        """What the chunk did.

        Args:
            counts: the fields of `RowsChunk`.
        """

    def add(self, rows: InputRows) -> None:
        """Take a slice of rows, and keep what is wrong with them."""
        errors = dict(rows.errors)
        self.take(rows, errors, f"{self._request_id}/{self._slices:05d}")
        self._failed += rows.failed(errors)
        self._rows += len(rows)
        self._slices += 1

    def done(self, files: JobFiles[Any, Any, R], output: str, chunk: int) -> R:
        """Append what was taken; write the list of wrong rows, and the result."""
        self.append()
        result = self.result(
            {
                "chunk": chunk,
                "rows": self._rows,
                **written_errors(files, output, chunk, self._failed),
            }
        )
        files.write_result(result)
        return result


@dataclass(frozen=True, slots=True)
class ImportWork(ABC, Generic[J, N, P, R]):
    """The tasks of these jobs, see `neuralstream_core.jobs.tasks.Work`.

    Type parameters: a job's record, its pins, its plan, and the result of a chunk.

    Attributes:
        data_bucket: holds plans and results.
        clock: now, in microseconds.
    """

    jobs: Jobs[J]
    objects: Objects
    buckets: Buckets
    data_bucket: str
    clock: Clock

    @abstractmethod
    def files(self, job_id: str) -> JobFiles[P, Chunk, R]:
        """The files of a job."""

    @abstractmethod
    def pinned(self, pins: RowsPins, job: J) -> N:
        """What is pinned besides, if the job has no pins yet."""

    @abstractmethod
    def cut(self, job: J, pins: N, source: InputFile) -> tuple[P, CutInput]:
        """The plan, and the input cut into chunks.

        Raises:
            Invalid: the input cannot be cut, or lacks a column.
            Conflict: what the job writes to was replaced since it began.
        """

    @abstractmethod
    def importing(self, plan: P, request_id: str) -> ChunkImport[R]:
        """A chunk to be worked on.

        Raises:
            NotFound, Conflict: what the job writes to was deleted or replaced since it began.
        """

    @abstractmethod
    def summed(
        self, job_id: str, plan: P, results: Sequence[R]
    ) -> tuple[RowsManifest, type[RowsResult]]:
        """The manifest of a finished job, and the model of the ``outcome`` in its record."""

    def plan(self, job_id: str) -> Planned:
        """Pin, cut and store the plan. A second call makes the same plan again.

        Raises:
            NotFound: no such job or input, or what it writes to is not there.
            Invalid: the input cannot be cut, or lacks a column.
            TooLarge: the input or the number of its chunks is over a limit.
            Conflict: the job is done, or its input or what it writes to was replaced since the first call.
        """
        job = self.jobs.get(job_id)
        at = self.buckets.check(job.input, "input")
        source = InputFile.now(self.objects, at, job.input_format)
        now = RowsPins(as_of=self.clock(), size=source.size, etag=source.etag)
        job, pins = self.jobs.begin(job_id, self.pinned(now, job))
        source.check(pins.etag)
        plan, cut = self.cut(job, pins, source)
        planned = self.files(job_id).write_plan(plan, cut.listed())
        self.jobs.planned(job_id, planned.chunks)
        return planned

    def chunk(self, job_id: str, chunk: Mapping[str, Any]) -> ChunkCounts:
        """Take a chunk in and count it once.

        Raises:
            Unavailable: Redis, the history or S3 cannot be reached; try again.
            NotFound, Conflict: the input, or what the job writes to, was deleted or replaced.
            Invalid: the input cannot be decoded.
            RuntimeError: a file that the job wrote is missing, or the role may not write.
        """
        files, part = self.files(job_id), Chunk.model_validate(chunk)
        plan = files.plan()
        importing = self.importing(plan, f"{job_id}/{part.chunk:05d}")
        at, pins = self.buckets.check(plan.input, "input"), plan.pins
        source = InputFile(self.objects, at, plan.input_format, pins.size, pins.etag)
        for rows in source.rows(part, importing.schema, plan.columns):
            importing.add(rows)
        result = importing.done(files, plan.output, part.chunk)
        self.jobs.chunk_done(job_id, part.chunk, result.rows, result.failed)
        return ChunkCounts(part.chunk, result.rows, result.failed)

    def finish(self, job_id: str) -> J:
        """Count the rows of all chunks, and fail the job when it has none or too many are wrong.

        Raises:
            RuntimeError: a chunk left no result, or the role may not write the manifest.
        """
        job = self.jobs.get(job_id)
        if job.status.done:
            return job
        files = self.files(job_id)
        plan = files.plan()
        manifest, outcome = self.summed(job_id, plan, files.results())
        result, failure = concluded(job, files, plan.output, manifest, outcome)
        return self.jobs.finish(job_id, result, failure)

    def fail(self, job_id: str, failure: Failure) -> J:
        """End the job as failed."""
        return self.jobs.finish(job_id, None, failure)
