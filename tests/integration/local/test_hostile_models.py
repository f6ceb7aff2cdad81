"""Hostile models on the laptop stack: their callers are answered, and others are served meanwhile."""

from __future__ import annotations

import base64
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import hostile
from tests.support.artifacts import double_sum
from tests.support.poll import eventually
from tests.support.stack import RunningStack

BUCKET = "neuralstream-local-data"
HUGE = 1e12


def serve(stack: RunningStack, view: str, model: str, data: bytes) -> None:
    body = {
        "format": "onnx",
        "artifact_base64": base64.b64encode(data).decode(),
        "features": [f"{view}:a", f"{view}:b"],
    }
    answer = stack.request("POST", f"/models/{model}/versions", body)
    assert answer.status == 201, answer.data
    assert stack.request("POST", f"/models/{model}/promote/v1", {}).status == 200


@pytest.fixture
def name(stack: RunningStack) -> str:
    """A view with an entity ``evil``, and the model ``<name>-honest`` over it."""
    name = f"h{uuid.uuid4().hex[:12]}"
    features = [{"name": "a", "dtype": "float64"}, {"name": "b", "dtype": "float64"}]
    view = {"entity": "user_id", "features": features}
    assert stack.request("PUT", f"/features/views/{name}", view).status == 201
    rows = [{"entity_id": f"u{i}", "features": {"a": 1.0, "b": float(i)}} for i in range(50)]
    rows.append({"entity_id": "evil", "features": {"a": HUGE, "b": 0.0}})
    body = {"feature_view": name, "rows": rows}
    assert stack.request("POST", "/features/write", body).status == 200
    serve(stack, name, f"{name}-honest", double_sum())
    return name


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (hostile.loops_by_feature, "inference_timeout"),
        (hostile.allocates_by_feature, "inference_memory"),
    ],
    ids=["loop", "allocation"],
)
def test_offenders_are_answered_while_others_are_served(
    stack: RunningStack, name: str, make, code: str
) -> None:
    serve(stack, name, name, make())
    offences = [
        ("POST", f"/predict/{name}", {"entity_id": "evil"}),
        ("POST", f"/v2/models/{name}/infer", {"parameters": {"entity_id": "evil"}, "inputs": []}),
        ("POST", f"/predict/{name}/batch", {"entity_ids": ["u1", "evil", "u2"]}),
    ]
    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(stack.request, *offence) for offence in offences]
        for _ in range(20):
            honest = stack.request("POST", f"/predict/{name}-honest", {"entity_id": "u3"})
            assert (honest.status, honest.json()["prediction"]) == (200, 8.0)
        single, v2, batch = (call.result() for call in asked)
    assert (single.status, single.json()["code"]) == (422, code)
    assert v2.status == 400, v2.data
    assert batch.status == 200, batch.data
    first, evil, last = batch.json()["predictions"]
    assert (first["prediction"], last["prediction"]) == (2.0, 3.0)
    assert evil["error"]["code"] == code
    again = stack.request("POST", f"/predict/{name}", {"entity_id": "u3"})
    assert (again.status, again.json()["prediction"]) == (200, 4.0)


def test_a_job_reports_the_row_that_no_model_could_answer(stack: RunningStack, name: str) -> None:
    serve(stack, name, name, hostile.allocates_by_feature())
    ids = [*(f"u{i}" for i in range(25)), "evil", *(f"u{i}" for i in range(25, 50))]
    text = "entity_id\n" + "\n".join(ids) + "\n"
    stack.client("s3").put_object(Bucket=BUCKET, Key=f"jobs/in/{name}.csv", Body=text.encode())
    body = {
        "input": f"s3://{BUCKET}/jobs/in/{name}.csv",
        "output": f"s3://{BUCKET}/jobs/out/{name}/",
        "max_failed_fraction": 0.5,
    }
    answer = stack.request("POST", f"/predict/{name}/batch", body)
    assert answer.status == 202, answer.data

    def done():
        job = stack.request("GET", f"/jobs/{answer.json()['job_id']}").json()
        return job if job["status"] in ("SUCCEEDED", "FAILED") else None

    job = eventually(done)
    assert (job["status"], job["outcome"]["rows"], job["outcome"]["failed"]) == ("SUCCEEDED", 51, 1)
    bucket, _, key = job["outcome"]["manifest"].removeprefix("s3://").partition("/")
    s3 = stack.client("s3")
    manifest = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    (errors,) = manifest["errors"]
    bucket, _, key = errors["uri"].removeprefix("s3://").partition("/")
    lines = s3.get_object(Bucket=bucket, Key=key)["Body"].read().splitlines()
    assert [json.loads(line)["code"] for line in lines] == ["inference_memory"]


def test_a_model_that_serving_cannot_load_is_not_registered(stack: RunningStack, name: str) -> None:
    data = hostile.folds_to(360, times=2)
    assert len(data) < 1000
    body = {
        "format": "onnx",
        "artifact_base64": base64.b64encode(data).decode(),
        "features": [f"{name}:a", f"{name}:b"],
    }
    answer = stack.request("POST", f"/models/{name}/versions", body)
    assert (answer.status, answer.json()["code"]) == (422, "model_too_large")
    assert "MiB of memory" in answer.json()["detail"]
    assert stack.request("GET", f"/models/{name}").status == 404
