"""The routes: shapes, limits, scopes, and what a wrong request is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from neuralstream_core.features import OnlineStore
from neuralstream_lambda.payload import MAX_PAYLOAD
from tests.support.features import Clock, Functions

SPEC = {
    "entity": "user_id",
    "features": [{"name": "age", "dtype": "int64"}, {"name": "score", "dtype": "float64"}],
    "ttl_seconds": 86400,
    "description": "users",
    "owner": "team-a",
    "tags": {"tier": "gold"},
}
READ = "GET /features/{feature_view}/{entity_id+}"


@pytest.fixture
def api(functions: Functions) -> Functions:
    reply = functions.call("PUT /features/views/{name}", path={"name": "user"}, body=SPEC)
    assert reply.status == 201
    return functions


def test_a_view_is_answered_as_it_was_declared(api: Functions) -> None:
    found = api.call("GET /features/views/{name}", path={"name": "user"})
    assert found.status == 200
    assert {name: found.body[name] for name in SPEC} == SPEC
    assert found.body["name"] == "user"
    assert found.body["schema_version"] == 1
    assert found.body["created_at"].endswith("Z")
    grown = {
        **SPEC,
        "features": [*SPEC["features"], {"name": "v", "dtype": "float32", "shape": [2]}],
    }
    again = api.call("PUT /features/views/{name}", path={"name": "user"}, body=grown)
    assert (again.status, again.body["schema_version"]) == (200, 2)
    assert again.body["features"] == grown["features"]
    shrunk = api.call("PUT /features/views/{name}", path={"name": "user"}, body=SPEC)
    assert (shrunk.status, shrunk.body["code"]) == (409, "incompatible_schema")


def test_views_are_listed_in_pages(api: Functions) -> None:
    for i in range(4):
        api.call("PUT /features/views/{name}", path={"name": f"v{i}"}, body=SPEC)
    first = api.call("GET /features/views", query={"limit": "3"})
    assert [view["name"] for view in first.body["views"]] == ["user", "v0", "v1"]
    query = {"limit": "3", "next_token": first.body["next_token"]}
    last = api.call("GET /features/views", query=query)
    assert [view["name"] for view in last.body["views"]] == ["v2", "v3"]
    assert "next_token" not in last.body
    found = api.call("GET /features/views", query={"limit": "3", "prefix": "v"})
    assert [view["name"] for view in found.body["views"]] == ["v0", "v1", "v2"]
    query = {"limit": "3", "prefix": "v", "next_token": found.body["next_token"]}
    rest = api.call("GET /features/views", query=query)
    assert [view["name"] for view in rest.body["views"]] == ["v3"]
    query["prefix"] = "u"  # of another listing
    assert api.call("GET /features/views", query=query).body["code"] == "invalid_token"
    assert api.call("GET /features/views", query={"next_token": "x"}).status == 422
    assert api.call("GET /features/views", query={"limit": "0"}).status == 422


def test_the_answers_have_exactly_the_fields_of_the_contract(api: Functions, clock: Clock) -> None:
    time = clock.at(-5)
    body = {
        "feature_view": "user",
        "entity_id": "u1",
        "features": {"age": 41},
        "event_timestamp": time,
    }
    assert api.call("POST /features/write", body=body).body == {
        "feature_view": "user",
        "written": 1,
        "stale": 0,
    }
    row = {
        "entity_id": "u1",
        "features": {"age": 41, "score": None},
        "status": {"score": "NOT_FOUND"},
        "event_timestamp": time,
    }
    path = {"feature_view": "user", "entity_id": "u1"}
    assert api.call(READ, path=path).body == {"feature_view": "user", **row}
    batch = api.call("POST /features/batch", body={"feature_view": "user", "entity_ids": ["u1"]})
    assert batch.body == {"feature_view": "user", "results": [row]}
    batch = api.call("POST /features/batch", body={"feature_view": "user", "entity_ids": []})
    assert batch.body == {"feature_view": "user", "results": []}


def test_a_row_written_without_a_time_is_of_now(api: Functions) -> None:
    body = {
        "feature_view": "user",
        "entity_id": "u1",
        "features": {"age": 1},
        "event_timestamp": None,
    }
    assert api.call("POST /features/write", body=body).body["written"] == 1
    assert api.call(READ, path={"feature_view": "user", "entity_id": "u1"}).body["status"] == {
        "score": "NOT_FOUND"
    }


@pytest.mark.parametrize(
    ("body", "status", "loc"),
    [
        ("", 422, "body"),
        ("{", 422, "body"),
        ({}, 422, "feature_view"),
        ({"feature_view": "user"}, 422, "body"),
        ({"feature_view": "user", "rows": []}, 422, "rows"),
        ({"feature_view": "user", "rows": [1]}, 422, "rows.0"),
        ({"feature_view": "user", "rows": [{}]}, 422, "rows.0.entity_id"),
        ({"feature_view": "user", "rows": [{"entity_id": "u"}], "entity_id": "u"}, 422, "body"),
        ({"feature_view": "user", "entity_id": "u", "features": {"age": 1}, "ttl": 1}, 422, "ttl"),
        ({"feature_view": "user", "entity_id": 5.0, "features": {"age": 1}}, 422, "entity_id"),
        ({"feature_view": "user", "entity_id": True, "features": {"age": 1}}, 422, "entity_id"),
        ({"feature_view": "user", "entity_id": 10**1024, "features": {"age": 1}}, 422, "entity_id"),
        ({"feature_view": "user", "entity_id": "u", "features": [1]}, 422, "features"),
        ({"feature_view": "user", "entity_id": "u", "features": {}}, 422, "features"),
        ({"feature_view": "*", "entity_id": "u", "features": {"age": 1}}, 422, "feature_view"),
        ('{"feature_view":"user","entity_id":"u","features":{"score":NaN}}', 422, "features.score"),
        ('{"feature_view":"user","entity_id":"u","features":{"score":1e999}}', 422, "features.score"),
        ('{"feature_view":"user","entity_id":"\\ud800","features":{"age":1}}', 422, None),
        ({"feature_view": "user", "rows": [{}] * 10_001}, 413, None),
        (" " * (5 * 1024 * 1024 + 1), 413, None),
    ],
)  # fmt: skip
def test_a_wrong_write_is_told_where(
    api: Functions, body: Any, status: int, loc: str | None
) -> None:
    reply = api.call("POST /features/write", body=body)
    assert reply.status == status
    if loc is not None:
        assert loc in [error["loc"] for error in reply.body["errors"]]


@pytest.mark.parametrize(
    ("body", "status", "loc"),
    [
        ({"feature_view": "user"}, 422, "entity_ids"),
        ({"feature_view": "user", "entity_ids": ["a", 3.5, ""]}, 422, "entity_ids.1"),
        ({"feature_view": "user", "entity_ids": ["a", 3, False]}, 422, "entity_ids.2"),
        ({"feature_view": "user", "entity_ids": [["a", "b"]]}, 422, "entity_ids.0"),
        ({"feature_view": "user", "entity_ids": ["a"], "features": []}, 422, "features"),
        ({"feature_view": "user", "entity_ids": ["a"], "features": ["age", "no"]}, 422, "features.1"),
        ({"feature_view": "user", "entity_ids": ["a"] * 1001}, 413, None),
    ],
)  # fmt: skip
def test_a_wrong_batch_is_told_where(
    api: Functions, body: Any, status: int, loc: str | None
) -> None:
    reply = api.call("POST /features/batch", body=body)
    assert reply.status == status
    if loc is not None:
        assert loc in [error["loc"] for error in reply.body["errors"]]


def test_a_thousand_entities_fit_in_one_batch(api: Functions) -> None:
    rows = [{"entity_id": str(i), "features": {"age": i, "score": i / 3}} for i in range(1000)]
    assert (
        api.call("POST /features/write", body={"feature_view": "user", "rows": rows}).status == 200
    )
    ids = [str(i) for i in reversed(range(1000))]
    reply = api.call("POST /features/batch", body={"feature_view": "user", "entity_ids": ids})
    found = [(r["features"]["age"], r["features"]["score"]) for r in reply.body["results"]]
    assert found == [(i, i / 3) for i in reversed(range(1000))]


@pytest.mark.parametrize(
    ("route", "scopes"),
    [
        ("PUT /features/views/{name}", "features:read models:write"),
        ("DELETE /features/views/{name}", "features:read predict"),
        ("POST /features/write", "features:read"),
        ("GET /features/views", "features:write"),
        ("GET /features/views/{name}", "features:write"),
        (READ, "features:write predict"),
        ("POST /features/batch", "features:write"),
    ],
)
def test_every_route_wants_its_own_scope(functions: Functions, route: str, scopes: str) -> None:
    assert functions.call(route, path={"name": "user"}, scopes=scopes).status == 403


def test_a_deletion_that_runs_out_of_time_answers_202_and_goes_on(
    api: Functions, store: OnlineStore
) -> None:
    rows = [{"entity_id": str(i), "features": {"age": i}} for i in range(5000)]
    store.write("user", rows)
    replies = []
    while not replies or replies[-1].status == 202:
        path = {"name": "user"}
        replies.append(api.call("DELETE /features/views/{name}", path=path, remaining_ms=3000))
        assert len(replies) < 50
    assert len(replies) > 1
    assert replies[0].body["status"] == "deleting"
    assert replies[-1].status == 200
    assert replies[-1].body == {"name": "user", "status": "deleted", "rows_removed": 5000}
    assert api.call("DELETE /features/views/{name}", path={"name": "user"}).status == 404


def test_an_error_never_repeats_a_value(api: Functions) -> None:
    secret = "4111-1111-1111-1111"  # noqa: S105 - stands for what must not leak
    body = {"feature_view": "user", "entity_id": secret * 100, "features": {"age": secret}}
    reply = api.call("POST /features/write", body=body)
    assert reply.status == 422
    assert secret not in json.dumps(reply.body)


def test_an_answer_that_would_not_fit_is_refused_with_a_way_out(
    api: Functions, store: OnlineStore
) -> None:
    text = {"entity": "id", "features": [{"name": "s", "dtype": "string"}]}
    api.call("PUT /features/views/{name}", path={"name": "text"}, body=text)
    store.write(
        "text", [{"entity_id": str(i), "features": {"s": "x" * 60_000}} for i in range(110)]
    )
    body = {"feature_view": "text", "entity_ids": [str(i) for i in range(110)]}
    reply = api.call("POST /features/batch", body=body)
    assert (reply.status, reply.body["code"]) == (413, "answer_too_large")
    assert "fewer entities" in reply.body["detail"]
    assert str(MAX_PAYLOAD) in reply.body["detail"]
    body = {"feature_view": "text", "entity_ids": [str(i) for i in range(30)]}
    assert api.call("POST /features/batch", body=body).status == 200


def test_a_whole_number_and_its_digits_are_one_entity(api: Functions) -> None:
    write = {"feature_view": "user", "entity_id": 17, "features": {"age": 1}}
    assert api.call("POST /features/write", body=write).body["written"] == 1
    rows = [{"entity_id": -4, "features": {"age": 2}}, {"entity_id": 2**80, "features": {"age": 3}}]
    api.call("POST /features/write", body={"feature_view": "user", "rows": rows})
    assert api.call(READ, path={"feature_view": "user", "entity_id": "17"}).body["features"] == {
        "age": 1,
        "score": None,
    }
    ids = [17, "17", -4, str(2**80)]
    batch = api.call("POST /features/batch", body={"feature_view": "user", "entity_ids": ids})
    assert [(r["entity_id"], r["features"]["age"]) for r in batch.body["results"]] == [
        ("17", 1),
        ("17", 1),
        ("-4", 2),
        (str(2**80), 3),
    ]


def test_a_name_is_not_echoed_at_any_length(api: Functions) -> None:
    body = {"feature_view": "user", "entity_id": "u", "features": {"n" * 100_000: 1}}
    reply = api.call("POST /features/write", body=body)
    assert reply.status == 422
    assert len(json.dumps(reply.body)) < 2000
    query = {"features": "n" * 60_000}
    reply = api.call(READ, path={"feature_view": "user", "entity_id": "u"}, query=query)
    assert reply.status == 422
    assert len(json.dumps(reply.body)) < 2000
