"""A job from submission to its committed output, on real Redis and an AWS emulation."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import hostile
from tests.support.jobs import JobHouse, csv, linear


def test_every_row_of_a_csv_gets_its_prediction_in_input_order(job_house: JobHouse) -> None:
    job_house.users()
    job = job_house.run(job_house.put("in/a.csv", csv("u3", "u1", "u3", "u99")))
    assert job.status == "SUCCEEDED"
    assert [(r["entity_id"], r["version"], r["prediction"]) for r in job_house.rows(job)] == [
        ("u3", "v1", 10.0),
        ("u1", "v1", 4.0),
        ("u3", "v1", 10.0),
        ("u99", "v1", 298.0),
    ]
    assert job.outcome is not None
    assert (job.outcome.rows, job.outcome.failed, job.outcome.versions) == (4, 0, {"v1": 4})


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("output", ["jsonl", "parquet"])
def test_formats_agree(job_house: JobHouse, kind: str, output: str) -> None:
    job_house.users()
    ids = [f"u{i}" for i in range(50)]
    if kind == "csv":
        data: bytes = csv(*ids).encode()
    elif kind == "jsonl":
        data = "".join(json.dumps({"entity_id": i}) + "\n" for i in ids).encode()
    else:
        out = io.BytesIO()
        pq.write_table(
            pa.table({"entity_id": ids, "other": list(range(50))}), out, row_group_size=20
        )
        data = out.getvalue()
    job = job_house.run(job_house.put(f"in/a.{kind}", data), output_format=output)
    parts = [job_house.get(part["uri"]) for part in job_house.manifest(job)["parts"]]
    rows = (
        [row for part in parts for row in pq.read_table(io.BytesIO(part)).to_pylist()]
        if output == "parquet"
        else job_house.rows(job)
    )
    assert [(r["entity_id"], r["prediction"]) for r in rows] == [
        (f"u{i}", 3.0 * i + 1) for i in range(50)
    ]


def test_the_manifest_lists_what_was_written(job_house: JobHouse) -> None:
    job_house.users()
    job = job_house.run(job_house.put("in/a.csv", csv("u1", "u2")))
    for part in job_house.manifest(job)["parts"]:
        data = job_house.get(part["uri"])
        assert (len(data), hashlib.sha256(data).hexdigest()) == (part["bytes"], part["sha256"])
    assert job_house.manifest(job)["rows"] == 2


def test_bad_rows_are_reported_with_line_and_reason_and_keep_their_place(
    job_house: JobHouse,
) -> None:
    job_house.users()
    text = (
        'entity_id,note\nu1,x\n,empty id\nnobody,y\nu2,too,many\n"u3","a\nb"\nu4,"bad"quote\nu5,z\n'
    )
    job = job_house.run(job_house.put("in/a.csv", text), max_failed_fraction=1.0)
    assert [
        (r.get("entity_id"), r.get("prediction"), r.get("error")) for r in job_house.rows(job)
    ] == [
        ("u1", 4.0, None),
        (None, None, "missing_entity"),
        ("nobody", None, "missing_features"),
        (None, None, "invalid_csv"),
        ("u3", 10.0, None),
        (None, None, "invalid_csv"),
        ("u5", 16.0, None),
    ]
    errors = job_house.errors(job)
    assert [(e["line"], e["code"]) for e in errors] == [
        (3, "missing_entity"),
        (4, "missing_features"),
        (5, "invalid_csv"),
        (8, "invalid_csv"),
    ]
    assert "user:a" in errors[1]["reason"]
    assert "3 fields" in errors[2]["reason"]
    assert job.outcome is not None
    assert job.outcome.reasons == {"invalid_csv": 2, "missing_entity": 1, "missing_features": 1}


def test_more_failures_than_allowed_fail_the_job_and_commit_nothing(job_house: JobHouse) -> None:
    job_house.users()
    job = job_house.run(
        job_house.put("in/a.csv", csv("u1", "x", "y", "u2")), max_failed_fraction=0.4
    )
    assert job.status == "FAILED"
    assert job.failure is not None
    assert job.failure.code == "too_many_failed_rows"
    assert "2 of 4 rows failed" in job.failure.detail
    assert not [key for key in job_house.written() if key.endswith("/manifest.json")]
    events = job_house.registry.events("sum").records
    assert "batch_failed" in [event.kind for event in events]


def test_exactly_the_allowed_share_may_fail(job_house: JobHouse) -> None:
    job_house.users()
    job = job_house.run(
        job_house.put("in/a.csv", csv("u1", "x", "y", "u2")), max_failed_fraction=0.5
    )
    assert job.status == "SUCCEEDED"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_input_without_rows_may_be_declared_a_success(job_house: JobHouse, kind: str) -> None:
    job_house.users()
    out = io.BytesIO()
    pq.write_table(pa.table({"entity_id": pa.array([], pa.string())}), out)
    data = {"csv": b"entity_id\n", "jsonl": b"", "parquet": out.getvalue()}[kind]
    job = job_house.run(job_house.put(f"in/a.{kind}", data), allow_empty=True)
    assert job.status == "SUCCEEDED"
    assert job_house.manifest(job)["rows"] == 0


def test_request_time_columns_reach_the_model(job_house: JobHouse) -> None:
    job_house.users()
    job_house.serve("mixed", linear([1.0, 10.0]), ["user:a", "request:amount"])
    text = "entity_id,amount\nu1,0.5\nu2,\nu3,many\nu4,2\n"
    job = job_house.run(job_house.put("in/a.csv", text), "mixed", max_failed_fraction=1.0)
    rows = job_house.rows(job)
    assert [r.get("prediction") for r in rows] == [6.0, None, None, 24.0]
    assert [r.get("error") for r in rows] == [None, "missing_features", "invalid_feature", None]


def test_a_column_named_view_and_feature_overrides_the_store(job_house: JobHouse) -> None:
    job_house.users()
    text = "entity_id,user:a,a\nu1,100,7\nu2,200,7\n"
    job = job_house.run(job_house.put("in/a.csv", text))
    assert [r["prediction"] for r in job_house.rows(job)] == [103.0, 205.0]


def test_composite_entities_come_from_their_key_columns(job_house: JobHouse) -> None:
    job_house.view("pair", ["user", "item"], score="float64")
    job_house.write("pair", {("u", "1"): {"score": 1.0}, ("u", "2"): {"score": 2.0}})
    job_house.serve("pairs", linear([1.0]), ["pair:score"])
    job = job_house.run(job_house.put("in/a.csv", "item,user\n2,u\n1,u\n"), "pairs")
    assert [(r["user"], r["item"], r["prediction"]) for r in job_house.rows(job)] == [
        ("u", "2", 2.0),
        ("u", "1", 1.0),
    ]
    lines = (
        '{"entity_id":["u","2"]}\n{"entity_id":{"item":"1","user":"u"}}\n{"user":"u","item":2}\n'
    )
    job = job_house.run(job_house.put("in/a.jsonl", lines), "pairs")
    assert [r["prediction"] for r in job_house.rows(job)] == [2.0, 1.0, 2.0]


def test_views_of_different_entities_take_their_own_key_columns(job_house: JobHouse) -> None:
    job_house.users()
    job_house.view("shop", "shop_id", size="float64")
    job_house.write("shop", {"s1": {"size": 1000.0}, "s2": {"size": 2000.0}})
    job_house.serve("both", linear([1.0, 1.0]), ["user:a", "shop:size"])
    text = "user_id,shop_id\nu1,s2\nu2,s1\n"
    job = job_house.run(job_house.put("in/a.csv", text), "both")
    assert [(r["entity_id"], r["shop_id"], r["prediction"]) for r in job_house.rows(job)] == [
        ("u1", "s2", 2001.0),
        ("u2", "s1", 1002.0),
    ]


def test_a_split_is_pinned_when_the_job_is_planned(job_house: JobHouse) -> None:
    from tests.support.jobs import by

    job_house.users(200)
    job_house.register("sum", linear([0.0, 0.0], -1.0), ["user:a", "user:b"])
    job_house.registry.set_split("sum", {"v1": 0.5, "v2": 0.5}, by())
    ids = [f"u{i}" for i in range(200)]
    job = job_house.submit(job_house.put("in/a.csv", csv(*ids)))
    planned = job_house.task("plan", job.job_id)
    job_house.registry.end_split("sum", by())
    for chunk in job_house.chunks(planned):
        job_house.task("chunk", job.job_id, chunk=chunk)
    job_house.task("finish", job.job_id)
    done = job_house.job(job.job_id)
    assert done.outcome is not None
    assert set(done.outcome.versions) == {"v1", "v2"}
    rows = job_house.rows(done)
    assert [r["entity_id"] for r in rows] == ids
    for i, row in enumerate(rows):
        assert row["prediction"] == (3.0 * i + 1 if row["version"] == "v1" else -1.0)


def test_labels_and_probabilities_of_a_multi_class_model(job_house: JobHouse) -> None:
    job_house.users()
    job_house.serve(
        "kinds",
        linear([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [0.0, 0.0, 0.5], classes=["x", "y", "z"]),
        ["user:a", "user:b"],
    )
    for output in ("jsonl", "parquet"):
        source = job_house.put("in/a.csv", csv("u0", "u9", "nobody"))
        job = job_house.run(source, "kinds", output_format=output, max_failed_fraction=1.0)
        part = job_house.get(job_house.manifest(job)["parts"][0]["uri"])
        rows: list[Any] = (
            [json.loads(line) for line in part.splitlines()]
            if output == "jsonl"
            else pq.read_table(io.BytesIO(part)).to_pylist()
        )
        assert [r.get("prediction") for r in rows] == ["z", "y", None]
        assert sum(rows[1]["probabilities"].values()) == pytest.approx(1.0)
        assert rows[1]["probability"] == rows[1]["probabilities"]["y"]
        assert rows[2].get("probabilities") is None


def test_a_job_lands_once_in_the_history_of_its_model(job_house: JobHouse) -> None:
    job_house.users()
    job = job_house.run(job_house.put("in/a.csv", csv("u1")))
    job_house.task("finish", job.job_id)
    events = [e for e in job_house.registry.events("sum").records if e.kind == "batch_finished"]
    assert len(events) == 1
    assert events[0].data["rows"] == 1


def test_the_number_of_chunks_at_once_is_a_setting_of_the_plan(job_house: JobHouse) -> None:
    from neuralstream_lambda.batch import tasks

    job_house.users()
    settings = job_house.settings.model_copy(update={"batch_concurrency": 7})
    job = job_house.submit(job_house.put("in/a.csv", csv("u1")))
    planned = tasks(settings).run({"task": "plan", "job_id": job.job_id})
    assert planned["concurrency"] == 7


def parquet(**columns: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


EMPTY: dict[str, tuple[str, bytes]] = {
    "csv without a byte": ("csv", b""),
    "csv with a header only": ("csv", b"entity_id\n"),
    "jsonl without a byte": ("jsonl", b""),
    "jsonl of blank lines": ("jsonl", b"\n\n\n"),
    "parquet without rows": ("parquet", parquet(entity_id=pa.array([], pa.string()))),
}


@pytest.mark.parametrize(("kind", "data"), EMPTY.values(), ids=EMPTY.keys())
def test_an_input_without_rows_fails_unless_it_was_said_to_be_all_right(
    job_house: JobHouse, kind: str, data: bytes
) -> None:
    job_house.users(1)
    source = job_house.put(f"in/empty.{kind}", data)
    failed = job_house.run(source)
    assert failed.failure is not None
    assert (failed.status, failed.failure.code) == ("FAILED", "empty_input")
    assert source in failed.failure.detail
    assert "allow_empty" in failed.failure.detail
    assert not [key for key in job_house.written() if key.endswith("manifest.json")]

    allowed = job_house.run(source, allow_empty=True)
    assert allowed.outcome is not None
    assert (allowed.status, allowed.outcome.rows) == ("SUCCEEDED", 0)
    assert job_house.manifest(allowed)["rows"] == 0


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_whole_numbers_in_an_input_are_the_entities_of_their_digits(
    job_house: JobHouse, kind: str
) -> None:
    job_house.view("user", a="float64")
    job_house.write("user", {17: {"a": 1.0}, "18": {"a": 2.0}})
    job_house.serve("sum", linear([1.0], 0.0), ["user:a"])
    data = {
        "csv": b"entity_id\n17\n18\n",
        "jsonl": b'{"entity_id": 17}\n{"entity_id": "18"}\n{"entity_id": true}\n',
        "parquet": parquet(entity_id=pa.array([17, 18], pa.int64())),
    }[kind]
    job = job_house.run(job_house.put(f"in/a.{kind}", data), max_failed_fraction=0.5)

    done = [row for row in job_house.rows(job) if row.get("prediction") is not None]
    assert [(row["entity_id"], row["prediction"]) for row in done] == [("17", 1.0), ("18", 2.0)]
    assert job.outcome is not None
    assert job.outcome.failed == (1 if kind == "jsonl" else 0), "a truth is no id"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (hostile.allocates_by_feature, "inference_memory"),
        (hostile.loops_by_feature, "inference_timeout"),
    ],
    ids=["allocation", "loop"],
)
def test_rows_that_exceed_the_bounds_of_inference_are_a_jobs_errors_and_no_others(
    job_house: JobHouse, make: Any, code: str
) -> None:
    job_house.settings = job_house.settings.model_copy(update={"inference_job_ms": 10_000})
    job_house.view("user", a="float64", b="float64")
    job_house.write("user", {f"u{i}": {"a": 1.0, "b": float(i)} for i in range(40)})
    job_house.write("user", {"evil": {"a": 1e12, "b": 0.0}})
    job_house.serve("hostile", make(), ["user:a", "user:b"], format="onnx")
    ids = [*(f"u{i}" for i in range(20)), "evil", *(f"u{i}" for i in range(20, 40))]
    job = job_house.run(job_house.put("in/a.csv", csv(*ids)), "hostile", max_failed_fraction=1.0)
    assert job.status == "SUCCEEDED", job.failure
    assert [(row["entity_id"], row["code"]) for row in job_house.errors(job)] == [("evil", code)]
    answered = {r["entity_id"]: r["prediction"] for r in job_house.rows(job) if "error" not in r}
    assert {f"u{i}": i + 1.0 for i in range(40)}.items() <= answered.items()
