"""functions/batch_predict over API Gateway events: rows at once, jobs, the schedule."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.batch_function import Function
from tests.support.jobs import JobHouse, by, linear

ROOT = Path(__file__).parents[3]


@pytest.fixture
def function(job_house: JobHouse) -> Function:
    return Function(job_house)


def test_rows_at_once_answer_each_entity_in_order(job_house: JobHouse, function: Function) -> None:
    job_house.users()
    status, answer = function.batch("sum", {"entity_ids": ["u2", "nobody", "u2", "u0"]})
    assert status == 200
    assert (answer["model"], answer["count"], answer["failed"]) == ("sum", 4, 1)
    rows = answer["predictions"]
    assert [row["entity_id"] for row in rows] == ["u2", "nobody", "u2", "u0"]
    assert [row.get("prediction") for row in rows] == [7.0, None, 7.0, 1.0]
    assert rows[1]["error"]["code"] == "missing_features"
    assert "user:a" in rows[1]["error"]["detail"]
    assert answer["latency_ms"] > 0


def test_rows_take_values_by_column_and_a_pinned_version(
    job_house: JobHouse, function: Function
) -> None:
    job_house.users()
    job_house.register("sum", linear([0.0, 0.0], -1.0), ["user:a", "user:b"])
    body = {"entity_ids": ["u1", "u2"], "features": {"a": [10.0, None]}}
    _, answer = function.batch("sum", body)
    assert [row.get("prediction") for row in answer["predictions"]] == [13.0, None]
    _, answer = function.batch("sum", {"entity_ids": ["u1"], "version": "v2"})
    assert (answer["predictions"][0]["version"], answer["predictions"][0]["prediction"]) == (
        "v2",
        -1.0,
    )


def test_rows_of_composite_entities(job_house: JobHouse, function: Function) -> None:
    job_house.view("pair", ["user", "item"], score="float64")
    job_house.write("pair", {("u", "1"): {"score": 1.0}, ("u", "2"): {"score": 2.0}})
    job_house.serve("pairs", linear([1.0]), ["pair:score"])
    ids = [["u", "2"], {"item": "1", "user": "u"}]
    _, answer = function.batch("pairs", {"entity_ids": ids})
    assert [(r["entity_id"], r["prediction"]) for r in answer["predictions"]] == [
        (["u", "2"], 2.0),
        (["u", "1"], 1.0),
    ]
    status, problem = function.batch("pairs", {"entity_ids": [["u", "2"], ["u"]]})
    assert (status, problem["errors"][0]["loc"]) == (422, "entity_ids.1")


def test_a_batch_shares_out_a_split_as_single_predictions_do(
    job_house: JobHouse, function: Function
) -> None:
    job_house.users(300)
    job_house.register("sum", linear([0.0, 0.0], -1.0), ["user:a", "user:b"])
    job_house.registry.set_split("sum", {"v1": 0.7, "v2": 0.3}, by())
    ids = [f"u{i}" for i in range(300)]
    _, answer = function.batch("sum", {"entity_ids": ids})
    versions = {row["entity_id"]: row["version"] for row in answer["predictions"]}
    assert set(versions.values()) == {"v1", "v2"}
    _, again = function.batch("sum", {"entity_ids": ids[::-1]})
    assert {row["entity_id"]: row["version"] for row in again["predictions"]} == versions
    for i, row in enumerate(answer["predictions"]):
        assert row["prediction"] == (3.0 * i + 1 if row["version"] == "v1" else -1.0)


def as_rows(answer: Any) -> list[dict[str, Any]]:
    """An answer in columns as the rows of the other layout."""
    columns = answer["columns"]
    errors = {
        row: {"code": error["code"], "detail": error["detail"]}
        for error in answer["errors"]
        for row in error["rows"]
    }
    rows: list[dict[str, Any]] = []
    for at, entity in enumerate(answer["entity_ids"]):
        row = {"entity_id": entity}
        for name, cells in columns.items():
            if isinstance(cells, dict):
                named = {n: values[at] for n, values in cells.items() if values[at] is not None}
                if named:
                    row[name] = named
            elif cells[at] is not None:
                row[name] = cells[at]
        if at in errors:
            row["error"] = errors[at]
        rows.append(row)
    return rows


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose prediction ids do not say of which request they are."""
    return [
        {**row, "prediction_id": re.sub("(:v[12]:)[0-9A-Z]{26}", r"\1", row["prediction_id"])}
        if "prediction_id" in row
        else row
        for row in rows
    ]


def test_columns_hold_what_the_rows_hold(job_house: JobHouse, function: Function) -> None:
    """Two versions of different answers, classes, several outputs, failed rows and values of the caller."""
    job_house.users(50)
    ids = [f"u{i}" for i in range(40)] + ["nobody", "u1", "no one"]
    job_house.register(
        "sum",
        linear([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [0.0, 0.0, 0.5], classes=["x", "y", "z"]),
        ["user:a", "user:b"],
    )
    job_house.registry.set_split("sum", {"v1": 0.5, "v2": 0.5}, by())
    job_house.serve("two", linear([[1.0, 0.0], [0.0, 1.0]]), ["user:a", "user:b"])
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("sum", {"entity_ids": ids}),
        ("sum", {"entity_ids": ids, "features": {"a": [1.5, None, "x"] + [2] * (len(ids) - 3)}}),
        ("two", {"entity_ids": ids}),
        ("sum", {"entity_ids": ["nobody"]}),
        ("sum", {"entity_ids": []}),
    ]
    for model, body in bodies:
        status, by_row = function.batch(model, body)
        assert status == 200
        status, answer = function.batch(model, {**body, "layout": "columns"})
        assert status == 200
        assert plain(as_rows(answer)) == plain(by_row["predictions"])
        for name in ("model", "count", "failed"):
            assert answer[name] == by_row[name]
        assert set(answer) == {
            "model", "entity_ids", "columns", "errors", "count", "failed", "latency_ms", "timestamp",
        }  # fmt: skip


def test_rows_that_fail_for_one_reason_share_it_in_columns(
    job_house: JobHouse, function: Function
) -> None:
    job_house.users()
    ids = ["u2", "nobody", "u0", "no one"]
    _, answer = function.batch("sum", {"entity_ids": ids, "layout": "columns"})
    assert answer["columns"]["version"] == ["v1"] * 4
    assert answer["columns"]["prediction"] == [7.0, None, 1.0, None]
    (error,) = answer["errors"]
    assert (error["code"], error["rows"]) == ("missing_features", [1, 3])
    assert "user:a" in error["detail"]


@pytest.mark.parametrize(
    ("body", "status", "loc"),
    [
        ({"entity_ids": ["u"] * 1001}, 413, None),
        ({"entity_ids": ["u1"], "layout": "cells"}, 422, "layout"),
        ({"input": "s3://b/a.csv", "output": "s3://b/", "layout": "columns"}, 422, "body"),
        ({}, 422, "body"),
        ({"entity_ids": ["u1"], "input": "s3://b/a.csv"}, 422, "body"),
        ({"entity_ids": ["u1"], "features": {"a": [1.0, 2.0]}}, 422, "body"),
        ({"input": "s3://bucket/a.csv"}, 422, "body"),
        ({"entity_ids": [""]}, 422, "entity_ids.0"),
        ({"entity_ids": ["u1"], "features": {"zz": [1.0]}}, 422, "features.zz"),
        ({"entity_ids": ["u1"], "version": "v9"}, 404, None),
        ({"input": "s3://elsewhere/a.csv", "output": "s3://elsewhere/"}, 422, "input"),
        (
            {"input": "s3://b/a.csv", "output": "s3://b/", "max_failed_fraction": 2},
            422,
            "max_failed_fraction",
        ),
    ],
)
def test_wrong_requests_are_named(
    job_house: JobHouse, function: Function, body: Any, status: int, loc: str | None
) -> None:
    job_house.users(3)
    found, problem = function.batch("sum", body)
    assert found == status, problem
    if loc is not None:
        assert any(error["loc"].startswith(loc) for error in problem["errors"]), problem


def test_no_entities_are_no_predictions(job_house: JobHouse, function: Function) -> None:
    job_house.users(3)
    status, answer = function.batch("sum", {"entity_ids": []})
    assert (status, answer["predictions"], answer["count"]) == (200, [], 0)


def test_a_job_is_accepted_listed_and_read(job_house: JobHouse, function: Function) -> None:
    job_house.users(3)
    source = job_house.put("in/a.csv", "entity_id\nu1\n")
    output = f"s3://{job_house.settings.data_bucket}/jobs/out/"
    body = {"input": source, "output": output, "output_format": "parquet"}
    ids = []
    for _ in range(3):
        status, job = function.batch("sum", body)
        assert (status, job["status"]) == (202, "PENDING")
        ids.append(job["job_id"])
    assert len(set(ids)) == 3
    _, page = function("GET /jobs", query={"limit": "2"})
    _, rest = function("GET /jobs", query={"limit": "2", "next_token": page["next_token"]})
    assert [job["job_id"] for job in page["jobs"] + rest["jobs"]] == ids[::-1]
    _, job = function("GET /jobs/{job_id}", {"job_id": ids[0]})
    assert (job["output"], job["created_by"]) == (f"{output}{ids[0]}/", "ann")
    status, problem = function("GET /jobs/{job_id}", {"job_id": "job-" + "0" * 26})
    assert (status, problem["code"]) == (404, "job_not_found")


def test_an_idempotency_key_makes_one_job(job_house: JobHouse, function: Function) -> None:
    job_house.users(3)
    source = job_house.put("in/a.csv", "entity_id\nu1\n")
    body = {"input": source, "output": f"s3://{job_house.settings.data_bucket}/jobs/out/"}
    _, first = function.batch("sum", body, idempotency_key="k")
    status, second = function.batch("sum", body, idempotency_key="k")
    assert (status, second["job_id"]) == (202, first["job_id"])
    status, problem = function.batch(
        "sum", {**body, "output_format": "parquet"}, idempotency_key="k"
    )
    assert (status, problem["code"]) == (409, "idempotency_conflict")


def test_a_job_is_seen_by_who_submitted_it_and_by_who_monitors(
    job_house: JobHouse, function: Function
) -> None:
    job_house.users(3)
    source = job_house.put("in/a.csv", "entity_id\nu1\n")
    body = {"input": source, "output": f"s3://{job_house.settings.data_bucket}/jobs/out/"}
    _, ours = function.batch("sum", body)
    _, theirs = function.batch("sum", body, principal="bob")

    def seen(principal: str, scopes: str = "predict") -> tuple[list[int], list[str]]:
        who = {"principal": principal, "scopes": scopes}
        _, page = function("GET /jobs", query={"limit": "100"}, **who)
        reads = [
            function("GET /jobs/{job_id}", {"job_id": job["job_id"]}, **who)[0]
            for job in (ours, theirs)
        ]
        return reads, [job["job_id"] for job in page["jobs"]]

    assert seen("ann") == ([200, 404], [ours["job_id"]])
    assert seen("bob") == ([404, 200], [theirs["job_id"]])
    assert seen("eve") == ([404, 404], [])
    everything = ([200, 200], [theirs["job_id"], ours["job_id"]])
    assert seen("ops", "predict monitoring") == everything


def test_pages_of_ones_own_jobs_are_whole_among_those_of_others(
    job_house: JobHouse, function: Function
) -> None:
    job_house.users(3)
    source = job_house.put("in/a.csv", "entity_id\nu1\n")
    body = {"input": source, "output": f"s3://{job_house.settings.data_bucket}/jobs/out/"}
    own = []
    for _ in range(5):
        own.append(function.batch("sum", body)[1]["job_id"])
        function.batch("sum", body, principal="bob")
    found: list[str] = []
    query = {"limit": "2"}
    while True:
        _, page = function("GET /jobs", query=query)
        found += [job["job_id"] for job in page["jobs"]]
        if page["next_token"] is None:
            break
        assert len(page["jobs"]) == 2
        query = {"limit": "2", "next_token": page["next_token"]}
    assert found == own[::-1]


def test_an_idempotency_key_is_its_principals_own(job_house: JobHouse, function: Function) -> None:
    job_house.users(3)
    source = job_house.put("in/a.csv", "entity_id\nu1\n")
    body = {"input": source, "output": f"s3://{job_house.settings.data_bucket}/jobs/out/"}
    _, first = function.batch("sum", body, idempotency_key="k")
    status, other = function.batch(
        "sum", {**body, "output_format": "parquet"}, "bob", idempotency_key="k"
    )
    assert status == 202
    assert other["job_id"] != first["job_id"]
    _, again = function.batch("sum", body, idempotency_key="k")
    assert again["job_id"] == first["job_id"]
    _, page = function("GET /jobs")
    assert [job["job_id"] for job in page["jobs"]] == [first["job_id"]]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"input": "absent"}, "object_not_found"),
        ({"input": "s3://elsewhere/a.csv"}, "bucket_not_allowed"),
        ({"input": "s3://elsewhere/a"}, "bucket_not_allowed"),
        ({"model": "unknown"}, "model_not_found"),
        ({"version": "v9"}, "version_not_found"),
    ],
)
def test_what_a_schedule_asks_for_in_vain_is_a_failed_job_and_no_error_of_the_function(
    job_house: JobHouse, function: Function, change: dict[str, str], code: str
) -> None:
    job_house.users(3)
    source = job_house.put("in/a.csv", "entity_id\nu1\n")
    output = f"s3://{job_house.settings.data_bucket}/jobs/out/"
    event = {"model": "sum", "input": source, "output": output, **change}
    if event["input"] == "absent":
        event["input"] = source.replace("a.csv", "absent.csv")
    answer = function.deliver(event)
    assert answer["status"] == "FAILED"
    status, job = function(
        "GET /jobs/{job_id}", {"job_id": answer["job_id"]}, scopes="predict monitoring"
    )
    assert (status, job["status"], job["failure"]["code"]) == (200, "FAILED", code)
    item = job_house.table.get(f"JOB#jobs#{answer['job_id']}", "JOB")
    assert item is not None
    assert "outbox" not in item


def test_a_schedule_starts_the_same_job(job_house: JobHouse, function: Function) -> None:
    job_house.users(3)
    event = {
        "model": "sum",
        "input": job_house.put("in/a.csv", "entity_id\nu1\n"),
        "output": f"s3://{job_house.settings.data_bucket}/jobs/out/",
    }
    answer = function.deliver(event)
    assert answer["status"] == "PENDING"
    item = job_house.table.get(f"JOB#jobs#{answer['job_id']}", "JOB")
    assert item is not None
    assert item["outbox"] == {
        "kind": "start_job",
        "job_id": answer["job_id"],
        "job": "predict",
    }
