"""What 0.1.0 stored, gone on with by the stack of this release, over HTTP."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from neuralstream_client.command.app import app
from neuralstream_core.redis import RedisPort
from neuralstream_local.children import ROOT
from tests.support.poll import eventually
from tests.support.release_0_1 import BUCKET, Dump, less
from tests.support.stack import RunningStack
from tests.support.stack_jobs import finished


def done(stack: RunningStack, path: str, body: Any = None) -> Any:
    """The answer of a POST that succeeds; of a job, its record at the end."""
    reply = stack.request("POST", path, body)
    assert reply.status < 300, reply.data
    return finished(stack, reply.json()["job_id"]) if reply.status == 202 else reply.json()


def test_models_go_on_from_where_they_were(stack: RunningStack, dump: Dump) -> None:
    before = dump.answer("/models/old_churn/lineage")["events"]
    body = json.loads((ROOT / "examples/quickstart/register.json").read_text())
    body["features"] = [name.replace("user_", "old_customer_") for name in body["features"]]
    body["lineage"] = {"parents": ["v1"]}
    assert done(stack, "/models/old_churn/versions", body)["version"] == "v2"
    assert done(stack, "/models/old_churn/promote/v2")["production_version"] == "v2"
    (asked,) = dump.asked(lambda each: each.path == "/predict/old_churn")
    answer = done(stack, "/predict/old_churn", {"entity_id": "c4", "version": "v2"})
    assert answer["probability"] == asked.answer["probability"]
    assert done(stack, "/models/old_churn/rollback")["production_version"] == "v1"
    eventually(lambda: done(stack, asked.path, asked.body)["version"] == "v1")
    events = stack.request("GET", "/models/old_churn/lineage").json()["events"]
    assert len(events) > len(before)
    assert list(less(before, events[: len(before)])) == []


def test_a_job_reads_the_rows_that_were_written(stack: RunningStack, dump: Dump) -> None:
    body = {"input": f"s3://{BUCKET}/jobs/old/churn.csv", "output": f"s3://{BUCKET}/jobs/old/out/"}
    lines = ["user_id", *(f"c{number}" for number in range(20))]
    stack.client("s3").put_object(
        Bucket=BUCKET, Key="jobs/old/churn.csv", Body="\n".join(lines).encode()
    )
    job = done(stack, "/predict/old_churn/batch", body)
    assert (job["status"], job["outcome"]["failed"]) == ("SUCCEEDED", 0), job
    key = f"{job['output'].removeprefix(f's3://{BUCKET}/')}part-00000.jsonl"
    rows = stack.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read().splitlines()
    (asked,) = dump.asked(lambda each: each.path == "/predict/old_churn/batch")
    predicted = {row["entity_id"]: row["probability"] for row in map(json.loads, rows)}
    assert predicted == {
        row["entity_id"]: row["probability"] for row in asked.answer["predictions"]
    }


def test_rows_are_extended_adopted_and_rebuilt(
    stack: RunningStack, dump: Dump, port: RedisPort
) -> None:
    (asked,) = dump.asked(lambda each: "old_users" in str(each.body) and "u1" in str(each.body))
    old = {row["entity_id"]: row for row in asked.answer["results"]}
    view = stack.request("GET", "/features/views/old_users").json()
    features = [{k: each[k] for k in each if k != "default"} for each in view["features"]]
    features.append({"name": "visits", "dtype": "int64"})
    spec = {"entity": "user_id", "features": features}
    assert stack.request("PUT", "/features/views/old_users", spec).json()["schema_version"] == 3
    earlier = {"entity_id": "u1", "features": {"age": 1}, "event_timestamp": "2020-01-01T00:00:00Z"}
    rows = [earlier, {"entity_id": "u1", "features": {"visits": 7, "spent": 60.5}}]
    written = done(stack, "/features/write", {"feature_view": "old_users", "rows": rows})
    assert (written["written"], written["stale"]) == (1, 1)
    every = asked.body | {"features": [each["name"] for each in features]}
    before = stack.request("POST", "/features/batch", every).json()
    changed = old["u1"]["features"] | {"visits": 7, "spent": 60.5}
    assert before["results"][0]["features"] == changed

    asked_for = ["views", "adopt", "old_users", "--json"]
    ran = CliRunner().invoke(app, asked_for, env={"NEURALSTREAM_URL": stack.url})
    assert ran.exit_code == 0, ran.output
    job = json.loads(ran.stdout)
    assert (job["status"], job["outcome"]["entities"]) == ("SUCCEEDED", 6), job
    assert job["outcome"]["history_complete"]
    rows = stack.request("GET", "/features/views/old_users/history?entity_id=u2").json()["rows"]
    assert [(row["source"], list(row["features"])) for row in rows] == [
        ("adoption", ["vip", "name"]),
        ("adoption", ["spent"]),
        ("adoption", ["age"]),
    ]
    assert stack.request("GET", "/features/views/old_users").json()["history_complete"]
    dump.clear_redis(port)
    assert stack.request("GET", "/features/old_users/u1").status == 404
    job = done(stack, "/features/views/old_users/rebuild")
    assert job["status"] == "SUCCEEDED", job
    assert stack.request("POST", "/features/batch", every).json() == before
    assert stack.request("DELETE", "/features/views/old_again").json()["status"] == "deleted"
