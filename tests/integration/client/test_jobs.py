"""Jobs, schedules and monitoring with the client."""

from __future__ import annotations

import asyncio

import pytest

from neuralstream_client import AsyncNeuralStream
from neuralstream_client.errors import Conflict, Invalid, JobFailed, NotFound, WaitTimeout
from tests.support.stack_jobs import BUCKET, serve


@pytest.fixture(scope="module")
def model(stack):
    """A model in production over 50 users; an input of them lies in the bucket."""
    name = serve(stack, 50)
    data = "entity_id\n" + "".join(f"u{i}\n" for i in range(50))
    stack.client("s3").put_object(Bucket=BUCKET, Key=f"jobs/in/{name}.csv", Body=data.encode())
    return name


def places(model):
    return {
        "input": f"s3://{BUCKET}/jobs/in/{model}.csv",
        "output": f"s3://{BUCKET}/jobs/out/{model}/",
    }


def test_a_job_is_run_to_its_end_with_progress_and_is_listed(ns, model):
    seen = []
    job = ns.jobs.run(
        model,
        **places(model),
        poll_seconds=0.3,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (job.status, job.outcome.rows, job.outcome.failed) == ("SUCCEEDED", 50, 0)
    assert seen[-1] == (1, 1)
    assert job.job_id in [each.job_id for each in ns.jobs.list()]
    assert ns.jobs.get(job.job_id).outcome.manifest.startswith(places(model)["output"])


def test_a_job_that_fails_is_an_exception_with_its_record(ns, stack, model):
    key = f"jobs/in/{model}-empty.csv"
    stack.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"entity_id\n")
    empty = {**places(model), "input": f"s3://{BUCKET}/{key}"}
    with pytest.raises(JobFailed, match="empty_input") as failed:
        ns.jobs.run(model, **empty, poll_seconds=0.3)
    assert failed.value.job.status == "FAILED"
    assert ns.jobs.run(model, **empty, poll_seconds=0.3, allow_empty=True).outcome.rows == 0
    with pytest.raises(NotFound, match=r"absent\.csv does not exist"):
        ns.jobs.submit(model, **{**places(model), "input": f"s3://{BUCKET}/jobs/in/absent.csv"})
    with pytest.raises(Invalid, match="below jobs/"):
        ns.jobs.submit(model, **{**places(model), "output": f"s3://{BUCKET}/elsewhere/"})
    with pytest.raises(NotFound):
        ns.jobs.get("job-" + "0" * 26)


def test_a_job_submitted_twice_under_one_key_is_one_job_and_waiting_for_it_can_be_given_up(
    ns, model
):
    first = ns.jobs.submit(model, **places(model), idempotency_key=f"once-{model}")
    again = ns.jobs.submit(model, **places(model), idempotency_key=f"once-{model}")
    assert first.job_id == again.job_id
    with pytest.raises(Conflict, match="new idempotency_key"):
        ns.jobs.submit(
            model, **places(model), idempotency_key=f"once-{model}", output_format="parquet"
        )
    slow = ns.jobs.submit(model, **places(model))
    with pytest.raises(WaitTimeout, match="goes on"):
        ns.jobs.wait(slow.job_id, timeout=0)
    assert ns.jobs.wait(slow, poll_seconds=0.3).status == "SUCCEEDED"


def test_the_asynchronous_client_waits_for_two_jobs_at_once(stack, model):
    async def both():
        async with AsyncNeuralStream(stack.url) as ns:
            runs = (ns.jobs.run(model, **places(model), poll_seconds=0.3) for _ in range(2))
            return [job.status for job in await asyncio.gather(*runs)]

    assert asyncio.run(both()) == ["SUCCEEDED", "SUCCEEDED"]


def test_a_schedule_is_put_read_changed_and_deleted(ns, model):
    given = {"model": model, **places(model), "expression": "cron(0 3 * * ? *)"}
    made = ns.schedules.put(model, **given, timezone="Europe/Berlin")
    assert (made.revision, made.timezone) == (1, "Europe/Berlin")
    assert made.name in [each.name for each in ns.schedules.list(page_size=1)]
    with pytest.raises(Conflict, match="expected_revision"):
        ns.schedules.put(model, **given, expected_revision=7)
    assert ns.schedules.put(model, **given, enabled=False, expected_revision=1).revision == 2
    assert ns.schedules.get(model).enabled is False
    ns.schedules.delete(model)
    with pytest.raises(NotFound, match=r"ns\.schedules\.list"):
        ns.schedules.get(model)


def test_statistics_and_drift_are_reports_in_words_and_frames(ns, model):
    ns.predict_many(model, [f"u{i}" for i in range(50)])
    stats = ns.monitoring.stats(model, window="15m")
    assert sum(version.rows for version in stats.versions) >= 50
    assert model in [each.model for each in ns.monitoring.all_stats(window="15m").models]
    drift = ns.monitoring.drift(model)
    assert drift.status == "no_reference"
    assert drift.sentence
    frame = drift.to_pandas()
    assert list(frame["feature"]) == [series.feature for series in drift.series]
    assert drift.drifted == []
    assert model in [each.model for each in ns.monitoring.drifts(window="15m").models]
    with pytest.raises(NotFound):
        ns.monitoring.drift("no_such_model")


def test_the_health_of_the_stack_is_read(ns):
    assert ns.health().status == "ok"
