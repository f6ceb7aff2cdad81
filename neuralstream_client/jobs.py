"""Records of jobs of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

from pydantic import Field

from neuralstream_client.answers import (
    AdoptJob,
    Answer,
    BackfillJob,
    Failure,
    JobStatus,
    OutcomesJob,
    PredictJob,
    Progress,
    RebuildJob,
    TrainingJob,
)

__all__ = ["AnyJob", "OtherJob", "job_of"]


class OtherJob(Answer):
    """A job of a kind that this release does not know; what its kind adds is in ``model_extra``."""

    job_id: str
    kind: str
    status: JobStatus
    progress: Progress = Field(default_factory=Progress)
    failure: Failure | None = None
    created_at: datetime
    created_by: str
    started_at: datetime | None = None
    finished_at: datetime | None = None


AnyJob: TypeAlias = (
    PredictJob | BackfillJob | RebuildJob | AdoptJob | TrainingJob | OutcomesJob | OtherJob
)

_KINDS: Final[Mapping[str, type[AnyJob]]] = {
    "predict": PredictJob,
    "backfill": BackfillJob,
    "rebuild": RebuildJob,
    "adopt": AdoptJob,
    "training_set": TrainingJob,
    "outcomes": OutcomesJob,
}


def job_of(answer: Any) -> AnyJob:
    """The record in the class of its kind; an older stack names no kind and knows predictions only."""
    return _KINDS.get(answer.get("kind", "predict"), OtherJob).model_validate(answer)
