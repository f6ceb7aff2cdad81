"""Outcomes as rows of a request or as a file: the request, the record of a job and its documents."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from neuralstream_core.backfill.records import ColumnName, zone_name
from neuralstream_core.jobs.files import File, JobFiles, Numbered
from neuralstream_core.jobs.records import JobKind, JobRecord
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.objects import Objects
from neuralstream_core.outcomes.requests import MAX_OUTCOMES, OutcomeRow
from neuralstream_core.serving.batch.locations import InputFormat
from neuralstream_core.serving.batch.requests import DEFAULT_FAILED_FRACTION, Fraction, S3Uri
from neuralstream_core.serving.batch.splitting import Chunk
from neuralstream_core.time import Micros
from neuralstream_core.types import Frozen, Name, Record, VersionName

__all__ = [
    "ChunkKept",
    "OutcomeColumns",
    "OutcomesFiles",
    "OutcomesJob",
    "OutcomesJobs",
    "OutcomesManifest",
    "OutcomesPins",
    "OutcomesPlan",
    "OutcomesRequest",
    "OutcomesResult",
    "outcomes_files",
]

Zone: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=64), AfterValidator(zone_name)
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
    timezone: Zone | None = Field(
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


class OutcomesResult(Record):
    """Counts and files of a finished job."""

    rows: int = Field(description="rows of the input")
    failed: int = Field(description="wrong rows, which are not kept")
    accepted: int = Field(description="outcomes that are kept")
    versions: dict[VersionName, int] = Field(
        default_factory=dict, description="how many of them name a prediction of which version"
    )
    manifest: str | None = Field(
        default=None, description="`s3://` address of these counts and the list of error files"
    )
    errors: list[str] = Field(
        default_factory=list, description="files of wrong rows; the first 100"
    )
    reasons: dict[str, int] = Field(default_factory=dict, description="wrong rows by error code")


class OutcomesJob(JobRecord):
    """A job that takes outcomes in from a file."""

    kind: Literal[JobKind.OUTCOMES] = Field(
        default=JobKind.OUTCOMES, description="`outcomes`: outcomes from a file"
    )
    model: Name = Field(description="the model that predicted")
    input: str = Field(description="`s3://` address of the input")
    input_format: InputFormat = Field(description="of the input")
    output: str = Field(description="folder of this job's own files: the list of wrong rows")
    columns: OutcomeColumns | None = Field(
        default=None, description="which column is what, as asked for"
    )
    timezone: str | None = Field(default=None, description="of times without a zone")
    max_failed_fraction: float = Field(
        description="it fails when more than this share of its rows are wrong, 0 to 1"
    )
    allow_empty: bool = Field(
        default=False, description="whether an input without rows is a job well done"
    )
    outcome: OutcomesResult | None = Field(
        default=None, description="counts and files; null until it is finished"
    )


class OutcomesPins(Record):
    """State at the start of the job, which every chunk and every retry works with."""

    as_of: Micros
    """When what has no time of its own became known."""
    size: int
    etag: str


class OutcomesPlan(Record):
    """What all chunks have in common.

    Attributes:
        columns: of a CSV or Parquet input, in file order.
        observed: whether the input may have times at which outcomes were observed.
    """

    model: str
    input: str
    input_format: InputFormat
    output: str
    pins: OutcomesPins
    named: OutcomeColumns
    columns: tuple[str, ...]
    observed: bool
    timezone: str | None


class ChunkKept(Numbered):
    """What a chunk did."""

    rows: int
    failed: int
    versions: dict[str, int] = Field(default_factory=dict)
    reasons: dict[str, int] = Field(default_factory=dict)
    errors: File | None = None


class OutcomesManifest(Record):
    """Counts of a finished job and all of its error files."""

    job_id: str
    model: str
    input: str
    input_etag: str
    rows: int
    failed: int
    accepted: int
    versions: dict[str, int]
    reasons: dict[str, int]
    errors: list[File]


OutcomesJobs: TypeAlias = Jobs[OutcomesJob]
OutcomesFiles: TypeAlias = JobFiles[OutcomesPlan, Chunk, ChunkKept]


def outcomes_files(objects: Objects, data_bucket: str, job_id: str) -> OutcomesFiles:
    """The files of one job."""
    return JobFiles(objects, data_bucket, job_id, OutcomesPlan, Chunk, ChunkKept)
