"""Drift, statistics, Prometheus text and health; and the two scheduled tasks behind them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from neuralstream_core import __version__
from neuralstream_core.errors import Invalid, Unavailable
from neuralstream_core.monitoring.adoption import Adoptions
from neuralstream_core.monitoring.alarms import Alarms
from neuralstream_core.monitoring.archive import Archive
from neuralstream_core.monitoring.drift import DriftReport, DriftSummaries
from neuralstream_core.monitoring.evaluation import Evaluation
from neuralstream_core.monitoring.layout import Window, named_window, window_between
from neuralstream_core.monitoring.profile import ProfileCache
from neuralstream_core.monitoring.prometheus import CONTENT_TYPE
from neuralstream_core.monitoring.reader import CounterReader
from neuralstream_core.monitoring.reports import Reports
from neuralstream_core.monitoring.stats import ModelsStats, ModelStats
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.registry import Registry
from neuralstream_core.settings import BucketSettings, RedisSettings, TableSettings
from neuralstream_core.time import system_clock, to_micros
from neuralstream_core.types import Name, Query, Record, VersionName
from neuralstream_lambda.api import Answer, Api
from neuralstream_lambda.logs import logger
from neuralstream_lambda.scopes import PUBLIC, Scope
from neuralstream_lambda.tracing import traced
from neuralstream_lambda.wiring import redis_port, s3_client, serving_table, table

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class Settings(RedisSettings, TableSettings, BucketSettings):
    """What monitoring reads."""


settings = Settings.from_env(os.environ)
api = Api("monitoring")


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


@cache
def evaluation() -> Evaluation:
    return Evaluation(registry(), reader(), profiles(), alarms(), clock=system_clock)


class WindowQuery(Query):
    """A named window up to now, or one of the caller's own."""

    window: Annotated[
        Literal["15m", "1h", "24h", "7d"] | None, Field(description="up to now; 1h if not given")
    ] = None
    start: Annotated[AwareDatetime | None, Field(description="instead of window, with end")] = None
    end: Annotated[AwareDatetime | None, Field(description="now if not given")] = None

    def resolved(self) -> Window:
        now = system_clock()
        if self.start is None:
            if self.end is not None:
                raise Invalid.at("query.start", "is needed with end")
            return named_window(self.window or "1h", now)
        if self.window is not None:
            raise Invalid.at("query.window", "cannot be combined with start")
        end = now if self.end is None else to_micros(self.end)
        return window_between(to_micros(self.start), end, now)


class DriftQuery(WindowQuery):
    model: Annotated[Name | None, Field(description="all models with traffic if not given")] = None
    version: Annotated[
        VersionName | None, Field(description="production, else the latest, if not given")
    ] = None


class StatsQuery(WindowQuery):
    model: Annotated[Name | None, Field(description="all models with traffic if not given")] = None


class Health(Record):
    status: Literal["ok", "degraded"]
    checks: dict[str, Literal["ok", "unavailable"]]
    version: str


@api.route("GET /monitoring/drift", Scope.MONITORING)
def drift(query: DriftQuery) -> DriftReport | DriftSummaries:
    """Drift of one version against its baseline, or of every version with traffic in short."""
    if query.model is None:
        if query.version is not None:
            raise Invalid.at("query.model", "is needed with version")
        return reports().drifts(query.resolved())
    return reports().drift(query.model, query.version, query.resolved())


@api.route("GET /monitoring/stats", Scope.MONITORING)
def stats(query: StatsQuery) -> ModelStats | ModelsStats:
    """Requests, errors, latency, predictions, missing features and the observed traffic split."""
    if query.model is None:
        return reports().all_stats(query.resolved())
    return reports().stats(query.model, query.resolved())


@api.route("GET /monitoring/metrics", Scope.MONITORING)
def metrics() -> Answer:
    """The same numbers as Prometheus text."""
    return Answer(reports().metrics(), headers={"content-type": CONTENT_TYPE})


@api.route("GET /health", PUBLIC, tags=("health",), answer=Health)
def health() -> Answer:
    """Whether the online store and the registry answer."""
    checks: dict[str, Literal["ok", "unavailable"]] = {}
    for name, check in (("redis", _check_redis), ("registry", _check_registry)):
        try:
            check()
        except Unavailable:
            checks[name] = "unavailable"
        else:
            checks[name] = "ok"
    ok = all(found == "ok" for found in checks.values())
    body = Health(status="ok" if ok else "degraded", checks=checks, version=__version__)
    headers = {} if ok else {"retry-after": "5"}
    return Answer(body, status=200 if ok else 503, headers=headers)


def _check_redis() -> None:
    redis_port(settings).ping()


def _check_registry() -> None:
    serving_table(settings.table).get("HEALTH", "HEALTH", consistent=False)


lambda_handler = api.handler


def adopt() -> dict[str, int]:
    models = {model for model, _ in reports().active(named_window("24h", system_clock()))}
    adoptions = Adoptions(table(settings), settings.namespace, system_clock)
    port = redis_port(settings)
    return adoptions.run(sorted(models), port, registry(), artifacts().put_profile)


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
            done = adopt() | evaluation().run()
        case other:
            raise ValueError(f"no such task: {other!r}")
    logger("monitoring").info("scheduled task", extra={"task": event["task"], **done})
    return done
