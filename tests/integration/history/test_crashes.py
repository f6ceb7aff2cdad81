"""The compactor ended at every write to AWS, and several of them at once: each row once, none lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from neuralstream_core.errors import Conflict
from neuralstream_core.features import FeatureView
from neuralstream_core.history.compaction import Compactor
from tests.support.aws import Aws
from tests.support.features import Clock
from tests.support.history import HistoryHouse, Record
from tests.support.interposed import Cut, Died, Hook, Interposed

Other = Callable[..., HistoryHouse]


@pytest.fixture
def other(aws: Aws, table_name: str, history_table: str, bucket: str, clock: Clock) -> Other:
    """Another process on the state of ``house``, with hooks around its calls."""

    def build(**hooks: Hook) -> HistoryHouse:
        dynamodb, s3 = (Interposed(aws.client(name), **hooks) for name in ("dynamodb", "s3"))
        return HistoryHouse(dynamodb, s3, table_name, history_table, bucket, clock)

    return build


def written(house: HistoryHouse, view: FeatureView, name: str) -> list[Record]:
    """Two requests with rows of two days."""
    records: list[Record] = []
    for request in ("a", "b"):
        rows = [
            {
                "entity_id": f"u{i}",
                "features": {"age": i},
                "event_timestamp": f"2026-01-0{1 + i % 2}T00:00:00Z",
            }
            for i in range(4)
        ]
        records += house.write(view, f"{name}-{request}", rows)
    return records


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_ended_at_any_write_is_finished_by_the_next(
    house: HistoryHouse, other: Other, moment: str
) -> None:
    """Ended before a read leaves the same state as before the write that follows it."""
    first, second = house.view(age="int64"), house.view("second", age="int64")
    expected, also = written(house, first, "first"), written(house, second, "first")
    house.compact()
    cuts = 0
    while True:
        cuts += 1
        expected += written(house, first, f"n{cuts:03d}")
        also += written(house, second, f"n{cuts:03d}")
        house.forget(second, "nobody", f"n{cuts:03d}")
        house.seal()
        try:
            other(**{moment: Cut(cuts)}).compactor().run()
        except Died:
            house.compactor().run()
        else:
            break
        assert house.records(first) == sorted(expected, key=lambda record: record["request"])
        assert house.records(second) == sorted(also, key=lambda record: record["request"])
    assert cuts > 2 * 4 + 1  # two files, a manifest and a head of each view, and the cursor


def test_of_several_runs_at_once_every_row_is_kept_once(house: HistoryHouse) -> None:
    view = house.view(age="int64")
    expected: list[Record] = []
    for race in range(4):
        expected += written(house, view, f"r{race}")
        house.seal()
        start = threading.Barrier(3)
        runs = [(house.compactor(), start) for _ in range(3)]
        with ThreadPoolExecutor(3) as pool:
            assert any(pool.map(_finished, runs))
        assert house.records(view) == expected


def _finished(run: tuple[Compactor, threading.Barrier]) -> bool:
    """Whether a run was not refused because another was first."""
    run[1].wait()
    try:
        run[0].run()
    except Conflict:
        return False
    return True
