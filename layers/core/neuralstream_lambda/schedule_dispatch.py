"""The dispatch function's way to EventBridge Scheduler, wired from settings."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from neuralstream_core.settings import TableSettings
from neuralstream_core.time import system_clock
from neuralstream_lambda.wiring import scheduler_client, table

if TYPE_CHECKING:
    from neuralstream_core.schedules.reconciler import Reconciler

__all__ = ["ScheduleSettings", "reconcile"]


class ScheduleSettings(TableSettings):
    """Where schedules are kept, where they run, and what they call."""

    schedule_group: str
    schedule_role_arn: str
    schedule_target_arn: str
    failure_queue_arn: str


def reconcile(settings: ScheduleSettings, name: str) -> None:
    """Make EventBridge Scheduler hold what the table says of one schedule."""
    _reconciler(settings).reconcile(name)


@cache
def _reconciler(settings: ScheduleSettings) -> Reconciler:
    from neuralstream_core.schedules.reconciler import Reconciler, Target
    from neuralstream_core.schedules.store import Schedules

    return Reconciler(
        scheduler_client(),
        Schedules(table(settings), settings.namespace, system_clock),
        Target(
            group=settings.schedule_group,
            function_arn=settings.schedule_target_arn,
            role_arn=settings.schedule_role_arn,
            failures_arn=settings.failure_queue_arn,
        ),
        system_clock,
    )
