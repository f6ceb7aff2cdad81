"""What the batch function does, wired from settings: rows at once, jobs, and the tasks of a job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, TypeAdapter

from neuralstream_core.errors import NeuralStreamError, NotFound, Unavailable
from neuralstream_core.serving.batch.jobs import Failure, JobRecord, Jobs, JobSpec, JobStatus
from neuralstream_core.serving.batch.locations import FORMATS, Buckets, input_format
from neuralstream_core.serving.batch.manifest import Chunk
from neuralstream_core.serving.batch.requests import BatchBody, batch_json
from neuralstream_core.serving.batch.runs import Run
from neuralstream_core.time import Micros, system_clock
from neuralstream_core.types import Record
from neuralstream_lambda.logs import logger
from neuralstream_lambda.serving import ServingSettings, engine, recorder
from neuralstream_lambda.wiring import redis_port, s3_client, serving_table, table

if TYPE_CHECKING:
    from neuralstream_core.features.catalog import Catalog
    from neuralstream_core.monitoring.observation import Recorder
    from neuralstream_core.serving.batch.chunks import ChunkWorker, Predictor
    from neuralstream_core.serving.batch.finishing import Finisher
    from neuralstream_core.serving.batch.planning import Planner, Served
    from neuralstream_core.serving.engine import Engine

__all__ = [
    "BatchSettings",
    "jobs",
    "predict_rows",
    "predictor",
    "run_task",
    "submit",
    "submit_scheduled",
]


class BatchSettings(ServingSettings):
    """What predicts, and which buckets jobs may use."""

    job_buckets: str = ""
    """Further buckets that jobs may read and write, separated by commas."""
    batch_concurrency: int = Field(default=4, ge=1, le=1000)
    """Chunks of one job that are worked on at once."""


class Task(Record):
    """What the state machine asks for."""

    task: Literal["plan", "chunk", "finish", "fail"]
    job_id: str
    chunk: Chunk | None = None
    error: Mapping[str, Any] = Field(default_factory=dict)
    """Of a ``fail``: Step Functions' ``Error`` and ``Cause``."""


_TASK: Final = TypeAdapter(Task)


def predict_rows(settings: BatchSettings, model: str, body: BatchBody) -> str:
    """Answer the first form of a batch request."""
    started = perf_counter()
    served = engine(settings)
    entities = served.entities(model, body.entity_ids or [], body.feature_view, body.version)
    columns = served.predict_columns(
        model,
        entities,
        keys=body.entities,
        overrides=body.features,
        feature_view=body.feature_view,
        version=body.version,
        started=started,
    )
    return batch_json(model, entities, columns, system_clock())


@cache
def jobs(settings: BatchSettings) -> Jobs:
    """The job records."""
    return Jobs(table(settings), settings.namespace, system_clock)


def submit(
    settings: BatchSettings,
    spec: JobSpec,
    actor: str,
    *,
    key: str | None = None,
    run: Run | None = None,
) -> JobRecord:
    """Accept a job.

    Args:
        key: idempotency key.
        run: of the schedule that asks for it, in place of a key.

    Raises:
        NotFound: no such model, version or input.
        Invalid: a location that jobs may not use, or an unknown format.
        Conflict: the model has nothing to predict with.
    """
    from neuralstream_core.serving.batch.objects import Objects

    buckets = Buckets.of(settings.data_bucket, settings.job_buckets)
    source = buckets.check(spec.input, "input")
    buckets.check(spec.output, "output", folder=True)
    kind = input_format(source, spec.input_format)
    _serves(settings, spec.model, spec.version)
    Objects(s3_client()).stat(source)
    return jobs(settings).submit(spec, kind, actor, key=key, run=run)


def submit_scheduled(
    settings: BatchSettings,
    spec: JobSpec,
    actor: str,
    *,
    key: str | None = None,
    run: Run | None = None,
) -> JobRecord:
    """Accept a job that nobody waits for: what `submit` would refuse is stored as a failed job, where
    people look for it. It is the asker's fault, so the function neither fails nor is called again.

    Args:
        key: idempotency key.
        run: of the schedule that asks for it, in place of a key.

    Raises:
        Unavailable: try again.
        Conflict: ``key`` was used for another spec.
    """
    try:
        return submit(settings, spec, actor, key=key, run=run)
    except Unavailable:
        raise
    except NeuralStreamError as error:
        if error.code == "idempotency_conflict":
            raise
        kind = spec.input_format or FORMATS.get(spec.input.rpartition(".")[2].lower())
        refused = Failure(code=error.code, detail=error.detail)
        job = jobs(settings).submit(spec, kind, actor, key=key, run=run, refused=refused)
        if job.failure is not None:  # an earlier delivery may have started it
            _tell(settings, job)
        return job


def run_task(settings: BatchSettings, event: Mapping[str, Any]) -> dict[str, Any]:
    """Do one task.

    What the caller's model, input or output causes fails the job, with its reason in the record, and the
    task ends well: nothing is wrong with the service, so no ``Error`` of the function may be counted and
    the state machine does not fail. Everything else is raised, to be tried again and to be noticed.

    Args:
        event: a `Task`, or EventBridge's "Step Functions Execution Status Change".

    Raises:
        Unavailable: a dependency is down; try again.
        NotFound: no such job.
        Exception: a defect.
    """
    task = _TASK.validate_python(_ended(event) if event.get("source") == "aws.states" else event)
    try:
        return _run(settings, task)
    except Unavailable:
        raise
    except NeuralStreamError as error:
        if task.task == "fail":
            raise
        failure = Failure(code=error.code, detail=error.detail)
        return _answer(_finisher(settings).fail(task.job_id, failure))


def _ended(event: Mapping[str, Any]) -> dict[str, Any]:
    """An execution that ended without success, as EventBridge tells it: somebody stopped it, or it could
    not even run its own failure path. Without this its job would seem to run for ever."""
    detail = event["detail"]
    status = str(detail["status"])
    cause = detail.get("cause") or f"the state machine's execution ended as {status}"
    error = {"Error": detail.get("error") or f"execution_{status.lower()}", "Cause": cause}
    return {"task": "fail", "job_id": detail["name"], "error": error}


def _run(settings: BatchSettings, task: Task) -> dict[str, Any]:
    match task.task:
        case "plan":
            planned = _planner(settings).plan(task.job_id)
            return {
                "job_id": planned.job_id,
                "status": JobStatus.RUNNING,
                "chunks": planned.chunks,
                "bucket": planned.manifest.bucket,
                "key": planned.manifest.key,
                "concurrency": settings.batch_concurrency,
            }
        case "chunk":
            if task.chunk is None:
                raise ValueError("a chunk task without its chunk")
            job = jobs(settings).get(task.job_id)
            if job.status.done:  # another chunk has failed the job
                return _answer(job)
            result = _worker(settings).run(task.job_id, task.chunk)
            return {"chunk": result.chunk, "rows": result.rows, "failed": result.failed}
        case "finish":
            job = _finisher(settings).finish(task.job_id)
        case "fail":
            job = _finisher(settings).fail(task.job_id, _failure(task.error))
    return _answer(job)


def _answer(job: JobRecord) -> dict[str, Any]:
    """What the state machine goes on with; the fields of a plan are there, so that one path reads both."""
    return {
        "job_id": job.job_id,
        "status": job.status,
        "chunks": 0,
        "bucket": "",
        "key": "",
        "concurrency": 1,
        "error": "" if job.failure is None else job.failure.code,
        "cause": "" if job.failure is None else job.failure.detail,
    }


def _failure(error: Mapping[str, Any]) -> Failure:
    """What Step Functions caught; a Lambda error's cause is JSON with ``errorMessage``."""
    cause = str(error.get("Cause", ""))
    try:
        parsed = json.loads(cause)
        detail = str(parsed.get("errorMessage") or cause)
    except (ValueError, AttributeError):
        detail = cause
    return Failure(code=str(error.get("Error") or "failed"), detail=detail or "a task failed")


@cache
def _catalog(settings: BatchSettings) -> Catalog:
    from neuralstream_core.features.catalog import Catalog

    return Catalog(serving_table(settings.table), settings.namespace, system_clock)


@cache
def _planner(settings: BatchSettings) -> Planner:
    from neuralstream_core.serving.batch.objects import Objects
    from neuralstream_core.serving.batch.planning import Planner

    return Planner(
        jobs(settings),
        Objects(s3_client()),
        Buckets.of(settings.data_bucket, settings.job_buckets),
        settings.data_bucket,
        system_clock,
        lambda model, version: _serves(settings, model, version),
        lambda view: _catalog(settings).get(view).keys,
    )


@cache
def _worker(settings: BatchSettings) -> ChunkWorker:
    from neuralstream_core.serving.batch.chunks import ChunkWorker
    from neuralstream_core.serving.batch.objects import Objects

    return ChunkWorker(
        jobs(settings),
        Objects(s3_client()),
        Buckets.of(settings.data_bucket, settings.job_buckets),
        settings.data_bucket,
        lambda model, as_of: predictor(settings, model, as_of),
    )


@cache
def _finisher(settings: BatchSettings) -> Finisher:
    from neuralstream_core.serving.batch.finishing import Finisher
    from neuralstream_core.serving.batch.objects import Objects

    return Finisher(
        jobs(settings),
        Objects(s3_client()),
        settings.data_bucket,
        lambda job: _tell(settings, job),
    )


def predictor(settings: BatchSettings, model: str, as_of: Micros) -> Predictor:
    from neuralstream_core.features.store import OnlineStore
    from neuralstream_core.serving.batch.predictors import EnginePredictor
    from neuralstream_core.serving.engine import Engine

    served = engine(settings)
    port = redis_port(settings)

    def engine_at(moment: Micros, held: Recorder) -> Engine:
        store = OnlineStore(port, _catalog(settings), lambda: moment, settings.namespace)
        return Engine(served.deployments, served.models, store, held, system_clock)

    return EnginePredictor(engine_at, recorder(settings), model, as_of)


def _serves(settings: BatchSettings, model: str, version: str | None) -> Served:
    from neuralstream_core.registry.registry import Registry
    from neuralstream_core.serving.batch.planning import Served, allocation_of, prediction_type

    registry = Registry(table(settings), settings.namespace, system_clock)
    routing = registry.served(model)
    allocation = allocation_of(routing.model, version)
    versions = {
        name: routing.versions.get(name) or registry.version(model, name)
        for name, buckets in allocation
        if buckets
    }
    prediction_type(versions.values())
    return Served(routing.model, versions, allocation)


def _tell(settings: BatchSettings, job: JobRecord) -> None:
    """The job's end in the history of its model; a history that cannot take it does not undo the job."""
    from neuralstream_core.registry.issuer import Issuer
    from neuralstream_core.registry.records import EventKind
    from neuralstream_core.registry.registry import Registry

    registry = Registry(table(settings), settings.namespace, system_clock)
    done = job.status is JobStatus.SUCCEEDED
    data: dict[str, Any] = {"job_id": job.job_id, "input": job.input, "output": job.output}
    if job.outcome is not None:
        data |= {
            "manifest": job.outcome.manifest,
            "rows": job.outcome.rows,
            "failed": job.outcome.failed,
            "versions": job.outcome.versions,
        }
    try:
        registry.record_event(
            job.model,
            EventKind.BATCH_FINISHED if done else EventKind.BATCH_FAILED,
            Issuer(job.created_by, key=job.job_id),
            version=job.version,
            reason=None if job.failure is None else job.failure.code,
            data=data,
        )
    except NotFound:
        logger("batch_predict").warning("the model of a job is gone", extra={"job_id": job.job_id})
