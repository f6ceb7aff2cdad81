"""Documents of a prediction job: `JobPlan`, `ChunkResult`, `Manifest`.

Below the job's output: ``part-00000.jsonl`` …, ``errors/errors-00000.jsonl`` … and, written last,
``manifest.json`` (`Manifest`): an output without a manifest is not complete.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import AwareDatetime, Field

from neuralstream_core.jobs.files import File, JobFiles
from neuralstream_core.jobs.rows import RowsChunk, RowsManifest
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


class ChunkResult(RowsChunk):
    """Adds the chunk's part of the output."""

    part: File
    versions: dict[VersionName, int] = Field(default_factory=dict)


class Manifest(RowsManifest):
    """The output of a job: its parts in input order."""

    model: str
    format: OutputFormat
    versions: dict[VersionName, int]
    """Rows predicted by each version."""
    parts: list[File]
    as_of: AwareDatetime
    """Moment for which feature values were read."""


PredictFiles: TypeAlias = JobFiles[JobPlan, Chunk, ChunkResult]


def predict_files(objects: Objects, data_bucket: str, job_id: str) -> PredictFiles:
    """The files of one prediction job."""
    return JobFiles(objects, data_bucket, job_id, JobPlan, Chunk, ChunkResult)
