"""Columns over HTTP: the routes' shapes, errors and bounds, and that rows and columns are one store."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from neuralstream_core.errors import Invalid, NotFound
from neuralstream_core.features import Catalog, Feature, OnlineStore, ViewSpec
from neuralstream_core.features.ingest import Message, ingest
from neuralstream_core.redis import RedisPort
from neuralstream_core.table import Table
from neuralstream_core.time import iso
from tests.support.features import Clock, Functions

SPEC = {
    "entity": "user_id",
    "features": [
        {"name": "age", "dtype": "int64"},
        {"name": "score", "dtype": "float64"},
        {"name": "seen", "dtype": "timestamp"},
        {"name": "place", "dtype": "float32", "shape": [2]},
        {"name": "name", "dtype": "string"},
    ],
    "ttl_seconds": 60,
}


@pytest.fixture
def api(functions: Functions) -> Functions:
    reply = functions.call("PUT /features/views/{name}", path={"name": "user"}, body=SPEC)
    assert reply.status == 201
    return functions


def write(api: Functions, **body: Any) -> Any:
    reply = api.call("POST /features/write", body={"feature_view": "user", **body})
    assert reply.status == 200, reply.body
    return reply.body


def read(api: Functions, ids: list[Any], **body: Any) -> Any:
    reply = api.call(
        "POST /features/batch",
        body={"feature_view": "user", "entity_ids": ids, "layout": "columns", **body},
    )
    assert reply.status == 200, reply.body
    return reply.body


def test_a_read_in_columns_has_exactly_the_fields_of_the_contract(
    api: Functions, clock: Clock
) -> None:
    now, old = clock.at(-5), clock.at(-100)
    columns = {"age": [41, None], "score": [0.5, 1.5], "place": [[1.5, 2.5], None]}
    written = write(
        api, layout="columns", entity_ids=["u1", 2], columns=columns, event_timestamp=now
    )
    assert written == {"feature_view": "user", "written": 2, "stale": 0}
    write(api, entity_ids=["u1"], columns={"seen": ["2026-01-01T01:00:00+01:00"]})
    write(api, entity_ids=["u1"], columns={"name": ["old"]}, event_timestamp=[old])

    ids = ["u1", "2", "nobody", "u1"]
    found = read(api, ids, features=["place", "age", "seen", "name"])
    assert found == {
        "feature_view": "user",
        "entity_ids": ids,
        "columns": {
            "place": [[1.5, 2.5], None, None, [1.5, 2.5]],
            "age": [41, None, None, 41],
            "seen": ["2026-01-01T00:00:00Z", None, None, "2026-01-01T00:00:00Z"],
            "name": [None, None, None, None],
        },
        "status": {
            "place": {"NULL": [1], "NOT_FOUND": [2]},
            "age": {"NULL": [1], "NOT_FOUND": [2]},
            "seen": {"NOT_FOUND": [1, 2]},
            "name": {"EXPIRED": [0, 3], "NOT_FOUND": [1, 2]},
        },
    }
    assert list(found["columns"]) == ["place", "age", "seen", "name"]
    times = read(api, ids, features=["age"], event_timestamps=True)["event_timestamps"]
    assert times == [now, now, None, now]
    assert read(api, []) == {
        "feature_view": "user", "entity_ids": [], "status": {},
        "columns": {"age": [], "score": [], "seen": [], "place": [], "name": []},
    }  # fmt: skip


def test_columns_and_rows_read_the_same_cells(api: Functions, clock: Clock) -> None:
    draw = random.Random(7)
    ids = [f"u{i}" for i in range(200)]
    for _ in range(4):
        some = draw.sample(ids, 120)
        names = draw.sample(["age", "score", "name"], 2)
        values = {
            "age": lambda: draw.randrange(-(2**63), 2**63),
            "score": lambda: draw.gauss(0, 1e9),
            "name": lambda: draw.choice(["", "ü", '"\\\n']),
        }
        write(
            api,
            entity_ids=some,
            columns={
                n: [None if draw.random() < 0.2 else values[n]() for _ in some] for n in names
            },
            event_timestamp=[clock.at(-draw.randrange(120)) for _ in some],
        )
    body = {"feature_view": "user", "entity_ids": ids}
    rows = api.call("POST /features/batch", body=body).body["results"]
    found = read(api, ids, event_timestamps=True)
    assert found["event_timestamps"] == [row["event_timestamp"] for row in rows]
    for at, row in enumerate(rows):
        assert row["features"] == {n: cells[at] for n, cells in found["columns"].items()}
        status = {
            name: code
            for name, codes in found["status"].items()
            for code, places in codes.items()
            if at in places
        }
        assert status == row["status"]
    assert {s for row in rows for s in row["status"].values()} == {"NULL", "EXPIRED", "NOT_FOUND"}


def test_older_columns_are_counted_as_stale_and_change_nothing(
    api: Functions, clock: Clock
) -> None:
    ids = ["a", "b", "c"]
    write(
        api, entity_ids=ids, columns={"age": [1, 2, 3]}, event_timestamp=[clock.at(-9)] * 2 + [None]
    )
    columns = {"age": [10, 20, 30], "score": [0.1, 0.2, 0.3]}
    again = write(
        api, entity_ids=ids, columns=columns, event_timestamp=[clock.at(-9), *[clock.at(-10)] * 2]
    )
    assert again == {"feature_view": "user", "written": 3, "stale": 0, "stale_cells": 2}
    assert read(api, ids, features=["age", "score"])["columns"] == {
        "age": [10, 2, 3],
        "score": [0.1, 0.2, 0.3],
    }
    stale = write(api, entity_ids=ids, columns={"age": [7, 7, 7]}, event_timestamp=clock.at(-20))
    assert (stale["written"], stale["stale"]) == (0, 3)


def test_an_entity_that_occurs_twice_is_written_in_order(api: Functions, clock: Clock) -> None:
    columns = {"age": [1, 2, 3]}
    write(api, entity_ids=["u", "v", "u"], columns=columns, event_timestamp=clock.at(-1))
    assert read(api, ["u", "v"], features=["age"])["columns"] == {"age": [3, 2]}


@pytest.mark.parametrize(
    ("body", "status", "locs"),
    [
        ({"entity_ids": ["u"], "columns": {"age": ["1"]}}, 422, ["columns.age[0]"]),
        ({"entity_ids": ["u", "v"], "columns": {"age": [1, 1.0], "no": [1, 2]}}, 422,
         ["columns.age[1]", "columns.no"]),
        ({"entity_ids": ["u", "v"], "columns": {"place": [[1, 2], [1, None]]}}, 422,
         ["columns.place[1]"]),
        ({"entity_ids": ["u", "", 1.5], "columns": {"age": [1, 2, 3]}}, 422,
         ["entity_ids.1", "entity_ids.2"]),
        ({"entity_ids": ["u"], "columns": {"age": [1, 2]}}, 422, ["columns.age"]),
        ({"entity_ids": ["u"], "columns": {"age": 1}}, 422, ["columns.age"]),
        ({"entity_ids": ["u"], "columns": {"age": None}}, 422, ["columns.age"]),
        ({"entity_ids": ["u"], "columns": {"name": "x"}}, 422, ["columns.name"]),
        ({"entity_ids": ["u"], "columns": {}}, 422, ["columns"]),
        ({"entity_ids": ["u"], "columns": []}, 422, ["columns"]),
        ({"entity_ids": [], "columns": {"age": []}}, 422, ["entity_ids"]),
        ({"entity_ids": ["u"], "columns": {"age": [1]}, "event_timestamp": "now"}, 422,
         ["event_timestamp"]),
        ({"entity_ids": ["u", "v"], "columns": {"age": [1, 2]}, "event_timestamp": [None, 5]}, 422,
         ["event_timestamp.1"]),
        ({"entity_ids": ["u"], "columns": {"age": [1]}, "event_timestamp": []}, 422,
         ["event_timestamp"]),
        ({"entity_ids": ["u"]}, 422, ["body"]),
        ({"columns": {"age": [1]}}, 422, ["body"]),
        ({"layout": "columns", "rows": [{"entity_id": "u", "features": {"age": 1}}]}, 422, ["body"]),
        ({"layout": "rows", "entity_ids": ["u"], "columns": {"age": [1]}}, 422, ["body"]),
        ({"entity_ids": ["u"], "columns": {"age": [1]}, "rows": []}, 422, ["rows"]),
        ({"entity_ids": ["u"], "columns": {"age": [1]}, "entity_id": "u"}, 422, ["body"]),
        ({"layout": "cells", "entity_ids": ["u"], "columns": {"age": [1]}}, 422, ["layout"]),
        ({"entity_id": "u", "features": {"age": 1}, "event_timestamp": ["2026-01-01T00:00:00Z"]},
         422, ["event_timestamp"]),
        ({"entity_ids": ["u"] * 10_001, "columns": {"age": [1]}}, 413, []),
    ],
)  # fmt: skip
def test_a_wrong_write_in_columns_is_told_where_and_writes_nothing(
    api: Functions, body: Any, status: int, locs: list[str]
) -> None:
    reply = api.call("POST /features/write", body={"feature_view": "user", **body})
    assert reply.status == status
    assert [error["loc"] for error in reply.body.get("errors", [])] == locs
    assert read(api, ["u"])["status"]["age"] == {"NOT_FOUND": [0]}


def test_numbers_that_json_cannot_hold_are_refused_in_columns_too(api: Functions) -> None:
    for number in ("NaN", "1e999", "-Infinity"):
        body = f'{{"feature_view":"user","entity_ids":["u"],"columns":{{"score":[{number}]}}}}'
        reply = api.call("POST /features/write", body=body)
        assert (reply.status, reply.body["errors"][0]["loc"]) == (422, "columns.score[0]")


@pytest.mark.parametrize(
    "wrong",
    [
        {"entity_ids": ["a", 3.5]},
        {"entity_ids": ["a", ""]},
        {"entity_ids": [["a", "b"]]},
        {"features": ["age", "no"]},
        {"features": []},
        {"feature_view": "other"},
        {"entity_ids": ["a"] * 1001},
    ],
)
def test_a_wrong_read_is_refused_alike_in_both_layouts(api: Functions, wrong: Any) -> None:
    body = {"feature_view": "user", "entity_ids": ["a"], **wrong}
    by_row = api.call("POST /features/batch", body=body)
    by_column = api.call("POST /features/batch", body={**body, "layout": "columns"})
    assert by_row.status >= 400
    assert (by_column.status, by_column.body) == (by_row.status, by_row.body)


def test_ten_thousand_entities_fit_in_one_write(api: Functions) -> None:
    ids = [f"u{i}" for i in range(10_000)]
    columns = {"age": list(range(10_000)), "score": [i / 3 for i in range(10_000)]}
    assert write(api, entity_ids=ids, columns=columns)["written"] == 10_000
    found = read(api, ids[-1000:], features=["score", "age"])
    assert found["columns"] == {"score": columns["score"][-1000:], "age": columns["age"][-1000:]}
    assert found["status"] == {}


def test_composite_entities_are_written_and_read_in_columns(api: Functions) -> None:
    spec = {"entity": ["user", "item"], "features": [{"name": "n", "dtype": "int64"}]}
    api.call("PUT /features/views/{name}", path={"name": "pair"}, body=spec)
    ids = [["u", "1"], {"item": 2, "user": "u"}]
    write(api, feature_view="pair", entity_ids=ids, columns={"n": [1, 2]})
    found = read(api, [["u", "2"], {"user": "u", "item": "1"}], feature_view="pair")
    assert found["entity_ids"] == [["u", "2"], ["u", "1"]]
    assert found["columns"] == {"n": [2, 1]}


def test_an_answer_in_columns_that_would_not_fit_is_refused_with_a_way_out(api: Functions) -> None:
    spec = {"entity": "id", "features": [{"name": "s", "dtype": "string"}]}
    api.call("PUT /features/views/{name}", path={"name": "text"}, body=spec)
    ids = [str(i) for i in range(55)]
    for some in (ids, [f"x{i}" for i in ids]):
        write(api, feature_view="text", entity_ids=some, columns={"s": ["x" * 60_000] * 55})
    body = {
        "feature_view": "text",
        "entity_ids": [*ids, *(f"x{i}" for i in ids)],
        "layout": "columns",
    }
    reply = api.call("POST /features/batch", body=body)
    assert (reply.status, reply.body["code"]) == (413, "answer_too_large")
    assert "fewer entities" in reply.body["detail"]


# --- the store ----------------------------------------------------------------------------------


def ints(*names: str, **more: Any) -> ViewSpec:
    return ViewSpec(
        entity="id", features=[Feature(name=name, dtype="int64") for name in names], **more
    )


def test_racing_writers_of_rows_and_of_columns_end_at_the_newest_values(
    any_store: OnlineStore, clock: Clock
) -> None:
    """Each value is its own event time, so the end says whether any older write ever won."""
    names = ["a", "b", "c"]
    any_store.catalog.put("race", ints(*names))
    ids = ["one", "two"]
    newest = {(entity, name): 0 for entity in ids for name in names}
    plans: list[list[tuple[list[str], list[int], list[str]]]] = []
    for writer in range(6):
        draw = random.Random(writer)
        plan = []
        for _ in range(60):
            some = draw.choices(ids, k=4)
            times = [clock.now - draw.randrange(3_600_000_000) for _ in some]
            chosen = draw.sample(names, draw.randint(1, 3))
            plan.append((some, times, chosen))
            for entity, time in zip(some, times, strict=True):
                for name in chosen:
                    newest[entity, name] = max(newest[entity, name], time)
        plans.append(plan)
    start = threading.Barrier(6)

    def run(writer: int) -> None:
        start.wait()
        for some, times, chosen in plans[writer]:
            if writer % 2:
                columns = dict.fromkeys(chosen, times)
                any_store.write_columns("race", some, columns, list(map(iso, times)))
            else:
                rows = [
                    {
                        "entity_id": entity,
                        "features": dict.fromkeys(chosen, time),
                        "event_timestamp": iso(time),
                    }
                    for entity, time in zip(some, times, strict=True)
                ]
                any_store.write("race", rows)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, range(6)))
    for entity in ids:
        found = any_store.read_one("race", entity, names)
        assert list(found.values) == [newest[entity, name] for name in names]
        assert list(found.event_times) == [newest[entity, name] for name in names]


def test_a_feature_added_elsewhere_is_known_to_columns_where_it_is_first_used(
    table: Table, redis_port: RedisPort, clock: Clock
) -> None:
    here, there = (
        OnlineStore(redis_port, Catalog(table, "test", clock), clock, "test") for _ in range(2)
    )
    there.catalog.put("grows", ints("a"))
    here.write_columns("grows", ["u"], {"a": [1]})
    there.catalog.put("grows", ints("a", "b"))
    assert here.write_columns("grows", ["u"], {"b": [2]}).written == 1
    there.catalog.put("grows", ints("a", "b", "c"))
    assert here.read_columns("grows", ["u"], ["c", "b"]).block.columns["b"].tolist() == [2]


def test_columns_that_arrive_after_the_view_was_created_anew_are_not_lost(
    table: Table, redis_port: RedisPort, clock: Clock
) -> None:
    here, there = (
        OnlineStore(redis_port, Catalog(table, "test", clock), clock, "test") for _ in range(2)
    )
    here.catalog.put("anew", ints("a"))
    here.write_columns("anew", ["u"], {"a": [1]})
    there.delete_view("anew")
    there.catalog.put("anew", ints("b", "a"))
    assert here.write_columns("anew", ["u"], {"a": [2]}).written == 1
    assert there.read_one("anew", "u", ["a"]).values == (2,)
    there.delete_view("anew")
    with pytest.raises(NotFound):
        here.write_columns("anew", ["u"], {"a": [3]})


def test_a_merged_row_that_is_too_large_is_named_by_its_entity(store: OnlineStore) -> None:
    spec = ViewSpec(entity="id", features=[Feature(name=f"s{i}", dtype="string") for i in range(6)])
    store.catalog.put("text", spec)
    store.write_columns("text", ["u", "v"], {f"s{i}": ["", "x" * 60_000] for i in range(3)})
    with pytest.raises(Invalid) as refused:
        store.write_columns("text", ["u", "v"], {f"s{i}": ["y", "x" * 60_000] for i in (3, 4)})
    assert [(e.loc, refused.value.code) for e in refused.value.errors] == [
        ("entity_ids.1", "row_too_large")
    ]
    assert store.read_one("text", "u", ["s3"]).values == ("y",)


def test_a_message_of_the_queue_may_hold_columns(store: OnlineStore) -> None:
    store.catalog.put("user", ints("a"))
    bodies = [
        {"feature_view": "user", "entity_ids": ["u", "v"], "columns": {"a": [1, 2]}},
        {"feature_view": "user", "entity_ids": ["u"], "columns": {"a": ["x"]}},
        {"feature_view": "user", "entity_id": "w", "features": {"a": 3}},
    ]
    done = ingest(store, [Message(str(i), json.dumps(body)) for i, body in enumerate(bodies)])
    assert [failure.id for failure in done.failures] == ["1"]
    assert [result.written for result in done.results] == [2, 1]
    found = store.read_columns("user", ["u", "v", "w"]).block
    assert found.columns["a"].tolist() == [1, 2, 3]
