"""Compaction: what was appended to the log is in the files, each row once."""

from __future__ import annotations

from tests.support.history import HistoryHouse, Record

DAY = 86_400_000_000


def test_rows_are_in_the_files_as_they_were_written(house: HistoryHouse) -> None:
    view = house.view(age="int64", city="string", score="float64", near=("float32", 2))
    rows = [
        {"entity_id": "u1", "features": {"age": 41, "city": "Ä", "score": None}},
        {"entity_id": "u2", "features": {"near": [1.5, 2.5]}},
        {"entity_id": "u1", "features": {"age": None, "near": None}},
    ]
    expected = house.write(view, "r1", rows)
    assert house.compact().rows == 3
    assert house.records(view) == expected


def test_a_second_run_adds_what_came_since(house: HistoryHouse) -> None:
    view = house.view(age="int64")
    row = {"entity_id": "u1", "features": {"age": 1}, "event_timestamp": "2026-01-01T00:00:00Z"}
    expected = house.write(view, "r1", [row])
    house.compact()
    expected += house.write(view, "r2", [row])
    house.compact()
    assert house.compact().commits == 0
    assert house.records(view) == expected
    assert len(house.history.snapshot(view).files) == 1


def test_what_is_not_compacted_yet_is_the_tail(house: HistoryHouse) -> None:
    view = house.view(age="int64")
    house.write(view, "r1", [{"entity_id": "u1", "features": {"age": 1}}])
    empty = house.history.snapshot(view)
    assert [part.request_id for _, part in house.history.tail(empty)] == ["r1"]
    house.compact()
    written_at = house.clock()
    house.write(view, "r2", [{"entity_id": "u1", "features": {"age": 2}}])
    snapshot = house.history.snapshot(view)
    assert snapshot.rows == 1
    assert [(at, part.request_id) for at, part in house.history.tail(snapshot)] == [
        (written_at, "r2")
    ]


def test_a_row_that_comes_twice_is_kept_once(house: HistoryHouse) -> None:
    view = house.view(age="int64")
    rows = [
        {"entity_id": "u1", "features": {"age": 1}, "event_timestamp": "2026-01-01T00:00:00Z"},
        {"entity_id": "u1", "features": {"age": 1}, "event_timestamp": "2026-01-01T00:00:00Z"},
    ]
    expected = house.write(view, "m1", rows)
    house.write(view, "m1", rows)
    house.compact()
    assert house.records(view) == expected  # twice in one run
    house.write(view, "m1", rows)
    assert house.compact().commits == 0
    assert house.records(view) == expected  # and again in a later one


def test_a_forgotten_entity_loses_its_earlier_rows_in_all_files(house: HistoryHouse) -> None:
    view = house.view(age="int64")

    def write(request: str, day: int) -> list[Record]:
        return house.write(
            view,
            request,
            [
                {
                    "entity_id": entity,
                    "features": {"age": day},
                    "event_timestamp": f"2026-01-0{day}T00:00:00Z",
                }
                for entity in ("u1", "u2")
            ],
        )

    kept = [record for day in (1, 2) for record in write(f"r{day}", day)[1:]]
    house.compact()
    kept += write("r3", 3)[1:]
    house.clock.now += 1
    house.forget(view, "u1", "f1")
    house.clock.now += 1
    kept += write("r4", 3)
    house.compact()
    assert house.records(view) == kept
    assert house.compact().commits == 0


def test_rows_of_several_schema_versions_stand_side_by_side(house: HistoryHouse) -> None:
    old = house.view(age="int64")
    expected = house.write(
        old,
        "r1",
        [{"entity_id": "u1", "features": {"age": 1}, "event_timestamp": "2026-01-01T00:00:00Z"}],
    )
    house.compact()
    new = house.view(age="int64", **{f"f{i}": "float64" for i in range(40)})
    expected += house.write(
        old,
        "r2",
        [{"entity_id": "u1", "features": {"age": 2}, "event_timestamp": "2026-01-02T00:00:00Z"}],
    )
    expected += house.write(
        new,
        "r3",
        [{"entity_id": "u2", "features": {"f39": 1.5}, "event_timestamp": "2026-01-02T00:00:00Z"}],
    )
    house.compact()
    assert house.records(new) == expected
    assert [file.schema_version for file in house.history.snapshot(new).files] == [1, 2]


def test_rows_of_a_view_that_was_created_anew_are_its_own(house: HistoryHouse) -> None:
    old = house.view(age="int64")
    house.write(old, "r1", [{"entity_id": "u1", "features": {"age": 1}}])
    house.catalog.finish_delete(house.catalog.begin_delete("user"))
    new = house.view(age="string")
    expected = house.write(new, "r2", [{"entity_id": "u1", "features": {"age": "old"}}])
    done = house.compact()
    assert (done.dropped, done.rows) == (1, 1)
    assert house.records(new) == expected


def test_an_entry_that_comes_after_its_minute_was_consumed_is_not_lost(
    house: HistoryHouse,
) -> None:
    view = house.view(age="int64")
    house.write(view, "r1", [{"entity_id": "u1", "features": {"age": 1}}])
    house.compact()  # the first run begins where the log does
    minute = house.clock()
    row = {"entity_id": "u1", "features": {"age": 2}}
    house.write(view, "r2", [row])
    house.compact()
    now, house.clock.now = house.clock(), minute
    house.write(view, "r3", [row])  # by a writer whose clock is minutes behind
    house.clock.now = now
    assert house.compact().late == 0  # not looked for yet
    house.write(view, "r4", [row])
    for _ in range(10):
        house.seal()
    done = house.compact()
    assert (done.late, [record["request"][0] for record in house.records(view)]) == (
        1,
        ["r1", "r2", "r3", "r4"],
    )
    house.seal()
    done = house.compact()
    assert (done.late, done.commits) == (0, 0)


def test_an_outage_of_days_is_made_up_for(house: HistoryHouse) -> None:
    view = house.view(age="int64")
    expected = house.write(view, "r1", [{"entity_id": "u1", "features": {"age": 1}}])
    house.compact()
    house.clock.now += 6 * DAY
    expected += house.write(view, "r2", [{"entity_id": "u1", "features": {"age": 2}}])
    assert house.compact().rows == 1
    assert house.records(view) == expected
