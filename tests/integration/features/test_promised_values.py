"""The promises of the feature store about times, schemas and values: through the library and the handlers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.features import Clock, Door
from tests.support.promises import make, put, time_of, values


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05Z"),
        ("2026-01-02T05:34:05+02:30", "2026-01-02T03:04:05Z"),
        ("2026-01-01T22:04:05-05:00", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.100000Z"),
        ("2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.123456Z"),
        ("2026-01-02T03:04:05.123456999Z", "2026-01-02T03:04:05.123456Z"),
        ("2026-01-02 03:04:05.123456789012+00:00", "2026-01-02T03:04:05.123456Z"),
    ],
)
def test_forms_of_one_moment(door: Door, view: str, written: str, kept: str) -> None:
    put(door, view, "u", written, a=1)
    assert door.read(view, "u", ["a"]).body["event_timestamp"] == kept


@pytest.mark.parametrize(
    "moment",
    ["2026-01-02T03:04:05", "2026-01-02", "yesterday", "", 1767323045, "2026-13-01T00:00:00Z"],
)
def test_a_time_without_a_zone_or_sense_is_refused(door: Door, view: str, moment: Any) -> None:
    reply = door.write(
        {
            "feature_view": view,
            "entity_id": "u",
            "features": {"a": 1},
            "event_timestamp": moment,
        }
    )
    assert reply.status == 422
    assert [e["loc"] for e in reply.body["errors"]] == ["event_timestamp"]


def test_rows_of_an_older_schema_stay_readable_and_writable(door: Door, clock: Clock) -> None:
    view = make(door, "grown", ["a", "b"])
    put(door, view, "u", clock.at(-9), a=1, b=2)
    make(door, view, ["a", "b", "c"])
    reply = door.read(view, "u").body
    assert reply["features"] == {"a": 1, "b": 2, "c": None}
    assert reply["status"] == {"c": "NOT_FOUND"}
    put(door, view, "u", clock.at(-8), c=3)
    assert values(door, view, "u") == {"a": 1, "b": 2, "c": 3}
    assert time_of(door, view, "u", "b") == clock.at(-9)


def test_an_invalid_row_anywhere_names_each_place_and_writes_nothing(door: Door, view: str) -> None:
    rows: list[dict[str, Any]] = [
        {"entity_id": "1", "features": {"a": 1}},
        {"entity_id": "2", "features": {"a": "1", "b": True}},
        {"entity_id": "", "features": {"a": 1}},
        {"entity_id": "3", "features": {"a": 1.0, "age": 1}},
        {"entity_id": "4", "features": {"a": 2**63}, "event_timestamp": "now"},
        {"entity_id": "5", "features": {}},
        {"features": {"a": 1}, "entity": "6"},
    ]
    reply = door.write({"feature_view": view, "rows": rows})
    assert reply.status == 422
    assert sorted(e["loc"] for e in reply.body["errors"]) == [
        "rows.1.features.a",
        "rows.1.features.b",
        "rows.2.entity_id",
        "rows.3.features.a",
        "rows.3.features.age",
        "rows.4.event_timestamp",
        "rows.4.features.a",
        "rows.5.features",
        "rows.6.entity",
        "rows.6.entity_id",
    ]
    assert door.read(view, "1").status == 404


def test_a_subset_in_the_order_it_was_asked_for(door: Door, clock: Clock, view: str) -> None:
    put(door, view, "u", clock.at(0), a=1, b=2)
    assert list(door.read(view, "u", ["b", "a"]).body["features"].items()) == [("b", 2), ("a", 1)]
    assert door.batch(view, ["u"], ["b"]).body["results"][0]["features"] == {"b": 2}
    reply = door.read(view, "u", ["a", "nope"])
    assert reply.status == 422
    assert reply.body["code"] == "unknown_feature"


EVERY = {
    "entity": "id",
    "features": [
        {"name": "f32", "dtype": "float32"},
        {"name": "f64", "dtype": "float64"},
        {"name": "i64", "dtype": "int64"},
        {"name": "yes", "dtype": "bool"},
        {"name": "text", "dtype": "string"},
        {"name": "when", "dtype": "timestamp"},
        {"name": "v32", "dtype": "float32", "shape": [2]},
        {"name": "v64", "dtype": "float64", "shape": [3]},
        {"name": "vint", "dtype": "int64", "shape": [1]},
        {"name": "more", "dtype": "string"},
    ],
}


def test_every_dtype_comes_back_as_it_went_in(door: Door) -> None:
    assert door.put_view("every", EVERY).status == 201
    features = {
        "f32": 0.25,
        "f64": 0.1,
        "i64": -(2**63),
        "yes": False,
        "text": "zürich\n\0",
        "when": "2026-01-02T03:04:05.000006Z",
        "v32": [1.5, -2.0],
        "v64": [1e300, 5e-324, -0.1],
        "vint": [2**63 - 1],
        "more": "",
    }
    reply = door.write({"feature_view": "every", "entity_id": "1", "features": features})
    assert reply.status == 200
    assert values(door, "every", "1") == features
    results = door.batch("every", ["1", "0"]).body["results"]
    assert results[0]["features"] == features
    assert set(results[1]["status"].values()) == {"NOT_FOUND"}


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("f32", 3.5e38), ("f32", "1"), ("f32", True), ("f64", 10**400), ("f64", [1.0]),
        ("i64", 2**63), ("i64", -(2**63) - 1), ("i64", 1.0), ("i64", True), ("yes", 1), ("yes", "true"),
        ("text", 1), ("text", "x" * 65537), ("when", "2026-01-01"), ("when", 5), ("v32", [1.0]),
        ("v32", 1.0), ("v64", [1.0, None, 2.0]), ("vint", [1.5]),
    ],
)  # fmt: skip
def test_what_does_not_fit_its_dtype_is_refused(door: Door, feature: str, value: Any) -> None:
    door.put_view("every", EVERY)
    reply = door.write({"feature_view": "every", "entity_id": "1", "features": {feature: value}})
    assert reply.status == 422
    assert [e["loc"] for e in reply.body["errors"]] == [f"features.{feature}"]


def test_an_unknown_view_is_not_found(door: Door) -> None:
    assert door.read("nothing", "1").status == 404
    assert door.batch("nothing", ["1"]).status == 404
    body = {"feature_view": "nothing", "entity_id": "1", "features": {"a": 1}}
    assert door.write(body).status == 404
    assert door.delete_view("nothing").status == 404


def test_a_view_created_anew_never_shows_the_old_rows(door: Door, clock: Clock, view: str) -> None:
    put(door, view, "u", clock.at(0), a=1, b=2)
    assert values(door, view, "u") == {"a": 1, "b": 2}
    assert door.delete_view(view).status == 200
    assert door.read(view, "u").status == 404
    make(door, view, ["b", "a"])
    assert door.read(view, "u").status == 404
    put(door, view, "u", clock.at(0), b=7)
    assert values(door, view, "u") == {"b": 7, "a": None}
