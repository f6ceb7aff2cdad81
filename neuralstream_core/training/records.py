"""Training sets as they are asked for, stored and answered."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from neuralstream_core.features.listing import MAX_LISTED
from neuralstream_core.features.references import MAX_REFERENCE
from neuralstream_core.history.mode import Mode
from neuralstream_core.jobs.records import Failure, JobKind, JobRecord, JobStatus, NewJob
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.table import Item
from neuralstream_core.types import Frozen, Name, Record

__all__ = [
    "Coverage",
    "Engine",
    "LabelFormat",
    "Labels",
    "TrainingJob",
    "TrainingJobs",
    "TrainingRequest",
    "TrainingResult",
    "TrainingSet",
    "TrainingSpec",
    "ViewSnapshot",
    "new_job",
]

MAX_ROWS: Final = 10_000
LabelFormat: TypeAlias = Literal["csv", "jsonl", "parquet", "json"]
"""``json`` is how rows of a request are kept."""
Engine: TypeAlias = Literal["duckdb", "athena"]
"""What runs a join."""
ColumnName: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Uri: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class Labels(Frozen):
    """Rows in the request, or a file in S3."""

    rows: (
        Annotated[list[dict[ColumnName, Any]], Field(min_length=1, max_length=MAX_ROWS)] | None
    ) = Field(
        default=None,
        description=f"objects of one kind, at most {MAX_ROWS}: ids, the time, and what else is to be kept,"
        " such as the label; texts, numbers, booleans and nulls",
    )
    input: Uri | None = Field(
        default=None,
        description="`s3://` address of a CSV or Parquet file, in place of rows",
    )
    input_format: Literal["csv", "parquet"] | None = Field(
        default=None, description="of the input; left out: as its extension says"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.rows is None) == (self.input is None):
            raise ValueError("give either rows or an input")
        return self


class _Request(Frozen):
    """What is the same in a request and in a stored job."""

    features: Annotated[
        list[Annotated[str, StringConstraints(max_length=MAX_REFERENCE)]],
        Field(min_length=1, max_length=MAX_LISTED),
    ] = Field(
        description="`view:feature`, `view@role:feature` or `service:name@version`; the columns of the result"
        " in this order"
    )
    entity: Annotated[dict[Name, ColumnName], Field(max_length=64)] = Field(
        default_factory=dict,
        description="the column of the labels that holds the ids of an entity key, or of a role; one that is"
        " left out has the name of the key or the role",
    )
    timestamp: ColumnName = Field(
        description="the column of the labels that holds each label's time: ISO 8601 with a zone, or in"
        " Parquet a timestamp in UTC"
    )
    mode: Annotated[Mode, Field(strict=False)] = Field(
        default=Mode.AS_OF,
        description="`as_of`: the newest value whose event time is not after the label's; `as_known`: only of"
        " what had also been written by then, so that later backfills do not leak",
    )


class TrainingRequest(_Request):
    """The body of ``POST /training-sets``."""

    labels: Labels = Field(description="what features are looked up for")
    output: Uri | None = Field(
        default=None,
        description="`s3://` folder below which the result is written; left out: in the stack's own bucket",
    )


class TrainingSpec(_Request):
    """What a job is asked to do."""

    input: str
    input_format: LabelFormat
    output: str


class Coverage(Record):
    """How many labels got a value."""

    present: int = Field(description="labels with a value")
    share: float = Field(description="the same as a share of all labels, 0 to 1")


class ViewSnapshot(Record):
    """The state of a view's history that was read."""

    history_version: int = Field(description="of the files; 0: there were none yet")
    schema_version: int = Field(description="of the view")
    history_until: AwareDatetime | None = Field(
        default=None,
        description="every write acknowledged before then is in what was read; null: nothing was yet",
    )


class TrainingResult(Record):
    """What a finished training set is."""

    rows: int = Field(description="labels, each a row of the result, in their order")
    columns: list[str] = Field(description="columns of the labels, then one per feature")
    coverage: dict[str, Coverage] = Field(description="by column of a feature")
    sha256: str = Field(
        description="of the file, in hex: the same labels and history make the same"
    )
    bytes: int = Field(description="size of the file")
    output: str = Field(description="`s3://` address of the Parquet file")
    views: dict[str, ViewSnapshot] = Field(description="the views that were read, by name")
    services: list[str] = Field(
        default_factory=list, description="feature services it was made with, `name@version`"
    )
    engine: Engine = Field(
        default="duckdb",
        description="what ran the join: `duckdb` in one function, or `athena` for a larger history",
    )


class TrainingJob(JobRecord):
    """A job that makes a training set."""

    kind: Literal[JobKind.TRAINING_SET] = Field(
        default=JobKind.TRAINING_SET, description="`training_set`: labels joined to the history"
    )
    features: list[str] = Field(description="as they were asked for")
    entity: dict[str, str] = Field(
        default_factory=dict, description="columns of ids by entity key or role"
    )
    timestamp: str = Field(description="the column of the labels' times")
    mode: Mode = Field(description="`as_of` or `as_known`")
    input: str = Field(description="`s3://` address of the labels")
    input_format: LabelFormat = Field(description="of the labels")
    output: str = Field(description="folder of this job's own files, below the output asked for")
    outcome: TrainingResult | None = Field(
        default=None, description="counts and the file; null until it is finished"
    )


TrainingJobs: TypeAlias = Jobs[TrainingJob]


class TrainingSet(Record):
    """A training set, as its routes answer it."""

    training_set_id: str = Field(description="asks for it at `/training-sets/{training_set_id}`")
    status: JobStatus = Field(description="how far it is")
    features: list[str] = Field(description="as they were asked for")
    mode: Mode = Field(description="`as_of` or `as_known`")
    labels: str = Field(description="`s3://` address of the labels")
    result: TrainingResult | None = Field(
        default=None, description="what was made; null until it SUCCEEDED"
    )
    download: str | None = Field(
        default=None,
        description="address from which the file can be fetched without an API key, for 15 minutes; null"
        " until it SUCCEEDED",
    )
    failure: Failure | None = Field(default=None, description="why it FAILED; null otherwise")
    created_at: AwareDatetime = Field(description="when it was accepted, UTC")
    finished_at: AwareDatetime | None = Field(
        default=None, description="UTC; null until it is finished"
    )

    @classmethod
    def of(cls, job: TrainingJob, download: str | None) -> Self:
        """The answer for a job."""
        return cls(
            training_set_id=job.job_id,
            labels=job.input,
            result=job.outcome,
            download=download,
            **job.model_dump(
                include={"status", "features", "mode", "failure", "created_at", "finished_at"}
            ),
        )


def new_job(spec: TrainingSpec) -> NewJob:
    """A job to be stored."""

    def fields(job_id: str) -> Item:
        return {"output": f"{spec.output.rstrip('/')}/{job_id}/"}

    return NewJob(JobKind.TRAINING_SET, spec, fields)
