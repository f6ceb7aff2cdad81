"""A model with roles answers a request for rows, and a job, as it answers each of them alone."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuralstream_core.errors import Invalid
from neuralstream_core.serving.batch.requests import BatchBody
from neuralstream_lambda.batch import predict_rows
from neuralstream_lambda.serving import engine
from tests.support.jobs import JobHouse, by, linear

BOTH = ["weather@origin:temp", "weather@destination:temp"]
AIRPORTS = [f"A{n}" for n in range(30)]


@pytest.fixture
def airports(job_house: JobHouse) -> JobHouse:
    """The model ``flight`` = 2 · temp at the origin + 3 · temp at the destination, half of it by ``v2``."""
    job_house.view("weather", "airport", temp="float64")
    job_house.write("weather", {name: {"temp": float(n)} for n, name in enumerate(AIRPORTS)})
    job_house.serve("flight", linear([2.0, 3.0], 0.0), BOTH)
    job_house.register("flight", linear([3.0, 2.0], 1000.0), BOTH[::-1])
    job_house.registry.set_split("flight", {"v1": 0.5, "v2": 0.5}, by())
    return job_house


def flights(count: int) -> list[dict[str, str]]:
    rng = random.Random(7)
    return [
        {"origin": rng.choice(AIRPORTS), "destination": rng.choice(AIRPORTS)} for _ in range(count)
    ]


def alone(house: JobHouse, rows: list[dict[str, str]], model: str = "flight") -> list[Any]:
    """Version and prediction of each row by itself."""
    found = [engine(house.settings).predict(model, None, entities=row) for row in rows]
    return [(one.servable.version.version, one.answer.prediction) for one in found]


def at_once(house: JobHouse, model: str = "flight", **body: Any) -> dict[str, Any]:
    answer = predict_rows(house.settings, model, BatchBody.model_validate(body))
    found: dict[str, Any] = json.loads(answer)
    return found


def test_rows_get_what_each_gets_alone(airports: JobHouse) -> None:
    rows = flights(200)
    expected = alone(airports, rows)
    assert {version for version, _ in expected} == {"v1", "v2"}

    found = at_once(airports, entity_ids=rows)["predictions"]
    assert [(row["version"], row["prediction"]) for row in found] == expected
    assert [row["entity_id"] for row in found] == rows
    found = at_once(airports, entity_ids=rows, layout="columns")
    assert found["entity_ids"] == rows
    columns = found["columns"]
    assert list(zip(columns["version"], columns["prediction"], strict=True)) == expected

    origins = [{"origin": row["origin"]} for row in rows]
    destinations = {"destination": [row["destination"] for row in rows]}
    found = at_once(airports, entity_ids=origins, entities=destinations)["predictions"]
    assert [(row["version"], row["prediction"]) for row in found] == expected


def test_ids_of_rows_may_only_choose_versions(airports: JobHouse) -> None:
    rows = flights(50)
    names = [f"flight {n}" for n in range(50)]
    columns = {role: [row[role] for row in rows] for role in ("origin", "destination")}
    served = engine(airports.settings)
    expected = [
        served.predict("flight", name, entities=row) for name, row in zip(names, rows, strict=True)
    ]
    found = at_once(airports, entity_ids=names, entities=columns)["predictions"]
    assert [row["entity_id"] for row in found] == names
    assert [(row["version"], row["prediction"]) for row in found] == [
        (one.servable.version.version, one.answer.prediction) for one in expected
    ]


@pytest.mark.parametrize(
    ("body", "locs"),
    [
        (
            {"entity_ids": [{"origin": "A1"}, {"origin": "A1", "destination": "A2"}]},
            ["entity_ids.0"],
        ),
        ({"entity_ids": [["A1", "A2"], {"gate": "B"}]}, ["entity_ids.0", "entity_ids.1"]),
        ({"entity_ids": ["UA 17"]}, ["entities.origin"]),
        ({"entity_ids": ["UA 17"], "entities": {"origin": ["A1"]}}, ["entities.destination"]),
    ],
)
def test_rows_that_lack_a_role_are_named(
    airports: JobHouse, body: dict[str, Any], locs: list[str]
) -> None:
    with pytest.raises(Invalid) as raised:
        at_once(airports, version="v1", **body)
    assert [error.loc for error in raised.value.errors] == locs


def encoded(kind: str, rows: list[dict[str, str]]) -> bytes:
    if kind == "csv":
        lines = [f"{row['destination']},x,{row['origin']}" for row in rows]
        return "\n".join(["destination,note,origin", *lines, ""]).encode()
    if kind == "jsonl":
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    if kind == "entity_id.jsonl":
        return b"".join(json.dumps({"entity_id": row}).encode() + b"\n" for row in rows)
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, row_group_size=50)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "entity_id.jsonl", "parquet"])
def test_a_job_answers_as_single_predictions_do(airports: JobHouse, kind: str) -> None:
    rows = flights(120)
    job = airports.run(airports.put(f"in/a.{kind}", encoded(kind, rows)), "flight")
    assert job.status == "SUCCEEDED", job
    found = airports.rows(job)
    assert [{role: row[role] for role in ("origin", "destination")} for row in found] == rows
    assert [(row["version"], row["prediction"]) for row in found] == alone(airports, rows)


def test_failed_rows_of_a_job_are_named_by_role(airports: JobHouse) -> None:
    lines = [
        {"origin": "A1", "destination": "nowhere"},
        {"origin": "A1"},
        {"entity_id": ["A1", "A2"]},
        {"entity_id": {"origin": "A1", "destination": "A2"}},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    job = airports.run(airports.put("in/a.jsonl", text), "flight", max_failed_fraction=1.0)
    errors = airports.errors(job)
    assert [(error["line"], error["code"]) for error in errors] == [
        (1, "missing_features"),
        (2, "missing_entity"),
        (3, "missing_entity"),
    ]
    assert errors[0]["entity_id"] == {"origin": "A1", "destination": "nowhere"}
    assert "weather@destination:temp" in errors[0]["reason"]
    assert errors[1]["reason"] == "destination is empty or absent"
    assert airports.rows(job)[3]["prediction"] in (8.0, 1008.0)


def test_a_job_without_the_column_of_a_role_is_refused(airports: JobHouse) -> None:
    job = airports.submit(airports.put("in/a.csv", "origin\nA1\n"), "flight")
    airports.task("plan", job.job_id)
    failed = airports.job(job.job_id)
    assert failed.status == "FAILED"
    assert "no column destination" in str(failed)


def test_an_input_may_override_the_feature_of_a_role(airports: JobHouse) -> None:
    text = "origin,destination,weather@destination:temp\nA1,A2,10\n"
    job = airports.run(airports.put("in/a.csv", text), "flight", version="v1")
    assert [row["prediction"] for row in airports.rows(job)] == [32.0]


def test_roles_beside_a_view_of_its_own_entity(airports: JobHouse) -> None:
    airports.view("carriers", "carrier", delayed="float64")
    airports.write("carriers", {"UA": {"delayed": 0.5}, "DL": {"delayed": 0.25}})
    airports.serve("mixed", linear([2.0, 3.0, 4.0], 0.0), [*BOTH, "carriers:delayed"])
    rows = [{"carrier": "UA", "origin": "A1", "destination": "A2"}]
    rows.append({"carrier": "DL", "origin": "A2", "destination": "A1"})
    assert [
        row["prediction"] for row in at_once(airports, "mixed", entity_ids=rows)["predictions"]
    ] == [
        10.0,
        8.0,
    ]
    found = at_once(
        airports,
        "mixed",
        entity_ids=["UA", "DL"],
        entities={"origin": ["A1", "A2"], "destination": ["A2", "A1"]},
    )
    assert [row["prediction"] for row in found["predictions"]] == [10.0, 8.0]
    assert [row["entity_id"] for row in found["predictions"]] == ["UA", "DL"]
    for text in (
        "".join(json.dumps(row) + "\n" for row in rows),
        "".join(json.dumps({"entity_id": row}) + "\n" for row in rows),
    ):
        job = airports.run(airports.put("in/a.jsonl", text), "mixed")
        assert [row["prediction"] for row in airports.rows(job)] == [10.0, 8.0]
        assert [(row["entity_id"], row["origin"]) for row in airports.rows(job)] == [
            ("UA", "A1"),
            ("DL", "A2"),
        ]
