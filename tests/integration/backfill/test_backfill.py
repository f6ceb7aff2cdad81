"""A backfill from submission to its counts, on real Redis and an AWS emulation."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuralstream_core.backfill.records import BackfillSpec
from neuralstream_core.backfill.view_jobs import ViewJobs
from neuralstream_core.errors import Conflict, Invalid, NotFound
from neuralstream_core.features import Row, ViewSpec
from neuralstream_core.time import to_micros
from neuralstream_lambda.batch import BatchSettings, adoptions, backfills, rebuilds
from neuralstream_lambda.jobs import jobs
from tests.support.backfilling import Backfilling
from tests.support.batch_function import Context, Function

DAY = timedelta(days=1)


def ago(days: float) -> str:
    return (datetime.now(UTC) - days * DAY).isoformat()


def csv(*rows: tuple[Any, ...], header: str = "entity_id,at,a,b") -> str:
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def view(backfilling: Backfilling, name: str = "user", **more: Any) -> None:
    spec = {
        "entity": "user_id",
        "features": [{"name": "a", "dtype": "float64"}, {"name": "b", "dtype": "int64"}],
        **more,
    }
    backfilling.house.catalog.put(name, ViewSpec.model_validate(spec))


def read(backfilling: Backfilling, entity: Any, name: str = "user") -> Row:
    return backfilling.house.store.read_one(name, entity)


def test_a_file_is_online_and_in_the_log(backfilling: Backfilling) -> None:
    view(backfilling)
    source = backfilling.house.put("in/a.csv", csv(("u1", ago(2), 1.5, 10), ("u2", ago(1), "", 20)))
    job = backfilling.run(source, "user")
    assert job.status == "SUCCEEDED"
    assert job.outcome is not None
    assert (job.outcome.rows, job.outcome.written, job.outcome.failed) == (2, 2, 0)
    assert read(backfilling, "u1").values == (1.5, 10)
    assert read(backfilling, "u2").values == (None, 20)
    (part,) = backfilling.logged()
    assert (part.view, list(part.entities)) == ("user", [b"u1", b"u2"])
    assert part.request_id == f"{job.job_id}/00000/00000"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_formats_agree(backfilling: Backfilling, kind: str) -> None:
    view(backfilling)
    rows = [{"who": f"u{i}", "when": ago(3), "x": i / 4, "b": i} for i in range(50)]
    if kind == "csv":
        listed = [tuple(row.values()) for row in rows]
        data: bytes = csv(*listed, header="who,when,x,b").encode()
    elif kind == "jsonl":
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    else:
        out = io.BytesIO()
        moments = [datetime.fromisoformat(row["when"]) for row in rows]
        table = pa.Table.from_pylist(rows).set_column(1, "when", pa.array(moments))
        pq.write_table(table, out, row_group_size=20)
        data = out.getvalue()
    job = backfilling.run(
        backfilling.house.put(f"in/a.{kind}", data),
        "user",
        timestamp="when",
        entity="who",
        features={"a": "x", "b": "b"},
    )
    assert job.outcome is not None
    assert (job.outcome.rows, job.outcome.written, job.outcome.failed) == (50, 50, 0)
    for i, row in enumerate(rows):
        found = read(backfilling, f"u{i}")
        assert found.values == (i / 4, i)
        assert set(found.event_times) == {to_micros(datetime.fromisoformat(row["when"]))}


def test_a_newer_value_online_stays_and_the_row_is_history_all_the_same(
    backfilling: Backfilling,
) -> None:
    view(backfilling)
    backfilling.house.write("user", {"u1": {"a": 7.0}})
    job = backfilling.run(
        backfilling.house.put("in/a.csv", csv(("u1", ago(1), 1.0, 5), header="user_id,at,a,b")),
        "user",
    )
    assert read(backfilling, "u1").values == (7.0, 5)
    again = backfilling.run(
        backfilling.house.put("in/b.csv", csv(("u1", ago(2), 1.0, 4), header="user_id,at,a,b")),
        "user",
    )
    assert job.outcome is not None
    assert again.outcome is not None
    assert (job.outcome.written, job.outcome.stale) == (1, 0)
    assert (again.outcome.written, again.outcome.stale) == (0, 1)
    assert [len(part.rows) for part in backfilling.logged()] == [1, 1]


def test_rows_older_than_the_ttl_are_history_only(backfilling: Backfilling) -> None:
    view(backfilling, ttl_seconds=86_400)
    rows = csv(("u1", ago(0.5), 1.0, 1), ("u2", ago(1.5), 2.0, 2))
    job = backfilling.run(backfilling.house.put("in/a.csv", rows), "user")
    assert job.outcome is not None
    assert (job.outcome.written, job.outcome.history_only) == (1, 1)
    assert read(backfilling, "u1").values == (1.0, 1)
    with pytest.raises(NotFound):
        read(backfilling, "u2")
    (part,) = backfilling.logged()
    assert list(part.entities) == [b"u1", b"u2"]


def test_wrong_rows_are_listed_and_the_others_are_written(backfilling: Backfilling) -> None:
    view(backfilling)
    future = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    rows = csv(
        ("u1", ago(1), 1.0, 1),
        ("u2", ago(1), "x", 1),
        ("", ago(1), 1.0, 1),
        ("u4", "", 1.0, 1),
        ("u5", "2026-01-01T00:00:00", 1.0, 1),
        ("u6", future, 1.0, 1),
        ("u7", "yesterday", 1.0, 1),
        ("u8", ago(1), 8.0, 8),
    )
    job = backfilling.run(backfilling.house.put("in/a.csv", rows), "user", max_failed_fraction=0.9)
    assert job.status == "SUCCEEDED"
    assert job.outcome is not None
    assert (job.outcome.rows, job.outcome.failed, job.outcome.written) == (8, 6, 2)
    assert [(e["line"], e["code"]) for e in backfilling.errors(job)] == [
        (3, "invalid_feature"),
        (4, "missing_entity"),
        (5, "missing_timestamp"),
        (6, "invalid_timestamp"),
        (7, "invalid_timestamp"),
        (8, "invalid_timestamp"),
    ]
    assert read(backfilling, "u8").values == (8.0, 8)


def test_too_many_wrong_rows_fail_the_job_and_the_others_are_written(
    backfilling: Backfilling,
) -> None:
    view(backfilling)
    rows = csv(("u1", ago(1), 1.0, 1), ("u2", ago(1), "x", 1))
    job = backfilling.run(backfilling.house.put("in/a.csv", rows), "user")
    assert job.failure is not None
    assert (job.status, job.failure.code) == ("FAILED", "too_many_failed_rows")
    assert read(backfilling, "u1").values == (1.0, 1)


def test_times_without_a_zone_are_those_of_the_zone_that_is_given(backfilling: Backfilling) -> None:
    view(backfilling)
    rows = csv(("u1", "2026-01-15T12:00:00", 1.0, 1))
    backfilling.run(backfilling.house.put("in/a.csv", rows), "user", timezone="Europe/Berlin")
    moment = datetime(2026, 1, 15, 11, tzinfo=UTC)
    assert set(read(backfilling, "u1").event_times) == {int(moment.timestamp()) * 1_000_000}


def test_what_json_lines_leave_out_is_not_written_and_null_is(backfilling: Backfilling) -> None:
    view(backfilling)
    lines = [
        {"entity_id": "u1", "at": ago(3), "a": 1.0, "b": 1},
        {"entity_id": "u1", "at": ago(2), "a": 2.0},
        {"entity_id": "u1", "at": ago(1), "b": None},
        {"entity_id": "u2", "at": ago(1)},
    ]
    data = "".join(json.dumps(line) + "\n" for line in lines)
    job = backfilling.run(
        backfilling.house.put("in/a.jsonl", data), "user", max_failed_fraction=0.5
    )
    found = read(backfilling, "u1")
    assert found.values == (2.0, None)
    assert [status.name for status in found.status] == ["PRESENT", "NULL"]
    assert [e["code"] for e in backfilling.errors(job)] == ["no_values"]


def test_empty_cells_can_be_skipped(backfilling: Backfilling) -> None:
    view(backfilling)
    rows = csv(("u1", ago(2), 1.0, 1), ("u1", ago(1), "", 2))
    backfilling.run(backfilling.house.put("in/a.csv", rows), "user", empty="skip")
    assert read(backfilling, "u1").values == (1.0, 2)


def test_of_equal_event_times_the_later_row_wins_whatever_it_leaves_out(
    backfilling: Backfilling,
) -> None:
    view(backfilling)
    at = ago(1)
    rows = csv(("u1", at, 1.0, ""), ("u1", at, 2.0, 5), ("u1", at, 3.0, ""))
    backfilling.run(backfilling.house.put("in/a.csv", rows), "user", empty="skip")
    assert read(backfilling, "u1").values == (3.0, 5)
    (part,) = backfilling.logged()
    assert [len(part.entities), len(part.rows)] == [3, 3]


def test_composite_entities(backfilling: Backfilling) -> None:
    view(backfilling, "pair", entity=["user", "item"])
    rows = csv(("1", "23", ago(1), 1.0, 1), ("12", "3", ago(1), 2.0, 2), header="u,i,at,a,b")
    backfilling.run(
        backfilling.house.put("in/a.csv", rows), "pair", entity={"item": "i", "user": "u"}
    )
    assert read(backfilling, ("1", "23"), "pair").values == (1.0, 1)
    assert read(backfilling, ("12", "3"), "pair").values == (2.0, 2)


def test_a_chunk_done_again_counts_once_and_appends_the_same_rows(
    backfilling: Backfilling,
) -> None:
    view(backfilling)
    source = backfilling.house.put("in/a.csv", csv(("u1", ago(1), 1.0, 1)))
    job = backfilling.submit(source, "user")
    (chunk,) = backfilling.house.chunks(backfilling.house.task("plan", job.job_id))
    for _ in range(2):
        backfilling.house.task("chunk", job.job_id, chunk=chunk)
    backfilling.house.task("finish", job.job_id)
    done = backfilling.job(job.job_id)
    assert (done.progress.chunks_done, done.progress.rows) == (1, 1)
    first, second = backfilling.logged()
    assert (first.request_id, first.rows) == (second.request_id, second.rows)


def test_a_view_that_was_created_anew_fails_the_job(backfilling: Backfilling) -> None:
    view(backfilling)
    job = backfilling.submit(backfilling.house.put("in/a.csv", csv(("u1", ago(1), 1.0, 1))), "user")
    (chunk,) = backfilling.house.chunks(backfilling.house.task("plan", job.job_id))
    assert backfilling.house.store.delete_view("user").done
    view(backfilling)
    backfilling.house.task("chunk", job.job_id, chunk=chunk)
    failed = backfilling.job(job.job_id)
    assert failed.failure is not None
    assert failed.failure.code == "view_changed"
    with pytest.raises(NotFound):
        read(backfilling, "u1")


@pytest.mark.parametrize("make", [rebuilds, adoptions])
def test_a_rebuild_or_an_adoption_of_a_view_that_was_deleted_says_so(
    backfilling: Backfilling, make: Callable[[BatchSettings], ViewJobs[Any]]
) -> None:
    house = backfilling.house
    view(backfilling)
    job = make(house.settings).submit("user", "tests")
    assert house.store.delete_view("user").done
    assert house.task("plan", job.job_id)["status"] == "FAILED"
    failed = jobs(house.settings).get(job.job_id)
    assert failed.failure is not None
    assert failed.failure.code == "view_not_found"
    assert house.task("finish", job.job_id)["status"] == "FAILED"


def test_what_can_never_run_is_refused_at_once(backfilling: Backfilling) -> None:
    view(backfilling)
    view(backfilling, "pair", entity=["user", "item"])
    source = backfilling.house.put("in/a.csv", csv(("u1", ago(1), 1.0, 1)))
    with pytest.raises(NotFound):
        backfilling.submit(source, "nothing")
    with pytest.raises(NotFound):
        backfilling.submit(source.replace("a.csv", "absent.csv"), "user")
    with pytest.raises(Invalid) as caught:
        backfilling.submit(source, "user", features={"a": "a", "c": "c"})
    assert [error.loc for error in caught.value.errors] == ["features.c"]
    for entity in ("u", {"user": "u"}):
        with pytest.raises(Invalid, match="user, item"):
            backfilling.submit(source, "pair", entity=entity)
    with pytest.raises(ValueError, match="time zone"):
        backfilling.submit(source, "user", timezone="Mars/Olympus")
    job = backfilling.run(source, "user", timestamp="moment")
    assert job.failure is not None
    assert job.failure.code == "missing_column"


def test_an_input_that_was_replaced_fails_the_job(backfilling: Backfilling) -> None:
    view(backfilling)
    source = backfilling.house.put("in/a.csv", csv(("u1", ago(1), 1.0, 1)))
    job = backfilling.submit(source, "user")
    planned = backfilling.house.task("plan", job.job_id)
    backfilling.house.put("in/a.csv", csv(("u1", ago(1), 2.0, 1)))
    (chunk,) = backfilling.house.chunks(planned)
    backfilling.house.task("chunk", job.job_id, chunk=chunk)
    failed = backfilling.job(job.job_id)
    assert failed.failure is not None
    assert failed.failure.code == "input_changed"


def test_the_scheduled_comparison_answers_and_measures_what_it_found(
    backfilling: Backfilling, capsys: pytest.CaptureFixture[str]
) -> None:
    view(backfilling)
    rows = csv(("u1", ago(1), 1.0, 1), ("u2", ago(1), 2.0, 2))
    backfilling.run(backfilling.house.put("in/a.csv", rows), "user")
    function = Function(backfilling.house).module
    capsys.readouterr()
    done = function.task_handler({"task": "consistency"}, Context())
    assert done == {"views": 1, "entities": 2, "wrong": 0}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    (measured,) = [line for line in lines if "InconsistentCells" in line]
    assert (measured["feature_view"], measured["InconsistentCells"]) == ("user", [0.0])


def test_an_idempotency_key_makes_one_job(backfilling: Backfilling) -> None:
    view(backfilling)
    source = backfilling.house.put("in/a.csv", csv(("u1", ago(1), 1.0, 1)))
    accept = backfills(backfilling.house.settings)
    spec = BackfillSpec(feature_view="user", input=source, timestamp="at", features={"a": "a"})
    first = accept.submit(spec, "ann", key="k")
    assert accept.submit(spec, "ann", key="k") == first
    with pytest.raises(Conflict):
        accept.submit(spec.model_copy(update={"features": {"b": "b"}}), "ann", key="k")
