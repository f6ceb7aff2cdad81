"""The main job over real HTTP: write features, register and promote a model, predict."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from examples.flights.load import MODEL, held_out, request_of
from examples.flights.views import INPUTS, VIEWS
from tests.support.poll import eventually

ROOT = Path(__file__).resolve().parents[2]
CHURN = json.loads((ROOT / "examples/quickstart/register.json").read_text())
VIEW = {
    "entity": "user_id",
    "ttl_seconds": 86400,
    "features": [
        {"name": "tenure_months", "dtype": "int64"},
        {"name": "monthly_charges", "dtype": "float64"},
        {"name": "support_tickets", "dtype": "int64"},
    ],
}
FEATURES = {"tenure_months": 4, "monthly_charges": 79.5, "support_tickets": 3}


_WHOLE = {
    f"{view}:{feature['name']}"
    for view, spec in VIEWS.items()
    for feature in spec["features"]
    if feature["dtype"] == "int64"
}
_FETCHED = [name for name in INPUTS if not name.startswith("request:")]


@pytest.fixture
def call(stack):
    """Requests that must succeed, as decoded JSON."""

    def call(method, path, body=None, status=200, headers=None):
        reply = stack.request(method, path, body, headers)
        expected = status if isinstance(status, set) else {status}
        assert reply.status in expected, (method, path, reply.data)
        return reply.json()

    return call


@pytest.fixture
def churn(call):
    """A fresh view and model of the issue's form, in production; their names."""
    unique = uuid.uuid4().hex[:8]
    view, model = f"user_features_{unique}", f"churn_{unique}"
    call("PUT", f"/features/views/{view}", VIEW, status=201)
    row = {"feature_view": view, "entity_id": "user_123", "features": FEATURES}
    assert call("POST", "/features/write", row) == {"feature_view": view, "written": 1, "stale": 0}
    registration = {
        **CHURN,
        "features": [f.replace("user_features", view) for f in CHURN["features"]],
    }
    assert call("POST", f"/models/{model}/versions", registration, status=201)["version"] == "v1"
    call("POST", f"/models/{model}/promote/v1")
    return view, model


def test_the_request_of_the_readme_gets_its_answer_key_for_key(call):
    # A page of the documentation may have made the same view on this stack: then it is answered 200.
    call("PUT", "/features/views/user_features", VIEW, status={200, 201})
    row = {"feature_view": "user_features", "entity_id": "user_123", "features": FEATURES}
    call("POST", "/features/write", row)
    call("POST", "/models/churn_model/versions", CHURN, status=201)
    call("POST", "/models/churn_model/promote/v1")

    answer = call(
        "POST",
        "/predict/churn_model",
        {"entity_id": "user_123", "feature_view": "user_features", "return_features": True},
    )

    keys = (
        "model version entity_id prediction probability latency_ms features prediction_id timestamp"
    )
    assert list(answer) == keys.split()
    assert (answer["model"], answer["version"]) == ("churn_model", "v1")
    assert (answer["entity_id"], answer["prediction"]) == ("user_123", 1)
    assert answer["probability"] == pytest.approx(0.87, abs=0.005)
    assert answer["features"] == FEATURES
    assert 0 < answer["latency_ms"] < 30_000
    age = datetime.now(UTC) - datetime.fromisoformat(answer["timestamp"])
    assert abs(age.total_seconds()) < 60
    assert answer["timestamp"].endswith("Z")
    assert answer["prediction_id"].startswith("churn_model:v1:")


def test_features_come_only_when_asked_for(call, churn):
    view, model = churn
    request = {"entity_id": "user_123", "feature_view": view}

    assert "features" not in call("POST", f"/predict/{model}", request)


def test_a_row_reads_back_as_written(call, churn):
    view, _ = churn
    row = call("GET", f"/features/{view}/user_123")

    assert row["features"] == FEATURES
    assert row["status"] == {}
    assert call("GET", f"/features/{view}/user_123?features=support_tickets")["features"] == {
        "support_tickets": 3
    }
    batch = call(
        "POST",
        "/features/batch",
        {"feature_view": view, "entity_ids": ["user_123", "?", "user_123"]},
    )
    assert [r["entity_id"] for r in batch["results"]] == ["user_123", "?", "user_123"]
    assert batch["results"][0]["features"] == FEATURES
    assert set(batch["results"][1]["status"].values()) == {"NOT_FOUND"}
    assert view in [v["name"] for v in _all(call, "/features/views", "views")]


def test_a_split_shares_traffic_and_keeps_each_entity_where_it_is(call, churn):
    view, model = churn
    ids = [f"user {i}" for i in range(200)]
    call(
        "POST",
        "/features/write",
        {"feature_view": view, "rows": [{"entity_id": i, "features": FEATURES} for i in ids]},
    )
    registration = {
        **CHURN,
        "description": "the second",
        "features": [f.replace("user_features", view) for f in CHURN["features"]],
    }
    call("POST", f"/models/{model}/versions", registration, status=201)
    call("POST", f"/models/{model}/ab-split", {"split": {"v1": 0.5, "v2": 0.5}})

    def versions():
        body = {"entity_ids": ids, "feature_view": view}
        answer = call("POST", f"/predict/{model}/batch", body)
        assert (answer["count"], answer["failed"]) == (200, 0)
        return {p["entity_id"]: p["version"] for p in answer["predictions"]}

    # Routing is cached for seconds: wait until the split is seen.
    assigned = eventually(lambda: (seen := versions()) and "v2" in seen.values() and seen)
    assert 60 <= list(assigned.values()).count("v2") <= 140
    assert versions() == assigned
    for entity in ids[:20]:
        one = call("POST", f"/predict/{model}", {"entity_id": entity, "feature_view": view})
        assert one["version"] == assigned[entity]


def test_promotion_is_seen_in_lineage_and_serving_and_can_be_undone(call, churn):
    view, model = churn
    registration = {
        **CHURN,
        "features": [f.replace("user_features", view) for f in CHURN["features"]],
        "lineage": {"dataset": {"name": "users"}, "code": {"repo": "r"}, "parents": ["v1"]},
    }
    call("POST", f"/models/{model}/versions", registration, status=201)
    call("POST", f"/models/{model}/promote/v2", {"reason": "better"})

    def serving():
        return call("POST", f"/predict/{model}", {"entity_id": "user_123"})["version"]

    assert eventually(lambda: serving() == "v2")
    lineage = call("GET", f"/models/{model}/lineage")
    made = {v["version"]: v for v in lineage["versions"]}
    assert (made["v1"]["stage"], made["v2"]["stage"]) == ("archived", "production")
    assert made["v2"]["parents"] == [f"{model}@v1"]
    assert made["v2"]["feature_views"][0]["view"] == view
    assert any(e.get("reason") == "better" for e in lineage["events"])
    call("POST", f"/models/{model}/rollback", {"reason": "worse after all"})
    assert eventually(lambda: serving() == "v1")
    assert call("GET", f"/models/{model}")["production_version"] == "v1"
    assert model in [m["name"] for m in _all(call, "/models", "models")]


def test_a_job_predicts_a_file_through_the_state_machine(stack, call, churn):
    view, model = churn
    ids = [f"row {i}" for i in range(50)]
    call(
        "POST",
        "/features/write",
        {"feature_view": view, "rows": [{"entity_id": i, "features": FEATURES} for i in ids]},
    )
    s3, bucket, folder = stack.client("s3"), "neuralstream-local-data", f"jobs/{uuid.uuid4().hex}"
    table = "entity_id\n" + "\n".join([*ids, "nobody"])
    s3.put_object(Bucket=bucket, Key=f"{folder}/in.csv", Body=table.encode())

    def run(**options):
        places = {"input": f"s3://{bucket}/{folder}/in.csv", "output": f"s3://{bucket}/{folder}/"}
        job = call("POST", f"/predict/{model}/batch", {**places, **options}, status=202)

        def finished():
            seen = call("GET", f"/jobs/{job['job_id']}")
            return seen["finished_at"] and seen

        return eventually(finished)

    done = run(max_failed_fraction=0.5)
    assert done["status"] == "SUCCEEDED", done
    assert (done["outcome"]["rows"], done["outcome"]["failed"]) == (51, 1)
    assert done["outcome"]["reasons"] == {"missing_features": 1}
    rows = [
        json.loads(line)
        for entry in s3.list_objects_v2(Bucket=bucket, Prefix=f"{folder}/{done['job_id']}/part-")[
            "Contents"
        ]
        for line in s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].iter_lines()
    ]
    assert [row["entity_id"] for row in rows] == [*ids, "nobody"]
    assert done["job_id"] in [j["job_id"] for j in _all(call, "/jobs", "jobs")]
    strict = run()
    assert (strict["status"], strict["failure"]["code"]) == ("FAILED", "too_many_failed_rows")


def test_predictions_are_counted_and_watched(call, churn):
    view, model = churn
    for _ in range(5):
        call("POST", f"/predict/{model}", {"entity_id": "user_123", "feature_view": view})

    stats = json.dumps(call("GET", f"/monitoring/stats?model={model}&window=1h"))
    assert '"v1"' in stats
    drift = call("GET", f"/monitoring/drift?model={model}&window=1h")
    assert drift["model"] == model
    assert call("GET", "/health")["status"] == "ok"


def _number(name, text):
    """A held-out cell as the feature's type wants it."""
    if not text:
        return None
    return int(text) if name in _WHOLE else float(text)


def test_predictions_over_http_equal_the_source_librarys(call, flights):
    """What scikit-learn and LightGBM said of the held-out flights, with every input in the request."""
    assert flights["versions"] == 3
    for flight in held_out()[:100]:
        inputs = {name.removeprefix("request:"): _number(name, flight[name]) for name in INPUTS}
        for version, column in (("v1", "p_logistic"), ("v2", "p_trees")):
            body = {**request_of(flight), "features": inputs, "version": version}
            answer = call("POST", f"/predict/{MODEL}", body)
            assert answer["version"] == version
            assert answer["probability"] == pytest.approx(float(flight[column]), abs=2e-5)


def test_fetched_features_predict_what_the_source_library_does(call, flights):
    """What LightGBM said, with every feature fetched from three views."""
    assert flights["views"] == 3
    for flight in held_out()[:150]:
        body = {**request_of(flight), "version": "v2", "return_features": True}
        answer = call("POST", f"/predict/{MODEL}", body)
        fetched = answer["features"]
        stored = {name: fetched[name.partition(":")[2]] for name in _FETCHED}
        assert stored == {name: _number(name, flight[name]) for name in _FETCHED}
        assert answer["probability"] == pytest.approx(float(flight["p_trees"]), abs=2e-5)


def _all(call, path, key):
    """Every item of a paged listing."""
    items, token = [], None
    while True:
        page = call("GET", path if token is None else f"{path}?next_token={token}")
        items += page[key]
        if (token := page.get("next_token")) is None:
            return items
