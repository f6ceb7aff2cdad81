"""What a backfill is asked to do, its record and its documents."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from neuralstream_core.backfill.import_records import (
    ColumnName,
    ImportJob,
    ImportPlan,
    ZoneName,
)
from neuralstream_core.features.schema import MAX_FEATURES
from neuralstream_core.jobs.files import JobFiles
from neuralstream_core.jobs.records import JobKind
from neuralstream_core.jobs.rows import RowsChunk, RowsManifest, RowsPins, RowsResult
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.objects import Objects
from neuralstream_core.serving.batch.locations import InputFormat
from neuralstream_core.serving.batch.requests import DEFAULT_FAILED_FRACTION, Fraction, S3Uri
from neuralstream_core.serving.batch.splitting import Chunk
from neuralstream_core.types import Frozen, Name

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
    "backfill_files",
]

Empty: TypeAlias = Literal["null", "skip"]


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
    timezone: ZoneName | None = Field(
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


class BackfillResult(RowsResult):
    """Counts and files of a finished backfill."""

    written: int = Field(description="rows that are online now, wholly or in part")
    stale: int = Field(description="rows whose values the online store had newer")
    history_only: int = Field(
        description="rows older than the view's TTL: in the history, not online"
    )


class BackfillJob(ImportJob):
    """A job that writes feature values of the past from a file."""

    kind: Literal[JobKind.BACKFILL] = Field(
        default=JobKind.BACKFILL, description="`backfill`: feature values from a file"
    )
    feature_view: Name = Field(description="the view it writes to")
    timestamp: str = Field(description="column of the event times")
    entity: str | dict[Name, str] | None = Field(
        default=None, description="column of the entity id, or of each entity key, as asked for"
    )
    features: dict[Name, str] | None = Field(
        default=None, description="column by feature, as asked for"
    )
    empty: Empty = Field(default="null", description="what an empty cell does")
    outcome: BackfillResult | None = Field(
        default=None, description="counts and files; null until it is finished"
    )


class BackfillPins(RowsPins):
    """Adds the view's generation: a view that was created anew is another one."""

    generation: str


class BackfillPlan(ImportPlan):
    """What all chunks have in common.

    Attributes:
        keys: columns of the entity's parts, in key order.
        features: column by feature; of JSON lines also such as no row has.
    """

    feature_view: str
    pins: BackfillPins
    keys: tuple[str, ...]
    features: dict[str, str]
    timestamp: str
    empty: Empty


class ChunkWritten(RowsChunk):
    """Adds what became of the rows."""

    written: int
    stale: int
    history_only: int


class BackfillManifest(RowsManifest):
    """Adds what became of the rows."""

    feature_view: str
    written: int
    stale: int
    history_only: int


BackfillJobs: TypeAlias = Jobs[BackfillJob]
BackfillFiles: TypeAlias = JobFiles[BackfillPlan, Chunk, ChunkWritten]


def backfill_files(objects: Objects, data_bucket: str, job_id: str) -> BackfillFiles:
    """The files of one backfill."""
    return JobFiles(objects, data_bucket, job_id, BackfillPlan, Chunk, ChunkWritten)
