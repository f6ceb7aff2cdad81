"""Jobs of every kind, as routes list and answer them and as tasks find them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Final, TypeAlias

from pydantic import Field

from neuralstream_core.backfill.adopt_records import AdoptJob
from neuralstream_core.backfill.outcome_records import OutcomesJob
from neuralstream_core.backfill.rebuild_records import RebuildJob
from neuralstream_core.backfill.records import BackfillJob
from neuralstream_core.jobs.records import JobKind
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.serving.batch.records import PredictJob
from neuralstream_core.settings import TableSettings
from neuralstream_core.time import system_clock
from neuralstream_core.training.records import TrainingJob
from neuralstream_core.types import NEXT_PAGE, Record
from neuralstream_lambda.wiring import table

__all__ = ["AnyJob", "JobPage", "jobs"]

AnyJob: TypeAlias = PredictJob | BackfillJob | RebuildJob | AdoptJob | TrainingJob | OutcomesJob
"""The record of some kind of job."""

_RECORDS: Final[Mapping[JobKind, type[AnyJob]]] = {
    JobKind.PREDICT: PredictJob,
    JobKind.BACKFILL: BackfillJob,
    JobKind.REBUILD: RebuildJob,
    JobKind.ADOPT: AdoptJob,
    JobKind.TRAINING_SET: TrainingJob,
    JobKind.OUTCOMES: OutcomesJob,
}


class JobPage(Record):
    """Jobs, newest first."""

    jobs: list[Annotated[AnyJob, Field(discriminator="kind")]] = Field(
        description="the newest first, each with the fields of its kind"
    )
    next_token: str | None = Field(default=None, description=NEXT_PAGE)


@cache
def jobs(settings: TableSettings) -> Jobs[AnyJob]:
    """The records of all jobs."""
    return Jobs(table(settings), settings.namespace, system_clock, _RECORDS)
