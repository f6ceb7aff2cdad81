"""Drift, statistics, Prometheus text and health; and the two scheduled tasks behind them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import AwareDatetime

from neuralstream_core.errors import Invalid
from neuralstream_core.monitoring.drift import DriftReport, DriftSummaries
from neuralstream_core.monitoring.layout import requested_window
from neuralstream_core.monitoring.prometheus import CONTENT_TYPE
from neuralstream_core.monitoring.stats import ModelsStats, ModelStats
from neuralstream_core.time import system_clock
from neuralstream_core.types import Name, VersionName
from neuralstream_lambda.access import PUBLIC, Scope
from neuralstream_lambda.health import Health, health_of
from neuralstream_lambda.monitoring import MonitoringSettings, archived, evaluated, reports
from neuralstream_lambda.resolver import Resolver, Response, answers, json_response, needs
from neuralstream_lambda.scheduled import run_task
from neuralstream_lambda.tracing import traced
from neuralstream_lambda.wiring import history_log, redis_port, serving_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = MonitoringSettings.from_env(os.environ)
app = Resolver("monitoring")

WindowName: TypeAlias = Annotated[
    Literal["15m", "1h", "24h", "7d"] | None,
    Query(description="up to now; 1h if not given; not together with start"),
]
Start: TypeAlias = Annotated[
    AwareDatetime | None,
    Query(description="in place of window: ISO 8601 with a zone, rounded down to a minute or hour"),
]
End: TypeAlias = Annotated[
    AwareDatetime | None, Query(description="ISO 8601 with a zone, with start; now if not given")
]
ModelName: TypeAlias = Annotated[
    Name | None, Query(description="all models with traffic if not given")
]
Version: TypeAlias = Annotated[
    VersionName | None, Query(description="with model; production, else the latest, if not given")
]
Bins: TypeAlias = Annotated[
    Literal["moved", "all"],
    Query(description="with model: the five that moved most of each series, or all of them"),
]


@app.get("/monitoring/drift", tags=["monitoring"], **needs(Scope.MONITORING))
def drift(
    window: WindowName = None,
    start: Start = None,
    end: End = None,
    model: ModelName = None,
    version: Version = None,
    bins: Bins = "moved",
) -> DriftReport | DriftSummaries:
    """Report drift of a version against its baseline.

    With `model` the full report of one version: what moved, from where to where, in numbers and a sentence
    each. Without it a line for every version with traffic in the window, the most urgent first. Counters of
    minutes are kept for three hours, of hours for 35 days and longer in the archive.
    """
    covered = requested_window(window, start, end, system_clock())
    if model is not None:
        return reports(settings).drift(model, version, covered, all_bins=bins == "all")
    if version is not None:
        raise Invalid.at("query.model", "is needed with version")
    return reports(settings).drifts(covered)


@app.get("/monitoring/stats", tags=["monitoring"], **needs(Scope.MONITORING))
def stats(
    window: WindowName = None, start: Start = None, end: End = None, model: ModelName = None
) -> ModelStats | ModelsStats:
    """Report traffic, errors, latency, predictions and missing features.

    By version of one model, or of every model with traffic; with the observed traffic against the running
    split.
    """
    covered = requested_window(window, start, end, system_clock())
    found = reports(settings)
    return found.all_stats(covered) if model is None else found.stats(model, covered)


@app.get(
    "/monitoring/metrics",
    tags=["monitoring"],
    responses=answers(str, {200: "the numbers of the last hours"}, media_type="text/plain"),
    **needs(Scope.MONITORING),
)
def metrics() -> Response[str]:
    """Get the same numbers as Prometheus text.

    In Prometheus' exposition format, for a scraper that sends the key in `x-api-key`.
    """
    return Response(200, CONTENT_TYPE, reports(settings).metrics())


@app.get(
    "/health",
    tags=["health"],
    responses=answers(Health, {200: "every part answers", 503: "a part does not answer"}),
    **needs(PUBLIC),
)
def health() -> Response[Health]:
    """Whether the online store, the registry and the history answer.

    503 and `degraded` if one of them does not.
    """
    found = health_of(
        {
            "redis": redis_port(settings).ping,
            "registry": lambda: serving_table(settings.table).get(
                "HEALTH", "HEALTH", consistent=False
            ),
            "history": history_log(settings).check,
        }
    )
    if found.status == "ok":
        return json_response(found)
    return json_response(found, 503, {"Retry-After": "5"})


lambda_handler = app.handler


@traced("monitoring")
def scheduled_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """``{"task": "archive"}`` or ``{"task": "evaluate"}``; answers what it did.

    Raises:
        Unavailable: to be tried again by the schedule's own retries.
    """
    tasks = {"archive": archived, "evaluate": evaluated}
    return run_task("monitoring", event, settings, tasks)
