"""The parts of what takes outcomes in and reports performance, built from settings."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

from pydantic import Field

from neuralstream_core.registry.registry import Registry
from neuralstream_core.settings import HistorySettings, TableSettings
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock
from neuralstream_lambda.buckets import JobBucketSettings
from neuralstream_lambda.wiring import dynamodb_client, history_log, table

if TYPE_CHECKING:
    from neuralstream_core.backfill.outcome_work import OutcomeImports
    from neuralstream_core.outcomes.intake import Intake
    from neuralstream_core.outcomes.performance import Performances
    from neuralstream_core.outcomes.reading import OutcomeReader
    from neuralstream_core.outcomes.results import Experiments

__all__ = [
    "OutcomesFileSettings",
    "PerformanceSettings",
    "experiments",
    "intake",
    "outcome_imports",
    "outcome_reader",
    "performances",
]


class PerformanceSettings(TableSettings, HistorySettings):
    """Where predictions and outcomes are kept, and what a join of them may take."""

    outcomes_memory_mb: int = Field(default=1024, ge=128, le=9000)
    """Megabytes of memory of DuckDB, beyond which it spills to temporary files."""
    outcomes_threads: int = Field(default=2, ge=1, le=6)


class OutcomesFileSettings(PerformanceSettings, JobBucketSettings):
    """Where files of outcomes may be besides."""


@cache
def intake(settings: HistorySettings) -> Intake:
    """What takes outcomes in."""
    from neuralstream_core.outcomes.intake import Intake

    items = Table(dynamodb_client(), settings.history_table, dependency="history")
    return Intake(history_log(settings), items, settings.namespace, system_clock)


@cache
def outcome_imports(settings: OutcomesFileSettings) -> OutcomeImports:
    """What accepts files of outcomes."""
    from neuralstream_core.backfill.import_work import Imports
    from neuralstream_core.backfill.outcome_records import OutcomesJob
    from neuralstream_core.backfill.outcome_work import OutcomeImports
    from neuralstream_core.jobs.records import JobKind
    from neuralstream_core.jobs.store import Jobs
    from neuralstream_core.objects import Objects
    from neuralstream_lambda.wiring import s3_client

    kinds = {JobKind.OUTCOMES: OutcomesJob}
    return OutcomeImports(
        Jobs(table(settings), settings.namespace, system_clock, kinds),
        Imports(Objects(s3_client()), settings.buckets, settings.data_bucket, "outcomes"),
    )


@cache
def performances(settings: PerformanceSettings) -> Performances:
    """What reports how good predictions were."""
    from neuralstream_core.outcomes.declining import DeclineStates
    from neuralstream_core.outcomes.performance import Performances

    states = DeclineStates(table(settings), settings.namespace)
    return Performances(_registry(settings), outcome_reader(settings), states)


@cache
def experiments(settings: PerformanceSettings) -> Experiments:
    """What compares the versions of a split."""
    from neuralstream_core.outcomes.results import Experiments

    return Experiments(
        _registry(settings), outcome_reader(settings), performances(settings), system_clock
    )


@cache
def _registry(settings: PerformanceSettings) -> Registry:
    return Registry(table(settings), settings.namespace, system_clock)


@cache
def outcome_reader(settings: PerformanceSettings) -> OutcomeReader:
    """What joins predictions and outcomes."""
    from neuralstream_core.outcomes.reading import OutcomeReader
    from neuralstream_core.parquet import Space
    from neuralstream_lambda.history import history

    space = Space(settings.outcomes_memory_mb, settings.outcomes_threads, Path(gettempdir()))
    return OutcomeReader(history(settings), settings.namespace, space)
