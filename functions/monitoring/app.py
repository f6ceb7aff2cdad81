"""Drift, statistics, Prometheus text and health; and the two scheduled tasks behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import AwareDatetime

from neuralstream_core import __version__
from neuralstream_core.errors import Invalid, Unavailable
from neuralstream_core.monitoring.baseline import Adoptions
from neuralstream_core.monitoring.drift import DriftReport, DriftSummaries
from neuralstream_core.monitoring.evaluation import Alarms, Evaluation
from neuralstream_core.monitoring.layout import named_window, requested_window
from neuralstream_core.monitoring.profile import ProfileCache
from neuralstream_core.monitoring.prometheus import CONTENT_TYPE
from neuralstream_core.monitoring.reader import Archive, CounterReader
from neuralstream_core.monitoring.reports import Reports
from neuralstream_core.monitoring.stats import ModelsStats, ModelStats
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.registry import Registry
from neuralstream_core.settings import BucketSettings, RedisSettings, TableSettings
from neuralstream_core.time import system_clock
from neuralstream_core.types import Name, Record, VersionName
from neuralstream_lambda.access import PUBLIC, Scope
from neuralstream_lambda.logs import logger
from neuralstream_lambda.metrics import emit
from neuralstream_lambda.resolver import Resolver, Response, answers, json_response, needs
from neuralstream_lambda.tracing import traced
from neuralstream_lambda.wiring import redis_port, s3_client, serving_table, table

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class Settings(RedisSettings, TableSettings, BucketSettings):
    """What monitoring reads."""


settings = Settings.from_env(os.environ)
app = Resolver("monitoring")


@cache
def artifacts() -> ArtifactStore:
    return ArtifactStore(s3_client(), settings.data_bucket)


@cache
def registry() -> Registry:
    return Registry(table(settings), settings.namespace, system_clock)


@cache
def archive() -> Archive:
    return Archive(s3_client(), settings.data_bucket, settings.namespace)


@cache
def profiles() -> ProfileCache:
    return ProfileCache(artifacts().get_profile)


@cache
def reader() -> CounterReader:
    return CounterReader(redis_port(settings), settings.namespace, archive())


@cache
def alarms() -> Alarms:
    return Alarms(table(settings), settings.namespace)


@cache
def reports() -> Reports:
    return Reports(registry(), reader(), profiles(), alarms(), clock=system_clock)


WindowName: TypeAlias = Annotated[
    Literal["15m", "1h", "24h", "7d"] | None, Query(description="up to now; 1h if not given")
]
Start: TypeAlias = Annotated[AwareDatetime | None, Query(description="instead of window, with end")]
End: TypeAlias = Annotated[AwareDatetime | None, Query(description="now if not given")]
ModelName: TypeAlias = Annotated[
    Name | None, Query(description="all models with traffic if not given")
]
Version: TypeAlias = Annotated[
    VersionName | None, Query(description="production, else the latest, if not given")
]


class Health(Record):
    status: Literal["ok", "degraded"]
    checks: dict[str, Literal["ok", "unavailable"]]
    version: str


@app.get("/monitoring/drift", tags=["monitoring"], **needs(Scope.MONITORING))
def drift(
    window: WindowName = None,
    start: Start = None,
    end: End = None,
    model: ModelName = None,
    version: Version = None,
) -> DriftReport | DriftSummaries:
    """Drift of one version against its baseline, or of every version with traffic in short."""
    covered = requested_window(window, start, end, system_clock())
    if model is not None:
        return reports().drift(model, version, covered)
    if version is not None:
        raise Invalid.at("query.model", "is needed with version")
    return reports().drifts(covered)


@app.get("/monitoring/stats", tags=["monitoring"], **needs(Scope.MONITORING))
def stats(
    window: WindowName = None, start: Start = None, end: End = None, model: ModelName = None
) -> ModelStats | ModelsStats:
    """Requests, errors, latency, predictions, missing features and the observed traffic split."""
    covered = requested_window(window, start, end, system_clock())
    return reports().all_stats(covered) if model is None else reports().stats(model, covered)


@app.get(
    "/monitoring/metrics",
    tags=["monitoring"],
    responses=answers(str, 200, media_type="text/plain"),
    **needs(Scope.MONITORING),
)
def metrics() -> Response[str]:
    """The same numbers as Prometheus text."""
    return Response(200, CONTENT_TYPE, reports().metrics())


@app.get("/health", tags=["health"], responses=answers(Health, 200, 503), **needs(PUBLIC))
def health() -> Response[Health]:
    """Whether the online store and the registry answer."""
    checks: dict[str, Literal["ok", "unavailable"]] = {
        "redis": _state(redis_port(settings).ping),
        "registry": _state(
            lambda: serving_table(settings.table).get("HEALTH", "HEALTH", consistent=False)
        ),
    }
    if all(found == "ok" for found in checks.values()):
        return json_response(Health(status="ok", checks=checks, version=__version__))
    degraded = Health(status="degraded", checks=checks, version=__version__)
    return json_response(degraded, 503, {"Retry-After": "5"})


def _state(check: Callable[[], object]) -> Literal["ok", "unavailable"]:
    try:
        check()
    except Unavailable:
        return "unavailable"
    return "ok"


lambda_handler = app.handler


@traced("monitoring")
def scheduled_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """``{"task": "archive"}`` or ``{"task": "evaluate"}``; answers what it did.

    Raises:
        Unavailable: to be tried again by the schedule's own retries.
    """
    match event.get("task"):
        case "archive":
            done = archive().run(reader(), system_clock())
        case "evaluate":
            done = _adopt() | _evaluation().run()
        case other:
            raise ValueError(f"no such task: {other!r}")
    logger("monitoring").info("scheduled task", extra={"task": event["task"], **done})
    return done


def _adopt() -> dict[str, int]:
    models = {model for model, _ in reports().active(named_window("24h", system_clock()))}
    adoptions = Adoptions(table(settings), settings.namespace, system_clock)
    port = redis_port(settings)
    return adoptions.run(sorted(models), port, registry(), artifacts().put_profile)


@cache
def _evaluation() -> Evaluation:
    return Evaluation(registry(), reader(), profiles(), alarms(), emit=emit, clock=system_clock)
