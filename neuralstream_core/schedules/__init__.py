"""Schedules of batch predictions, as data: when to start which job.

The table holds the schedules (`Schedules`). EventBridge Scheduler runs them, and holds what the table says
(`Reconciler`). Each delivery starts one job, whose record names the schedule and the scheduled time.
"""

from __future__ import annotations

from neuralstream_core.schedules.records import ScheduleRecord, ScheduleSpec
from neuralstream_core.schedules.store import Schedules

__all__ = ["ScheduleRecord", "ScheduleSpec", "Schedules"]
