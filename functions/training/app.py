"""Training sets: labels joined to the history of features.

`lambda_handler` serves the routes; `task_handler` does the steps of a job for the state machine of
``statemachines/training_set.asl.json``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Path

from neuralstream_core.training.records import TrainingRequest, TrainingSet
from neuralstream_lambda.access import Scope
from neuralstream_lambda.resolver import Resolver, Response, answers, json_response, needs
from neuralstream_lambda.tracing import traced
from neuralstream_lambda.training import (
    TrainingTaskSettings,
    answer,
    submission,
    tasks,
    training_jobs,
)

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


settings = TrainingTaskSettings.from_env(os.environ)
app = Resolver("training")

FILES = "give the labels as a file in S3: input in place of rows"
TrainingSetId: TypeAlias = Annotated[
    str,
    Path(
        pattern=r"^job-[0-9a-v]{26}$",
        description="`training_set_id` of the answer that accepted it",
    ),
]


@app.post(
    "/training-sets",
    tags=["training_sets"],
    responses=answers(TrainingSet, {202: "it was accepted; `Location` names it"}),
    **needs(Scope.FEATURES_READ, smaller_body=FILES, idempotent=True),
)
def create_training_set(body: TrainingRequest) -> Response[TrainingSet]:
    """Join labels to the features that were true, or known, at each label's time.

    Each label gets, for each feature by itself, the newest value whose event time is not after the label's,
    if that is not older than the view's time to live. Labels keep their rows, order and columns. The result
    is a Parquet file.
    """
    job = submission(settings).submit(body, app.caller.principal, key=app.idempotency_key)
    location = {"Location": f"/training-sets/{job.job_id}"}
    return json_response(answer(job), 202, location)


@app.get("/training-sets/<training_set_id>", tags=["training_sets"], **needs(Scope.FEATURES_READ))
def get_training_set(training_set_id: TrainingSetId) -> TrainingSet:
    """Get a training set.

    Its status, and once it is made its counts, digest, coverage by feature, the state of the history that
    was read, and an address to download it. Another key's is answered with 404, unless the key has the
    scope `monitoring`.
    """
    return answer(training_jobs(settings).get(training_set_id, owner=app.caller.jobs_of))


lambda_handler = app.handler


@traced("training_task")
def task_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """One step of a job."""
    return tasks(settings).run(event)
