"""What a backfill is asked to do, its record and its documents."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints

from neuralstream_core.features.schema import MAX_FEATURES
from neuralstream_core.jobs.files import File, JobFiles, Numbered
from neuralstream_core.jobs.records import JobKind, JobRecord
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.objects import Objects
from neuralstream_core.serving.batch.locations import InputFormat
from neuralstream_core.serving.batch.requests import DEFAULT_FAILED_FRACTION, Fraction, S3Uri
from neuralstream_core.serving.batch.splitting import Chunk
from neuralstream_core.time import Micros
from neuralstream_core.types import Frozen, Name, Record

__all__ = [
    "BackfillFiles",
    "BackfillJob",
    "BackfillJobs",
    "BackfillManifest",
    "BackfillPins",
    "BackfillPlan",
    "BackfillResult",
    "BackfillSpec",
    "ChunkWritten",
    "ColumnName",
    "backfill_files",
    "zone_name",
]

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Empty: TypeAlias = Literal["null", "skip"]


def zone_name(name: str) -> str:
    """The name of an IANA time zone.

    Raises:
        ValueError: it is none.
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not an IANA time zone, such as Europe/Berlin or UTC") from None
    return name


class BackfillSpec(Frozen):
    """What to write from which file."""

    feature_view: Name = Field(description="the view to write to")
    input: S3Uri = Field(description="`s3://bucket/key` of a .csv, .jsonl or .parquet of rows")
    timestamp: ColumnName = Field(
        description="column of the time at which the row's values became true: ISO 8601 with a zone, or"
        " a timestamp of Parquet"
    )
    entity: ColumnName | Annotated[dict[Name, ColumnName], Field(max_length=8)] | None = Field(
        default=None,
        description="column of the entity id, or of each entity key; left out: columns of their names,"
        " or `entity_id`",
    )
    features: (
        Annotated[dict[Name, ColumnName], Field(min_length=1, max_length=MAX_FEATURES)] | None
    ) = Field(
        default=None,
        description="column by feature; left out: every column that is named as a feature of the view",
    )
    input_format: InputFormat | None = Field(
        default=None, description="when the extension does not say"
    )
    timezone: (
        Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(zone_name)]
        | None
    ) = Field(
        default=None, description="IANA name, for times without a zone; refused when left out"
    )
    empty: Empty = Field(
        default="null",
        description="an empty cell or null: `null` writes NULL, `skip` leaves the feature as it is",
    )
    output: S3Uri | None = Field(
        default=None,
        description="`s3://bucket/folder/` for the list of wrong rows; `jobs/backfills/` of the stack's"
        " own bucket when left out",
    )
    max_failed_fraction: Fraction = Field(
        default=DEFAULT_FAILED_FRACTION,
        description="the job ends as FAILED when more than this share of its rows are wrong; the others"
        " are written all the same",
    )
    allow_empty: bool = Field(
        default=False, description="an input without rows is a job well done; it fails otherwise"
    )


class BackfillResult(Record):
    """Counts and files of a finished backfill."""

    rows: int = Field(description="rows of the input")
    failed: int = Field(description="wrong rows, which are not written")
    written: int = Field(description="rows that are online now, wholly or in part")
    stale: int = Field(description="rows whose values the online store had newer")
    history_only: int = Field(
        description="rows older than the view's TTL: in the history, not online"
    )
    manifest: str | None = Field(
        default=None, description="`s3://` address of these counts and the list of error files"
    )
    errors: list[str] = Field(
        default_factory=list, description="files of wrong rows; the first 100"
    )
    reasons: dict[str, int] = Field(default_factory=dict, description="wrong rows by error code")


class BackfillJob(JobRecord):
    """A job that writes feature values of the past from a file."""

    kind: Literal[JobKind.BACKFILL] = Field(
        default=JobKind.BACKFILL, description="`backfill`: feature values from a file"
    )
    feature_view: Name = Field(description="the view it writes to")
    input: str = Field(description="`s3://` address of the input")
    input_format: InputFormat = Field(description="of the input")
    output: str = Field(description="folder of this job's own files: the list of wrong rows")
    timestamp: str = Field(description="column of the event times")
    entity: str | dict[Name, str] | None = Field(
        default=None, description="column of the entity id, or of each entity key, as asked for"
    )
    features: dict[Name, str] | None = Field(
        default=None, description="column by feature, as asked for"
    )
    timezone: str | None = Field(default=None, description="of times without a zone")
    empty: Empty = Field(default="null", description="what an empty cell does")
    max_failed_fraction: float = Field(
        description="it fails when more than this share of its rows are wrong, 0 to 1"
    )
    allow_empty: bool = Field(
        default=False, description="whether an input without rows is a job well done"
    )
    outcome: BackfillResult | None = Field(
        default=None, description="counts and files; null until it is finished"
    )


class BackfillPins(Record):
    """State at the start of the job, which every chunk and every retry works with."""

    as_of: Micros
    """By which future and expired event times are told."""
    size: int
    etag: str
    generation: str
    """Of the view: a view that was created anew is another one."""


class BackfillPlan(Record):
    """What all chunks have in common.

    Attributes:
        keys: columns of the entity's parts, in key order.
        features: column by feature; of JSON lines also such as no row has.
        columns: of a CSV or Parquet input, in file order.
    """

    feature_view: str
    input: str
    input_format: InputFormat
    output: str
    pins: BackfillPins
    keys: tuple[str, ...]
    features: dict[str, str]
    columns: tuple[str, ...]
    timestamp: str
    timezone: str | None
    empty: Empty


class ChunkWritten(Numbered):
    """What a chunk did."""

    rows: int
    failed: int
    written: int
    stale: int
    history_only: int
    reasons: dict[str, int] = Field(default_factory=dict)
    errors: File | None = None


class BackfillManifest(Record):
    """Counts of a finished backfill and all of its error files."""

    job_id: str
    feature_view: str
    input: str
    input_etag: str
    rows: int
    failed: int
    written: int
    stale: int
    history_only: int
    reasons: dict[str, int]
    errors: list[File]


BackfillJobs: TypeAlias = Jobs[BackfillJob]
BackfillFiles: TypeAlias = JobFiles[BackfillPlan, Chunk, ChunkWritten]


def backfill_files(objects: Objects, data_bucket: str, job_id: str) -> BackfillFiles:
    """The files of one backfill."""
    return JobFiles(objects, data_bucket, job_id, BackfillPlan, Chunk, ChunkWritten)
