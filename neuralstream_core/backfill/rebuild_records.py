"""What a rebuild is asked to do, its record and its documents."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from neuralstream_core.backfill.view_jobs import ViewJob
from neuralstream_core.history.manifest import DataFile
from neuralstream_core.jobs.files import JobFiles, Numbered
from neuralstream_core.jobs.records import JobKind
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.objects import Objects
from neuralstream_core.time import Micros
from neuralstream_core.types import Record

__all__ = [
    "Entities",
    "RebuildFiles",
    "RebuildJob",
    "RebuildJobs",
    "RebuildPins",
    "RebuildPlan",
    "RebuildResult",
    "Rebuilt",
    "rebuild_files",
]


class RebuildResult(Record):
    """Counts of a finished rebuild."""

    rows: int = Field(
        description="rows of the history's files that were merged into the online store"
    )
    tail: int = Field(description="rows of the log that were merged: what is not in files yet")
    refused: int = Field(description="rows among them that would make a stored row too large")
    history_version: int = Field(description="of the view's history whose files were read")


class RebuildJob(ViewJob):
    """A job that fills the online store from the history."""

    kind: Literal[JobKind.REBUILD] = Field(
        default=JobKind.REBUILD, description="`rebuild`: the online store from the history"
    )
    outcome: RebuildResult | None = Field(
        default=None, description="counts; null until it is finished"
    )


class RebuildPins(Record):
    """State at the start of the job, which every chunk and every retry works with."""

    as_of: Micros
    """By which it is told whose row would be gone by now."""
    generation: str


class RebuildPlan(Record):
    """What all chunks have in common."""

    feature_view: str
    pins: RebuildPins
    version: int
    consumed_until: Micros
    files: tuple[DataFile, ...]
    forgotten: tuple[str, ...] = ()
    """Entities that were forgotten since the files were written: none of their rows there counts."""


class Entities(Numbered):
    """A chunk: the entities from ``first`` up to and without ``end``, by their bytes; ``None``: no bound."""

    first: str | None = None
    end: str | None = None


class Rebuilt(Numbered):
    """What a chunk did."""

    rows: int
    refused: int


RebuildJobs: TypeAlias = Jobs[RebuildJob]
RebuildFiles: TypeAlias = JobFiles[RebuildPlan, Entities, Rebuilt]


def rebuild_files(objects: Objects, data_bucket: str, job_id: str) -> RebuildFiles:
    """The files of one rebuild."""
    return JobFiles(objects, data_bucket, job_id, RebuildPlan, Entities, Rebuilt)
