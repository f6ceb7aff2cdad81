"""Every acknowledged write is in the log, as it was written; what cannot be kept is not acknowledged."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid, Unavailable
from neuralstream_core.features import Catalog, CellStatus, Feature, OnlineStore, ViewSpec
from neuralstream_core.features.catalog import view_key
from neuralstream_core.features.ingest import Message, ingest
from neuralstream_core.features.writes import GivenRows
from neuralstream_core.history.entries import Entry
from neuralstream_core.history.log import HistoryLog, slot_of
from neuralstream_core.redis import RedisPort
from neuralstream_core.table import Table
from neuralstream_core.time import iso, system_clock
from tests.support.aws import Aws
from tests.support.features import Clock, Context, Functions
from tests.support.history import HistoryHouse
from tests.support.interposed import FailsOnce, Interposed
from tests.support.log_writes import Kept, entries, ints, kept
from tests.support.strategies import any_schema, features, rows_of


@any_schema
@given(data=st.data())
def test_what_is_appended_equals_what_was_written_by_rows_and_by_columns(
    data: st.DataObject, writer: OnlineStore, log: HistoryLog, clock: Clock
) -> None:
    """Stale rows too, in the order in which they came."""
    clock.now += 600_000_000  # slots of this example alone
    chosen = data.draw(features(max_size=6))
    name = f"v{clock.now}"
    writer.catalog.put(name, ViewSpec(entity="id", features=chosen))
    expected: list[Kept] = []
    for _ in range(data.draw(st.integers(1, 4))):
        clock.now += 1
        ids = data.draw(st.lists(st.sampled_from(["a", "b", "ü", "x:y"]), min_size=1, max_size=4))
        at = clock.now - data.draw(st.integers(0, 5))
        given_rows = [data.draw(rows_of(chosen)) for _ in ids]
        if data.draw(st.booleans()):
            first = list(given_rows[0])
            columns = {f: [row.get(f) if f in row else None for row in given_rows] for f in first}
            given_rows = [{f: columns[f][i] for f in first} for i in range(len(ids))]
            writer.write_columns(name, ids, columns, iso(at))
        else:
            rows = [
                {"entity_id": entity, "features": cells, "event_timestamp": iso(at)}
                for entity, cells in zip(ids, given_rows, strict=True)
            ]
            writer.write(name, rows)
        expected += [Kept(*row) for row in zip(ids, [at] * len(ids), given_rows, strict=True)]
    found = kept(writer, log, clock, name)
    assert [(k.entity, k.event_time, set(k.cells)) for k in found] == [
        (k.entity, k.event_time, set(k.cells)) for k in expected
    ]
    newest: dict[tuple[str, str], tuple[int, Any]] = {}
    for row in found:  # of equal event times the later one wins
        for feature, value in row.cells.items():
            at, known = newest.get((row.entity, feature), (row.event_time, value))
            newer = row.event_time >= at
            newest[row.entity, feature] = (row.event_time, value) if newer else (at, known)
    for entity in {row.entity for row in found}:
        online = writer.read_one(name, entity)
        answered = dict(zip(online.names, online.values, strict=True))
        replayed = {f: value for (e, f), (_, value) in newest.items() if e == entity}
        assert replayed == {f: v for f, v in answered.items() if f in replayed}


def test_a_stale_row_is_history_too(writer: OnlineStore, log: HistoryLog, clock: Clock) -> None:
    writer.catalog.put("user", ints("a"))
    row = {"entity_id": "u", "features": {"a": 1}}
    writer.write("user", [row | {"event_timestamp": clock.at(0)}])
    clock.now += 1
    result = writer.write("user", [row | {"features": {"a": 2}, "event_timestamp": clock.at(-60)}])
    assert (result.written, result.stale) == (0, 1)
    assert [k.cells for k in kept(writer, log, clock, "user")] == [{"a": 1}, {"a": 2}]


def test_a_view_without_history_is_kept_out_of_it_until_it_has_one(
    writer: OnlineStore, log: HistoryLog, clock: Clock
) -> None:
    row = [{"entity_id": "u", "features": {"a": 1}}]
    writer.catalog.put("passing", ints("a", history=False))
    writer.catalog.put("lasting", ints("a"))
    writer.write("passing", row)
    assert entries(log, clock) == []
    writer.commit([writer.prepare(name, GivenRows(row)) for name in ("passing", "lasting")])
    assert [part.view for entry in entries(log, clock) for part in entry.parts] == ["lasting"]

    view, created = writer.catalog.put("passing", ints("a"))
    assert (view.history, created, view.schema_version) == (True, False, 1)
    writer.write("passing", row)
    assert len(kept(writer, log, clock, "passing")) == 1
    writer.catalog.put("passing", ints("a", history=False))
    writer.write("passing", row)
    assert len(kept(writer, log, clock, "passing")) == 1


def test_a_view_that_an_older_release_stored_has_history(
    writer: OnlineStore, log: HistoryLog, clock: Clock, table: Table
) -> None:
    writer.catalog.put("old", ints("a", history=False))
    item = table.get(*view_key("test", "old"))
    assert item is not None
    stored = json.loads(item["view"])
    del stored["history"]
    table.put(item | {"view": json.dumps(stored), "revision": item["revision"] + 1})
    assert writer.catalog.fetch("old").history
    writer.write("old", [{"entity_id": "u", "features": {"a": 1}}])
    assert [k.cells for k in kept(writer, log, clock, "old")] == [{"a": 1}]


def test_a_view_that_was_created_anew_meanwhile_has_its_rows_under_its_own_generation(
    writer: OnlineStore, log: HistoryLog, clock: Clock, table: Table, redis_port: RedisPort
) -> None:
    writer.catalog.put("anew", ints("a"))
    batch = writer.prepare("anew", GivenRows([{"entity_id": "u", "features": {"a": 1}}]), "r1")
    other = OnlineStore(redis_port, Catalog(table, "test", clock), clock, "test")
    other.delete_view("anew")
    view, _ = other.catalog.put("anew", ints("b", "a"))
    assert writer.commit([batch])[0].written == 1
    living = [p for e in entries(log, clock) for p in e.parts if p.generation == view.generation]
    assert [(part.request_id, part.entities) for part in living] == [("r1", [b"u"])]
    assert [k.cells for k in kept(writer, log, clock, "anew")] == [{"a": 1}]


def test_a_row_that_redis_refuses_as_too_large_has_no_cells_in_the_history(
    writer: OnlineStore, log: HistoryLog, clock: Clock, house: HistoryHouse
) -> None:
    spec = ViewSpec(entity="id", features=[Feature(name=f"s{i}", dtype="string") for i in range(6)])
    view, _ = writer.catalog.put("text", spec)
    long = "x" * 60_000
    writer.write("text", [{"entity_id": "v", "features": {f"s{i}": long for i in range(3)}}])
    clock.now += 1
    rows = [
        {"entity_id": entity, "features": {"s3": text, "s4": text}}
        for entity, text in (("u", "y"), ("v", long), ("w", "z"))
    ]
    with pytest.raises(Invalid) as refused:
        writer.write("text", rows)
    assert refused.value.errors[0].loc == "rows.1.features"
    found = kept(writer, log, clock, "text")[1:]
    assert [(k.entity, k.cells) for k in found] == [
        ("u", {"s3": "y", "s4": "y"}),
        ("v", {}),
        ("w", {"s3": "z", "s4": "z"}),
    ]
    assert writer.read_one("text", "v", ["s3"]).status == (CellStatus.NOT_FOUND,)
    house.compact()
    in_files = [record["features"] for record in house.records(view) if record["entity"] == "v"]
    assert sorted(in_files, key=len) == [{}, {f"s{i}": long for i in range(3)}]


def test_messages_are_one_entry_and_each_keeps_its_own_id(
    writer: OnlineStore, log: HistoryLog, clock: Clock
) -> None:
    writer.catalog.put("user", ints("a"))
    body = {"feature_view": "user", "rows": [{"entity_id": "u", "features": {"a": 1}}] * 2}
    bad = {"feature_view": "user", "entity_id": "u", "features": {"nope": 1}}
    messages = [
        Message("m1", json.dumps(body)),
        Message("m2", json.dumps(bad)),
        Message("7", json.dumps(body), "stream/shard-0:7"),
    ]
    done = ingest(writer, messages)
    assert [failure.id for failure in done.failures] == ["m2"]
    (entry,) = entries(log, clock)
    assert [(p.request_id, len(p.rows)) for p in entry.parts] == [
        ("m1", 2),
        ("stream/shard-0:7", 2),
    ]


def test_a_message_is_delivered_again_with_the_same_identity(
    table: Table, redis_port: RedisPort, clock: Clock, aws: Aws, log_on: Callable[..., HistoryLog]
) -> None:
    log = log_on(Interposed(aws.client("dynamodb"), after=FailsOnce(1)))
    writer = OnlineStore(redis_port, Catalog(table, "test", clock), clock, "test", log=log)
    writer.catalog.put("user", ints("a"))
    body = json.dumps({"feature_view": "user", "entity_id": "u", "features": {"a": 1}})
    first = ingest(writer, [Message("m1", body)])
    assert [failure.error.code for failure in first.failures] == ["history_unavailable"]
    assert ingest(writer, [Message("m1", body)]).failures == []
    twice = [p for e in entries(log, clock) for p in e.parts]
    assert {(p.request_id, tuple(p.entities), tuple(p.rows)) for p in twice} == {
        ("m1", tuple(twice[0].entities), tuple(twice[0].rows))
    }


def test_a_message_without_event_times_is_of_the_time_at_which_it_was_sent(
    functions: Functions, aws: Aws, history_table: str
) -> None:
    """So it changes nothing when it is delivered again after a newer one, and is the same in the history."""
    spec = {"entity": "id", "features": [{"name": "a", "dtype": "int64"}]}
    functions.call("PUT /features/views/{name}", path={"name": "user"}, body=spec)
    now = system_clock() // 1000

    def deliver(message_id: str, sent: int, value: int) -> None:
        body = {"feature_view": "user", "entity_id": "u", "features": {"a": value}}
        record = {
            "messageId": message_id,
            "body": json.dumps(body),
            "attributes": {"SentTimestamp": str(sent)},
        }
        assert functions.ingest.lambda_handler({"Records": [record]}, Context()) == {
            "batchItemFailures": []
        }

    deliver("older", now - 2000, 1)
    deliver("newer", now - 1000, 2)
    deliver("older", now - 2000, 1)
    route = "GET /features/{feature_view}/{entity_id+}"
    read = functions.call(route, path={"feature_view": "user", "entity_id": "u"}).body
    assert (read["features"], read["event_timestamp"]) == ({"a": 2}, iso((now - 1000) * 1000))
    items = aws.client("dynamodb").scan(TableName=history_table)["Items"]
    parts = [part for item in items for part in Entry.unpack(item["data"]["B"]).parts]
    assert len([part for part in parts if part.request_id == "older"]) == 2
    assert len({(part.request_id, *part.rows) for part in parts}) == 2


def test_every_row_that_racing_writers_were_told_is_written_is_in_the_log_once(
    table: Table, redis_port: RedisPort, log_on: Callable[..., HistoryLog], aws: Aws
) -> None:
    """One call in nine of the log fails, before or after it has had its effect."""
    calls = count()

    def sometimes(operation: str) -> None:
        if next(calls) % 9 == 4:
            raise ClientError({"Error": {"Code": "InternalServerError"}}, operation)

    failing = log_on(Interposed(aws.client("dynamodb"), before=sometimes, after=sometimes))
    catalog = Catalog(table, "test", system_clock)
    writer = OnlineStore(redis_port, catalog, system_clock, "test", log=failing)
    writer.catalog.put("load", ints("a"))
    began = system_clock()

    def write(number: int) -> set[tuple[str, int, str]]:
        """The rows that were acknowledged."""
        acknowledged = set()
        for n in range(20):
            ids = [f"e{(number + n + i) % 7}" for i in range(3)]
            rows = [{"entity_id": entity, "features": {"a": n}} for entity in ids]
            batch = writer.prepare("load", GivenRows(rows), f"{number}-{n}")
            try:
                writer.commit([batch])
            except Unavailable:
                continue
            acknowledged |= {(batch.request_id, i, entity) for i, entity in enumerate(ids)}
        return acknowledged

    with ThreadPoolExecutor(8) as pool:
        acknowledged = set[tuple[str, int, str]]().union(*pool.map(write, range(8)))
    assert 0 < len(acknowledged) < 8 * 20 * 3
    found = Counter(
        (part.request_id, i, entity.decode())
        for _, entry in log_on().entries(slot_of(began), slot_of(system_clock()))
        for part in entry.parts
        for i, entity in enumerate(part.entities)
    )
    assert {row for row in acknowledged if found[row] != 1} == set()
    assert set(found.values()) == {1}
