"""Jobs that fail, are refused or are stopped: each with its reason, and nothing of another job is touched."""

from __future__ import annotations

import pytest

from neuralstream_core.errors import Invalid, NotFound
from tests.support.jobs import JobHouse, csv


def test_an_input_replaced_under_a_running_job_fails_it(job_house: JobHouse) -> None:
    job_house.users()
    source = job_house.put("in/a.csv", csv("u1"))
    job = job_house.submit(source)
    planned = job_house.task("plan", job.job_id)
    job_house.put("in/a.csv", csv("u2"))
    answer = job_house.task("chunk", job.job_id, chunk=job_house.chunks(planned)[0])
    assert answer["status"] == "FAILED"
    failed = job_house.job(job.job_id)
    assert failed.status == "FAILED"
    assert failed.failure is not None
    assert failed.failure.code == "input_changed"


def test_what_cannot_be_planned_fails_with_its_reason(job_house: JobHouse) -> None:
    job_house.users()
    for data, reason in (
        ('entity_id\n"u1\n', "never closed"),
        ("id,x\nu1,1\n", "no column entity_id"),
        ("entity_id,entity_id\nu1,u1\n", "twice"),
    ):
        job = job_house.submit(job_house.put("in/a.csv", data))
        answer = job_house.task("plan", job.job_id)
        assert (answer["status"], answer["chunks"]) == ("FAILED", 0)
        failed = job_house.job(job.job_id)
        assert failed.failure is not None
        assert reason in failed.failure.detail


def test_submission_refuses_what_could_never_run(job_house: JobHouse) -> None:
    job_house.users()
    source = job_house.put("in/a.csv", csv("u1"))
    with pytest.raises(NotFound):
        job_house.submit(source, "unknown")
    with pytest.raises(NotFound):
        job_house.submit(source, version="v9")
    with pytest.raises(NotFound):
        job_house.submit(source.replace("a.csv", "b.csv"))
    for bad in (
        "s3://elsewhere/a.csv",
        "https://x/a.csv",
        source.replace("jobs/in/", "artifacts/"),
    ):
        with pytest.raises(Invalid):
            job_house.submit(bad)
    with pytest.raises(Invalid):
        job_house.submit(job_house.put("in/a.txt", "x"))
    with pytest.raises(Invalid):
        job_house.submit(source, output="s3://elsewhere/out/")


def test_a_second_job_with_the_same_output_touches_nothing_of_the_first(
    job_house: JobHouse,
) -> None:
    job_house.users()
    source = job_house.put("in/a.csv", csv("u1", "u2"))
    first = job_house.run(source)
    before = {
        key: job_house.get(f"s3://{job_house.settings.data_bucket}/{key}")
        for key in job_house.written()
    }
    second = job_house.run(source)
    assert first.output != second.output
    for key, data in before.items():
        assert job_house.get(f"s3://{job_house.settings.data_bucket}/{key}") == data


def test_an_execution_stopped_by_hand_fails_its_job_and_a_done_job_stays_done(
    job_house: JobHouse,
) -> None:
    from neuralstream_lambda.batch import tasks

    job_house.users()
    source = job_house.put("in/a.csv", csv("u1"))
    stopped = job_house.submit(source)
    done = job_house.run(source)
    for job in (stopped, done):
        detail = {"name": job.job_id, "status": "ABORTED"}
        tasks(job_house.settings).run({"source": "aws.states", "detail": detail})
    failed = job_house.job(stopped.job_id)
    assert failed.failure is not None
    assert (failed.status, failed.failure.code) == ("FAILED", "execution_aborted")
    assert job_house.job(done.job_id).status == "SUCCEEDED"
    answer = job_house.task("plan", stopped.job_id)
    assert (answer["status"], answer["error"]) == ("FAILED", "execution_aborted")


@pytest.mark.parametrize("output", ["artifacts", "art", "artifacts/", "", "jobs/_work", "jobsx/"])
def test_no_output_reaches_what_is_not_the_jobs_own(job_house: JobHouse, output: str) -> None:
    job_house.users()
    source = job_house.put("in/a.csv", csv("u1"))
    with pytest.raises(Invalid) as raised:
        job_house.submit(source, output=f"s3://{job_house.settings.data_bucket}/{output}")
    assert raised.value.code == "prefix_reserved"
    assert [error.loc for error in raised.value.errors] == ["output"]


def test_an_output_without_a_trailing_slash_is_a_folder(job_house: JobHouse) -> None:
    job_house.users()
    output = f"s3://{job_house.settings.data_bucket}/jobs"
    job = job_house.run(job_house.put("in/a.csv", csv("u1")), output=output)
    assert job.status == "SUCCEEDED"
    assert job.output == f"{output}/{job.job_id}/"


def test_chunks_of_a_job_that_has_failed_are_not_worked_on(job_house: JobHouse) -> None:
    job_house.users()
    source = job_house.put("in/a.csv", csv("u1"))
    job = job_house.submit(source)
    (chunk,) = job_house.chunks(job_house.task("plan", job.job_id))
    job_house.put("in/a.csv", csv("u2"))
    for _ in range(2):
        assert job_house.task("chunk", job.job_id, chunk=chunk)["error"] == "input_changed"
    assert job_house.task("finish", job.job_id)["status"] == "FAILED"
    assert job_house.written() == []


def test_a_lost_file_of_the_job_itself_is_a_defect_and_not_the_callers(job_house: JobHouse) -> None:
    job_house.users()
    job = job_house.submit(job_house.put("in/a.csv", csv("u1")))
    planned = job_house.task("plan", job.job_id)
    (chunk,) = job_house.chunks(planned)
    job_house.task("chunk", job.job_id, chunk=chunk)
    for name in ("results/00000.json", "plan.json"):
        key = planned["key"].replace("chunks.json", name)
        job_house.s3.delete_object(Bucket=planned["bucket"], Key=key)
        with pytest.raises(RuntimeError):
            job_house.task("finish", job.job_id)
    with pytest.raises(RuntimeError):
        job_house.task("chunk", job.job_id, chunk=chunk)
    assert job_house.job(job.job_id).status == "RUNNING"
