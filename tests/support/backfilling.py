"""Backfills on real storage, their tasks driven as the state machine drives them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from neuralstream_core.backfill.records import BackfillJob, BackfillSpec
from neuralstream_core.history.entries import Part
from neuralstream_core.time import system_clock
from neuralstream_lambda.batch import backfills
from neuralstream_lambda.jobs import jobs
from neuralstream_lambda.wiring import history_log
from tests.support.jobs import JobHouse

__all__ = ["Backfilling", "backfilling"]


@dataclass(frozen=True, slots=True)
class Backfilling:
    """What a test declares views in and runs backfills with."""

    house: JobHouse

    def submit(self, source: str, view: str, **more: Any) -> BackfillJob:
        spec = {"feature_view": view, "input": source, "timestamp": "at", **more}
        return backfills(self.house.settings).submit(BackfillSpec.model_validate(spec), "tests")

    def run(self, source: str, view: str, **more: Any) -> BackfillJob:
        """Submit a job and do all of its tasks, as the state machine does."""
        return self.finished(self.submit(source, view, **more))

    def finished(self, job: BackfillJob) -> BackfillJob:
        planned = self.house.task("plan", job.job_id)
        for chunk in self.house.chunks(planned) if planned["status"] == "RUNNING" else ():
            self.house.task("chunk", job.job_id, chunk=chunk)
        self.house.task("finish", job.job_id)
        return self.job(job.job_id)

    def job(self, job_id: str) -> BackfillJob:
        found = jobs(self.house.settings).get(job_id)
        assert isinstance(found, BackfillJob)
        return found

    def errors(self, job: BackfillJob) -> list[Any]:
        """The listed wrong rows of a job."""
        assert job.outcome is not None
        files = [self.house.get(uri) for uri in job.outcome.errors]
        return [json.loads(line) for file in files for line in file.splitlines()]

    def logged(self) -> Iterator[Part]:
        """Everything that is in the append log."""
        log = history_log(self.house.settings)
        now = system_clock() // 60_000_000
        for _, entry in log.entries(now - 10, now):
            yield from entry.parts


@pytest.fixture
def backfilling(job_house: JobHouse) -> Backfilling:
    return Backfilling(job_house)
