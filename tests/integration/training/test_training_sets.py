"""Training sets from written rows: through the log, its files and the function's routes and tasks."""

from __future__ import annotations

import io
from typing import Any

import polars as pl
import pytest

from neuralstream_core.features.services import FeatureServices, ServiceSpec
from neuralstream_core.objects import Location
from tests.integration.training.conftest import Training
from tests.support.history import HistoryHouse

HOUR = 3600.0


def wrote(house: HistoryHouse, view: Any, *rows: tuple[str, float, dict[str, Any]]) -> None:
    """Rows (entity, hours from now, features) in the files of the history."""
    given = [
        {"entity_id": entity, "features": features, "event_timestamp": house.clock.at(hours * HOUR)}
        for entity, hours, features in rows
    ]
    house.write(view, f"r-{view.name}", given)
    house.compact()


@pytest.fixture
def users(house: HistoryHouse) -> dict[str, str]:
    """Ages of a user at some hours before now; answers the times as texts."""
    view = house.view("user", age="int64", plan="string", seen="timestamp")
    times = {str(hours): house.clock.at(hours * HOUR) for hours in range(-9, 1)}
    wrote(
        house,
        view,
        ("u1", -8, {"age": 1, "plan": "a", "seen": times["-9"]}),
        ("u1", -4, {"age": 2}),
        ("u1", -2, {"plan": None}),
        ("u2", -3, {"age": 7}),
    )
    return times


def rows_of(users: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"id": "u1", "at": users["-3"], "bought": True},
        {"id": "u2", "at": users["-9"], "bought": False},
        {"id": "u1", "at": users["-1"], "bought": True},
        {"id": "nobody", "at": users["-1"], "bought": False},
        {"id": "u1", "at": users["-3"], "bought": True},
    ]


def test_rows_come_back_in_order_with_what_was_true_at_their_time(training, users):
    labels = rows_of(users)
    made = training.made(
        {
            "features": ["user:plan", "user:age", "user:seen"],
            "labels": {"rows": labels},
            "timestamp": "at",
        }
    )
    assert made["status"] == "SUCCEEDED", made
    frame = training.frame(made)
    assert (
        frame.columns == made["result"]["columns"] == ["id", "at", "bought", "plan", "age", "seen"]
    )
    assert frame.select("id", "at", "bought").to_dicts() == labels
    assert frame["age"].to_list() == [2, None, 2, None, 2]
    assert frame["plan"].to_list() == ["a", None, None, None, "a"]
    assert frame["seen"].dtype == pl.Datetime("us", "UTC")
    assert frame["seen"].null_count() == 2
    coverage = made["result"]["coverage"]
    assert coverage["age"] == {"present": 3, "share": 0.6}
    assert coverage["plan"] == {"present": 2, "share": 0.4}
    shown = made["result"]["views"]["user"]
    assert shown["history_version"] == 1
    assert shown["history_until"] is not None


def test_the_same_labels_and_history_make_the_same_file(training, users):
    body = {"features": ["user:age"], "labels": {"rows": rows_of(users)}, "timestamp": "at"}
    digests = {training.made(body)["result"]["sha256"] for _ in range(2)}
    assert len(digests) == 1


def test_what_was_written_late_is_left_out_as_known(training, house, users):
    house.write(
        house.catalog.get("user"),
        "late",
        [{"entity_id": "u1", "features": {"age": 99}, "event_timestamp": users["-4"]}],
    )
    house.compact()
    body = {"features": ["user:age"], "labels": {"rows": rows_of(users)[:1]}, "timestamp": "at"}
    assert training.frame(training.made(body))["age"].to_list() == [99]
    # all was written at the same moment, after the label's time: nothing was known then
    known = training.made(body | {"mode": "as_known"})
    assert training.frame(known)["age"].to_list() == [None]


def test_labels_come_from_csv_and_parquet_with_ids_as_texts(training, house, users):
    rows = rows_of(users)
    frame = pl.DataFrame(rows).with_columns(pl.lit("007").alias("code"))
    for extension, data in (("csv", frame.write_csv().encode()), ("parquet", parquet(frame))):
        at = Location(house.bucket, f"jobs/in/labels.{extension}")
        house.objects.write(at, data, "text/plain")
        made = training.made(
            {"features": ["user:age"], "labels": {"input": str(at)}, "timestamp": "at"}
        )
        assert made["status"] == "SUCCEEDED", made
        found = training.frame(made)
        assert found["age"].to_list() == [2, None, 2, None, 2]
        assert found["id"].to_list() == frame["id"].to_list()
        assert found["bought"].to_list() == frame["bought"].to_list()


def parquet(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.with_columns(pl.col("at").str.to_datetime(time_zone="UTC")).write_parquet(out)
    return out.getvalue()


def test_two_roles_of_one_view_are_two_columns_and_a_service_names_them(training, house):
    view = house.view("weather", temp="float64")
    wrote(house, view, ("JFK", -5, {"temp": 1.5}), ("LAX", -5, {"temp": 30.0}))
    services = FeatureServices(house.registry, "test", house.clock, house.catalog)
    features = ["weather@origin:temp", "weather@destination:temp"]
    services.put("trip", ServiceSpec(features=features))
    made = training.made(
        {
            "features": ["service:trip@1"],
            "labels": {"rows": [{"from": "JFK", "destination": "LAX", "at": house.clock.at(0)}]},
            "entity": {"origin": "from"},
            "timestamp": "at",
        }
    )
    assert made["result"]["services"] == ["trip@1"]
    (row,) = training.frame(made).to_dicts()
    assert (row["weather@origin:temp"], row["weather@destination:temp"]) == (1.5, 30.0)


def test_a_view_that_was_never_written_gives_nulls(training, house):
    house.view("empty", x="float64")
    rows = [{"id": "u", "at": house.clock.at(0)}]
    made = training.made({"features": ["empty:x"], "labels": {"rows": rows}, "timestamp": "at"})
    assert training.frame(made)["x"].to_list() == [None]
    assert made["result"]["views"]["empty"]["history_version"] == 0


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"features": ["user:nothing"]}, "features.0"),
        ({"features": ["nobody:age"]}, "features.0"),
        ({"features": ["request:x"]}, "features.0"),
        ({"features": ["user:age", "user:age"]}, "features.1"),
        ({"features": ["service:none@1"]}, "features.0"),
        ({"timestamp": "when"}, "timestamp"),
        ({"entity": {"id": "user"}}, "entity"),
        ({"entity": {"other": "id"}}, "entity.other"),
        ({"labels": {"input": "s3://elsewhere/labels.csv"}}, "labels.input"),
        ({"output": "s3://elsewhere/"}, "output"),
    ],
)
def test_a_wrong_request_is_refused_with_its_place(training, users, change, place):
    body = {"features": ["user:age"], "labels": {"rows": rows_of(users)}, "timestamp": "at"}
    status, answer = training.create(body | change)
    assert status == 422
    assert place in [error["loc"] for error in answer["errors"]], answer


def test_labels_that_turn_out_to_be_wrong_fail_the_job_with_the_reason(training, house, users):
    rows = [{"id": "u1", "at": users["-1"]}, {"id": "u1", "at": "yesterday"}]
    made = training.made({"features": ["user:age"], "labels": {"rows": rows}, "timestamp": "at"})
    assert (made["status"], made["failure"]["code"]) == ("FAILED", "invalid_labels")
    assert "ISO 8601" in made["failure"]["detail"]
    at = Location(house.bucket, "jobs/in/broken.parquet")
    house.objects.write(at, b"PAR1 no", "text/plain")
    labels = {"input": str(at)}
    made = training.made({"features": ["user:age"], "labels": labels, "timestamp": "at"})
    assert (made["status"], made["failure"]["code"]) == ("FAILED", "invalid_labels")


def test_a_repeated_request_with_a_key_is_one_job_and_a_repeated_task_changes_nothing(
    training: Training, users: dict[str, str]
) -> None:
    body = {"features": ["user:age"], "labels": {"rows": rows_of(users)}, "timestamp": "at"}
    first, second = (training.create(body, idempotency_key="k")[1] for _ in range(2))
    job_id = first["training_set_id"]
    assert second["training_set_id"] == job_id
    assert training.create(body | {"mode": "as_known"}, idempotency_key="k")[0] == 409
    training.task("plan", job_id)
    training.task("finish", job_id)
    made = training.get(job_id)[1]
    training.task("finish", job_id)
    assert training.get(job_id)[1]["finished_at"] == made["finished_at"]


def test_another_keys_training_set_is_not_found(training, users):
    body = {"features": ["user:age"], "labels": {"rows": rows_of(users)}, "timestamp": "at"}
    job_id = training.create(body)[1]["training_set_id"]
    assert training.get(job_id, principal="bob")[0] == 404
