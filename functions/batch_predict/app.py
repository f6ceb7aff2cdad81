"""Many rows: a thousand predictions at once, jobs from file to file, schedules of such jobs, backfills.

`lambda_handler` serves the routes and what schedules deliver; `task_handler` does the steps of a job for the
state machine of ``statemachines/batch_predict.asl.json``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from neuralstream_core.backfill.adopt_records import AdoptJob
from neuralstream_core.backfill.rebuild_records import RebuildJob
from neuralstream_core.backfill.records import BackfillJob, BackfillSpec
from neuralstream_core.jobs.uploads import FileUpload, UploadRequest, announce
from neuralstream_core.schedules.answers import ScheduleAnswer, ScheduleDeletion, SchedulesAnswer
from neuralstream_core.schedules.records import ScheduleSpec
from neuralstream_core.serving.batch.columns import BatchColumns
from neuralstream_core.serving.batch.records import PredictJob
from neuralstream_core.serving.batch.requests import BatchAnswer, BatchBody, job_spec
from neuralstream_core.serving.inference import ending_in
from neuralstream_core.types import Name
from neuralstream_lambda.access import Scope
from neuralstream_lambda.arguments import NextToken, PathModel, PathView
from neuralstream_lambda.batch import (
    BatchSettings,
    adoptions,
    backfills,
    compared,
    predict_rows,
    rebuilds,
    scheduling,
    submission,
    tasks,
)
from neuralstream_lambda.jobs import AnyJob, JobPage, jobs
from neuralstream_lambda.logs import logger
from neuralstream_lambda.resolver import Resolver, Response, answers, json_response, needs
from neuralstream_lambda.tracing import traced
from neuralstream_lambda.wiring import s3_client

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


settings = BatchSettings.from_env(os.environ)
app = Resolver("batch_predict")

FILES = "send fewer entities, or give them as a file: input and output make a job"
SCHEDULES = ["schedules"]

JobId: TypeAlias = Annotated[
    str, Path(pattern=r"^job-[0-9a-v]{26}$", description="`job_id` of the answer that accepted it")
]
PathSchedule: TypeAlias = Annotated[Name, Path(description="name of the schedule")]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=100, description="entries of a page, 1 to 100")]


@app.post(
    "/predict/<model_name>/batch",
    tags=["batch_predict"],
    responses=answers(BatchAnswer | BatchColumns, {200: "a prediction or an error for each entity"})
    | answers(PredictJob, {202: "the job was accepted; `Location` names it"}),
    **needs(Scope.PREDICT, smaller_body=FILES, smaller_answer=FILES, idempotent=True),
)
def predict_batch(
    model_name: PathModel, body: BatchBody
) -> Response[BatchAnswer | BatchColumns | PredictJob]:
    """Predict for many entities at once, or start a job from file to file.

    With `entity_ids` (at most 1000) the predictions are in the answer, in the order of the request; a row
    that fails has an error and does not affect the others. `layout: columns` answers one list for each
    field. With `input` and `output` a job is stored and started: it reads entities from a file in S3 and
    writes its predictions below `output`; `/jobs/{job_id}` tells how far it is. An `idempotency-key` is
    heeded for jobs only.
    """
    if body.entity_ids is not None:
        return json_response(predict_rows(settings, model_name, body))
    job = submission(settings).submit(
        job_spec(model_name, body),
        app.caller.principal,
        key=app.idempotency_key,
    )
    return json_response(job, 202, {"Location": f"/jobs/{job.job_id}"})


@app.get(
    "/jobs",
    tags=["batch_predict"],
    **needs(
        Scope.PREDICT,
        others=(Scope.FEATURES_WRITE, Scope.OUTCOMES),
        smaller_answer="ask for a smaller page with limit",
    ),
)
def list_jobs(limit: Limit = 50, next_token: NextToken = None) -> JobPage:
    """List jobs of every kind, the newest first.

    Those of the caller's key; with the scope `monitoring` those of every key.
    """
    page = jobs(settings).list(owner=app.caller.jobs_of, limit=limit, token=next_token)
    return JobPage(jobs=list(page.jobs), next_token=page.next_token)


@app.post(
    "/jobs/uploads",
    tags=["batch_predict"],
    **needs(Scope.PREDICT, others=(Scope.FEATURES_WRITE, Scope.FEATURES_READ, Scope.OUTCOMES)),
)
def upload_input(body: UploadRequest) -> FileUpload:
    """Announce a file that a job is to read.

    Send the file to the address of the answer; then its `input` is what a batch prediction, a backfill,
    outcomes or the labels of a training set may name. Nothing is stored before that, so an announcement that
    is not used costs nothing.
    """
    return announce(s3_client(), settings.data_bucket, body)


@app.get(
    "/jobs/<job_id>",
    tags=["batch_predict"],
    **needs(Scope.PREDICT, others=(Scope.FEATURES_WRITE, Scope.OUTCOMES)),
)
def get_job(job_id: JobId) -> AnyJob:
    """Get a job of any kind.

    Its status, progress, counts, output and failures. Another key's job is answered with 404, unless the
    key has the scope `monitoring`.
    """
    return jobs(settings).get(job_id, owner=app.caller.jobs_of)


@app.post(
    "/features/backfill",
    tags=["features"],
    responses=answers(BackfillJob, {202: "the job was accepted; `Location` names it"}),
    **needs(Scope.FEATURES_WRITE, idempotent=True),
)
def backfill(body: BackfillSpec) -> Response[BackfillJob]:
    """Write feature values of the past from a file.

    A job reads the rows of a file in S3 and writes them as `/features/write` does: of each value the newest
    event timestamp wins, and every row is kept in the history. Rows older than the view's TTL go to the
    history only. A wrong row is counted and listed in a file below the job's `output`; the others are
    written. Sent again after a failure it changes nothing that is written already.
    """
    job = backfills(settings).submit(
        body,
        app.caller.principal,
        key=app.idempotency_key,
    )
    return json_response(job, 202, {"Location": f"/jobs/{job.job_id}"})


@app.post(
    "/features/views/<name>/rebuild",
    tags=["features"],
    responses=answers(RebuildJob, {202: "the job was accepted; `Location` names it"}),
    **needs(Scope.FEATURES_WRITE, idempotent=True),
)
def rebuild(name: PathView) -> Response[RebuildJob]:
    """Fill the online store from the history.

    For a cache that was lost: a job merges the newest values of every entity, as of now, by event time as any
    write, so that the view may be read and written meanwhile. What was never lost stays as it is. A view that
    keeps no history is answered with 409.
    """
    job = rebuilds(settings).submit(
        name,
        app.caller.principal,
        key=app.idempotency_key,
    )
    return json_response(job, 202, {"Location": f"/jobs/{job.job_id}"})


@app.post(
    "/features/views/<name>/adopt",
    tags=["features"],
    responses=answers(AdoptJob, {202: "the job was accepted; `Location` names it"}),
    **needs(Scope.FEATURES_WRITE, idempotent=True),
)
def adopt(name: PathView) -> Response[AdoptJob]:
    """Take what is online into the history.

    For rows that were written by a release before 1.0, or while the view kept no history: a job appends each
    of their values, with its own event timestamp, to the history. From then on they are in training sets and
    rebuilds, and `history_complete` of the view is true. The view may be written and read meanwhile; done
    again it changes nothing. A view that keeps no history is answered with 409.
    """
    job = adoptions(settings).submit(
        name,
        app.caller.principal,
        key=app.idempotency_key,
    )
    return json_response(job, 202, {"Location": f"/jobs/{job.job_id}"})


@app.put(
    "/schedules/<name>",
    tags=SCHEDULES,
    responses=answers(ScheduleAnswer, {200: "the schedule, replaced", 201: "the new schedule"}),
    **needs(Scope.PREDICT),
)
def put_schedule(name: PathSchedule, body: ScheduleSpec) -> Response[ScheduleAnswer]:
    """Create or replace a schedule of batch predictions.

    It starts a job with this body at each of its times; `{yyyy}`, `{mm}`, `{dd}`, `{HH}` and `{MM}` in the
    locations become the scheduled time in its time zone. To replace another key's schedule needs the scope
    `models:write` as well.
    """
    schedule, created = scheduling(settings).put(
        name, body, app.caller.principal, any_owner=_any_owner()
    )
    answer = scheduling(settings).answer(schedule, app.caller.jobs_of)
    return json_response(answer, 201 if created else 200)


@app.get("/schedules", tags=SCHEDULES, **needs(Scope.PREDICT))
def list_schedules(limit: Limit = 50, next_token: NextToken = None) -> SchedulesAnswer:
    """List schedules by name.

    Each with its last and next run; a run's job only if the caller may see it.
    """
    return scheduling(settings).list(app.caller.jobs_of, limit=limit, token=next_token)


@app.get("/schedules/<name>", tags=SCHEDULES, **needs(Scope.PREDICT))
def get_schedule(name: PathSchedule) -> ScheduleAnswer:
    """Get a schedule.

    With its next run and its last ten runs; only those whose jobs the caller may see.
    """
    schedule = scheduling(settings).schedules.get(name)
    return scheduling(settings).answer(schedule, app.caller.jobs_of)


@app.delete("/schedules/<name>", tags=SCHEDULES, **needs(Scope.PREDICT))
def delete_schedule(name: PathSchedule) -> ScheduleDeletion:
    """Delete a schedule.

    It starts nothing from now on; its jobs stay. Another key's schedule needs the scope `models:write` as
    well.
    """
    scheduling(settings).schedules.delete(name, app.caller.principal, any_owner=_any_owner())
    return ScheduleDeletion(name=name)


def _any_owner() -> bool:
    """Whether the caller may change schedules that somebody else created."""
    return Scope.MODELS_WRITE in app.caller.scopes


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway's events, and a schedule's ``{"model","input","output",…}``."""
    if "routeKey" in event:
        with ending_in(_seconds_left(context)):
            return app.handler(event, context)
    job = scheduling(settings).start(event)
    if job is None:
        logger("batch_predict").info("schedule is off", extra={"schedule": event["schedule"]})
        return {"job_id": None, "status": "SKIPPED"}
    return {"job_id": job.job_id, "status": job.status}


@traced("batch_task")
def task_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One step of a job, or the scheduled ``{"task": "consistency"}``."""
    if event.get("task") == "consistency":
        done = compared(settings)
        logger("batch_task").info("online store and history compared", extra=done)
        return done
    with ending_in(_seconds_left(context)):
        return tasks(settings).run(event)


def _seconds_left(context: LambdaContext) -> float:
    """Seconds for inference in this invocation: a tenth is kept back for what follows it."""
    return context.get_remaining_time_in_millis() / 1000 * 0.9
