"""The training function's parts, built from settings."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

from pydantic import Field

from neuralstream_core.jobs.records import JobKind
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.objects import Location
from neuralstream_core.settings import HistorySettings, TableSettings
from neuralstream_core.time import system_clock
from neuralstream_core.training.records import TrainingJob, TrainingJobs, TrainingSet
from neuralstream_lambda.buckets import JobBucketSettings
from neuralstream_lambda.wiring import s3_client, table

if TYPE_CHECKING:
    from neuralstream_core.features.catalog import Catalog
    from neuralstream_core.features.services import FeatureServices
    from neuralstream_core.history.entity import EntityHistory
    from neuralstream_core.jobs.tasks import TaskRunner
    from neuralstream_core.objects import Objects
    from neuralstream_core.training.athena import Athena
    from neuralstream_core.training.work import TrainingSubmission, TrainingWork

__all__ = [
    "TrainingSettings",
    "TrainingTaskSettings",
    "answer",
    "entity_history",
    "submission",
    "tasks",
    "training_jobs",
]

_DOWNLOAD_SECONDS = 900


class TrainingSettings(TableSettings, HistorySettings, JobBucketSettings):
    """Where training sets are kept, and which buckets they may use."""


class TrainingTaskSettings(TrainingSettings):
    """What a join may take besides."""

    training_memory_mb: int = Field(default=1024, ge=128, le=9000)
    """Megabytes of memory of DuckDB, beyond which it spills to temporary files."""
    training_threads: int = Field(default=2, ge=1, le=6)
    athena_from_bytes: int = Field(default=0, ge=0)
    """Size of labels and history from which Athena runs the join; 0: never."""
    catalog_database: str = Field(default="", max_length=255)
    """Of the Glue catalog, where tables for Athena are made."""


@cache
def training_jobs(settings: TrainingSettings) -> TrainingJobs:
    """The records of training sets."""
    kinds = {JobKind.TRAINING_SET: TrainingJob}
    return Jobs(table(settings), settings.namespace, system_clock, kinds)


@cache
def submission(settings: TrainingSettings) -> TrainingSubmission:
    """What accepts training sets."""
    from neuralstream_core.objects import Objects
    from neuralstream_core.training.work import TrainingSubmission

    return TrainingSubmission(
        training_jobs(settings),
        Objects(s3_client()),
        settings.buckets,
        settings.data_bucket,
        _catalog(settings),
        _services(settings),
    )


def answer(job: TrainingJob) -> TrainingSet:
    """A training set with a presigned address of its file, once there is one."""
    if job.outcome is None:
        return TrainingSet.of(job, None)
    at = Location.parse(job.outcome.output)
    url = s3_client().generate_presigned_url(
        "get_object", Params={"Bucket": at.bucket, "Key": at.key}, ExpiresIn=_DOWNLOAD_SECONDS
    )
    return TrainingSet.of(job, url)


@cache
def entity_history(settings: TrainingTaskSettings) -> EntityHistory:
    """What reads the history of single entities."""
    from neuralstream_core.history.entity import EntityHistory
    from neuralstream_core.parquet import Space
    from neuralstream_lambda.history import history

    space = Space(settings.training_memory_mb, settings.training_threads, Path(gettempdir()))
    return EntityHistory(history(settings), _catalog(settings), space, system_clock)


@cache
def tasks(settings: TrainingTaskSettings) -> TaskRunner:
    """What runs the tasks of training sets."""
    from neuralstream_core.jobs.tasks import TaskRunner

    return TaskRunner(training_jobs(settings), {JobKind.TRAINING_SET: lambda: _work(settings)}, 1)


@cache
def _work(settings: TrainingTaskSettings) -> TrainingWork:
    from neuralstream_core.objects import Objects
    from neuralstream_core.parquet import Space
    from neuralstream_core.training.work import TrainingWork
    from neuralstream_lambda.history import history

    objects = Objects(s3_client())
    return TrainingWork(
        training_jobs(settings),
        objects,
        history(settings),
        _catalog(settings),
        _services(settings),
        Space(settings.training_memory_mb, settings.training_threads, Path(gettempdir())),
        _athena(settings, objects),
    )


def _athena(settings: TrainingTaskSettings, objects: Objects) -> Athena | None:
    if not settings.athena_from_bytes or not settings.catalog_database:
        return None
    from neuralstream_core.history.catalog import CatalogDatabase
    from neuralstream_core.training.athena import Athena
    from neuralstream_lambda.wiring import glue_client

    catalog = CatalogDatabase(glue_client(), settings.catalog_database)
    return Athena(objects, catalog, settings.data_bucket, settings.athena_from_bytes)


@cache
def _catalog(settings: TrainingSettings) -> Catalog:
    from neuralstream_core.features.catalog import Catalog

    return Catalog(table(settings), settings.namespace, system_clock)


@cache
def _services(settings: TrainingSettings) -> FeatureServices:
    from neuralstream_core.features.services import FeatureServices

    return FeatureServices(table(settings), settings.namespace, system_clock, _catalog(settings))
