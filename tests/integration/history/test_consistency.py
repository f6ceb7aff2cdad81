"""What is online, compared with the history."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from neuralstream_core.backfill.consistency import ConsistencyCheck
from neuralstream_core.features.writes import GivenRows
from neuralstream_core.history.consistency import CellCounts, ConsistencyReports, ViewConsistency
from neuralstream_local.embedded_redis import talk
from tests.support.rebuilding import ENTITIES, Rebuilding
from tests.support.redis_cluster import EmbeddedCluster


@pytest.fixture
def reports(rebuilding: Rebuilding) -> ConsistencyReports:
    return ConsistencyReports(rebuilding.house.registry, "test")


def check(
    rebuilding: Rebuilding,
    reports: ConsistencyReports,
    *,
    number: int = 0,
    entities: int = 20_000,
    meanwhile: Callable[[], None] = lambda: None,
) -> ViewConsistency:
    """Check all views; the report of the only one."""
    house = rebuilding.house
    checks = ConsistencyCheck(house.history, rebuilding.upkeep, reports, house.clock, meanwhile)
    (found,) = checks.run(number, entities=entities)
    assert reports.all() == [found]
    return found


def unrecorded(rebuilding: Rebuilding, entity: str, **features: float) -> None:
    """A write that reached Redis, and not the log."""
    row = {"entity_id": entity, "features": features}
    rebuilding.upkeep.merge(rebuilding.store.prepare("user", GivenRows([row])))


def test_after_any_writes_all_cells_match(
    rebuilding: Rebuilding, reports: ConsistencyReports
) -> None:
    chance = random.Random(61)
    rebuilding.view(a="float32", b="string", c=("int64", 2), d="timestamp")
    values = {
        "a": chance.random,
        "b": lambda: "x" * chance.randrange(3),
        "c": lambda: [chance.randrange(9), -1],
        "d": lambda: f"2026-01-0{chance.randrange(1, 9)}T00:00:00Z",
    }
    for step in range(3):
        for _ in range(50):
            names = chance.sample(sorted(values), chance.randrange(1, 5))
            row = {n: None if chance.random() < 0.2 else values[n]() for n in names}
            rebuilding.write(chance.choice(ENTITIES), -chance.randrange(5), **row)
        if step < 2:
            rebuilding.forget(chance.choice(ENTITIES))
            rebuilding.later(1)
            rebuilding.house.compact()
    found = check(rebuilding, reports)
    assert found.wrong == 0
    assert found.share == 1.0
    assert found.entities == sum(row is not None for row in rebuilding.rows())
    assert all(counts.match for counts in found.features.values())


def test_two_hours_of_random_traffic_leave_no_cell_that_differs(
    rebuilding: Rebuilding, reports: ConsistencyReports
) -> None:
    """A write every few seconds, the compaction every five minutes, an entity forgotten now and then."""
    chance = random.Random(72)
    names = ("a", "b", "c", "d")
    rebuilding.view(ttl=3600, **dict.fromkeys(names, "int64"))
    entities = [f"e{i}" for i in range(300)]
    began = rebuilding.house.clock()
    compacted = began
    while (now := rebuilding.house.clock()) < began + 7200 * 1_000_000:
        rows = [
            {
                "entity_id": chance.choice(entities),
                "features": {
                    name: chance.choice((None, 1, 2, 3)) for name in chance.sample(names, 2)
                },
                "event_timestamp": rebuilding.house.clock.at(-chance.choice((0, 0, 30, 3000))),
            }
            for _ in range(chance.randrange(1, 80))
        ]
        rebuilding.store.write("user", rows)
        if chance.random() < 0.02:
            rebuilding.upkeep.forget("user", lambda _view: [chance.choice(entities)], f"f{now}")
        rebuilding.later(chance.uniform(5, 40))
        if now > compacted + 300 * 1_000_000:
            rebuilding.house.compactor().run()
            compacted = now
    rebuilding.house.compact()
    found = check(rebuilding, reports)
    assert found.wrong == 0
    assert sum(counts.match for counts in found.features.values()) > 900


def test_lost_changed_and_unrecorded_cells_are_told_apart(
    rebuilding: Rebuilding, reports: ConsistencyReports
) -> None:
    rebuilding.view(a="float64", b="float64")
    for entity in ("e1", "e2", "e3"):
        rebuilding.write(entity, -10, a=1.0, b=1.0)
    rebuilding.house.compact()
    batch = rebuilding.store.prepare(
        "user", GivenRows([{"entity_id": "e1", "features": {"a": 1.0}}])
    )
    rebuilding.upkeep.remove(batch)
    unrecorded(rebuilding, "e2", a=2.0)
    unrecorded(rebuilding, "e4", a=4.0)
    found = check(rebuilding, reports)
    assert found.features == {
        "a": CellCounts(match=1, mismatch=1, missing=1, extra=1),
        "b": CellCounts(match=2, missing=1),
    }


def test_a_write_under_way_is_no_mismatch(
    rebuilding: Rebuilding, reports: ConsistencyReports
) -> None:
    """It is in Redis when the check looks first, and in the log when it looks again."""
    rebuilding.view(a="float64")
    row = {"entity_id": "e1", "features": {"a": 1.0}}
    batch = rebuilding.store.prepare("user", GivenRows([row]))
    rebuilding.upkeep.merge(batch)
    found = check(rebuilding, reports, meanwhile=lambda: rebuilding.upkeep.record([batch]))
    assert found.features["a"] == CellCounts(match=1)


def test_expired_cells_are_not_compared(
    rebuilding: Rebuilding, reports: ConsistencyReports
) -> None:
    rebuilding.view(ttl=3600, a="float64")
    rebuilding.write("e1", -7200, a=1.0)
    rebuilding.redis.flush()
    assert check(rebuilding, reports).features["a"] == CellCounts()


def test_runs_take_other_entities_until_all_were_compared(
    rebuilding: Rebuilding, reports: ConsistencyReports
) -> None:
    rebuilding.view(a="float64")
    for entity in ENTITIES:
        rebuilding.write(entity, a=1.0)
    rebuilding.house.compact()
    compared = [check(rebuilding, reports, number=n, entities=3).entities for n in range(4)]
    assert sum(compared) == len(ENTITIES)
    assert max(compared) < len(ENTITIES)


def test_a_view_that_is_gone_has_no_report(
    rebuilding: Rebuilding, reports: ConsistencyReports
) -> None:
    rebuilding.view(a="float64")
    check(rebuilding, reports)
    assert rebuilding.store.delete_view("user").done
    house = rebuilding.house
    checks = ConsistencyCheck(house.history, rebuilding.upkeep, reports, house.clock, lambda: None)
    assert checks.run(0) == reports.all() == []


def test_a_cluster_that_lost_a_node_is_found_out_and_rebuilt(
    rebuilding_on_a_cluster: Rebuilding, reports: ConsistencyReports
) -> None:
    cluster = rebuilding_on_a_cluster
    assert isinstance(cluster.redis, EmbeddedCluster)
    cluster.view(a="float64", b="string")
    names = [f"e{i}" for i in range(90)]
    for i, name in enumerate(names):
        cluster.write(name, -i, a=float(i))
        if i % 3:
            cluster.write(name, -i + 1, b=str(i))
    cluster.house.compact()
    cluster.forget("e7")
    before = cluster.rows(entities=names)
    assert check(cluster, reports).wrong == 0
    talk(cluster.redis.nodes[1].port, ("FLUSHALL",))
    lost = sum(row is None for row in cluster.rows(entities=names)) - 1
    assert 0 < lost < 89
    assert check(cluster, reports).features["a"].missing == lost
    cluster.rebuild()
    assert cluster.rows(entities=names) == before
    assert check(cluster, reports).wrong == 0
