"""Training sets, which are labels joined to the history of features, and the history of one entity.

`lambda_handler` serves the routes; `task_handler` does the steps of a job for the state machine of
``statemachines/training_set.asl.json``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import AwareDatetime

from neuralstream_core.features.requests import path_entities
from neuralstream_core.history.answers import EntityHistoryAnswer, place_of
from neuralstream_core.history.rows import Wanted
from neuralstream_core.time import to_micros
from neuralstream_core.training.records import TrainingRequest, TrainingSet
from neuralstream_core.types import MAX_NAME
from neuralstream_lambda.access import Scope
from neuralstream_lambda.arguments import ENTITY_FORM, NextToken, PathView
from neuralstream_lambda.resolver import Resolver, Response, answers, json_response, needs
from neuralstream_lambda.tracing import traced
from neuralstream_lambda.training import (
    TrainingTaskSettings,
    answer,
    entity_history,
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
EntityId: TypeAlias = Annotated[str, Query(min_length=1, description=ENTITY_FORM)]
FeatureName: TypeAlias = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=MAX_NAME,
        description="only writes that name it, and its value alone; all when left out",
    ),
]
Start: TypeAlias = Annotated[
    AwareDatetime | None, Query(description="only event times from then on, ISO 8601 with a zone")
]
End: TypeAlias = Annotated[
    AwareDatetime | None, Query(description="only event times before it, ISO 8601 with a zone")
]
Rows: TypeAlias = Annotated[int, Query(ge=1, le=1000, description="rows of a page, 1 to 1000")]


@app.get(
    "/features/views/<name>/history",
    tags=["features"],
    **needs(
        Scope.FEATURES_READ, smaller_answer="ask for a smaller page with limit, or one feature"
    ),
)
def get_history(
    name: PathView,
    entity_id: EntityId,
    feature: FeatureName = None,
    start: Start = None,
    end: End = None,
    limit: Rows = 100,
    next_token: NextToken = None,
) -> EntityHistoryAnswer:
    """Get what was written of an entity.

    A page of its rows, newest event time first, stale and expired ones too: what each write named, when it
    was written and by what. An entity that was never written, or was forgotten, has no rows. A page reads
    about a month of days and may end before it is full: `next_token` goes on. A view without history is
    answered with 409.
    """
    first, last = (None if at is None else to_micros(at) for at in (start, end))
    wanted = Wanted(feature, first, last, place_of(next_token), limit)
    entity = path_entities(entity_id, "query.entity_id")
    return EntityHistoryAnswer.of(entity_history(settings).read(name, entity, wanted))


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
