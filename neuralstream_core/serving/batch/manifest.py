"""Documents of a job in S3, and where they are.

Below ``jobs/_work/{job_id}/`` in the data bucket: ``plan.json`` (`JobPlan`), ``chunks.json`` (an array of
`Chunk`, read by the state machine's map) and ``results/{n}.json`` (`ChunkResult`). Below the job's output:
``part-00000.jsonl`` …, ``errors/errors-00000.jsonl`` … and, written last, ``manifest.json`` (`Manifest`): an
output without a manifest is not complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias

from pydantic import AwareDatetime, Field, TypeAdapter

from neuralstream_core.errors import Forbidden, NotFound
from neuralstream_core.objects import Location, Objects
from neuralstream_core.serving.batch.locations import (
    WORK,
    InputFormat,
    OutputFormat,
)
from neuralstream_core.serving.batch.records import Pins
from neuralstream_core.types import Record, VersionName

__all__ = [
    "Chunk",
    "ChunkResult",
    "File",
    "JobFiles",
    "JobPlan",
    "Manifest",
    "PredictionType",
]

PredictionType: TypeAlias = Literal["float64", "int64", "bool", "string"]
"""Of the output's ``prediction`` column (a list of it for a model with several outputs)."""


class JobPlan(Record):
    """What all chunks of a job have in common."""

    job_id: str
    model: str
    input: str
    input_format: InputFormat
    output: str
    output_format: OutputFormat
    pins: Pins
    keys: tuple[str, ...]
    """Names of the entity columns: ``("entity_id",)`` or a view's entity keys in order."""
    others: tuple[str, ...] = ()
    """Entity columns of further views, for a model whose views have different keys, and of roles."""
    by_role: bool = False
    """``keys`` are roles: their order means nothing to a caller."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a CSV or Parquet input, in file order."""
    features: dict[str, tuple[str, int]] = Field(default_factory=dict)
    """Input columns that carry feature values: ``(dtype, size)`` of each."""
    prediction: PredictionType
    multiple: bool = False
    """A prediction is a list: the model has several outputs."""
    classes: tuple[str, ...] = ()
    """Names within ``probabilities``; empty unless a version has three or more classes."""
    score: bool = False
    """Some version answers a ``score``."""
    scored: tuple[str, ...] = ()
    """Names within ``scores``."""
    outputs: tuple[str, ...] = ()
    """Names within ``outputs``, of a model with several named outputs."""


class Chunk(Record):
    """One piece of the input: ``[start, end)`` in bytes (CSV, JSONL) or row groups (Parquet)."""

    chunk: int
    start: int
    end: int
    first_line: int
    """1-based line (CSV, JSONL) or row (Parquet) of the chunk's first record."""


class File(Record):
    """A written file."""

    uri: str
    rows: int
    bytes: int
    sha256: str


class ChunkResult(Record):
    """What a chunk did; written after its files."""

    chunk: int
    rows: int
    failed: int
    part: File
    errors: File | None = None
    versions: dict[VersionName, int] = Field(default_factory=dict)
    reasons: dict[str, int] = Field(default_factory=dict)


class Manifest(Record):
    """The output of a job: its parts in input order."""

    job_id: str
    model: str
    input: str
    input_etag: str
    format: OutputFormat
    rows: int
    failed: int
    versions: dict[VersionName, int]
    """Rows predicted by each version."""
    reasons: dict[str, int]
    """Failed rows by error code."""
    parts: list[File]
    errors: list[File]
    as_of: AwareDatetime
    """Moment for which feature values were read."""


_CHUNKS: Final = TypeAdapter(tuple[Chunk, ...])
_JSON: Final = "application/json"


class JobFiles:
    """Reads and writes the files of one job.

    Raises (every method):
        RuntimeError: a working file is missing, or the role may not use the data bucket; neither is the
            fault of the job's input.
        Unavailable: as `Objects`.
    """

    def __init__(self, objects: Objects, data_bucket: str, job_id: str) -> None:
        self._objects = objects
        self._root = Location(data_bucket, f"{WORK}{job_id}/")
        self.chunk_list: Final = self._root / "chunks.json"

    def plan(self) -> JobPlan:
        """The stored plan."""
        return JobPlan.model_validate_json(self._read(self._root / "plan.json"))

    def chunks(self) -> tuple[Chunk, ...]:
        """The stored chunks, in input order."""
        return _CHUNKS.validate_json(self._read(self.chunk_list))

    def write_plan(self, plan: JobPlan, chunks: Sequence[Chunk]) -> None:
        """Store the plan and its chunks."""
        self._write(self._root / "plan.json", plan.model_dump_json().encode(), _JSON)
        self._write(self.chunk_list, _CHUNKS.dump_json(tuple(chunks)), _JSON)

    def result(self, chunk: int) -> ChunkResult:
        """The stored result of a chunk."""
        return ChunkResult.model_validate_json(self._read(self._result(chunk)))

    def write_result(self, result: ChunkResult) -> None:
        """Store the result of a chunk."""
        self._write(self._result(result.chunk), result.model_dump_json().encode(), _JSON)

    def write_output(self, at: Location, data: bytes, content_type: str, rows: int) -> File:
        """Write a file of the output.

        Raises:
            NotFound, Forbidden: besides, of a bucket that the job's owner chose.
        """
        digest = self._write(at, data, content_type)
        return File(uri=str(at), rows=rows, bytes=len(data), sha256=digest)

    def write_manifest(self, at: Location, manifest: Manifest) -> None:
        """Write the manifest; raises as `write_output`."""
        self._write(at, manifest.model_dump_json(indent=1).encode(), _JSON)

    def _result(self, chunk: int) -> Location:
        return self._root / f"results/{chunk:05d}.json"

    def _read(self, at: Location) -> bytes:
        with self._own(at):
            return self._objects.read(at)

    def _write(self, at: Location, data: bytes, content_type: str) -> str:
        with self._own(at):
            return self._objects.write(at, data, content_type)

    @contextmanager
    def _own(self, at: Location) -> Iterator[None]:
        try:
            yield
        except (NotFound, Forbidden) as error:
            if at.bucket != self._root.bucket:
                raise
            raise RuntimeError(f"a file of the job itself: {error.detail}") from error
