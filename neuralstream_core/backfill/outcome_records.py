"""Outcomes as rows of a request or as a file: the request, the record of a job and its documents."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from neuralstream_core.backfill.import_records import (
    ColumnName,
    ImportJob,
    ImportPlan,
    ZoneName,
)
from neuralstream_core.jobs.files import JobFiles
from neuralstream_core.jobs.records import JobKind
from neuralstream_core.jobs.rows import RowsChunk, RowsManifest, RowsResult
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.objects import Objects
from neuralstream_core.outcomes.requests import MAX_OUTCOMES, OutcomeRow
from neuralstream_core.serving.batch.locations import InputFormat
from neuralstream_core.serving.batch.requests import DEFAULT_FAILED_FRACTION, Fraction, S3Uri
from neuralstream_core.serving.batch.splitting import Chunk
from neuralstream_core.types import Frozen, Name, VersionName

__all__ = [
    "ChunkKept",
    "OutcomeColumns",
    "OutcomesFiles",
    "OutcomesJob",
    "OutcomesJobs",
    "OutcomesManifest",
    "OutcomesPlan",
    "OutcomesRequest",
    "OutcomesResult",
    "outcomes_files",
]


class OutcomeColumns(Frozen):
    """Which column of a file is what; rows name predictions by id, or by entity and time."""

    prediction_id: ColumnName | None = Field(
        default=None, description="ids of predictions; `prediction_id` unless entity_id is given"
    )
    entity_id: (
        ColumnName | Annotated[list[ColumnName], Field(min_length=1, max_length=8)] | None
    ) = Field(
        default=None,
        description="in place of prediction_id: ids of entities; several columns for a composite one, in"
        " the order of its keys",
    )
    predicted_at: ColumnName = Field(
        default="predicted_at", description="with entity_id: times of the predictions"
    )
    label: ColumnName = Field(default="label", description="what was true")
    observed_at: ColumnName = Field(
        default="observed_at",
        description="when it became known; the start of the job where a row, or the file, has none",
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.prediction_id is not None and self.entity_id is not None:
            raise ValueError("give prediction_id or entity_id, not both")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that name the prediction, or its entity."""
        if self.entity_id is None:
            return (self.prediction_id or "prediction_id",)
        return (self.entity_id,) if isinstance(self.entity_id, str) else tuple(self.entity_id)


class OutcomesRequest(Frozen):
    """Outcomes of predictions of one model: as rows, or as a file in S3 that a job reads."""

    model: Name = Field(description="the model that predicted")
    rows: Annotated[list[OutcomeRow], Field(min_length=1, max_length=MAX_OUTCOMES)] | None = Field(
        default=None, description=f"at most {MAX_OUTCOMES}"
    )
    input: S3Uri | None = Field(
        default=None,
        description="in place of rows: `s3://bucket/key` of a .csv, .jsonl or .parquet",
    )
    columns: OutcomeColumns | None = Field(
        default=None, description="with input: which column is what"
    )
    input_format: InputFormat | None = Field(
        default=None, description="with input, when the extension does not say"
    )
    timezone: ZoneName | None = Field(
        default=None,
        description="with input: IANA name, for times without a zone; refused when left out",
    )
    output: S3Uri | None = Field(
        default=None,
        description="with input: `s3://bucket/folder/` for the list of wrong rows; `jobs/outcomes/` of the"
        " stack's own bucket when left out",
    )
    max_failed_fraction: Fraction = Field(
        default=DEFAULT_FAILED_FRACTION,
        description="with input: the job ends as FAILED when more than this share of its rows are wrong; the"
        " others are kept all the same",
    )
    allow_empty: bool = Field(
        default=False,
        description="with input: a file without rows is a job well done; it fails otherwise",
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.rows is None) == (self.input is None):
            raise ValueError("give rows or input")
        if self.rows is not None and (others := self.model_fields_set - {"model", "rows", "input"}):
            raise ValueError(f"{min(others)} goes with input only")
        return self


class OutcomesResult(RowsResult):
    """Counts and files of a finished job."""

    accepted: int = Field(description="outcomes that are kept")
    versions: dict[VersionName, int] = Field(
        default_factory=dict, description="how many of them name a prediction of which version"
    )


class OutcomesJob(ImportJob):
    """A job that takes outcomes in from a file."""

    kind: Literal[JobKind.OUTCOMES] = Field(
        default=JobKind.OUTCOMES, description="`outcomes`: outcomes from a file"
    )
    model: Name = Field(description="the model that predicted")
    columns: OutcomeColumns | None = Field(
        default=None, description="which column is what, as asked for"
    )
    outcome: OutcomesResult | None = Field(
        default=None, description="counts and files; null until it is finished"
    )


class OutcomesPlan(ImportPlan):
    """What all chunks have in common.

    Attributes:
        observed: whether the input may have times at which outcomes were observed.
    """

    model: str
    named: OutcomeColumns
    observed: bool


class ChunkKept(RowsChunk):
    """Adds how many outcomes name a prediction of which version."""

    versions: dict[str, int] = Field(default_factory=dict)


class OutcomesManifest(RowsManifest):
    """Adds what was kept."""

    model: str
    accepted: int
    versions: dict[str, int]


OutcomesJobs: TypeAlias = Jobs[OutcomesJob]
OutcomesFiles: TypeAlias = JobFiles[OutcomesPlan, Chunk, ChunkKept]


def outcomes_files(objects: Objects, data_bucket: str, job_id: str) -> OutcomesFiles:
    """The files of one job."""
    return JobFiles(objects, data_bucket, job_id, OutcomesPlan, Chunk, ChunkKept)
