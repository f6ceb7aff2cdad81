"""The batch function's parts, built from settings: rows at once, jobs, and the tasks of a job."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import cache, partial
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Final

from pydantic import Field

from neuralstream_core.backfill.adopt_records import AdoptJob
from neuralstream_core.backfill.outcome_records import OutcomesJob
from neuralstream_core.backfill.rebuild_records import RebuildJob
from neuralstream_core.backfill.records import BackfillJob
from neuralstream_core.history.consistency import ConsistencyReports
from neuralstream_core.jobs.records import JobKind
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.objects import Objects
from neuralstream_core.registry.registry import Registry
from neuralstream_core.serving.batch.columns import columns_json
from neuralstream_core.serving.batch.records import PredictJob
from neuralstream_core.serving.batch.requests import BatchBody, batch_json
from neuralstream_core.settings import WriteSettings
from neuralstream_core.time import system_clock
from neuralstream_lambda.buckets import JobBucketSettings
from neuralstream_lambda.jobs import jobs
from neuralstream_lambda.metrics import emit
from neuralstream_lambda.serving import ServingSettings, engine, recorder
from neuralstream_lambda.wiring import (
    feature_upkeep,
    history_log,
    redis_port,
    s3_client,
    serving_table,
    table,
)

if TYPE_CHECKING:
    from neuralstream_core.backfill.adopt_records import AdoptJobs
    from neuralstream_core.backfill.adopt_work import AdoptWork
    from neuralstream_core.backfill.outcome_work import OutcomesWork
    from neuralstream_core.backfill.planning import Backfills
    from neuralstream_core.backfill.rebuild_records import RebuildJobs
    from neuralstream_core.backfill.rebuild_work import RebuildWork
    from neuralstream_core.backfill.records import BackfillJobs
    from neuralstream_core.backfill.view_jobs import ViewJobs
    from neuralstream_core.backfill.work import BackfillWork
    from neuralstream_core.features.catalog import Catalog
    from neuralstream_core.jobs.tasks import TaskRunner, Work
    from neuralstream_core.schedules.scheduling import Scheduling
    from neuralstream_core.serving.batch.chunks import Predictor
    from neuralstream_core.serving.batch.manifest import JobPlan
    from neuralstream_core.serving.batch.records import PredictJobs
    from neuralstream_core.serving.batch.tasks import PredictWork, Submission

__all__ = [
    "BatchSettings",
    "adoptions",
    "backfills",
    "compared",
    "predict_jobs",
    "predict_rows",
    "predictor",
    "rebuilds",
    "scheduling",
    "submission",
    "tasks",
]


_COLLECTED: Final = 100_000
"""Containers that a process of jobs makes before the collector looks at them; Python's own number is 700."""
_SETTLE_SECONDS: Final = 10.0
"""Longer than an append to the history takes, its retries included."""
_MERGE_SECONDS: Final = 2.0
"""Longer than a write takes to reach Redis, its retries included."""
_HOUR: Final = 3600 * 1_000_000


class BatchSettings(ServingSettings, WriteSettings, JobBucketSettings):
    """What predicts and writes, and which buckets jobs may use."""

    batch_concurrency: int = Field(default=4, ge=1, le=1000)
    """Chunks of one job that are worked on at once."""


def predict_rows(settings: BatchSettings, model: str, body: BatchBody) -> str:
    """The JSON answer to a batch request with ``entity_ids``."""
    started = perf_counter()
    served = engine(settings)
    named = served.entities(
        model, body.entity_ids or [], body.feature_view, body.version, keys=body.entities
    )
    columns = served.predict_columns(
        model,
        named.entities,
        keys=named.keys,
        overrides=body.features,
        feature_view=body.feature_view,
        version=body.version,
        started=started,
    )
    answer = columns_json if body.layout == "columns" else batch_json
    return answer(model, named, columns, system_clock())


@cache
def predict_jobs(settings: BatchSettings) -> PredictJobs:
    """The records of prediction jobs."""
    kinds = {JobKind.PREDICT: PredictJob}
    return Jobs(table(settings), settings.namespace, system_clock, kinds)


def predictor(settings: BatchSettings, plan: JobPlan) -> Predictor:
    """What predicts the rows of a job."""
    from neuralstream_core.features.store import OnlineStore
    from neuralstream_core.outcomes.rows import PredictionRows
    from neuralstream_core.serving.batch.chunks import Predictor

    store = OnlineStore(
        redis_port(settings), _catalog(settings), lambda: plan.pins.as_of, settings.namespace
    )
    rows, history = PredictionRows(settings.namespace), history_log(settings)

    def log(entries: Sequence[bytes]) -> None:
        history.append(rows.parts(entries, system_clock()))

    return Predictor(engine(settings), store, recorder(settings), log, plan)


@cache
def submission(settings: BatchSettings) -> Submission:
    """What accepts jobs."""
    from neuralstream_core.serving.batch.tasks import Submission

    return Submission(
        predict_jobs(settings), Objects(s3_client()), settings.buckets, _registry(settings)
    )


@cache
def backfills(settings: BatchSettings) -> Backfills:
    """What accepts backfills."""
    from neuralstream_core.backfill.import_work import Imports
    from neuralstream_core.backfill.planning import Backfills

    place = Imports(Objects(s3_client()), settings.buckets, settings.data_bucket, "backfills")
    return Backfills(_backfill_jobs(settings), place, _catalog(settings))


@cache
def rebuilds(settings: BatchSettings) -> ViewJobs[RebuildJob]:
    """What accepts rebuilds."""
    from neuralstream_core.backfill.view_jobs import ViewJobs

    return ViewJobs(_rebuild_jobs(settings), _catalog(settings), JobKind.REBUILD)


@cache
def adoptions(settings: BatchSettings) -> ViewJobs[AdoptJob]:
    """What accepts adoptions."""
    from neuralstream_core.backfill.view_jobs import ViewJobs

    return ViewJobs(_adopt_jobs(settings), _catalog(settings), JobKind.ADOPT)


@cache
def _adopt_jobs(settings: BatchSettings) -> AdoptJobs:
    kinds = {JobKind.ADOPT: AdoptJob}
    return Jobs(table(settings), settings.namespace, system_clock, kinds)


@cache
def _rebuild_jobs(settings: BatchSettings) -> RebuildJobs:
    kinds = {JobKind.REBUILD: RebuildJob}
    return Jobs(table(settings), settings.namespace, system_clock, kinds)


@cache
def _backfill_jobs(settings: BatchSettings) -> BackfillJobs:
    kinds = {JobKind.BACKFILL: BackfillJob}
    return Jobs(table(settings), settings.namespace, system_clock, kinds)


@cache
def scheduling(settings: BatchSettings) -> Scheduling:
    """What keeps schedules and starts their jobs."""
    from neuralstream_core.schedules.scheduling import Scheduling
    from neuralstream_core.schedules.store import Schedules

    return Scheduling(
        Schedules(table(settings), settings.namespace, system_clock),
        predict_jobs(settings),
        submission(settings),
        _registry(settings),
        settings.buckets,
        system_clock,
    )


@cache
def tasks(settings: BatchSettings) -> TaskRunner:
    """What runs the tasks of jobs."""
    from neuralstream_core.jobs.tasks import TaskRunner

    builders: dict[JobKind, Callable[[BatchSettings], Work]] = {
        JobKind.PREDICT: _predict_work,
        JobKind.BACKFILL: _backfill_work,
        JobKind.REBUILD: _rebuild_work,
        JobKind.ADOPT: _adopt_work,
        JobKind.OUTCOMES: _outcomes_work,
    }
    works = {kind: partial(_settled, build, settings) for kind, build in builders.items()}
    return TaskRunner(jobs(settings), works, settings.batch_concurrency)


@cache
def _settled(build: Callable[[BatchSettings], Work], settings: BatchSettings) -> Work:
    """The work that ``build`` builds.

    Rows come and go by ten thousands, and hardly any refer to themselves. The collector would walk them, and
    what import made, time and again: a tenth of a job's time and more.
    """
    work = build(settings)
    gc.freeze()
    gc.set_threshold(_COLLECTED, 50, 100)
    return work


@cache
def _predict_work(settings: BatchSettings) -> PredictWork:
    from neuralstream_core.serving.batch.chunks import ChunkWorker
    from neuralstream_core.serving.batch.planning import Planner
    from neuralstream_core.serving.batch.tasks import Finisher, PredictWork

    records, objects = predict_jobs(settings), Objects(s3_client())
    buckets, bucket, registry = settings.buckets, settings.data_bucket, _registry(settings)
    return PredictWork(
        Planner(
            records,
            objects,
            buckets,
            bucket,
            system_clock,
            registry,
            lambda view: _catalog(settings).get(view).keys,
        ),
        ChunkWorker(records, objects, buckets, bucket, partial(predictor, settings)),
        Finisher(records, objects, bucket, registry),
    )


@cache
def _backfill_work(settings: BatchSettings) -> BackfillWork:
    from neuralstream_core.backfill.work import BackfillWork

    return BackfillWork(
        _backfill_jobs(settings),
        Objects(s3_client()),
        settings.buckets,
        settings.data_bucket,
        system_clock,
        feature_upkeep(settings),
    )


@cache
def _outcomes_work(settings: BatchSettings) -> OutcomesWork:
    from neuralstream_core.backfill.outcome_work import OutcomesWork
    from neuralstream_lambda.performance import intake

    kinds = {JobKind.OUTCOMES: OutcomesJob}
    records = Jobs(table(settings), settings.namespace, system_clock, kinds)
    return OutcomesWork(
        records,
        Objects(s3_client()),
        settings.buckets,
        settings.data_bucket,
        system_clock,
        intake(settings),
    )


@cache
def _rebuild_work(settings: BatchSettings) -> RebuildWork:
    from neuralstream_core.backfill.rebuild_work import RebuildWork
    from neuralstream_lambda.history import history

    return RebuildWork(
        _rebuild_jobs(settings),
        history(settings),
        feature_upkeep(settings),
        Objects(s3_client()),
        settings.data_bucket,
        system_clock,
    )


@cache
def _adopt_work(settings: BatchSettings) -> AdoptWork:
    from neuralstream_core.backfill.adopt_work import AdoptWork
    from neuralstream_lambda.history import history

    return AdoptWork(
        _adopt_jobs(settings),
        history(settings),
        feature_upkeep(settings),
        Objects(s3_client()),
        settings.data_bucket,
        system_clock,
        partial(sleep, _MERGE_SECONDS),
    )


def compared(settings: BatchSettings) -> dict[str, int]:
    """Compare what is online with the history, of every view; how many of what.

    Raises:
        Unavailable: try again.
    """
    from neuralstream_core.backfill.consistency import ConsistencyCheck
    from neuralstream_lambda.history import history

    check = ConsistencyCheck(
        history(settings),
        feature_upkeep(settings),
        ConsistencyReports(table(settings), settings.namespace),
        system_clock,
        partial(sleep, _SETTLE_SECONDS),
    )
    now = system_clock()
    found = check.run(now // _HOUR)
    for view in found:
        emit(
            now,
            {"feature_view": view.feature_view},
            {
                "InconsistentCells": (view.wrong, "Count"),
                "ComparedEntities": (view.entities, "Count"),
            },
        )
    return {
        "views": len(found),
        "entities": sum(view.entities for view in found),
        "wrong": sum(view.wrong for view in found),
    }


@cache
def _registry(settings: BatchSettings) -> Registry:
    return Registry(table(settings), settings.namespace, system_clock)


@cache
def _catalog(settings: BatchSettings) -> Catalog:
    from neuralstream_core.features.catalog import Catalog

    return Catalog(serving_table(settings.table), settings.namespace, system_clock)
