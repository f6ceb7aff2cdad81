"""Training sets beyond one function: what is prepared for Athena, and what is made of its result.

Athena itself is not here: DuckDB runs the statement over the tables that were made for it.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from neuralstream_core.objects import Location
from tests.integration.training.conftest import Training
from tests.support.athena import run_statement
from tests.support.aws import Aws
from tests.support.history import HistoryHouse

HOUR = 3600.0


class Beyond:
    """The function with a size from which Athena runs the join."""

    def __init__(self, training: Training, aws: Aws, database: str, house: HistoryHouse) -> None:
        self.training, self.house, self.database = training, house, database
        self.glue = aws.client("glue")

    def tables(self) -> list[str]:
        return [t["Name"] for t in self.glue.get_tables(DatabaseName=self.database)["TableList"]]

    def run(self, statement: str, folder: Path) -> None:
        run_statement(statement, self.glue, self.house.objects, self.database, folder)

    def made(self, body: Any, folder: Path) -> Any:
        job_id, planned = self.training.planned(body)
        assert (planned["status"], planned["engine"]) == ("RUNNING", "athena"), planned
        folder.mkdir(exist_ok=True)
        self.run(planned["query"], folder)
        self.training.task("finish", job_id)
        return self.training.get(job_id)[1]


@pytest.fixture
def beyond_from(
    aws: Aws, table_name: str, history_table: str, bucket: str, house: HistoryHouse
) -> Callable[[int], Beyond]:
    """Makes the function with a size from which Athena runs the join."""
    database = f"test_{uuid.uuid4().hex}"
    aws.client("glue").create_database(DatabaseInput={"Name": database})

    def build(size: int) -> Beyond:
        environ = {
            "NEURALSTREAM_NAMESPACE": "test",
            "NEURALSTREAM_TABLE": table_name,
            "NEURALSTREAM_HISTORY_TABLE": history_table,
            "NEURALSTREAM_DATA_BUCKET": bucket,
            "NEURALSTREAM_ATHENA_FROM_BYTES": str(size),
            "NEURALSTREAM_CATALOG_DATABASE": database,
            "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        }
        return Beyond(Training(environ), aws, database, house)

    return build


@pytest.fixture
def body(house: HistoryHouse) -> dict[str, Any]:
    """A request for features of every kind, over two views, one of them for two roles."""
    user = house.view(
        "user", Age="int64", plan="string", seen="timestamp", ok="bool", v=("float32", 2)
    )
    city = house.view("city", temp="float64")
    house.view("empty", never="int64")

    def at(hours: float) -> str:
        return house.clock.at(hours * HOUR)

    def wrote(view: Any, request: str, *rows: tuple[str, float, dict[str, Any]]) -> None:
        house.write(
            view,
            request,
            [{"entity_id": e, "event_timestamp": at(t), "features": f} for e, t, f in rows],
        )
        house.compact()

    first = {"Age": 1, "plan": "a", "seen": at(-90), "ok": True, "v": [1.5, 2.0]}
    wrote(user, "r1", ("u1", -80, first), ("u1", -40, {"Age": 2}), ("7", -30, {"v": [3.0, 4.0]}))
    wrote(user, "r2", ("u1", -40, {"Age": 3, "ok": None}), ("u1", -20, {"plan": None}))
    wrote(city, "r3", ("a", -60, {"temp": 0.5}), ("b", -60, {"temp": 30.25}))
    labels = [
        {"id": "u1", "at": at(-30), "from": "a", "to": "b", "bought": True, "Note": "x"},
        {"id": "u1", "at": at(-90), "from": "b", "to": "a", "bought": False, "Note": None},
        {"id": "7", "at": at(-1), "from": "nowhere", "to": "a", "bought": True, "Note": "y"},
        {"id": "u1", "at": at(-1), "from": "a", "to": "a", "bought": True, "Note": "x"},
        {"id": "u1", "at": at(-30), "from": "a", "to": "b", "bought": True, "Note": "x"},
    ]
    return {
        "features": [
            *("user:plan", "user:Age", "user:seen", "user:ok", "user:v"),
            *("city@origin:temp", "city@target:temp", "empty:never"),
        ],
        "labels": {"rows": labels},
        "entity": {"origin": "from", "target": "to"},
        "timestamp": "at",
    }


@pytest.mark.parametrize("mode", ["as_of", "as_known"])
def test_both_engines_make_the_same_training_set(
    beyond_from: Callable[[int], Beyond],
    training: Training,
    body: dict[str, Any],
    tmp_path: Path,
    mode: str,
) -> None:
    beyond = beyond_from(1)
    found = beyond.made(body | {"mode": mode}, tmp_path)
    assert found["status"] == "SUCCEEDED", found
    expected = training.made(body | {"mode": mode})
    frame, own = training.frame(expected), beyond.training.frame(found)
    assert own.schema == frame.schema
    assert own.equals(frame)
    assert (mode == "as_known") == (own["Age"].null_count() == own.height)
    differ = {"engine", "output", "sha256", "bytes"}
    assert {k: v for k, v in found["result"].items() if k not in differ} == {
        k: v for k, v in expected["result"].items() if k not in differ
    }
    assert (found["result"]["engine"], expected["result"]["engine"]) == ("athena", "duckdb")
    assert beyond.tables() == [], "the tables of the job are gone"


def test_labels_in_a_file_keep_types_that_athena_never_sees(
    beyond_from: Callable[[int], Beyond], house: HistoryHouse, body: dict[str, Any], tmp_path: Path
) -> None:
    frame = pl.DataFrame(body["labels"]["rows"]).with_columns(
        pl.col("at").str.to_datetime(time_zone="UTC"),
        pl.lit("1.50").cast(pl.Decimal(9, 2)).alias("price"),
        pl.lit([1, 2]).alias("list"),
    )
    out = io.BytesIO()
    frame.write_parquet(out)
    at = Location(house.bucket, "jobs/in/labels.parquet")
    house.objects.write(at, out.getvalue(), "text/plain")
    beyond = beyond_from(1)
    made = beyond.made(body | {"labels": {"input": str(at)}}, tmp_path)
    own = beyond.training.frame(made)
    assert own.select(frame.columns).equals(frame)
    assert own["Age"].to_list() == [3, None, None, 3, 3]


def test_only_above_the_size_of_labels_and_history_is_athena_asked(
    beyond_from: Callable[[int], Beyond], house: HistoryHouse, body: dict[str, Any]
) -> None:
    views = [house.catalog.get(name) for name in ("user", "city", "empty")]
    size = sum(file.bytes for view in views for file in house.history.snapshot(view).files)
    assert beyond_from(size).training.planned(body)[1]["engine"] == "athena"
    for larger in (size * 100, 0):
        beyond = beyond_from(larger)
        job_id, planned = beyond.training.planned(body)
        assert (planned["engine"], planned["query"]) == ("duckdb", "")
        beyond.training.task("finish", job_id)
        assert beyond.training.get(job_id)[1]["result"]["engine"] == "duckdb"


def test_a_job_that_fails_leaves_no_table(
    beyond_from: Callable[[int], Beyond], body: dict[str, Any]
) -> None:
    beyond = beyond_from(1)
    job_id, planned = beyond.training.planned(body)
    assert planned["engine"] == "athena"
    assert len(beyond.tables()) == 5
    # as the event of an execution that was stopped or whose query failed
    detail = {"status": "ABORTED", "name": job_id}
    beyond.training.module.task_handler({"source": "aws.states", "detail": detail}, None)
    assert beyond.training.get(job_id)[1]["status"] == "FAILED"
    assert beyond.tables() == []


def test_labels_that_are_wrong_fail_before_a_query_is_paid_for(
    beyond_from: Callable[[int], Beyond], body: dict[str, Any]
) -> None:
    beyond = beyond_from(1)
    rows = [*body["labels"]["rows"], body["labels"]["rows"][0] | {"at": "yesterday"}]
    job_id, planned = beyond.training.planned(body | {"labels": {"rows": rows}})
    assert (planned["status"], planned["query"]) == ("FAILED", "")
    assert beyond.training.get(job_id)[1]["failure"]["code"] == "invalid_labels"
    assert beyond.tables() == []


def test_a_result_that_lacks_labels_is_no_training_set(
    beyond_from: Callable[[int], Beyond], house: HistoryHouse, body: dict[str, Any], tmp_path: Path
) -> None:
    beyond = beyond_from(1)
    job_id, planned = beyond.training.planned(body)
    with pytest.raises(RuntimeError, match="0 rows for 5 labels"):
        beyond.training.task("finish", job_id)
    beyond.run(planned["query"], tmp_path)
    joined = Location(house.bucket, f"jobs/_work/{job_id}/joined/")
    house.objects.delete([next(iter(house.objects.listed(joined))).at])
    with pytest.raises(RuntimeError, match="rows for 5 labels"):
        beyond.training.task("finish", job_id)
    assert beyond.training.get(job_id)[1]["status"] == "RUNNING"
