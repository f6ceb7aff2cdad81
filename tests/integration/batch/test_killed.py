"""Workers that die: a chunk killed at any slice, or run twice, leaves what one clean run leaves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neuralstream_core.serving.batch.records import PredictJob
from tests.support.jobs import JobHouse

ROOT = Path(__file__).parents[3]


def killed_at(house: JobHouse, job: PredictJob, chunk: Any, slices: int) -> None:
    """Run a chunk in a process and SIGKILL it once it has begun so many slices."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.support.batch_worker"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        order = {
            "settings": house.settings.model_dump(),
            "job_id": job.job_id,
            "chunk": chunk,
        }
        worker.stdin.write(json.dumps(order) + "\n")
        worker.stdin.flush()
        for _ in range(slices):
            assert worker.stdout.readline() == "slice\n"
        worker.kill()
    assert worker.returncode == -9


def outputs(house: JobHouse, job: PredictJob) -> dict[str, bytes]:
    """Every file below the job's output by its relative name."""
    bucket = house.settings.data_bucket
    prefix = job.output.removeprefix(f"s3://{bucket}/")
    return {
        key.removeprefix(prefix): house.get(f"s3://{bucket}/{key}") for key in house.written(prefix)
    }


def plain(files: dict[str, bytes]) -> dict[str, bytes]:
    """Files whose prediction ids do not say of which job they are."""
    return {name: re.sub(rb"(:v1:)[0-9A-Z]{26}", rb"\1", data) for name, data in files.items()}


@pytest.mark.parametrize("slices", [1, 3])
def test_a_worker_killed_mid_chunk_changes_nothing_in_the_result(
    job_house: JobHouse, slices: int
) -> None:
    job_house.users(50)
    ids = [f"u{i % 60}" for i in range(30_000)]
    source = job_house.put("in/a.csv", "entity_id\n" + "\n".join(ids) + "\n")
    clean = job_house.run(source, max_failed_fraction=1.0)

    job = job_house.submit(source, max_failed_fraction=1.0)
    (chunk,) = job_house.chunks(job_house.task("plan", job.job_id))
    killed_at(job_house, job, chunk, slices)
    assert outputs(job_house, job) == {}
    assert job_house.job(job.job_id).progress.chunks_done == 0
    job_house.task("chunk", job.job_id, chunk=chunk)
    job_house.task("finish", job.job_id)

    done = job_house.job(job.job_id)
    assert done.outcome is not None
    assert (done.outcome.rows, done.outcome.failed) == (30_000, 5_000)
    expected, found = outputs(job_house, clean), outputs(job_house, done)
    expected.pop("manifest.json")
    found.pop("manifest.json")
    assert plain(found) == plain(expected)


def test_a_chunk_that_runs_twice_is_counted_once_and_writes_the_same_bytes(
    job_house: JobHouse,
) -> None:
    job_house.users(10)
    job = job_house.submit(job_house.put("in/a.csv", "entity_id\nu1\nu2\nnobody\n"))
    planned = job_house.task("plan", job.job_id)
    assert job_house.task("plan", job.job_id) == planned
    (chunk,) = job_house.chunks(planned)
    job_house.task("chunk", job.job_id, chunk=chunk)
    before = outputs(job_house, job)
    job_house.task("chunk", job.job_id, chunk=chunk)
    assert outputs(job_house, job) == before
    progress = job_house.job(job.job_id).progress
    assert (progress.chunks_done, progress.rows, progress.failed) == (1, 3, 1)


def test_a_chunk_sees_features_as_of_the_plan(job_house: JobHouse) -> None:
    """A value that expires between two attempts is the same for both."""
    from neuralstream_core.features import ViewSpec
    from neuralstream_core.time import from_micros, system_clock
    from tests.support.jobs import linear
    from tests.support.poll import eventually

    spec = {
        "entity": "user_id",
        "features": [{"name": "a", "dtype": "float64"}],
        "ttl_seconds": 2,
    }
    job_house.catalog.put("short", ViewSpec.model_validate(spec))
    now = system_clock()
    row = {"entity_id": "u", "features": {"a": 5.0}, "event_timestamp": from_micros(now)}
    job_house.store.write("short", [row])
    job_house.serve("short", linear([1.0]), ["short:a"])
    job = job_house.submit(job_house.put("in/a.csv", "entity_id\nu\n"), "short")
    (chunk,) = job_house.chunks(job_house.task("plan", job.job_id))
    job_house.task("chunk", job.job_id, chunk=chunk)
    before = outputs(job_house, job)
    assert b"5.0" in before["part-00000.jsonl"]
    eventually(lambda: system_clock() > now + 2_100_000)
    job_house.task("chunk", job.job_id, chunk=chunk)
    assert outputs(job_house, job) == before
