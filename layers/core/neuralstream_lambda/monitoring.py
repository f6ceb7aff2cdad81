"""The monitoring function's parts, built from settings, and its two scheduled tasks."""

from __future__ import annotations

from functools import cache

from neuralstream_core.history.consistency import ConsistencyReports
from neuralstream_core.monitoring.baseline import Adoptions
from neuralstream_core.monitoring.evaluation import Alarms, Evaluation
from neuralstream_core.monitoring.layout import named_window
from neuralstream_core.monitoring.profile import ProfileCache
from neuralstream_core.monitoring.reader import Archive, CounterReader
from neuralstream_core.monitoring.reports import Reports
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.registry import Registry
from neuralstream_core.settings import HistorySettings, RedisSettings, TableSettings
from neuralstream_core.time import system_clock
from neuralstream_lambda.metrics import emit
from neuralstream_lambda.wiring import redis_port, s3_client, table

__all__ = ["MonitoringSettings", "archived", "evaluated", "reports"]


class MonitoringSettings(RedisSettings, TableSettings, HistorySettings):
    """What monitoring reads."""


@cache
def reports(settings: MonitoringSettings) -> Reports:
    """What the routes answer."""
    return Reports(
        _registry(settings),
        _reader(settings),
        _profiles(settings),
        _alarms(settings),
        consistency=ConsistencyReports(table(settings), settings.namespace),
        clock=system_clock,
    )


def archived(settings: MonitoringSettings) -> dict[str, int]:
    """Move the counters of past hours to the archive; how many of what.

    Raises:
        Unavailable: try again.
    """
    return _archive(settings).run(_reader(settings), system_clock())


def evaluated(settings: MonitoringSettings) -> dict[str, int]:
    """Adopt baselines that are complete, then evaluate drift and change alarms; how many of what.

    Raises:
        Unavailable: try again.
    """
    active = reports(settings).active(named_window("24h", system_clock()))
    adoptions = Adoptions(table(settings), settings.namespace, system_clock)
    adopted = adoptions.run(
        sorted({model for model, _ in active}),
        redis_port(settings),
        _registry(settings),
        _artifacts(settings).put_profile,
    )
    return adopted | _evaluation(settings).run()


@cache
def _artifacts(settings: MonitoringSettings) -> ArtifactStore:
    return ArtifactStore(s3_client(), settings.data_bucket)


@cache
def _registry(settings: MonitoringSettings) -> Registry:
    return Registry(table(settings), settings.namespace, system_clock)


@cache
def _archive(settings: MonitoringSettings) -> Archive:
    return Archive(s3_client(), settings.data_bucket, settings.namespace)


@cache
def _profiles(settings: MonitoringSettings) -> ProfileCache:
    return ProfileCache(_artifacts(settings).get_profile)


@cache
def _reader(settings: MonitoringSettings) -> CounterReader:
    return CounterReader(redis_port(settings), settings.namespace, _archive(settings))


@cache
def _alarms(settings: MonitoringSettings) -> Alarms:
    return Alarms(table(settings), settings.namespace)


@cache
def _evaluation(settings: MonitoringSettings) -> Evaluation:
    return Evaluation(
        _registry(settings),
        _reader(settings),
        _profiles(settings),
        _alarms(settings),
        emit=emit,
        clock=system_clock,
    )
