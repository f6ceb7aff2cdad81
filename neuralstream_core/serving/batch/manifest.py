"""The documents that plan, chunks and finish pass to each other through S3.

Below ``jobs/_work/{job_id}/`` in the data bucket: ``plan.json`` (`Plan`), ``chunks.json`` (an array of
`Chunk`, read by the state machine's map) and ``results/{n}.json`` (`ChunkResult`). Below the job's
output: ``part-00000.jsonl`` …, ``errors/errors-00000.jsonl`` … and, written last, ``manifest.json``
(`Manifest`): only a job whose manifest stands has an output.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from pydantic import AwareDatetime, Field

from neuralstream_core.errors import Forbidden, NotFound
from neuralstream_core.serving.batch.jobs import Pins
from neuralstream_core.serving.batch.locations import WORK, InputFormat, Location, OutputFormat
from neuralstream_core.types import Record, VersionName

__all__ = [
    "Chunk",
    "ChunkResult",
    "File",
    "Manifest",
    "Plan",
    "PredictionType",
    "Workspace",
    "own_files",
]

PredictionType: TypeAlias = Literal["float64", "int64", "bool", "string"]
"""Of the output's ``prediction`` column (a list of it for a model with several outputs)."""


class Plan(Record):
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
    """Entity columns of further views, for a model whose views have different keys."""
    columns: tuple[str, ...] = ()
    """CSV: the header, in file order."""
    features: dict[str, tuple[str, int]] = Field(default_factory=dict)
    """Input columns that carry feature values: ``(dtype, size)`` of each."""
    prediction: PredictionType
    multiple: bool = False
    """A prediction is a list: the model has several outputs."""
    classes: tuple[str, ...] = ()
    """Names of the ``probabilities``; empty unless a version has three or more classes."""
    score: bool = False
    """Some version answers a ``score``."""
    scored: tuple[str, ...] = ()
    """Names of the ``scores``, likewise."""
    outputs: tuple[str, ...] = ()
    """Names of the ``outputs`` of a model with several; empty when they have none."""


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


class Workspace:
    """Where a job keeps what."""

    def __init__(self, data_bucket: str, job_id: str) -> None:
        self._root = Location(data_bucket, f"{WORK}{job_id}/")

    @property
    def plan(self) -> Location:
        return self._root / "plan.json"

    @property
    def chunks(self) -> Location:
        return self._root / "chunks.json"

    def result(self, chunk: int) -> Location:
        return self._root / f"results/{chunk:05d}.json"


@contextmanager
def own_files() -> Iterator[None]:
    """Around access to files that only jobs themselves write: what fails there is nobody's input.

    Raises:
        RuntimeError: such a file is missing, or the role may not use it.
    """
    try:
        yield
    except (NotFound, Forbidden) as error:
        raise RuntimeError(f"a file of the job itself: {error.detail}") from error
