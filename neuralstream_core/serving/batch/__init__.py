"""Batch jobs: a file of entities in, a file of predictions out, on a distributed engine.

`Jobs` keeps the records. A state machine (``statemachines/batch_predict.asl.json``) calls the tasks of a job:
`Planner.plan` once, `ChunkWorker.run` for every chunk in any order and as often as needed, `Finisher.finish`
once.
"""

from __future__ import annotations

from neuralstream_core.serving.batch.jobs import Failure, JobPage, JobRecord, Jobs, JobStatus
from neuralstream_core.serving.batch.locations import Buckets, Location, input_format
from neuralstream_core.serving.batch.requests import JobSpec

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
