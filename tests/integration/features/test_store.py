"""The online store on real Redis: races, expiry, several views in one flight, stale writers."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from neuralstream_core.errors import Conflict, Invalid, NotFound, Unavailable
from neuralstream_core.features import (
    BlockRead,
    Catalog,
    CellStatus,
    Feature,
    OnlineStore,
    ViewRead,
    ViewSpec,
)
from neuralstream_core.redis import RedisPort, connect
from neuralstream_core.settings import RedisSettings
from neuralstream_core.table import Table
from neuralstream_core.time import iso
from tests.support.features import Clock

LETTERS = ["a", "b", "c", "d", "e"]


def spec(*names: str, dtype: str = "int64", **more: Any) -> ViewSpec:
    return ViewSpec(
        entity="id", features=[Feature(name=name, dtype=dtype) for name in names], **more
    )


def row(entity: Any, time: str | None = None, **features: Any) -> dict[str, Any]:
    return {"entity_id": entity, "features": features, "event_timestamp": time}


def keys_of(port: RedisPort, pattern: bytes = b"*") -> list[bytes]:
    found: list[bytes] = []
    cursor = None
    while True:
        cursor, keys = port.scan(cursor, pattern, 1000)
        found += keys
        if cursor is None:
            return sorted(found)


def test_eight_racing_writers_end_at_the_newest_value_of_every_feature(
    any_store: OnlineStore, clock: Clock
) -> None:
    """2,000 partial writes of one entity; each value is its own event time, so the end says whether any
    older write ever won."""
    any_store.catalog.put("race", spec(*LETTERS))
    newest = dict.fromkeys(LETTERS, 0)
    plans: list[list[dict[str, Any]]] = []
    for writer in range(8):
        rng = random.Random(writer)
        plan = []
        for _ in range(250):
            time = clock.now - rng.randrange(3_600_000_000)
            names = rng.sample(LETTERS, rng.randint(1, 5))
            plan.append(row("one", iso(time), **dict.fromkeys(names, time)))
            for name in names:
                newest[name] = max(newest[name], time)
        plans.append(plan)
    start = threading.Barrier(8)

    def write(plan: list[dict[str, Any]]) -> int:
        start.wait()
        done = 0
        for i in range(0, len(plan), 5):
            result = any_store.write("race", plan[i : i + 5])
            done += result.written + result.stale
        return done

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, plans)) == 2000
    found = any_store.read_one("race", "one", LETTERS)
    assert dict(zip(found.names, found.values, strict=True)) == newest
    assert dict(zip(found.names, found.event_times, strict=True)) == newest


def test_two_namespaces_with_the_same_view_and_entity_never_touch(
    table: Table, any_port: RedisPort, clock: Clock
) -> None:
    one, two = (
        OnlineStore(any_port, Catalog(table, namespace, clock), clock, namespace)
        for namespace in ("one", "two")
    )
    for store in (one, two):
        store.catalog.put("view", spec("a"))
    one.write("view", [row("u", a=1)])
    with pytest.raises(NotFound):
        two.read_one("view", "u")
    two.write("view", [row("u", a=2)])
    assert one.read_one("view", "u").values == (1,)
    assert one.delete_view("view").done
    assert two.read_one("view", "u").values == (2,)
    assert [view.name for view in two.catalog.list().views] == ["view"]
    assert one.catalog.list().views == []


def test_every_key_has_an_expiry_that_outlives_its_ttl(
    store: OnlineStore, redis_port: RedisPort, clock: Clock
) -> None:
    store.catalog.put("short", spec("a", "b", ttl_seconds=7200))
    store.catalog.put("endless", spec("a", "b"))
    for view in ("short", "endless"):
        store.write(view, [row("new", clock.at(-60), a=1), row("old", clock.at(-999_999), a=1)])
        store.write(view, [row("new", clock.at(-3600), b=1)])  # merges; must not shorten the life
    store.delete_view("short")
    store.catalog.put("short", spec("a", "b", ttl_seconds=7200))
    store.write("short", [row("new", clock.at(-60), a=1)])
    store.write("short", [row("new", clock.at(-3600), b=1)])
    lives = redis_port.flight([(b"PTTL", key) for key in keys_of(redis_port)])
    assert len(lives) == 4  # three rows and a tombstone
    assert all(isinstance(life, int) and life > 0 for life in lives)
    (prefix,) = {key.rpartition(b":")[0] for key in keys_of(redis_port) if key.endswith(b":old")}
    (life,) = redis_port.flight([(b"PTTL", prefix + b":old")])
    assert isinstance(life, int)
    assert life > 399 * 86_400_000
    short = next(k for k in keys_of(redis_port) if k.endswith(b":new") and prefix not in k)
    (life,) = redis_port.flight([(b"PTTL", short)])
    assert isinstance(life, int)
    assert 7200_000 - 61_000 < life < 30 * 3600_000


def test_several_views_are_read_in_one_call(any_store: OnlineStore, clock: Clock) -> None:
    any_store.catalog.put("user", spec("a", "b"))
    any_store.catalog.put(
        "pair", ViewSpec(entity=["x", "y"], features=[Feature(name="s", dtype="string")])
    )
    any_store.write("user", [row("u", clock.at(-1), a=1, b=2)])
    any_store.write("pair", [row(["u", "v"], s="text")])
    rows = any_store.read_rows(
        [
            ViewRead("user", "u", ("b",)),
            ViewRead("pair", ("u", "v")),
            ViewRead("user", "nobody"),
            ViewRead("user", "u"),
        ]
    )
    assert [r.values for r in rows] == [(2,), ("text",), (None, None), (1, 2)]
    assert rows[2].status == (CellStatus.NOT_FOUND, CellStatus.NOT_FOUND)
    user, pair = any_store.read_blocks(
        [
            BlockRead("user", ["u", "nobody", "u"], ("b", "a")),
            BlockRead("pair", [("u", "v"), ("v", "u")]),
        ]
    )
    assert {name: column.tolist() for name, column in user.columns.items()} == {
        "b": [2, 0, 2],
        "a": [1, 0, 1],
    }
    assert user.status.tolist() == [[0, 0], [3, 3], [0, 0]]
    assert pair.columns["s"].tolist() == ["text", None]
    assert pair.status.tolist() == [[0], [3]]


def test_thousands_of_entities_keep_their_order_in_a_block(
    any_store: OnlineStore, clock: Clock
) -> None:
    any_store.catalog.put("many", spec("a", "b", dtype="float64", ttl_seconds=3600))
    rows = [row(str(i), clock.at(-(i % 3) * 1800 - 60), a=i, b=-i) for i in range(2500)]
    result = any_store.write("many", rows)
    assert (result.written, result.stale, result.cells_written) == (2500, 0, 5000)
    any_store.write("many", [row("7", clock.at(0), b=0.5)])
    order = random.Random(3).sample(range(-100, 2500), 2600)
    (block,) = any_store.read_blocks([BlockRead("many", [str(i) for i in order])])
    expired = np.array([i % 3 == 2 for i in order])
    missing = np.array([i < 0 for i in order])
    expect = np.array([(i, -i) for i in order], float)
    expect[order.index(7), 1] = 0.5
    expect[expired | missing] = np.nan
    np.testing.assert_array_equal(np.column_stack([*block.columns.values()]), expect)
    status = np.where(missing, 3, np.where(expired, 2, 0))
    np.testing.assert_array_equal(block.status, np.repeat(status[:, None], 2, axis=1))


def test_duplicates_in_one_request_are_written_one_after_another(
    any_store: OnlineStore, clock: Clock
) -> None:
    any_store.catalog.put("view", spec("a", "b"))
    result = any_store.write(
        "view",
        [
            row("u", clock.at(-1), a=1, b=1),
            row("u", clock.at(-1), a=2),
            row("u", clock.at(-2), a=3, b=3),
            row("u", clock.at(-1), b=4),
        ],
    )
    assert (result.written, result.stale) == (3, 1)
    assert any_store.read_one("view", "u").values == (2, 4)


def test_a_row_has_a_largest_size_however_it_is_written(store: OnlineStore, clock: Clock) -> None:
    names = [f"s{i}" for i in range(6)]
    store.catalog.put("texts", spec(*names, dtype="string"))
    text = "x" * 60_000
    with pytest.raises(Invalid) as caught:
        store.write("texts", [row("u", **dict.fromkeys(names, text))])
    assert [e.loc for e in caught.value.errors] == ["rows.0.features"]
    for name in names[:4]:
        store.write("texts", [row("u", clock.at(-1), **{name: text})])
    with pytest.raises(Invalid) as caught:
        store.write("texts", [row("v", s0="fine"), row("u", s4=text)])
    assert [e.loc for e in caught.value.errors] == ["rows.1.features"]
    assert store.read_one("texts", "u").values == (text,) * 4 + (None, None)
    assert store.write("texts", [row("u", s4="short", s0="short")]).written == 1


@pytest.mark.parametrize("entity", ["", "x" * 1025, "\ud800", ("a", "b"), ()])
def test_an_entity_that_does_not_fit_is_refused_on_every_read(
    store: OnlineStore, entity: Any
) -> None:
    store.catalog.put("view", spec("a"))
    with pytest.raises(Invalid):
        store.read_one("view", entity)
    with pytest.raises(Invalid):
        store.read_rows([ViewRead("view", entity)])
    with pytest.raises(Invalid):
        store.read_blocks([BlockRead("view", ["fine", entity])])


@pytest.mark.parametrize("entity", ["", "x" * 1025, "\ud800", ("a", "b"), ()])
def test_a_write_names_the_row_whose_entity_does_not_fit_and_writes_none(
    store: OnlineStore, entity: Any
) -> None:
    store.catalog.put("view", spec("a"))
    with pytest.raises(Invalid) as caught:
        store.write("view", [row("fine", a=1), row(entity, a=1)])
    assert [e.loc for e in caught.value.errors] == ["rows.1.entity_id"]
    with pytest.raises(NotFound):
        store.read_one("view", "fine")


# --- two processes, one of which knows an older view ---------------------------------------------


@pytest.fixture
def other(table: Table, redis_port: RedisPort, clock: Clock) -> OnlineStore:
    """Another process's store, which looks at the catalog once an hour."""
    return OnlineStore(
        redis_port, Catalog(table, "test", clock, refresh_seconds=3600), clock, "test"
    )


def test_a_feature_added_elsewhere_is_known_where_it_is_first_used(
    store: OnlineStore, other: OnlineStore
) -> None:
    store.catalog.put("view", spec("a"))
    other.write("view", [row("u", a=1)])
    store.catalog.put("view", spec("a", "b"))
    other.write("view", [row("u", a=2, b=2)])
    assert store.read_one("view", "u").values == (2, 2)
    store.catalog.put("view", spec("a", "b", "c"))
    assert other.read_one("view", "u", ["c"]).status == (CellStatus.NOT_FOUND,)
    store.catalog.put("view", spec("a", "b", "c", "d", "e"))
    store.write("view", [row("u", d=4, e=5)])
    assert other.read_rows([ViewRead("view", "u", ("d",))])[0].values == (4,)
    store.catalog.put("view", spec("a", "b", "c", "d", "e", "f"))
    store.write("view", [row("u", f=6)])
    (block,) = other.read_blocks([BlockRead("view", ["u"], ("f", "e"))])
    assert [column.tolist() for column in block.columns.values()] == [[6], [5]]
    with pytest.raises(Invalid):
        other.read_rows([ViewRead("view", "u", ("nope",))])


def test_who_knows_an_older_schema_keeps_the_cells_it_does_not_know(
    store: OnlineStore, other: OnlineStore, clock: Clock
) -> None:
    store.catalog.put("view", spec("a"))
    other.write("view", [row("u", clock.at(-9), a=1)])
    store.catalog.put("view", spec("a", "b"))
    store.write("view", [row("u", clock.at(-8), a=2, b=2)])
    other.write("view", [row("u", clock.at(-7), a=3)])
    found = store.read_one("view", "u")
    assert found.values == (3, 2)
    assert found.event_times == (clock.now - 7_000_000, clock.now - 8_000_000)


def test_a_write_that_arrives_after_the_view_was_created_anew_is_not_lost(
    store: OnlineStore, other: OnlineStore, redis_port: RedisPort
) -> None:
    store.catalog.put("view", spec("a"))
    other.write("view", [row("u", a=1)])
    assert store.delete_view("view").done
    store.catalog.put("view", spec("a"))
    result = other.write("view", [row("u", a=2), row("v", a=3)])
    assert result.written == 2
    assert store.read_one("view", "u").values == (2,)
    assert store.read_one("view", "v").values == (3,)
    assert len(keys_of(redis_port, b"test:f:*")) == 2


def test_a_write_to_a_deleted_view_says_so_and_leaves_nothing(
    store: OnlineStore, other: OnlineStore, redis_port: RedisPort
) -> None:
    store.catalog.put("view", spec("a"))
    other.write("view", [row("u", a=1)])
    assert store.delete_view("view").done
    with pytest.raises(NotFound):
        other.write("view", [row("u", a=2)])
    assert keys_of(redis_port, b"test:f:*") == []


def test_a_read_after_the_view_was_created_anew_sees_the_new_rows(
    store: OnlineStore, other: OnlineStore
) -> None:
    store.catalog.put("view", spec("a"))
    store.write("view", [row("u", a=1)])
    assert other.read_one("view", "u").values == (1,)
    store.delete_view("view")
    store.catalog.put("view", spec("b"))
    store.write("view", [row("u", b=2)])
    found = other.read_one("view", "u")
    assert (found.names, found.values) == (("b",), (2,))


# --- deleting ------------------------------------------------------------------------------------


def test_a_deletion_takes_only_its_own_rows(any_store: OnlineStore, any_port: RedisPort) -> None:
    for name in ("ab", "a", "a.b", "ab-c", "A"):
        any_store.catalog.put(name, spec("x"))
        any_store.write(name, [row(e, x=1) for e in ("1", "*", "ab", "a:1", "test:f:ab:1")])
    any_port.flight([(b"SET", b"test:f:", b"1"), (b"SET", b"test:m:ab", b"1")])
    assert any_store.delete_view("a").removed == 5
    for name in ("ab", "a.b", "ab-c", "A"):
        found = any_store.read_many(name, ["1", "*", "ab", "a:1", "test:f:ab:1"])
        assert all(r is not None for r in found.rows)
    assert any_port.mget([b"test:f:", b"test:m:ab"]) == [b"1", b"1"]


def test_a_deletion_goes_on_where_it_stopped(
    any_store: OnlineStore, any_port: RedisPort, table: Table, clock: Clock
) -> None:
    any_store.catalog.put("big", spec("a"))
    any_store.write("big", [row(str(i), a=i) for i in range(9000)])
    other = OnlineStore(any_port, Catalog(table, "test", clock), clock, "test")
    first = any_store.delete_view("big", seconds=0)
    assert not first.done
    assert first.removed < 9000
    for store in (any_store, other):
        with pytest.raises(NotFound):
            store.read_one("big", "1")
        with pytest.raises(NotFound):
            store.write("big", [row("1", a=1)])
        with pytest.raises(Conflict):
            store.catalog.put("big", spec("a"))
    steps = 1
    while not (progress := other.delete_view("big", seconds=0)).done:
        steps += 1
        assert steps < 100
    assert progress.removed == 9000
    assert keys_of(any_port, b"test:f:*") == []
    with pytest.raises(NotFound):
        other.delete_view("big")


def test_a_view_that_a_model_reads_is_not_deleted(store: OnlineStore, table: Table) -> None:
    store.catalog.put("view", spec("a"))
    store.write("view", [row("u", a=1)])
    table.update("VIEW#test#view", "META", "ADD dependents :d", values={":d": {"churn@v3"}})
    with pytest.raises(Conflict, match="churn@v3"):
        store.delete_view("view")
    assert store.read_one("view", "u").values == (1,)
    table.update("VIEW#test#view", "META", "DELETE dependents :d", values={":d": {"churn@v3"}})
    assert store.delete_view("view").done


# --- Redis down ----------------------------------------------------------------------------------


def test_without_redis_every_call_says_so(table: Table, clock: Clock) -> None:
    nowhere = connect(RedisSettings(redis_host="127.0.0.1", redis_port=1))
    store = OnlineStore(nowhere, Catalog(table, "test", clock), clock, "test")
    store.catalog.put("view", spec("a"))
    for call in (
        lambda: store.write("view", [row("u", a=1)]),
        lambda: store.read_one("view", "u"),
        lambda: store.read_rows([ViewRead("view", "u")]),
        lambda: store.read_blocks([BlockRead("view", ["u"])]),
    ):
        with pytest.raises(Unavailable) as caught:
            call()
        assert caught.value.dependency == "redis"
