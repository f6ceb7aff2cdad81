"""Batch jobs: a file of entities in, a file of predictions out, on a distributed engine.

``Jobs`` keeps the records. A job runs as three kinds of tasks, called by a state machine
(``statemachines/batch_predict.asl.json``) or by anything else that calls them in this order: `Planner.plan`
once, `ChunkWorker.run` for every chunk of the manifest in any order and as often as needed, and
`Finisher.finish` once.
"""

from __future__ import annotations

from neuralstream_core.serving.batch.jobs import (
    Failure,
    JobPage,
    JobRecord,
    Jobs,
    JobSpec,
    JobStatus,
)
from neuralstream_core.serving.batch.locations import Buckets, Location, input_format

__all__ = [
    "Buckets",
    "Failure",
    "JobPage",
    "JobRecord",
    "JobSpec",
    "JobStatus",
    "Jobs",
    "Location",
    "input_format",
]
