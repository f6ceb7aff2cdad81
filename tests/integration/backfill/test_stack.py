"""A backfill and a rebuild on the laptop stack: over HTTP, through the state machine."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from tests.support.stack import RunningStack
from tests.support.stack_jobs import BUCKET, finished


def test_a_backfill_and_a_rebuild_run_through_the_state_machine(stack: RunningStack) -> None:
    name = f"n{uuid.uuid4().hex[:12]}"
    view = {"entity": "user_id", "features": [{"name": "a", "dtype": "float64"}]}
    assert stack.request("PUT", f"/features/views/{name}", view).status == 201
    at = datetime.now(UTC).isoformat()
    data = "user_id,at,a\n" + "".join(f"u{i},{at},{i}.5\n" for i in range(500)) + f"u500,{at},x\n"
    key = f"jobs/in/{name}.csv"
    stack.client("s3").put_object(Bucket=BUCKET, Key=key, Body=data.encode())
    body = {"feature_view": name, "input": f"s3://{BUCKET}/{key}", "timestamp": "at"}
    answer = stack.request("POST", "/features/backfill", body)
    assert answer.status == 202, answer.data
    job_id = answer.json()["job_id"]
    assert answer.headers["location"] == f"/jobs/{job_id}"
    job = finished(stack, job_id)
    assert (job["kind"], job["status"]) == ("backfill", "SUCCEEDED"), job
    counts = job["outcome"]
    assert (counts["rows"], counts["written"], counts["failed"]) == (501, 500, 1)
    row = stack.request("GET", f"/features/{name}/u7").json()
    assert row["features"] == {"a": 7.5}

    answer = stack.request("POST", f"/features/views/{name}/rebuild")
    assert answer.status == 202, answer.data
    job = finished(stack, answer.json()["job_id"])
    assert (job["kind"], job["status"]) == ("rebuild", "SUCCEEDED"), job
    assert job["outcome"]["rows"] + job["outcome"]["tail"] >= 500
    assert stack.request("GET", f"/features/{name}/u7").json() == row
    listed = stack.request("GET", "/jobs?limit=100").json()["jobs"]
    assert {"backfill", "rebuild"} <= {each["kind"] for each in listed}
