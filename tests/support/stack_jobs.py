"""A model in production on a running stack, and batch jobs of it, over HTTP."""

from __future__ import annotations

import base64
import uuid
from typing import Any, Protocol

from tests.support.jobs import linear
from tests.support.poll import eventually
from tests.support.stack import Http

__all__ = ["BUCKET", "Served", "finished", "serve", "submit"]

BUCKET = "neuralstream-local-data"


class Served(Protocol):
    """A stack that answers; `tests.support.stack.RunningStack` is one."""

    @property
    def request(self) -> Http: ...

    def client(self, service: str) -> Any: ...


def serve(stack: Served, users: int) -> str:
    """A view with ``users`` rows and a model over it in production; the name of both."""
    name = f"n{uuid.uuid4().hex[:12]}"
    features = [{"name": "a", "dtype": "float64"}, {"name": "b", "dtype": "float64"}]
    view = {"entity": "user_id", "features": features}
    assert stack.request("PUT", f"/features/views/{name}", view).status == 201
    for start in range(0, users, 1000):
        rows = [
            {"entity_id": f"u{i}", "features": {"a": float(i), "b": 2.0 * i}}
            for i in range(start, min(users, start + 1000))
        ]
        answer = stack.request("POST", "/features/write", {"feature_view": name, "rows": rows})
        assert answer.status == 200, answer.data
    version = {
        "format": "linear",
        "artifact_base64": base64.b64encode(linear([1.0, 1.0], 1.0)).decode(),
        "features": [f"{name}:a", f"{name}:b"],
    }
    answer = stack.request("POST", f"/models/{name}/versions", version)
    assert answer.status in (200, 201), answer.data
    assert stack.request("POST", f"/models/{name}/promote/v1", {}).status == 200
    return name


def finished(stack: Served, job_id: str) -> Any:
    """The job once it is done."""

    def done() -> Any:
        job = stack.request("GET", f"/jobs/{job_id}").json()
        return job if job["status"] in ("SUCCEEDED", "FAILED") else None

    return eventually(done, seconds=180)


def submit(stack: Served, model: str, key: str, data: bytes, **more: Any) -> str:
    stack.client("s3").put_object(Bucket=BUCKET, Key=key, Body=data)
    body = {"input": f"s3://{BUCKET}/{key}", "output": f"s3://{BUCKET}/jobs/out/{model}/", **more}
    answer = stack.request("POST", f"/predict/{model}/batch", body)
    assert answer.status == 202, answer.data
    assert answer.json()["status"] == "PENDING"
    job_id: str = answer.json()["job_id"]
    assert answer.headers["location"] == f"/jobs/{job_id}"
    return job_id
