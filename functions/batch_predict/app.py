"""Many predictions: up to a thousand at once, jobs from file to file, and schedules of such jobs.

`lambda_handler` serves the routes and what schedules deliver; `task_handler` does the steps of a job for the
state machine of ``statemachines/batch_predict.asl.json``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from neuralstream_core.schedules import ScheduleSpec
from neuralstream_core.schedules.answers import ScheduleAnswer, ScheduleDeletion, SchedulesAnswer
from neuralstream_core.serving.batch.columns import BatchColumns
from neuralstream_core.serving.batch.jobs import JobPage, JobRecord
from neuralstream_core.serving.batch.requests import BatchAnswer, BatchBody, job_spec
from neuralstream_core.serving.inference import ending_in
from neuralstream_lambda import schedules
from neuralstream_lambda.access import Scope
from neuralstream_lambda.arguments import NextToken, PathModel, PathName
from neuralstream_lambda.batch import BatchSettings, jobs, predict_rows, submission, tasks
from neuralstream_lambda.resolver import Resolver, Response, answers, json_response, needs
from neuralstream_lambda.tracing import traced

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


settings = BatchSettings.from_env(os.environ)
app = Resolver("batch_predict")

FILES = "send fewer entities, or give them as a file: input and output make a job"
SCHEDULES = ["schedules"]

JobId: TypeAlias = Annotated[str, Path(pattern=r"^job-[0-9a-v]{26}$")]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=100)]


@app.post(
    "/predict/<model_name>/batch",
    tags=["batch_predict"],
    responses=answers(BatchAnswer | BatchColumns, 200) | answers(JobRecord, 202),
    **needs(Scope.PREDICT, smaller_body=FILES, smaller_answer=FILES),
)
def predict_batch(
    model_name: PathModel, body: BatchBody
) -> Response[BatchAnswer | BatchColumns | JobRecord]:
    """Predict for up to 1000 entities at once, or start a job that reads and writes files."""
    if body.entity_ids is not None:
        return json_response(predict_rows(settings, model_name, body))
    job = submission(settings).submit(
        job_spec(model_name, body),
        app.caller.principal,
        key=app.current_event.headers.get("idempotency-key"),
    )
    return json_response(job, 202, {"Location": f"/jobs/{job.job_id}"})


@app.get(
    "/jobs",
    tags=["batch_predict"],
    **needs(Scope.PREDICT, smaller_answer="ask for a smaller page with limit"),
)
def list_jobs(limit: Limit = 50, next_token: NextToken = None) -> JobPage:
    """The caller's batch jobs, newest first; everybody's for a key with the scope monitoring."""
    return jobs(settings).list(owner=app.caller.jobs_of, limit=limit, token=next_token)


@app.get("/jobs/<job_id>", tags=["batch_predict"], **needs(Scope.PREDICT))
def get_job(job_id: JobId) -> JobRecord:
    """A batch job of the caller: status, progress, counts, output and failures."""
    return jobs(settings).get(job_id, owner=app.caller.jobs_of)


@app.put(
    "/schedules/<name>",
    tags=SCHEDULES,
    responses=answers(ScheduleAnswer, 200, 201),
    **needs(Scope.PREDICT),
)
def put_schedule(name: PathName, body: ScheduleSpec) -> Response[ScheduleAnswer]:
    """Create or replace a schedule of batch predictions."""
    schedule, created = schedules.put(settings, name, body, app.caller)
    return json_response(schedule, 201 if created else 200)


@app.get("/schedules", tags=SCHEDULES, **needs(Scope.PREDICT))
def list_schedules(limit: Limit = 50, next_token: NextToken = None) -> SchedulesAnswer:
    """Schedules by name, each with its last and next run."""
    return schedules.listed(settings, limit, next_token, app.caller)


@app.get("/schedules/<name>", tags=SCHEDULES, **needs(Scope.PREDICT))
def get_schedule(name: PathName) -> ScheduleAnswer:
    """A schedule with its next run, its last runs and their jobs."""
    return schedules.get(settings, name, app.caller)


@app.delete("/schedules/<name>", tags=SCHEDULES, **needs(Scope.PREDICT))
def delete_schedule(name: PathName) -> ScheduleDeletion:
    """Delete a schedule; its jobs stay."""
    schedules.delete(settings, name, app.caller)
    return ScheduleDeletion(name=name)


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway's events, and a schedule's ``{"model","input","output",…}``."""
    if "routeKey" in event:
        with ending_in(_seconds_left(context)):
            return app.handler(event, context)
    return schedules.start(settings, event)


@traced("batch_task")
def task_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One step of a job."""
    with ending_in(_seconds_left(context)):
        return tasks(settings).run(event)


def _seconds_left(context: LambdaContext) -> float:
    """Seconds for inference in this invocation: a tenth is kept back for what follows it."""
    return context.get_remaining_time_in_millis() / 1000 * 0.9
