"""The promises of the feature store, each in its own words: through the library and through the
handlers, on one node and on a cluster."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.support.features import Clock, Door

HOUR = 3600.0


@pytest.fixture
def view(door: Door) -> str:
    """A view of two features without a TTL."""
    return make(door, "user", ["a", "b"])


def make(door: Door, name: str, features: list[str], **more: Any) -> str:
    spec = {
        "entity": "user_id",
        "features": [{"name": f, "dtype": "int64"} for f in features],
        **more,
    }
    assert door.put_view(name, spec).status in (200, 201)
    return name


def put(door: Door, view: str, entity: Any, time: str, **features: Any) -> dict[str, Any]:
    reply = door.write(
        {
            "feature_view": view,
            "entity_id": entity,
            "features": features,
            "event_timestamp": time,
        }
    )
    assert reply.status == 200, reply.body
    return reply.body


def values(door: Door, view: str, entity: Any) -> dict[str, Any]:
    reply = door.read(view, entity)
    assert reply.status == 200, reply.body
    return reply.body["features"]


def time_of(door: Door, view: str, entity: Any, feature: str) -> str:
    return door.read(view, entity, [feature]).body["event_timestamp"]


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_writes_in_any_order_of_event_time_end_at_the_newest(
    door: Door, clock: Clock, view: str, order: str
) -> None:
    moments = list(range(-20, 0))
    if order == "descending":
        moments.reverse()
    elif order == "shuffled":
        random.Random(7).shuffle(moments)
    for moment in moments:
        put(door, view, "u", clock.at(moment), a=moment, b=-moment)
    assert values(door, view, "u") == {"a": -1, "b": 1}
    assert door.read(view, "u").body["event_timestamp"] == clock.at(-1)


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_rows_of_one_request_in_any_order_end_at_the_newest(
    door: Door, clock: Clock, view: str, order: str
) -> None:
    moments = list(range(-20, 0))
    if order == "descending":
        moments.reverse()
    elif order == "shuffled":
        random.Random(8).shuffle(moments)
    rows = [
        {"entity_id": "u", "features": {"a": m, "b": m}, "event_timestamp": clock.at(m)}
        for m in moments
    ]
    reply = door.write({"feature_view": view, "rows": rows})
    assert reply.body["written"] + reply.body["stale"] == 20
    assert values(door, view, "u") == {"a": -1, "b": -1}


def test_an_equal_event_time_corrects(door: Door, clock: Clock, view: str) -> None:
    put(door, view, "u", clock.at(-5), a=1, b=1)
    assert put(door, view, "u", clock.at(-5), a=2)["written"] == 1
    assert values(door, view, "u") == {"a": 2, "b": 1}


def test_the_same_write_again_changes_nothing(door: Door, clock: Clock, view: str) -> None:
    for _ in range(3):
        put(door, view, "u", clock.at(-5), a=1, b=None)
    reply = door.read(view, "u").body
    assert reply["features"] == {"a": 1, "b": None}
    assert reply["status"] == {"b": "NULL"}
    assert reply["event_timestamp"] == clock.at(-5)


def test_fractions_of_one_second_are_told_apart(door: Door, view: str) -> None:
    put(door, view, "u", "2026-03-01T10:00:00.500Z", a=1)
    put(door, view, "u", "2026-03-01T10:00:00.700Z", a=2)
    assert put(door, view, "u", "2026-03-01T10:00:00.699999Z", a=3)["stale"] == 1
    assert values(door, view, "u")["a"] == 2
    assert time_of(door, view, "u", "a") == "2026-03-01T10:00:00.700000Z"


def test_an_older_row_is_counted_as_stale_and_changes_nothing(
    door: Door, clock: Clock, view: str
) -> None:
    put(door, view, "u", clock.at(-1), a=1, b=1)
    assert put(door, view, "u", clock.at(-2), a=9, b=9) == {
        "feature_view": view,
        "written": 0,
        "stale": 1,
    }
    assert values(door, view, "u") == {"a": 1, "b": 1}


def test_a_row_that_is_older_in_part_says_how_much_of_it(
    door: Door, clock: Clock, view: str
) -> None:
    put(door, view, "u", clock.at(-1), a=1)
    assert put(door, view, "u", clock.at(-2), a=9, b=9) == {
        "feature_view": view,
        "written": 1,
        "stale": 0,
        "stale_cells": 1,
    }
    assert values(door, view, "u") == {"a": 1, "b": 9}


def test_more_than_five_minutes_in_the_future_is_refused(
    door: Door, clock: Clock, view: str
) -> None:
    put(door, view, "u", clock.at(290), a=1)
    reply = door.write(
        {
            "feature_view": view,
            "entity_id": "u",
            "features": {"a": 2},
            "event_timestamp": clock.at(330),
        }
    )
    assert reply.status == 422
    assert [e["loc"] for e in reply.body["errors"]] == ["event_timestamp"]
    assert values(door, view, "u")["a"] == 1


def test_two_partial_writes_of_one_time_keep_both(door: Door, clock: Clock, view: str) -> None:
    put(door, view, "u", clock.at(-3), a=1)
    put(door, view, "u", clock.at(-3), b=2)
    reply = door.read(view, "u").body
    assert reply["features"] == {"a": 1, "b": 2}
    assert reply["status"] == {}


def test_a_partial_write_does_not_make_its_neighbour_look_fresher(
    door: Door, clock: Clock, view: str
) -> None:
    put(door, view, "u", clock.at(-5 * HOUR), a=1, b=2)
    put(door, view, "u", clock.at(0), a=3)
    assert values(door, view, "u") == {"a": 3, "b": 2}
    assert time_of(door, view, "u", "a") == clock.at(0)
    assert time_of(door, view, "u", "b") == clock.at(-5 * HOUR)


def test_a_cell_expires_while_a_younger_one_of_its_row_is_present(door: Door, clock: Clock) -> None:
    view = make(door, "session", ["a", "b"], ttl_seconds=3600)
    put(door, view, "u", clock.at(-2 * HOUR), a=1, b=2)
    put(door, view, "u", clock.at(-60), b=3)
    reply = door.read(view, "u").body
    assert reply["features"] == {"a": None, "b": 3}
    assert reply["status"] == {"a": "EXPIRED"}
    assert time_of(door, view, "u", "a") == clock.at(-2 * HOUR)


def test_a_row_written_whole_expires_whole(door: Door, clock: Clock) -> None:
    view = make(door, "session", ["a", "b"], ttl_seconds=3600)
    put(door, view, "u", clock.at(-3601 - 10), a=1, b=2)
    reply = door.read(view, "u").body
    assert reply["features"] == {"a": None, "b": None}
    assert reply["status"] == {"a": "EXPIRED", "b": "EXPIRED"}


def test_without_a_ttl_nothing_ever_expires(door: Door, view: str) -> None:
    put(door, view, "u", "1999-12-31T23:59:59Z", a=1, b=2)
    reply = door.read(view, "u").body
    assert reply["features"] == {"a": 1, "b": 2}
    assert reply["status"] == {}


def test_null_sets_null_and_has_an_event_time(door: Door, clock: Clock, view: str) -> None:
    put(door, view, "u", clock.at(-9), a=1, b=2)
    put(door, view, "u", clock.at(-8), a=None)
    assert put(door, view, "u", clock.at(-9), a=5)["stale"] == 1
    reply = door.read(view, "u").body
    assert reply["features"] == {"a": None, "b": 2}
    assert reply["status"] == {"a": "NULL"}
    put(door, view, "u", clock.at(-7), a=6)
    assert values(door, view, "u") == {"a": 6, "b": 2}


def test_what_was_never_written_is_not_found(door: Door, clock: Clock, view: str) -> None:
    put(door, view, "u", clock.at(0), a=1)
    reply = door.read(view, "u").body
    assert reply["features"] == {"a": 1, "b": None}
    assert reply["status"] == {"b": "NOT_FOUND"}
    assert door.read(view, "nobody").status == 404


def test_a_batch_answers_in_its_own_order_with_duplicates(
    door: Door, clock: Clock, view: str
) -> None:
    for entity in ("1", "2", "3"):
        put(door, view, entity, clock.at(0), a=int(entity), b=0)
    results = door.batch(view, ["3", "1", "3", "2"]).body["results"]
    assert [r["entity_id"] for r in results] == ["3", "1", "3", "2"]
    assert [r["features"]["a"] for r in results] == [3, 1, 3, 2]


def test_one_unknown_entity_harms_none(door: Door, clock: Clock, view: str) -> None:
    put(door, view, "1", clock.at(0), a=1, b=1)
    put(door, view, "2", clock.at(0), a=2, b=2)
    results = door.batch(view, ["1", "nobody", "2"]).body["results"]
    assert [r["features"]["a"] for r in results] == [1, None, 2]
    assert [r["status"] for r in results] == [{}, {"a": "NOT_FOUND", "b": "NOT_FOUND"}, {}]
    assert results[1]["event_timestamp"] is None


def test_two_views_with_the_same_entity_never_touch(door: Door, clock: Clock, view: str) -> None:
    other = make(door, "user.b", ["a", "b"])
    put(door, view, "u", clock.at(0), a=1, b=1)
    assert door.read(other, "u").status == 404
    put(door, other, "u", clock.at(0), a=2, b=2)
    assert values(door, view, "u") == {"a": 1, "b": 1}
    assert values(door, other, "u") == {"a": 2, "b": 2}


STRANGE = [
    "a:b", "a,b", "a\\,b", "a|b", "a/b/c", "{tag}", "*", "?", "[abc]", "a*", "line\nbreak", "tab\t", " ",
    "\0", "zürich", "東京", "🛫", "e\u0301", "\u00e9", "%2F", "..", "-1", "'\"", "x" * 1024,
]  # fmt: skip


def test_any_character_may_be_in_an_id(door: Door, view: str) -> None:
    rows = [{"entity_id": e, "features": {"a": i, "b": i}} for i, e in enumerate(STRANGE)]
    assert door.write({"feature_view": view, "rows": rows}).body["written"] == len(STRANGE)
    results = door.batch(view, STRANGE).body["results"]
    assert [r["features"]["a"] for r in results] == list(range(len(STRANGE)))
    assert [values(door, view, e)["a"] for e in STRANGE] == list(range(len(STRANGE)))


def test_parts_of_a_composite_entity_never_run_together(door: Door) -> None:
    spec = {"entity": ["x", "y"], "features": [{"name": "a", "dtype": "int64"}]}
    assert door.put_view("pair", spec).status == 201
    pairs = [
        ["a", "bc"],
        ["ab", "c"],
        ["1:a", "b"],
        ["a,b", "c"],
        ["a", "b,c"],
        ["a\\", "b"],
        [":", ","],
    ]
    rows = [{"entity_id": e, "features": {"a": i}} for i, e in enumerate(pairs)]
    rows.append({"entity_id": {"y": "by-key", "x": "an object"}, "features": {"a": 99}})
    assert door.write({"feature_view": "pair", "rows": rows}).body["written"] == len(rows)
    assert [values(door, "pair", pair)["a"] for pair in pairs] == list(range(len(pairs)))
    assert values(door, "pair", ["an object", "by-key"]) == {"a": 99}
    results = door.batch("pair", [*pairs, ["an object", "by-key"]]).body["results"]
    assert [r["features"]["a"] for r in results] == [*range(len(pairs)), 99]
    assert results[0]["entity_id"] == ["a", "bc"]


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
