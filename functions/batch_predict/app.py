"""Many predictions: up to a thousand at once, jobs from file to file, and schedules of such jobs.

`lambda_handler` serves the routes and what schedules deliver; `task_handler` does the steps of a job for the
state machine of ``statemachines/batch_predict.asl.json``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, StringConstraints

from neuralstream_core.schedules import ScheduleSpec
from neuralstream_core.schedules.answers import ScheduleAnswer, ScheduleDeletion, SchedulesAnswer
from neuralstream_core.serving.batch import JobPage, JobRecord
from neuralstream_core.serving.batch.requests import BatchAnswer, BatchBody, job_spec
from neuralstream_core.serving.inference import ending_in
from neuralstream_core.types import Name, PageToken, Query
from neuralstream_lambda import schedules
from neuralstream_lambda.api import Answer, Api, Caller
from neuralstream_lambda.batch import BatchSettings, jobs, predict_rows, run_task, submit
from neuralstream_lambda.scopes import Scope
from neuralstream_lambda.tracing import traced

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


api = Api("batch_predict")
settings = BatchSettings.from_env(os.environ)


FILES = "send fewer entities, or give them as a file: input and output make a job"


class ModelPath(Query):
    model_name: Annotated[Name, Field(description="the model")]


class JobPath(Query):
    job_id: Annotated[str, StringConstraints(pattern=r"^job-[0-9a-v]{26}$")]


class SchedulePath(Query):
    name: Name


class Paging(Query):
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    next_token: PageToken | None = None


@api.route(
    "POST /predict/{model_name}/batch",
    Scope.PREDICT,
    answer=BatchAnswer | JobRecord,
    smaller_body=FILES,
    smaller_answer=FILES,
)
def predict_batch(path: ModelPath, body: BatchBody, caller: Caller) -> Answer:
    """Predict for up to 1000 entities at once, or start a job that reads and writes files."""
    if body.entity_ids is not None:
        return Answer(predict_rows(settings, path.model_name, body))
    job = submit(
        settings,
        job_spec(path.model_name, body),
        caller.principal,
        key=caller.headers.get("idempotency-key"),
    )
    return Answer(job, status=202, headers={"location": f"/jobs/{job.job_id}"})


@api.route("GET /jobs", Scope.PREDICT, smaller_answer="ask for a smaller page with limit")
def list_jobs(query: Paging, caller: Caller) -> JobPage:
    """The caller's batch jobs, newest first; everybody's for a key with the scope monitoring."""
    return jobs(settings).list(owner=_owner(caller), limit=query.limit, token=query.next_token)


@api.route("GET /jobs/{job_id}", Scope.PREDICT)
def get_job(path: JobPath, caller: Caller) -> JobRecord:
    """A batch job of the caller: status, progress, counts, output and failures."""
    return jobs(settings).get(path.job_id, owner=_owner(caller))


def _owner(caller: Caller) -> str | None:
    """Whose jobs the caller sees: its own; ``None`` is everybody's."""
    return None if Scope.MONITORING in caller.scopes else caller.principal


@api.route("PUT /schedules/{name}", Scope.PREDICT, tags=("schedules",))
def put_schedule(
    path: SchedulePath, body: ScheduleSpec, caller: Caller
) -> Annotated[Answer, ScheduleAnswer]:
    """Create or replace a schedule of batch predictions."""
    schedule, created = schedules.put(settings, path.name, body, caller)
    return Answer(schedule, status=201 if created else 200)


@api.route("GET /schedules", Scope.PREDICT, tags=("schedules",))
def list_schedules(query: Paging) -> SchedulesAnswer:
    """Schedules by name, each with its last and next run."""
    return schedules.listed(settings, query.limit, query.next_token)


@api.route("GET /schedules/{name}", Scope.PREDICT, tags=("schedules",))
def get_schedule(path: SchedulePath) -> ScheduleAnswer:
    """A schedule with its next run, its last runs and their jobs."""
    return schedules.get(settings, path.name)


@api.route("DELETE /schedules/{name}", Scope.PREDICT, tags=("schedules",))
def delete_schedule(path: SchedulePath, caller: Caller) -> ScheduleDeletion:
    """Delete a schedule; its jobs stay."""
    schedules.delete(settings, path.name, caller)
    return ScheduleDeletion(name=path.name)


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway's events, and a schedule's ``{"model","input","output",…}``."""
    if "routeKey" in event:
        with ending_in(_seconds_left(context)):
            return api.handler(event, context)
    return schedules.start(settings, event)


@traced("batch_task")
def task_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One step of a job."""
    with ending_in(_seconds_left(context)):
        return run_task(settings, event)


def _seconds_left(context: LambdaContext) -> float:
    """Seconds for inference in this invocation: a tenth is kept back for what follows it."""
    return context.get_remaining_time_in_millis() / 1000 * 0.9
