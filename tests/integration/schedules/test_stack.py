"""A schedule on the laptop stack: from PUT over HTTP to predictions in the bucket, by a turned clock."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

from neuralstream_core.time import to_micros
from neuralstream_local.scheduler import LocalScheduler
from tests.integration.batch.test_stack import serve
from tests.support.poll import eventually

BUCKET = "neuralstream-local-data"


def held(stack, name):
    """Whether the scheduler has the present revision of a schedule."""
    answer = stack.request("GET", f"/schedules/{name}").json()
    return answer["state"] == "active" and answer


def test_a_schedule_runs_its_job_each_minute_with_the_files_of_that_minute(stack):
    model, name = serve(stack, 3), f"each-minute-{uuid.uuid4().hex[:8]}"
    body = {
        "model": model,
        "input": f"s3://{BUCKET}/jobs/in/{name}/{{yyyy}}-{{mm}}-{{dd}}-{{HH}}{{MM}}.csv",
        "output": f"s3://{BUCKET}/jobs/out/{name}/",
        "expression": "cron(* * ? JAN FRI 2038)",
        "timezone": "America/New_York",
    }
    assert stack.request("PUT", f"/schedules/{name}", body).status == 201
    assert eventually(lambda: held(stack, name))["next_run"]["scheduled_time"] == (
        "2038-01-01T05:00:00Z"
    )
    s3 = stack.client("s3")
    s3.put_object(
        Bucket=BUCKET, Key=f"jobs/in/{name}/2038-01-01-0001.csv", Body=b"entity_id\nu1\nu2\n"
    )

    now = [to_micros(datetime(2038, 1, 1, 5, 0, 30, tzinfo=UTC))]
    scheduler = LocalScheduler(stack.client("scheduler"), stack.client("sqs"), lambda: now[0])

    def call(due):
        answer = stack.client("lambda").invoke(
            FunctionName=due.arn, Payload=json.dumps(due.event).encode()
        )
        assert "FunctionError" not in answer

    for _ in range(2):  # 05:01, whose input is there, and 05:02, whose input is not
        now[0] += 60_000_000
        for delivery in scheduler.due():
            if delivery.event.get("schedule") == name:
                scheduler.deliver(delivery, call)

    def ended():
        answer = stack.request("GET", f"/schedules/{name}").json()
        return {run["status"] for run in answer["runs"]} <= {"SUCCEEDED", "FAILED"} and answer

    runs = eventually(ended)["runs"]
    assert [(run["scheduled_time"], run["status"]) for run in runs] == [
        ("2038-01-01T05:02:00Z", "FAILED"),
        ("2038-01-01T05:01:00Z", "SUCCEEDED"),
    ]
    assert runs[0]["failure"]["code"] == "object_not_found"
    job = stack.request("GET", f"/jobs/{runs[1]['job_id']}").json()
    assert (job["schedule"], job["progress"]["rows"]) == (name, 2)
    written = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"jobs/out/{name}/")["Contents"]
    assert written

    assert stack.request("DELETE", f"/schedules/{name}").status == 200

    def removed():
        listed = stack.client("scheduler").list_schedules()["Schedules"]
        return f"default.{name}" not in {each["Name"] for each in listed}

    assert eventually(removed)


def test_the_stack_runs_a_schedule_by_itself_when_its_time_has_come(stack):
    """Its input is missing: what the run leaves says so."""
    model, name = serve(stack, 1), f"once-{uuid.uuid4().hex[:8]}"
    soon = datetime.now(UTC) + timedelta(seconds=8)
    body = {
        "model": model,
        "input": f"s3://{BUCKET}/jobs/in/{name}.csv",
        "output": f"s3://{BUCKET}/jobs/out/{name}/",
        "expression": f"at({soon:%Y-%m-%dT%H:%M:%S})",
    }
    assert stack.request("PUT", f"/schedules/{name}", body).status == 201

    def ran():
        return stack.request("GET", f"/schedules/{name}").json()["last_run"]

    run = eventually(ran, every=0.5)
    assert run["scheduled_time"] == f"{soon:%Y-%m-%dT%H:%M:%S}Z"
    assert run["failure"]["code"] == "object_not_found"
    answer = stack.request("GET", f"/schedules/{name}").json()
    assert (answer["state"], answer["next_run"]) == ("ended", None)
