"""The history of one entity: every row that was written of it, page by page, from the files and the log."""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from neuralstream_core.errors import Conflict, Invalid, NotFound, Unavailable
from neuralstream_core.features import FeatureView, ViewSpec
from neuralstream_core.history.entity import EntityHistory
from neuralstream_core.history.files import Bounds
from neuralstream_core.history.rows import EntityPage, EntityRow, Wanted
from neuralstream_core.parquet import Space
from neuralstream_core.time import to_micros
from neuralstream_core.types import MAX_NAME
from tests.support.history import HistoryHouse

DAY = 86_400


class Histories:
    """Histories of entities of the house's views."""

    def __init__(self, house: HistoryHouse, folder: Path) -> None:
        self.house = house
        space = Space(256, 1, folder)
        self.reader = EntityHistory(house.history, house.catalog, space, house.clock)

    def page(self, entity: str = "u1", *, view: str = "user", **wanted: Any) -> EntityPage:
        return self.reader.read(view, lambda _: [entity], Wanted(**wanted))

    def rows(self, entity: str = "u1", *, view: str = "user", **wanted: Any) -> list[EntityRow]:
        """The rows of all pages."""
        found: list[EntityRow] = []
        before = None
        while True:
            page = self.page(entity, view=view, before=before, **wanted)
            found += page.rows
            assert len(page.rows) <= wanted.get("limit", 100)
            if page.next is None:
                return found
            assert before is None or page.next < before
            before = page.next

    def values(self, entity: str = "u1", **wanted: Any) -> list[dict[str, Any]]:
        return [row.values for row in self.rows(entity, **wanted)]


@pytest.fixture
def histories(house: HistoryHouse, tmp_path: Path) -> Histories:
    return Histories(house, tmp_path)


def row(house: HistoryHouse, seconds: float, entity: str = "u1", **features: Any) -> dict[str, Any]:
    """A row whose event time is some seconds from now."""
    at = house.clock.at(seconds)
    return {"entity_id": entity, "features": features, "event_timestamp": at}


def test_rows_of_files_and_of_the_log_are_one_history(
    house: HistoryHouse, histories: Histories
) -> None:
    """Newest event time first, also of a row that came late; a partial write stays partial."""
    view = house.view(age="int64", plan="string", seen="timestamp", near=("float32", 2))
    early = house.clock()
    house.write(view, "r1", [row(house, -2 * DAY, age=1, plan="a"), row(house, 0, "u2", age=9)])
    house.write(view, "r2", [row(house, -60, age=None), row(house, -50, near=[1.5, 2.0])])
    house.compact()
    late = house.clock()
    house.write(view, "r3", [row(house, -DAY, plan="late")])

    found = histories.rows()
    assert [each.values for each in found] == [
        {"near": [1.5, 2.0]},
        {"age": None},
        {"plan": "late"},
        {"age": 1, "plan": "a"},
    ]
    assert [each.place.write_time for each in found] == [early, early, late, early]
    assert [each.place.request_id for each in found] == ["r2", "r2", "r3", "r1"]
    assert found[-1].place.event_time == early - 2 * DAY * 1_000_000
    house.compact()
    assert histories.rows() == found  # the same once the log's rows are in files
    assert histories.values("u2") == [{"age": 9}]
    assert histories.rows("nobody") == []


def test_of_equal_event_times_the_one_that_counts_comes_first(
    house: HistoryHouse, histories: Histories
) -> None:
    view = house.view(age="int64")
    at = {"event_timestamp": "2026-01-01T00:00:00Z", "entity_id": "u1"}
    house.write(view, "r1", [at | {"features": {"age": 1}}, at | {"features": {"age": 2}}])
    house.compact()
    house.write(view, "r2", [at | {"features": {"age": 3}}])
    assert histories.values(limit=2) == [{"age": 3}, {"age": 2}, {"age": 1}]


def test_one_feature_between_two_times(house: HistoryHouse, histories: Histories) -> None:
    view = house.view(age="int64", plan="string")
    for number in range(6):
        written = {"age": number} if number % 2 else {"plan": str(number), "age": number}
        house.write(view, f"r{number}", [row(house, -DAY * number, **written)])
    now = house.clock()
    house.compact()
    assert histories.values(feature="plan") == [{"plan": "0"}, {"plan": "2"}, {"plan": "4"}]
    times = {"start": now - 4 * DAY * 1_000_000, "end": now - DAY * 1_000_000}
    assert histories.values(feature="age", **times) == [{"age": 2}, {"age": 3}, {"age": 4}]


def test_a_forgotten_entity_has_no_rows_at_once_and_those_written_later_have(
    house: HistoryHouse, histories: Histories
) -> None:
    view = house.view(age="int64")
    house.write(view, "r1", [row(house, -60, age=1), row(house, -60, "u2", age=5)])
    house.compact()
    house.write(view, "r2", [row(house, -30, age=2)])
    house.clock.now += 1
    house.forget(view, "u1", "r3")
    assert histories.rows() == []
    house.clock.now += 1
    house.write(view, "r4", [row(house, -90, age=3)])
    assert histories.values() == [{"age": 3}]
    house.compact()
    assert histories.values() == [{"age": 3}]
    assert histories.values("u2") == [{"age": 5}]


def test_a_message_that_came_again_is_one_row(house: HistoryHouse, histories: Histories) -> None:
    view = house.view(age="int64")
    rows = [{"entity_id": "u1", "features": {"age": 1}, "event_timestamp": "2026-01-01T00:00:00Z"}]
    house.write(view, "m1", rows)
    first = house.clock()
    house.clock.now += 1
    house.write(view, "m1", rows)
    assert [each.place.write_time for each in histories.rows()] == [first]
    house.compact()
    house.write(view, "m1", rows)
    assert [each.place.write_time for each in histories.rows()] == [first]


def test_rows_of_an_older_schema_have_what_they_wrote(
    house: HistoryHouse, histories: Histories
) -> None:
    old = house.view(age="int64")
    house.write(old, "r1", [row(house, -60, age=1)])
    house.compact()
    new = house.view(age="int64", Age="string")
    house.write(new, "r2", [row(house, -30, Age="x")])
    house.write(old, "r3", [row(house, -20, age=3)])
    found = histories.rows()
    assert [(each.schema_version, each.values) for each in found] == [
        (1, {"age": 3}),
        (2, {"Age": "x"}),
        (1, {"age": 1}),
    ]
    house.compact()
    assert histories.rows() == found


def test_a_page_reads_a_bounded_number_of_days(house: HistoryHouse, histories: Histories) -> None:
    """An entity without a row in the newest 33 days: a page without rows, and another one with them."""
    view = house.view(age="int64")
    days = [row(house, -DAY * day, "other", age=day) for day in range(33)]
    house.write(view, "r1", [*days, row(house, -DAY * 50, age=7)])
    house.compact()
    page = histories.page()
    assert page.rows == []
    assert page.next is not None
    assert histories.values() == [{"age": 7}]


def test_more_recent_rows_than_are_kept_come_in_pages(
    house: HistoryHouse, histories: Histories
) -> None:
    view = house.view(age="int64")
    for request in range(3):
        rows = [row(house, -n, age=n) for n in range(request, 9000, 3)]
        house.write(view, f"r{request}", rows)
    page = histories.page(limit=1000)
    assert [each.values["age"] for each in page.rows] == list(range(1000))
    second = histories.page(limit=1000, before=page.next)
    assert [each.values["age"] for each in second.rows] == list(range(1000, 2000))
    last = house.clock() - 8000 * 1_000_000
    assert [each["age"] for each in histories.values(limit=1000, end=last)] == [*range(8001, 9000)]


@pytest.mark.parametrize("seed", range(2))
def test_pages_hold_every_row_once_in_order(
    house: HistoryHouse, histories: Histories, seed: int
) -> None:
    """Any writes, repeated messages, forgetting and compactions; small files, any size of pages."""
    deal = random.Random(seed)
    view = house.view(a="int64", b="float64", c="string")
    expected: list[tuple[Any, ...]] = []
    for number in range(7):
        house.clock.now += 1
        if deal.random() < 0.15:
            house.forget(view, "u1", f"r{number}")
            expected.clear()
            continue
        rows = [
            row(
                house,
                -DAY * deal.randrange(4) - deal.randrange(3),
                deal.choice(["u1", "u1", "u2"]),
                **{f: values(n)[f] for f in deal.sample("abc", deal.randrange(1, 4))},
            )
            for n in range(deal.randrange(1, 9))
        ]
        house.write(view, f"r{number}", rows)
        expected += [
            (time_of(each), house.clock(), f"r{number}", at, each["features"])
            for at, each in enumerate(rows)
            if each["entity_id"] == "u1"
        ]
        if deal.random() < 0.3:
            house.clock.now += 1
            house.write(view, f"r{number}", rows)  # delivered again
        if deal.random() < 0.3:
            house.compact(bounds=Bounds(small=deal.choice([1, 32 << 20]), memory="256MiB"))
    expected.sort(key=lambda each: each[:4], reverse=True)
    for limit in (1000, deal.randrange(5, 9)):
        found = histories.rows(limit=limit)
        assert [(*each.place, each.values) for each in found] == expected
    only = [each[:4] for each in expected if "b" in each[4]]
    assert [each.place for each in histories.rows(feature="b", limit=1000)] == only


def values(n: int) -> dict[str, Any]:
    return {"a": n, "b": n / 2, "c": None}


def time_of(each: dict[str, Any]) -> int:
    return to_micros(datetime.fromisoformat(each["event_timestamp"]))


def test_what_cannot_be_answered(house: HistoryHouse, histories: Histories) -> None:
    view = house.view(age="int64")
    house.catalog.put("off", ViewSpec(entity="id", features=[feature(view)], history=False))
    with pytest.raises(NotFound):
        histories.page(view="nobody")
    with pytest.raises(Conflict) as conflict:
        histories.page(view="off")
    assert conflict.value.code == "view_without_history"
    with pytest.raises(Invalid) as invalid:
        histories.page(feature="x" * MAX_NAME)
    assert [each.loc for each in invalid.value.errors] == ["query.feature"]
    house.write(view, "r1", [row(house, -60, age=1)])
    house.compact()
    house.clock.now += 2 * DAY * 1_000_000
    with pytest.raises(Unavailable, match="compaction stands still") as down:
        histories.page()
    assert down.value.dependency == "history"


def feature(view: FeatureView) -> Any:
    return view.features[0]
