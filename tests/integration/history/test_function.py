"""The scheduled function: its tasks, as the schedules call them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from neuralstream_core.features import FeatureView
from tests.support.aws import Aws
from tests.support.features import Context
from tests.support.functions import load_function
from tests.support.history import HistoryHouse


@pytest.fixture
def function(
    aws: Aws,
    table_name: str,
    history_table: str,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """functions/history on this test's tables and bucket."""
    database = f"test_{uuid.uuid4().hex}"
    aws.client("glue").create_database(DatabaseInput={"Name": database})
    for name, value in {
        "TABLE": table_name,
        "HISTORY_TABLE": history_table,
        "DATA_BUCKET": bucket,
        "NAMESPACE": "test",
        "CATALOG_DATABASE": database,
    }.items():
        monkeypatch.setenv(f"NEURALSTREAM_{name}", value)
    return load_function("history")


def written(house: HistoryHouse) -> tuple[FeatureView, list[dict[str, Any]]]:
    """A view with a row that was written ten minutes ago."""
    view = house.view(age="int64")
    house.clock.now -= 600_000_000
    return view, house.write(view, "r1", [{"entity_id": "u1", "features": {"age": 1}}])


def test_the_task_compact_makes_files_and_tables(
    function: Any, house: HistoryHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    view, expected = written(house)
    done = function.scheduled_handler({"task": "compact"}, Context())
    assert (done["rows"], done["commits"], done["tables"], done["behind"]) == (1, 1, 1, 0)
    assert house.records(view) == expected
    assert '"HistoryBehindSeconds"' in capsys.readouterr().out  # the metric of the alarm


def test_the_task_clean_removes_what_a_deleted_view_left(
    function: Any, house: HistoryHouse
) -> None:
    written(house)
    function.scheduled_handler({"task": "compact"}, Context())
    house.catalog.finish_delete(house.catalog.begin_delete("user"))
    done = function.scheduled_handler({"task": "clean"}, Context())
    assert (done["generations"], house.heads.all()) == (1, [])


def test_another_task_is_refused(function: Any) -> None:
    with pytest.raises(ValueError, match="no such task"):
        function.scheduled_handler({"task": "defragment"}, Context())
