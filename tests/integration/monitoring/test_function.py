"""The monitoring function over HTTP on the whole stack, and by its handlers."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from pathlib import Path

import pytest

from tests.support.poll import eventually


def test_health_says_what_works_without_a_key(stack_with_keys):
    reply = stack_with_keys.request("GET", "/health")
    assert reply.status == 200
    body = reply.json()
    assert body["status"] == "ok"
    checks = body["checks"]
    assert {"redis", "registry", "history"} <= set(checks)
    assert set(checks.values()) == {"ok"}
    assert body["version"]


def test_reports_need_a_key(stack_with_keys):
    for path in ("/monitoring/drift", "/monitoring/stats", "/monitoring/metrics"):
        assert stack_with_keys.request("GET", path).status == 401


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ("window=2h", "query.window"),
        ("version=v1", "query.model"),
        ("model=m&version=1", "query.version"),
        ("model=a%20b", "query.model"),
        ("end=2026-01-01T00:00:00Z", "query.start"),
        ("start=2026-01-01T00:00:00", "query.start"),
        ("start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z", "query.end"),
        ("start=2020-01-02T00:00:00Z", "query.start"),
        ("start=2999-01-02T00:00:00Z", "query.end"),
        ("start=2999-01-02T00:00:00Z&end=2999-01-03T00:00:00Z", "query.start"),
        ("start=2026-01-02T00:00:00Z&window=1h", "query.window"),
        ("mode=x", "query.mode"),
    ],
)
def test_a_query_that_makes_no_sense_is_named(stack, query, loc):
    reply = stack.request("GET", f"/monitoring/drift?{query}")
    assert reply.status == 422
    assert loc in [error["loc"] for error in reply.json()["errors"]]


def test_unknown_models_are_not_found(stack):
    for route in ("drift", "stats"):
        assert stack.request("GET", f"/monitoring/{route}?model=nobody").status == 404


def test_a_window_of_the_callers_own(stack):
    end = dt.datetime.now(dt.UTC)
    start = end - dt.timedelta(minutes=30)
    form = "%Y-%m-%dT%H:%M:%SZ"
    for route in ("drift", "stats"):
        path = f"/monitoring/{route}?start={start.strftime(form)}&end={end.strftime(form)}"
        assert stack.request("GET", path).status == 200


def test_metrics_are_prometheus_text(stack):
    reply = stack.request("GET", "/monitoring/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# TYPE neuralstream_requests_total counter" in reply.data


def test_what_was_predicted_is_in_the_statistics(stack):
    root = Path(__file__).resolve().parents[3]
    churn = json.loads((root / "examples/quickstart/register.json").read_text())
    view, name = f"view_{uuid.uuid4().hex[:8]}", f"churn_{uuid.uuid4().hex[:8]}"
    features = [
        {"name": "tenure_months", "dtype": "int64"},
        {"name": "monthly_charges", "dtype": "float64"},
        {"name": "support_tickets", "dtype": "int64"},
    ]

    def call(method, path, body=None):
        reply = stack.request(method, path, body)
        assert reply.status < 300, (path, reply.data)
        return reply.json()

    call("PUT", f"/features/views/{view}", {"entity": "user_id", "features": features})
    row = {"tenure_months": 4, "monthly_charges": 79.5, "support_tickets": 3}
    call("POST", "/features/write", {"feature_view": view, "entity_id": "u", "features": row})
    bound = [f.replace("user_features", view) for f in churn["features"]]
    baseline = {
        "columns": {
            "tenure_months": list(range(300)),
            "monthly_charges": [20.0 + i / 10 for i in range(300)],
            "support_tickets": [i % 3 for i in range(300)],
        }
    }
    call("POST", f"/models/{name}/versions", {**churn, "features": bound, "baseline": baseline})
    call("POST", f"/models/{name}/promote/v1")
    for _ in range(250):
        call("POST", f"/predict/{name}", {"entity_id": "u"})
    stack.request("POST", f"/predict/{name}", {"entity_id": "nobody"})

    def counted():
        (version,) = call("GET", f"/monitoring/stats?model={name}&window=15m")["versions"]
        assert version["rows"] == 250
        return version

    version = eventually(counted)
    assert version["errors"]
    assert version["latency_ms"]["total"]["p99"] > 0
    report = call("GET", f"/monitoring/drift?model={name}&window=15m")
    assert report["status"] == "drift"  # one and the same row, again and again
    assert report["series"][0]["psi"] > 0.2
    assert {s["kind"] for s in report["series"]} == {"feature", "prediction", "errors"}
