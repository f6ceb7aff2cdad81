"""What became of predictions is sent here; how good the predictions were is asked for here.

`lambda_handler` serves the routes, `ingest_handler` a queue of outcomes, `scheduled_handler` the scheduled
tasks.
"""

from __future__ import annotations

import os
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import AwareDatetime

from neuralstream_core.backfill.outcome_records import OutcomesJob, OutcomesRequest
from neuralstream_core.features.references import MAX_REFERENCE
from neuralstream_core.outcomes.answers import OutcomesAnswer, Performance, SplitResults
from neuralstream_core.outcomes.asked import Asked, AskedResults, WindowName, performance_window
from neuralstream_core.outcomes.ingest import ingest
from neuralstream_core.outcomes.intake import by_version
from neuralstream_core.time import system_clock, to_micros
from neuralstream_core.types import Name, VersionName
from neuralstream_lambda.access import Scope
from neuralstream_lambda.arguments import PathModel
from neuralstream_lambda.guards import evaluated, judged
from neuralstream_lambda.logs import logger
from neuralstream_lambda.outcomes import OutcomesSettings, drained
from neuralstream_lambda.performance import experiments, intake, outcome_imports, performances
from neuralstream_lambda.redelivery import batch_failures
from neuralstream_lambda.resolver import Resolver, Response, answers, json_response, needs
from neuralstream_lambda.scheduled import run_task
from neuralstream_lambda.sources import messages_of
from neuralstream_lambda.tracing import traced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = OutcomesSettings.from_env(os.environ)
app = Resolver("outcomes")

Window: TypeAlias = Annotated[
    WindowName | None,
    Query(description="up to now; 7d if not given; not together with start"),
]
Start: TypeAlias = Annotated[
    AwareDatetime | None,
    Query(description="in place of window: ISO 8601 with a zone, rounded down to a minute or hour"),
]
End: TypeAlias = Annotated[
    AwareDatetime | None, Query(description="ISO 8601 with a zone, with start; now if not given")
]
By: TypeAlias = Annotated[
    Literal["predicted", "observed"],
    Query(
        description="which time lies in the window: when it was predicted, or when its outcome was observed"
    ),
]
Metric: TypeAlias = Annotated[
    Literal["accuracy", "log_loss", "brier", "mae", "rmse"] | None,
    Query(description="measure of the verdict; accuracy or mae if not given"),
]
Alpha: TypeAlias = Annotated[
    float, Query(ge=0.001, le=0.5, description="probability of a wrong interval at any look")
]
Effect: TypeAlias = Annotated[
    float | None,
    Query(gt=0, description="difference in `metric` worth finding; 0.02 or 5 % if not given"),
]
Since: TypeAlias = Annotated[
    AwareDatetime | None,
    Query(description="only predictions from then on; since the split began if not given"),
]
Series: TypeAlias = Annotated[
    Literal["hour", "day"] | None, Query(description="the same by hour or by day as well")
]
Slices: TypeAlias = Annotated[
    str | None,
    Query(
        max_length=MAX_REFERENCE,
        pattern=r'^[^"\\]+$',
        description="the same by values of this feature, `view:feature` or `request:name`, of a model that"
        " logs its features (`PATCH /models/{name}`)",
    ),
]


@app.post(
    "/outcomes",
    tags=["outcomes"],
    responses=answers(OutcomesAnswer, {200: "the outcomes are kept"})
    | answers(OutcomesJob, {202: "the job was accepted; `Location` names it"}),
    **needs(
        Scope.OUTCOMES,
        max_body=5 * 1024 * 1024,
        smaller_body="divide the rows over several requests, or give them as a file: input in place of rows",
        idempotent=True,
    ),
)
def send_outcomes(body: OutcomesRequest) -> Response[OutcomesAnswer | OutcomesJob]:
    """Say what became of predictions.

    A row names a prediction by its id, or by entity and time, and its label. Outcomes may come late, in any
    order and more than once: of one prediction the outcome with the latest `observed_at` counts, and of
    equal times the one that was sent last. Nothing is looked up: an outcome whose prediction is not known, or
    not yet, is kept, and shows as `unmatched` in the performance. If a row is invalid, nothing is kept and
    each place is named.

    With `input` a job is stored and started, which takes the rows of a file in S3 in; `/jobs/{job_id}` tells
    how far it is. A wrong row is counted and listed in a file; the others are kept.
    """
    if body.rows is None:
        job = outcome_imports(settings).submit(body, app.caller.principal, key=app.idempotency_key)
        return json_response(job, 202, {"Location": f"/jobs/{job.job_id}"})
    took, key = intake(settings), app.idempotency_key
    request, now = f"outcomes/{app.request_id}/{token_hex(4)}", system_clock()
    if key is not None:
        said = body.model_dump_json().encode()
        request, now = took.begun(app.caller.principal, key, said)
    outcomes = took.rows(body.model, body.rows, now)
    took.record(body.model, [(request, outcomes)])
    answer = OutcomesAnswer(model=body.model, accepted=len(outcomes), versions=by_version(outcomes))
    return json_response(answer)


@app.get("/monitoring/performance", tags=["monitoring"], **needs(Scope.MONITORING))
def performance(
    model: Annotated[Name, Query(description="the model")],
    version: Annotated[
        VersionName | None, Query(description="all with predictions in the window if not given")
    ] = None,
    window: Window = None,
    start: Start = None,
    end: End = None,
    by: By = "predicted",
    series: Series = None,
    slices: Slices = None,
) -> Performance:
    """Report how good a model's predictions were, as far as outcomes tell.

    By version: measures with their 95 % confidence intervals, how many predictions they rest on, and the
    share of predictions that have an outcome by now.
    """
    covered = performance_window(window, start, end, system_clock())
    return performances(settings).report(Asked(model, version, covered, by, series, slices))


@app.get("/models/<name>/ab-split/results", tags=["registry"], **needs(Scope.MODELS_READ))
def split_results(
    name: PathModel,
    metric: Metric = None,
    alpha: Alpha = 0.05,
    effect: Effect = None,
    start: Since = None,
) -> SplitResults:
    """Compare the versions of a split by their outcomes.

    Of the split that runs, or else of the last one. Each version against the one in production, with
    intervals that hold however often one looks: with `better` true or false a difference is shown, and it
    is wrong in at most `alpha` of all tests. As long as none is shown, `detectable` says what would have
    been found by now, and `ready_at` when a difference of `effect` will be.
    """
    since = None if start is None else to_micros(start)
    return experiments(settings).report(AskedResults(name, metric, alpha, effect, since))


lambda_handler = app.handler


@traced("outcomes")
def scheduled_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """``{"task": "drain"}``, ``{"task": "evaluate"}`` or ``{"task": "judge"}``; answers what it did.

    Raises:
        Unavailable: to be tried again by the schedule's own retries.
    """
    tasks = {"drain": drained, "evaluate": evaluated, "judge": judged}
    return run_task("outcomes", event, settings, tasks)


@traced("outcomes")
def ingest_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Keep the outcomes of messages, each the body of ``POST /outcomes`` with rows.

    What cannot be kept is delivered again and ends in the dead-letter queue.
    """
    taken = ingest(intake(settings), messages_of(event))
    for failure in taken.failures:
        logger("outcomes").warning(
            "message not kept",
            extra={
                "message_id": failure.id,
                "code": failure.error.code,
                "places": [place.loc for place in getattr(failure.error, "errors", ())[:10]],
            },
        )
    return batch_failures([failure.id for failure in taken.failures])
