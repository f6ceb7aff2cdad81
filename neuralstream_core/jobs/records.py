"""What jobs of every kind have in common, as stored and answered."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from pydantic import AwareDatetime, BaseModel, Field

from neuralstream_core.table import Item
from neuralstream_core.time import Micros
from neuralstream_core.types import Name, Record

__all__ = ["Failure", "JobKind", "JobRecord", "JobStatus", "NewJob", "Progress", "Run"]


class JobKind(StrEnum):
    """What a job does."""

    PREDICT = "predict"
    BACKFILL = "backfill"
    REBUILD = "rebuild"
    ADOPT = "adopt"
    TRAINING_SET = "training_set"
    OUTCOMES = "outcomes"


class JobStatus(StrEnum):
    """SUCCEEDED and FAILED are final."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def done(self) -> bool:
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED)


class Progress(Record):
    """Chunks and rows that are done."""

    chunks: int = Field(default=0, description="parts of the input; 0 until it is divided")
    chunks_done: int = Field(default=0, description="parts that are done")
    rows: int = Field(default=0, description="rows of these parts, failed ones included")
    failed: int = Field(default=0, description="failed rows among them")


class Failure(Record):
    """Why a job failed."""

    code: str = Field(description="stable and machine-readable")
    detail: str = Field(description="for a person")


class JobRecord(Record):
    """One job, without what its kind adds: its request, and ``outcome`` once it is finished.

    A subclass narrows ``kind`` to a literal.
    """

    job_id: str = Field(description="asks for it at `/jobs/{job_id}`")
    kind: JobKind = Field(description="what it does")
    status: JobStatus = Field(description="how far it is")
    progress: Progress = Field(default_factory=Progress, description="what is done by now")
    failure: Failure | None = Field(default=None, description="why it FAILED; null otherwise")
    created_at: AwareDatetime = Field(description="when it was accepted, UTC")
    created_by: str = Field(description="principal of the API key, who may see it")
    started_at: AwareDatetime | None = Field(default=None, description="UTC; null while PENDING")
    finished_at: AwareDatetime | None = Field(
        default=None, description="UTC; null until it is finished"
    )


def _nothing(_job_id: str) -> Item:
    return {}


class NewJob(NamedTuple):
    """A job to be stored.

    Attributes:
        kind: of the job.
        spec: the request; two submissions under one idempotency key must have its fields in common.
        fields: further fields of the record, by the job's id; they replace those of the request.
    """

    kind: JobKind
    spec: BaseModel
    fields: Callable[[str], Item] = _nothing


class Run(NamedTuple):
    """One run of a schedule."""

    schedule: Name
    scheduled: Micros

    @property
    def key(self) -> str:
        """Idempotency key of the run's job; no caller can send it, as a header holds no line break."""
        return f"schedule\n{self.schedule}\n{self.scheduled}"
