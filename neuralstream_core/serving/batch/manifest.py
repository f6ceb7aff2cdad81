"""Documents of a prediction job: `JobPlan`, `ChunkResult`, `Manifest`.

Below the job's output: ``part-00000.jsonl`` …, ``errors/errors-00000.jsonl`` … and, written last,
``manifest.json`` (`Manifest`): an output without a manifest is not complete.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import AwareDatetime, Field

from neuralstream_core.jobs.files import File, JobFiles, Numbered
from neuralstream_core.objects import Objects
from neuralstream_core.serving.batch.locations import InputFormat, OutputFormat
from neuralstream_core.serving.batch.records import Pins
from neuralstream_core.serving.batch.splitting import Chunk
from neuralstream_core.types import Record, VersionName

__all__ = [
    "ChunkResult",
    "JobPlan",
    "Manifest",
    "PredictFiles",
    "PredictionType",
    "predict_files",
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


class ChunkResult(Numbered):
    """What a chunk did; written after its files."""

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


PredictFiles: TypeAlias = JobFiles[JobPlan, Chunk, ChunkResult]


def predict_files(objects: Objects, data_bucket: str, job_id: str) -> PredictFiles:
    """The files of one prediction job."""
    return JobFiles(objects, data_bucket, job_id, JobPlan, Chunk, ChunkResult)
