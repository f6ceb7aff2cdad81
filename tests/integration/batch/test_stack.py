"""The state machine of statemachines/ on the laptop stack: submit over HTTP, watch it, read the output."""

from __future__ import annotations

import json
import re
import threading
import uuid

from tests.support.aws import cancel_transaction
from tests.support.poll import eventually
from tests.support.stack import RunningStack
from tests.support.stack_jobs import finished, serve, submit

TABLE = "neuralstream-local"


def execution(stack: RunningStack, job_id: str) -> str:
    """How the job's execution ended: FAILED is what the alarm counts."""
    states = stack.client("stepfunctions")
    machines = {
        m["name"]: m["stateMachineArn"] for m in states.list_state_machines()["stateMachines"]
    }

    def ended() -> str | None:
        found = states.list_executions(
            stateMachineArn=machines["neuralstream-local-batch-predict"]
        )["executions"]
        status: str = next(each["status"] for each in found if each["name"] == job_id)
        return None if status == "RUNNING" else status

    return str(eventually(ended))


def read(stack: RunningStack, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    data: bytes = stack.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return data


def test_a_job_runs_through_the_state_machine_to_its_committed_output(stack: RunningStack) -> None:
    model = serve(stack, 500)
    ids = [f"u{i % 500}" for i in range(60_000)]
    data = ("entity_id\n" + "\n".join(ids) + "\n").encode()
    job = finished(stack, submit(stack, model, f"jobs/in/{model}.csv", data))
    assert job["status"] == "SUCCEEDED", job
    assert (job["outcome"]["rows"], job["outcome"]["failed"]) == (60_000, 0)
    progress = job["progress"]
    assert (progress["chunks_done"], progress["rows"]) == (progress["chunks"], 60_000)
    manifest = json.loads(read(stack, job["outcome"]["manifest"]))
    rows = [
        json.loads(line)
        for part in manifest["parts"]
        for line in read(stack, part["uri"]).splitlines()
    ]
    assert [row["entity_id"] for row in rows] == ids
    assert rows[7]["prediction"] == 22.0
    listed = stack.request("GET", "/jobs?limit=100").json()["jobs"]
    assert job["job_id"] in [each["job_id"] for each in listed]
    events = stack.request("GET", f"/models/{model}/lineage").json()["events"]
    assert [e for e in events if e["kind"] == "batch_finished"]


def test_a_job_that_cannot_be_planned_ends_as_failed_with_its_reason(stack: RunningStack) -> None:
    model = serve(stack, 2)
    job = finished(stack, submit(stack, model, f"jobs/in/{model}.csv", b"id\nu1\n"))
    assert (job["status"], job["failure"]["code"]) == ("FAILED", "missing_column")
    assert execution(stack, job["job_id"]) == "SUCCEEDED"


def test_an_empty_input_and_too_many_failures_end_as_they_should(stack: RunningStack) -> None:
    model = serve(stack, 2)
    job = finished(stack, submit(stack, model, f"jobs/in/{model}.jsonl", b""))
    assert (job["status"], job["failure"]["code"]) == ("FAILED", "empty_input")
    job = finished(stack, submit(stack, model, f"jobs/in/{model}.jsonl", b"", allow_empty=True))
    assert (job["status"], job["outcome"]["rows"]) == ("SUCCEEDED", 0)
    lines = b'{"entity_id":"u1"}\nnot json\n'
    job = finished(stack, submit(stack, model, f"jobs/in/{model}.jsonl", lines))
    assert (job["status"], job["failure"]["code"]) == ("FAILED", "too_many_failed_rows")
    assert execution(stack, job["job_id"]) == "SUCCEEDED"


def test_a_job_that_fails_by_a_fault_of_the_service_fails_its_execution(
    stack: RunningStack,
) -> None:
    """A job whose record is gone cannot be planned, nor told that it failed."""
    states = stack.client("stepfunctions")
    machine = next(
        each["stateMachineArn"]
        for each in states.list_state_machines()["stateMachines"]
        if each["name"] == "neuralstream-local-batch-predict"
    )
    definition = json.loads(states.describe_state_machine(stateMachineArn=machine)["definition"])
    # the retries, without the time between them
    text = re.sub(r'"(IntervalSeconds|MaxDelaySeconds)": \d+', r'"\1": 1', json.dumps(definition))
    quick = states.create_state_machine(
        name=f"quick-{uuid.uuid4().hex}",
        definition=text,
        roleArn="arn:aws:iam::123456789012:role/r",
    )["stateMachineArn"]
    started = states.start_execution(
        stateMachineArn=quick, input=json.dumps({"job_id": "job-" + "0" * 26})
    )["executionArn"]

    def ended() -> str | None:
        status: str = states.describe_execution(executionArn=started)["status"]
        return None if status == "RUNNING" else status

    assert eventually(ended) == "FAILED"


def test_a_job_started_among_a_hundred_cancelled_transactions_still_ends(
    stack: RunningStack,
) -> None:
    dynamodb = stack.client("dynamodb")
    model = serve(stack, 5)

    def cancel() -> None:
        for n in range(100):
            cancel_transaction(dynamodb, TABLE, f"{model}-{n}")
            if n == 50:
                halfway.set()

    halfway = threading.Event()
    cancelling = threading.Thread(target=cancel)
    cancelling.start()
    try:
        assert halfway.wait(60)
        job_id = submit(stack, model, f"jobs/in/{model}.csv", b"entity_id\nu1\nu2\n")
    finally:
        cancelling.join()
    job = finished(stack, job_id)
    assert (job["status"], job["outcome"]["rows"]) == ("SUCCEEDED", 2), job
    assert stack.request("GET", "/health").json()["checks"]["streams"] == "ok"
