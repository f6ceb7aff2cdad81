"""The promises of the feature store, each in its own words: through the library and through the
handlers, on one node and on a cluster."""

from __future__ import annotations

import random

import pytest

from tests.support.features import Clock, Door
from tests.support.promises import make, put, time_of, values

HOUR = 3600.0


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
