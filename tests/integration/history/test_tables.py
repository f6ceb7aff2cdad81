"""The history's tables in the Glue catalog list exactly the files of the newest manifest."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from neuralstream_core.features import FeatureView
from neuralstream_core.history.manifest import Heads
from neuralstream_core.history.tables import GlueTables, table_name
from neuralstream_core.objects import Location, Objects
from neuralstream_core.table import Table
from tests.support.aws import Aws
from tests.support.history import HistoryHouse
from tests.support.interposed import Cut, Died, Hook, Interposed


@pytest.fixture
def database(aws: Aws) -> str:
    """The name of an empty database."""
    name = f"test_{uuid.uuid4().hex}"
    aws.client("glue").create_database(DatabaseInput={"Name": name})
    return name


@pytest.fixture
def tables(aws: Aws, house: HistoryHouse, database: str) -> GlueTables:
    return GlueTables(aws.client("glue"), database, house.heads, house.objects, house.bucket)


def row(day: int) -> dict[str, Any]:
    time = f"2026-01-0{day}T00:00:00Z"
    return {"entity_id": "u1", "features": {"age": day}, "event_timestamp": time}


def publish(house: HistoryHouse, tables: GlueTables, view: FeatureView) -> bool:
    return tables.publish(view, house.heads.get(view.name, view.generation))


def listed(house: HistoryHouse, table: Any) -> dict[str, set[str]]:
    """The files that a query over all days would read, by day."""
    location = table["Parameters"]["storage.location.template"]
    prefix = location.removeprefix(f"s3://{house.bucket}/").partition("${_day}")[0]
    folder = Location(house.bucket, prefix.rpartition("/")[0] + "/")
    return {
        entry.at.key.removeprefix(prefix).partition("/")[0]: set(
            house.objects.read(entry.at).decode().split()
        )
        for entry in house.objects.listed(folder)
    }


def test_a_table_lists_the_files_of_each_day(
    aws: Aws, house: HistoryHouse, tables: GlueTables, database: str
) -> None:
    view = house.view(age="int64", near=("float32", 2))
    for number, day in enumerate((2, 1, 2, 3)):
        house.write(view, f"r{number}", [row(day)])
        house.compact()
        assert publish(house, tables, view)
        assert not publish(house, tables, view)
    name = table_name(view.name, view.generation)
    table = aws.client("glue").get_table(DatabaseName=database, Name=name)["Table"]
    files = house.history.snapshot(view).files
    assert listed(house, table) == {
        str(file.date): {f"s3://{house.bucket}/{file.key}"} for file in files
    }
    assert table["Parameters"]["projection._day.range"] == "2026-01-01,2026-01-03"
    columns = {c["Name"]: c["Type"] for c in table["StorageDescriptor"]["Columns"]}
    assert (columns["age"], columns["near"]) == ("bigint", "array<float>")
    assert columns["_written_0"] == columns["_event_time"] == "bigint"


def test_a_day_whose_rows_are_all_forgotten_is_listed_no_more(
    aws: Aws, house: HistoryHouse, tables: GlueTables, database: str
) -> None:
    view = house.view(age="int64")
    house.write(view, "r1", [row(1), row(2) | {"entity_id": "u2"}])
    house.compact()
    publish(house, tables, view)
    house.forget(view, "u1", "f1")
    house.compact()
    publish(house, tables, view)
    name = table_name(view.name, view.generation)
    table = aws.client("glue").get_table(DatabaseName=database, Name=name)["Table"]
    assert set(listed(house, table)) == {"2026-01-02"}


def test_a_table_gets_the_columns_of_a_new_schema_version(
    aws: Aws, house: HistoryHouse, tables: GlueTables, database: str
) -> None:
    view = house.view(age="int64")
    house.write(view, "r1", [row(1)])
    house.compact()
    publish(house, tables, view)
    view = house.view(age="int64", score="float64")
    house.write(view, "r2", [row(1)])
    house.compact()
    publish(house, tables, view)
    name = table_name(view.name, view.generation)
    table = aws.client("glue").get_table(DatabaseName=database, Name=name)["Table"]
    assert "score" in {c["Name"] for c in table["StorageDescriptor"]["Columns"]}


def test_views_whose_names_differ_little_have_tables_of_their_own() -> None:
    names = {table_name(view, "g") for view in ("a.b", "A-B")}
    assert names == {f"a_b_{table_name('x', 'g').removeprefix('x_')}"}
    assert table_name("a.b", "g") != table_name("A-B", "h")


def test_what_was_replaced_is_kept_for_a_day_and_then_deleted(house: HistoryHouse) -> None:
    view = house.view(age="int64")
    house.write(view, "r1", [row(1)])
    house.compact()
    before = house.history.snapshot(view)
    house.clock.now += 10 * 86_400_000_000  # long after the file was written
    expected = house.records(view) + house.write(view, "r2", [row(1)])
    house.compact()
    house.clock.now += 43_200_000_000
    house.janitor().run()
    assert house.objects.read(house.history.location(before.files[0]))
    house.clock.now += 86_400_000_000
    orphan = Location(house.bucket, f"history/user/{view.generation}/date=2026-01-01/x.parquet")
    house.objects.write(orphan, b"of a run that broke off", "text/plain")
    assert house.janitor().run().objects
    assert house.janitor().run().objects == 0
    head = house.heads.get("user", view.generation)
    (file,) = house.history.snapshot(view).files
    folder = Location(house.bucket, f"history/user/{view.generation}/")
    assert {entry.at.key for entry in house.objects.listed(folder)} == {file.key, head.manifest}
    assert house.records(view) == expected


def test_the_history_of_a_deleted_view_is_removed_and_no_other(
    aws: Aws, house: HistoryHouse, tables: GlueTables, database: str
) -> None:
    view, other = house.view(age="int64"), house.view("other", age="int64")
    house.write(view, "r1", [row(1)])
    expected = house.write(other, "r2", [row(1)])
    house.compact()
    publish(house, tables, view)
    house.catalog.finish_delete(house.catalog.begin_delete("user"))
    assert house.janitor(tables=tables).run().generations == 1
    folder = Location(house.bucket, f"history/user/{view.generation}/")
    assert list(house.objects.listed(folder)) == []
    assert aws.client("glue").get_tables(DatabaseName=database)["TableList"] == []
    assert [head.view for head in house.heads.all()] == ["other"]
    assert house.records(other) == expected


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_publication_that_broke_off_anywhere_is_finished_by_the_next(
    aws: Aws, house: HistoryHouse, tables: GlueTables, database: str, moment: str
) -> None:
    view = house.view(age="int64")
    for cuts in range(1, 6):  # three days, the head, and none
        house.write(view, f"r{cuts}", [row(1), row(2), row(2 + cuts)])
        house.compact()
        hook: dict[str, Hook] = {moment: Cut(cuts)}
        dynamodb, s3 = (Interposed(aws.client(name), **hook) for name in ("dynamodb", "s3"))
        heads = Heads(Table(dynamodb, house.history_table.name), "test")
        broken = GlueTables(aws.client("glue"), database, heads, Objects(s3), house.bucket)
        try:
            publish(house, broken, view)
        except Died:
            publish(house, tables, view)
        name = table_name(view.name, view.generation)
        table = aws.client("glue").get_table(DatabaseName=database, Name=name)["Table"]
        assert listed(house, table) == {
            str(file.date): {f"s3://{house.bucket}/{file.key}"}
            for file in house.history.snapshot(view).files
        }
