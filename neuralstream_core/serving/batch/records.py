"""Records of prediction jobs, and what such a job pins at its start."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import AwareDatetime, Field

from neuralstream_core.jobs.records import JobKind, NewJob
from neuralstream_core.jobs.rows import RowsJob, RowsPins, RowsResult
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.serving.batch.locations import InputFormat, OutputFormat
from neuralstream_core.serving.batch.requests import JobSpec
from neuralstream_core.table import Item
from neuralstream_core.types import Name, VersionName

__all__ = ["JobResult", "Pins", "PredictJob", "PredictJobs", "new_job"]


class Pins(RowsPins):
    """Adds how the traffic of the model is split."""

    salt: str
    allocation: tuple[tuple[VersionName, int], ...]
    """See `neuralstream_core.registry.allocation`."""


class JobResult(RowsResult):
    """Counts and files of a finished prediction job."""

    manifest: str | None = Field(
        default=None,
        description="`s3://` address of the list of output files; only they are output",
    )
    versions: dict[VersionName, int] = Field(
        default_factory=dict, description="rows by the version that answered"
    )


class PredictJob(RowsJob):
    """A job that predicts from a file of entities to files of predictions."""

    kind: Literal[JobKind.PREDICT] = Field(
        default=JobKind.PREDICT, description="`predict`: predictions from file to file"
    )
    model: Name = Field(description="the model that predicts")
    input_format: InputFormat | None = Field(
        description="null: the job was refused, as neither it nor the extension said"
    )
    output_format: OutputFormat = Field(description="of the files it writes")
    version: VersionName | None = Field(
        default=None, description="pinned by the request; null: production and its split"
    )
    outcome: JobResult | None = Field(
        default=None, description="counts and files; null until it is finished"
    )
    schedule: Name | None = Field(default=None, description="the schedule that asked for it")
    scheduled_time: AwareDatetime | None = Field(
        default=None, description="the run of the schedule, UTC"
    )


PredictJobs: TypeAlias = Jobs[PredictJob]


def new_job(spec: JobSpec, input_format: InputFormat | None) -> NewJob:
    """A prediction job to be stored.

    Args:
        input_format: of the input; ``None`` for a job that is refused for want of it.
    """

    def fields(job_id: str) -> Item:
        folder = f"{spec.output.rstrip('/')}/{job_id}/"
        return {"input_format": input_format, "output": folder}

    return NewJob(JobKind.PREDICT, spec, fields)
