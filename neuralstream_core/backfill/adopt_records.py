"""What an adoption is asked to do, its record and its documents."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from neuralstream_core.backfill.view_jobs import ViewJob
from neuralstream_core.jobs.files import JobFiles, Numbered
from neuralstream_core.jobs.records import JobKind
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.objects import Objects
from neuralstream_core.time import Micros
from neuralstream_core.types import Record

__all__ = [
    "AdoptFiles",
    "AdoptJob",
    "AdoptJobs",
    "AdoptPins",
    "AdoptPlan",
    "AdoptResult",
    "Adopted",
    "StoredEntities",
    "adopt_files",
]


class AdoptResult(Record):
    """Counts of a finished adoption."""

    entities: int = Field(description="entities with a row in the online store")
    rows: int = Field(
        description="rows that the history got: one for each entity and event time that it lacked"
    )
    history_complete: bool = Field(
        description="whether all of the view is in the history now; false if the view's history was off"
        " for a while during the job: adopt it again"
    )


class AdoptJob(ViewJob):
    """A job that takes what is online into the history."""

    kind: Literal[JobKind.ADOPT] = Field(
        default=JobKind.ADOPT, description="`adopt`: what is online, into the history"
    )
    outcome: AdoptResult | None = Field(
        default=None, description="counts; null until it is finished"
    )


class AdoptPins(Record):
    """State at the start of the job, which every chunk and every retry works with."""

    generation: str
    history_since: Micros
    """`FeatureView.history_since` when the job began."""


class AdoptPlan(Record):
    """What all chunks have in common."""

    feature_view: str
    pins: AdoptPins


class StoredEntities(Numbered):
    """A chunk: its entities are in a document of their own."""


class Adopted(Numbered):
    """What a chunk did."""

    entities: int
    rows: int


AdoptJobs: TypeAlias = Jobs[AdoptJob]
AdoptFiles: TypeAlias = JobFiles[AdoptPlan, StoredEntities, Adopted]


def adopt_files(objects: Objects, data_bucket: str, job_id: str) -> AdoptFiles:
    """The files of one adoption."""
    return JobFiles(objects, data_bucket, job_id, AdoptPlan, StoredEntities, Adopted)
