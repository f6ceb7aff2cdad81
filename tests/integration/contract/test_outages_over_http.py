"""Redis, then the AWS services, die under load: every answer stays one that the API documents.

A stack of its own, because its parts are killed. The load is a fixed number of requests of every route
family; a part dies and comes back at a fixed place in it, with requests of other threads under way.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from neuralstream_local.children import Child
from neuralstream_local.laptop import BUCKET
from neuralstream_local.openapi import TARGET
from neuralstream_local.stack import Stack
from tests.support.poll import eventually
from tests.support.stack import Reply, RunningStack

ROOT = Path(__file__).resolve().parents[3]
THREADS: Final = 4
ROUNDS: Final = 4
HUNG_SECONDS: Final = 10.0
"""Nothing may take this long, however busy the machine: every dependency has a timeout far below."""

VIEW: Final = {
    "entity": "user_id",
    "features": [
        {"name": "tenure_months", "dtype": "int64"},
        {"name": "monthly_charges", "dtype": "float64"},
        {"name": "support_tickets", "dtype": "int64"},
    ],
}
SERVICE: Final = {"features": ["user_features:tenure_months", "user_features@friend:tenure_months"]}
ROW: Final = {
    "feature_view": "user_features",
    "entity_id": "user_123",
    "features": {"tenure_months": 4, "monthly_charges": 79.5, "support_tickets": 3},
}
CHURN: Final = json.loads((ROOT / "examples/quickstart/register.json").read_text())
ENTITY: Final = {"entity_id": "user_123", "feature_view": "user_features"}
TENSOR: Final = {
    "inputs": [{"name": "inputs", "datatype": "FP32", "shape": [1, 3], "data": [4.0, 79.5, 3.0]}]
}
JOB: Final = {"input": f"s3://{BUCKET}/jobs/in.jsonl", "output": f"s3://{BUCKET}/jobs/out/"}


class Call(NamedTuple):
    """A request: its operation as the document names it, its path, its body."""

    operation: str
    path: str
    body: Any = None

    @property
    def method(self) -> str:
        return self.operation.partition(" ")[0]


class Answered(NamedTuple):
    call: Call
    reply: Reply
    seconds: float


MIX: Final = [
    Call("POST /features/write", "/features/write", ROW),
    Call("GET /features/{feature_view}/{entity_id}", "/features/user_features/user_123"),
    Call(
        "POST /features/batch",
        "/features/batch",
        {"feature_view": "user_features", "entity_ids": ["user_123", "nobody"]},
    ),
    Call("GET /features/views", "/features/views"),
    Call("GET /features/views/{name}", "/features/views/user_features"),
    Call(
        "GET /features/views/{name}/history",
        "/features/views/user_features/history?entity_id=user_123",
    ),
    Call("PUT /features/views/{name}", "/features/views/user_features", VIEW),
    Call("PUT /feature-services/{name}", "/feature-services/churn", SERVICE),
    Call("GET /feature-services/{name}", "/feature-services/churn"),
    Call("GET /feature-services", "/feature-services"),
    Call("POST /predict/{model_name}", "/predict/churn", ENTITY),
    Call(
        "POST /predict/{model_name}/batch",
        "/predict/churn/batch",
        {"entity_ids": ["user_123", "nobody"], "feature_view": "user_features"},
    ),
    Call("POST /predict/{model_name}/batch", "/predict/churn/batch", JOB),
    Call("GET /v2/health/live", "/v2/health/live"),
    Call("GET /v2/health/ready", "/v2/health/ready"),
    Call("GET /v2/models/{model}", "/v2/models/churn"),
    Call("GET /v2/models/{model}/ready", "/v2/models/churn/ready"),
    Call("POST /v2/models/{model}/infer", "/v2/models/churn/infer", TENSOR),
    Call(
        "POST /v2/models/{model}/versions/{version}/infer",
        "/v2/models/churn/versions/v1/infer",
        {"parameters": {"entity_id": "user_123"}},
    ),
    Call("GET /models", "/models"),
    Call("GET /models/{name}", "/models/churn"),
    Call("GET /models/{name}/versions", "/models/churn/versions"),
    Call("GET /models/{name}/versions/{version}", "/models/churn/versions/v1"),
    Call("GET /models/{name}/lineage", "/models/churn/lineage"),
    Call("GET /models/{name}/ab-split", "/models/churn/ab-split"),
    Call("POST /models/{name}/versions", "/models/other/versions", CHURN),
    Call("POST /models/{name}/rollback", "/models/churn/rollback"),
    Call("GET /monitoring/drift", "/monitoring/drift?model=churn"),
    Call("GET /monitoring/stats", "/monitoring/stats?model=churn"),
    Call("GET /monitoring/metrics", "/monitoring/metrics"),
    Call("GET /health", "/health"),
    Call("GET /jobs", "/jobs"),
    Call("GET /jobs/{job_id}", "/jobs/job-00000000000000000000000000"),
    Call("GET /openapi.json", "/openapi.json"),
]
REFUSED: Final = {
    "GET /jobs/{job_id}": "no such job",
    "POST /models/{name}/rollback": "nothing to go back to",
}
SUCCEED: Final = [c for c in MIX if c.operation not in REFUSED and c.body is not JOB]
"""What answers 2xx when everything runs."""

DOCUMENT: Final = json.loads(TARGET.read_text())


def documented(operation: str) -> dict[int, Mapping[str, Any]]:
    """Each documented status of ``operation`` with the media types of its answer."""
    method, _, path = operation.partition(" ")
    found = {}
    for status, said in DOCUMENT["paths"][path][method.lower()]["responses"].items():
        reference = said.get("$ref", "").rpartition("/")[2]
        answer = DOCUMENT["components"]["responses"][reference] if reference else said
        found[int(status)] = answer.get("content", {})
    return found


def check(answered: Answered) -> None:
    """Hold one answer against the document."""
    call, reply, seconds = answered
    said = f"{call.operation}: {reply.status} {reply.data[:300]!r}"
    statuses = documented(call.operation)
    assert reply.status in statuses, said
    assert reply.status != 500, said
    assert seconds < HUNG_SECONDS, f"{said} after {seconds:.1f} s"
    media = reply.headers.get("content-type", "").partition(";")[0]
    # The metrics and the document itself are text of their own; their media type is not described.
    assert media in (statuses[reply.status] or {media}), said
    if reply.status < 400:
        return
    body = reply.json()
    if reply.status == 503:
        assert int(reply.headers["retry-after"]) >= 1, said
    if call.path == "/health":
        assert body["status"] == "degraded", said
        assert "unavailable" in body["checks"].values(), said
        return
    if call.operation.partition(" ")[2].startswith("/v2"):
        assert list(body) == ["error"], said
        assert body["error"], said
    else:
        assert media == "application/problem+json", said
        assert {"type", "title", "status", "detail", "code"} <= set(body), said
        assert body["status"] == reply.status, said
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", body["code"]), said
        assert body["code"] != "internal", said
        assert (reply.status == 503) == body["code"].endswith("_unavailable"), said


def load(
    stack: RunningStack, events: Mapping[int, Callable[[], object]] | None = None
) -> list[Answered]:
    """Every call of the mix `ROUNDS` times, in rotating order, from `THREADS` threads.

    Args:
        events: what happens just before the request of that number, while others are under way.
    """

    def one(numbered: tuple[int, Call]) -> Answered:
        number, call = numbered
        if events is not None and number in events:
            events[number]()
        begin = time.monotonic()
        reply = stack.request(call.method, call.path, call.body)
        return Answered(call, reply, time.monotonic() - begin)

    calls = [c for i in range(ROUNDS) for c in (*MIX[7 * i :], *MIX[: 7 * i])]
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(one, enumerate(calls)))


def check_all(answers: Sequence[Answered]) -> None:
    assert len(answers) == ROUNDS * len(MIX)
    for answered in answers:
        check(answered)


def codes(answers: Sequence[Answered]) -> set[str]:
    """Codes of the problems among ``answers``."""
    return {
        a.reply.json()["code"]
        for a in answers
        if a.reply.headers["content-type"] == "application/problem+json"
    }


@pytest.fixture
def own_stack() -> Iterator[RunningStack]:
    with Stack() as running:
        stack = RunningStack(running)
        assert stack.request("PUT", "/features/views/user_features", VIEW).status == 201
        assert stack.request("POST", "/features/write", ROW).status == 200
        assert stack.request("POST", "/models/churn/versions", CHURN).status == 201
        assert stack.request("POST", "/models/churn/promote/v1").status == 200
        yield stack


def test_redis_then_the_aws_services_die_and_come_back_under_load(own_stack: RunningStack) -> None:
    """The AWS emulation comes back empty: what was in it dies with it."""
    gateway = own_stack.running.gateway
    _redis_dies(own_stack)
    _aws_dies(own_stack)
    assert gateway.alive(), "it is the same process that answers all along"


def _redis_dies(own_stack: RunningStack) -> None:
    redis, size = own_stack.running.redis, len(MIX)

    answers = load(own_stack, {size: redis.kill, 3 * size: redis.start})

    check_all(answers)
    assert "redis_unavailable" in codes(answers), "the outage was seen"

    def well_again() -> bool:
        again = [own_stack.request(c.method, c.path, c.body) for c in SUCCEED]
        assert [(r.status, r.data) for r in again if r.status >= 300] == []
        return True

    eventually(well_again, every=0.2)


def _aws_dies(own_stack: RunningStack) -> None:
    stack, size = own_stack.running, len(MIX)
    port = own_stack.aws_endpoint.rpartition(":")[2]
    started: list[Child] = []

    def revive() -> None:
        started.append(Child("neuralstream_local.aws_server", ["--port", port]))
        started[0].ready()

    try:
        answers = load(own_stack, {size: stack.aws.kill, 3 * size: revive})
    finally:
        for child in started:
            child.stop()

    check_all(answers)
    assert "registry_unavailable" in codes(answers), "the outage was seen"
    predictions = [
        a.reply.status for a in answers if a.call.operation == "POST /predict/{model_name}"
    ]
    assert predictions == [200] * ROUNDS, "what a process has loaded it goes on serving"
