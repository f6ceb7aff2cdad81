"""Bad input on every route of template.yaml: the designed problem, and nothing changed.

The routes come from the template and their limits from the functions' declarations, so a new route is
held to the same without a word here.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from neuralstream_local.laptop import BUCKET, HISTORY_TABLE, TABLE, laptop_template
from neuralstream_local.openapi import routes as declared_routes
from neuralstream_local.stack import Stack
from tests.support.stack import RunningStack

ROOT = Path(__file__).resolve().parents[2]
KEYS = [route.key for route in laptop_template(redis_port=1).routes()]
WITH_PATH = [key for key in KEYS if "{" in key]
ANY_ID = {"DELETE /features/{feature_view}/{entity_id+}"}
"""Any id may be forgotten, whether it is known or not, and each time is recorded."""
WITH_BODY = [key for key in KEYS if key.split(" ")[0] in {"POST", "PUT", "PATCH"}]
VIEW, MODEL = "bad_input_view", "bad_input_model"
KNOWN = {
    "name": MODEL,
    "model": MODEL,
    "model_name": MODEL,
    "version": "v1",
    "feature_view": VIEW,
    "entity_id": "u1",
    "job_id": "job-00000000000000000000000000",
}
ODD = {
    "slash": "a/b",
    "spaces": " a b ",
    "unicode": "ключ–ß😀",
    "long": "x" * 1024,
    "too long": "x" * 1100,
    "null byte": "a\0b",
    "quotes": "a\"b'c`d",
    "dots": "..",
    "percent": "%",
    "hash": "a#b?c=d&e",
    "colon": "v:1#2",
    "newline": "a\r\nb",
    "brackets": "{name}",
}


@pytest.fixture(scope="module")
def declared():
    return {route.key: route for route in declared_routes()}


@pytest.fixture(scope="module")
def world():
    """One view with a row, one model in production: what bad requests must leave as it is.

    On a stack of its own: each test looks at everything that is stored, twice. It ends with the module:
    an idle one still asks its queues and streams.
    """
    with Stack() as running:
        yield _filled(RunningStack(running))


def _filled(stack):
    feature = [{"name": "a", "dtype": "float64"}, {"name": "s", "dtype": "string"}]
    made = stack.request("PUT", f"/features/views/{VIEW}", {"entity": "id", "features": feature})
    assert made.status == 201
    row = {"feature_view": VIEW, "entity_id": "u1", "features": {"a": 1.5, "s": "x"}}
    assert stack.request("POST", "/features/write", row).status == 200
    body = json.loads((ROOT / "examples/quickstart/register.json").read_text())
    body["features"] = ["request:tenure", "request:charges", "request:tickets"]
    del body["check"]  # it names other features
    reply = stack.request("POST", f"/models/{MODEL}/versions", body)
    assert reply.status == 201, reply.data
    assert stack.request("POST", f"/models/{MODEL}/promote/v1").status == 200
    return stack


@pytest.fixture
def unchanged(world):
    """After the test, everything stored is what it was, and nothing was added to the history."""
    before, logged = _everything(world), _items(world, HISTORY_TABLE, "LOG#")
    yield
    assert _everything(world) == before
    assert _items(world, HISTORY_TABLE, "LOG#") <= logged


def _everything(stack):
    """Each item and object of the stack, and the row as a reader sees it.

    Without what the scheduled compaction makes of rows that were written before.
    """
    s3 = stack.client("s3")
    objects = {
        (entry["Key"], entry["ETag"])
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        for entry in page.get("Contents", [])
        if not entry["Key"].startswith("history/")
    }
    return _items(stack, TABLE), objects, stack.request("GET", f"/features/{VIEW}/u1").data


def _items(stack, table, prefix=""):
    return {
        json.dumps(item, sort_keys=True, default=str)
        for page in stack.client("dynamodb").get_paginator("scan").paginate(TableName=table)
        for item in page["Items"]
        if item["PK"]["S"].startswith(prefix)
    }


def _path(key, **replaced):
    """A path of known things; ``replaced`` values are percent-encoded."""
    path = key.split(" ")[1]
    for name, value in {**KNOWN, **replaced}.items():
        path = path.replace(f"{{{name}}}", quote(value, safe="")).replace(
            f"{{{name}+}}", quote(value, safe="")
        )
    if "name" not in replaced:
        path = path.replace(f"/features/views/{MODEL}", f"/features/views/{VIEW}")
    return path


def _assert_problem(reply, *statuses, case=""):
    """A designed refusal in the route's own form."""
    assert reply.status in statuses, (case, reply.status, reply.data[:500])
    body = reply.json()
    if reply.headers["content-type"] == "application/json":
        assert set(body) == {"error"}
        assert body["error"]
        return
    assert reply.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code"} <= set(body)
    assert body["status"] == reply.status
    assert body["code"] != "internal"
    assert "Traceback" not in body["detail"]
    for error in body.get("errors", []):
        assert set(error) == {"loc", "msg"}


BROKEN = {
    "cut off": b'{"entity_id": "a"',
    "words": b"hello",
    "two documents": b"{}{}",
    "not utf-8": b'{"entity_id": "\xff\xfe"}',
    "single quotes": b"{'a': 1}",
    "comment": b'{"a": 1 /* one */}',
    "deep": b"[" * 50_000,
    "a list": b"[]",
    "a text": b'"text"',
    "a number": b"5",
    "a truth": b"true",
    "an unknown field": b'{"no_such_field": 1}',
    "not a number": b'{"no_such_field": NaN}',
    "infinity": b'{"no_such_field": -Infinity}',
    "beyond float": b'{"no_such_field": 1e999}',
    "half a surrogate": b'{"no_such_field": "\\ud800"}',
}


@pytest.mark.parametrize("key", WITH_BODY)
@pytest.mark.usefixtures("unchanged")
def test_bodies_that_are_not_what_the_route_takes(world, declared, key):
    method, path = key.split(" ")
    if declared[key].inputs.body is None:  # it takes none: only the things it names can be wrong
        path = _path(key, name="unknown", version="v9", model="unknown", model_name="unknown")
        _assert_problem(world.request(method, path, b""), 404, 409)
        return
    refused = 400 if path.startswith("/v2/") else 422
    for what, body in BROKEN.items():
        _assert_problem(world.request(method, _path(key), body), refused, case=what)


@pytest.mark.parametrize("key", WITH_BODY)
@pytest.mark.usefixtures("unchanged")
def test_a_body_beyond_the_routes_limit(world, declared, key):
    route = declared[key]
    max_body = route.contract.max_body
    if route.inputs.body is None:
        assert max_body <= 1024 * 1024
        return
    reply = world.request(route.route.method, _path(key), b'"' + b"x" * max_body + b'"')

    assert reply.status == 413, reply.data[:300]


@pytest.mark.parametrize("key", [key for key in WITH_PATH if key not in ANY_ID])
@pytest.mark.usefixtures("unchanged")
def test_odd_names_and_ids(world, key):
    """Each parameter of the path in turn; bodies are empty, so a change cannot be meant."""
    method, path = key.split(" ")
    statuses = (404, 400) if path.startswith("/v2/") else (404, 422)
    for name in (part.strip("{}+") for part in path.split("/") if part.startswith("{")):
        for what, odd in ODD.items():
            reply = world.request(method, _path(key, **{name: odd}))
            _assert_problem(reply, *statuses, case=f"{name}: {what}")


@pytest.mark.parametrize("key", WITH_PATH)
@pytest.mark.usefixtures("unchanged")
def test_unknown_things_are_not_found(world, key):
    if "{entity_id+}" in key or key.startswith(("POST /predict", "PUT ", "POST /models/{name}/ve")):
        return  # tested with a body below, or creates what it names
    unknown = {
        "name": "nobody",
        "model": "nobody",
        "model_name": "nobody",
        "version": "v99",
        "job_id": "job-11111111111111111111111111",
        "training_set_id": "job-11111111111111111111111111",
        "key_id": "aaaaaaaa",
    }
    body = {
        "POST /models/{name}/ab-split": {"split": {"v1": 1.0}},
        "POST /models/{name}/shadow": {"version": "v1"},
        "PATCH": {"description": "x"},
    }
    method = key.split(" ")[0]
    sent = body.get(key, body.get(method))
    if key.endswith("/infer"):
        sent = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
    path = key.split(" ")[1]
    for name, value in unknown.items():
        path = path.replace(f"{{{name}}}", value)
    if path.endswith("/history"):
        path += "?entity_id=u1"

    _assert_problem(world.request(method, path, sent), 404)


@pytest.mark.parametrize("key", [k for k in KEYS if k.startswith("GET")])
def test_odd_queries_are_never_an_internal_error(world, declared, key):
    for query in ("no_such_parameter=1", "limit=abc&next_token=%FF", "window=%00", "limit=-1"):
        reply = world.request("GET", f"{_path(key)}?{query}")
        if declared[key].inputs.query is not None:
            _assert_problem(reply, 422, case=query)
        else:
            assert reply.status < 500, (query, reply.data)


NOT_FINITE = ["NaN", "Infinity", "-Infinity", "1e999"]


@pytest.mark.parametrize("number", NOT_FINITE)
@pytest.mark.usefixtures("unchanged")
def test_numbers_that_are_not_finite_are_nowhere_accepted(world, number):
    for method, path, body in (
        (
            "POST",
            "/features/write",
            '{"feature_view": "%s", "entity_id": "u1", "features": {"a": %s}}',
        ),
        (
            "POST",
            "/features/write",
            '{"feature_view": "%s", "rows": [{"entity_id": "u1", "features": {"a": %s}}]}',
        ),
    ):
        _assert_problem(world.request(method, path, body % (VIEW, number)), 422)
    inputs = f'{{"tenure": {number}, "charges": 1, "tickets": 1}}'
    body = f'{{"entity_id": "u1", "features": {inputs}}}'
    _assert_problem(world.request("POST", f"/predict/{MODEL}", body), 422)
    split = f'{{"split": {{"v1": {number}}}}}'
    _assert_problem(world.request("POST", f"/models/{MODEL}/ab-split", split), 422)


WRONG_ROWS = {
    "wrong type": ({"a": "one"}, "features.a"),
    "text in a number": ({"a": "1.5"}, "features.a"),
    "number in a text": ({"s": 5}, "features.s"),
    "unknown feature": ({"zzz": 1}, "features.zzz"),
    "a truth in a number": ({"a": True}, "features.a"),
    "a list in a number": ({"a": [1]}, "features.a"),
}


@pytest.mark.parametrize(("features", "place"), WRONG_ROWS.values(), ids=WRONG_ROWS.keys())
@pytest.mark.usefixtures("unchanged")
def test_one_wrong_row_refuses_all_and_is_named(world, features, place):
    good = {"entity_id": "u1", "features": {"a": 99.0}}
    rows = [good, good, good, {"entity_id": "u1", "features": features}]
    reply = world.request("POST", "/features/write", {"feature_view": VIEW, "rows": rows})

    _assert_problem(reply, 422)
    assert f"rows.3.{place}" in [error["loc"] for error in reply.json()["errors"]]


@pytest.mark.parametrize(
    "body",
    [
        {"feature_view": VIEW, "entity_id": "u1"},
        {"feature_view": VIEW, "features": {"a": 1.0}},
        {"entity_id": "u1", "features": {"a": 1.0}},
        {"feature_view": VIEW, "entity_id": "", "features": {"a": 1.0}},
        {"feature_view": VIEW, "entity_id": 5.5, "features": {"a": 1.0}},
        {"feature_view": VIEW, "entity_id": "x" * 1025, "features": {"a": 1.0}},
        {
            "feature_view": VIEW,
            "entity_id": "u1",
            "features": {"a": 1.0},
            "event_timestamp": "soon",
        },
        {
            "feature_view": VIEW,
            "entity_id": "u1",
            "features": {"a": 1.0},
            "event_timestamp": "2999-01-01T00:00:00Z",
        },
        {
            "feature_view": VIEW,
            "entity_id": "u1",
            "features": {"a": 1.0},
            "event_timestamp": "2020-01-01T00:00:00",
        },
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_rows_that_cannot_be_written(world, body):
    _assert_problem(world.request("POST", "/features/write", body), 422)


@pytest.mark.usefixtures("unchanged")
def test_more_than_a_thousand_entities_are_too_many(world):
    ids = ["u1"] * 1001
    for path, body in (
        ("/features/batch", {"feature_view": VIEW, "entity_ids": ids}),
        (f"/predict/{MODEL}/batch", {"entity_ids": ids}),
    ):
        _assert_problem(world.request("POST", path, body), 413, 422)


@pytest.mark.parametrize(
    "odd", [value for value in ODD.values() if len(value) <= 1024], ids=lambda v: v[:8]
)
def test_an_entity_id_may_hold_any_character(world, odd):
    """What is odd in a name is fine in an id: written, read by path, read in a batch."""
    view = "any_characters"
    spec = {"entity": "id", "features": [{"name": "a", "dtype": "float64"}]}
    assert world.request("PUT", f"/features/views/{view}", spec).status in (200, 201)
    row = {"feature_view": view, "entity_id": odd, "features": {"a": 7.0}}
    assert world.request("POST", "/features/write", row).json()["written"] == 1
    read = world.request("GET", f"/features/{view}/{quote(odd, safe='')}").json()

    assert (read["entity_id"], read["features"]["a"]) == (odd, 7.0)
    batch = world.request("POST", "/features/batch", {"feature_view": view, "entity_ids": [odd]})
    assert batch.json()["results"][0]["entity_id"] == odd


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/predict/nobody", {"entity_id": "u1"}, 404),
        ("/predict/nobody/batch", {"entity_ids": ["u1"]}, 404),
        (f"/predict/{MODEL}", {"entity_id": "u1", "version": "v99"}, 404),
        (f"/predict/{MODEL}", {"entity_id": "u1"}, 422),
        (f"/predict/{MODEL}", {"entity_id": "u1", "features": {"zzz": 1}}, 422),
        (f"/predict/{MODEL}", {"entity_id": "u1", "feature_view": "nobody"}, 404),
        (
            "/features/write",
            {"feature_view": "nobody", "entity_id": "u", "features": {"a": 1.0}},
            404,
        ),
        ("/features/batch", {"feature_view": "nobody", "entity_ids": ["u"]}, 404),
        ("/features/batch", {"feature_view": VIEW, "entity_ids": ["u"], "features": ["zzz"]}, 422),
        (f"/models/{MODEL}/promote/v99", None, 404),
        (f"/models/{MODEL}/ab-split", {"split": {"v1": 0.5}}, 422),
        (f"/models/{MODEL}/ab-split", {"ramp": {"version": "v1", "steps": [[0.5, "1w"]]}}, 422),
        (f"/models/{MODEL}/shadow", {"version": "v99"}, 404),
        (f"/models/{MODEL}/ab-split", {"split": {"v1": 0.5, "v99": 0.5}}, 404),
        (f"/models/{MODEL}/rollback", None, 409),
        (f"/predict/{MODEL}/batch", {"input": "file:///etc/passwd", "output": "s3://x/y/"}, 422),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_unknown_or_contradictory_requests(world, path, body, status):
    _assert_problem(world.request("POST", path, body), status, 409, 422)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"format": "onnx", "artifact_base64": "AAAA"}, "artifact_rejected"),
        ({"format": "onnx", "artifact_base64": "not base64!"}, None),
        ({"format": "pickle", "artifact_base64": "gASVAAAAAA=="}, None),
        ({"format": "onnx"}, None),
        ({"format": "onnx", "artifact": {"sha256": "xyz", "size": 5}}, None),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_artifacts_that_are_no_models(world, body, code):
    body = {**body, "features": ["request:a"]}
    reply = world.request("POST", f"/models/{MODEL}/versions", body)

    _assert_problem(reply, 422)
    assert code is None or reply.json()["code"] == code


@pytest.mark.parametrize(
    "spec",
    [
        {"entity": "id", "features": []},
        {"entity": "id", "features": [{"name": "a", "dtype": "complex"}]},
        {"entity": "id", "features": [{"name": "a", "dtype": "int64"}] * 2},
        {"entity": "id", "features": [{"name": "a b", "dtype": "int64"}]},
        {"entity": "", "features": [{"name": "a", "dtype": "int64"}]},
        {"entity": "id", "features": [{"name": "a", "dtype": "int64", "shape": [0]}]},
        {"entity": "id", "features": [{"name": "a", "dtype": "int64"}], "ttl_seconds": -1},
        {"entity": "id", "features": [{"name": "a", "dtype": "int64"}], "ttl_seconds": "1"},
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_views_that_cannot_be(world, spec):
    for name in ("bad_input_new", VIEW):
        reply = world.request("PUT", f"/features/views/{name}", spec)
        _assert_problem(reply, 422, 409)
    assert world.request("GET", "/features/views/bad_input_new").status == 404


@pytest.mark.usefixtures("unchanged")
def test_a_view_does_not_lose_or_change_a_feature(world):
    for features in (
        [{"name": "a", "dtype": "float64"}],
        [{"name": "a", "dtype": "int64"}, {"name": "s", "dtype": "string"}],
    ):
        body = {"entity": "id", "features": features}
        _assert_problem(world.request("PUT", f"/features/views/{VIEW}", body), 409)
    body = {"entity": "id", "features": [{"name": "a", "dtype": "float64"}]}
    _assert_problem(world.request("PUT", "/features/views/views", body), 422)
