"""Estimators of four libraries: trained, exported, registered with a check, and served in every way.

What is served is held against the source library on the same rows: no label differs except in a tie of
the scores, numbers agree to the check's tolerance; and single, batch and job answer the same. A model
whose export is not the model is refused before it is READY, with the reason.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from neuralstream_core.errors import ArtifactRejected, NotFound
from neuralstream_core.serving.batch.requests import BatchBody
from neuralstream_core.table import Table
from neuralstream_lambda.batch import BatchSettings, predict_rows
from neuralstream_local.storage import create_history_table, create_registry_table
from tests.support.jobs import NAMESPACE, JobHouse
from tests.support.redis import settings_for

from ..conftest import Function, predict_function
from .catalogue import FAMILIES, Trained, train
from .rows import F, X

ROWS = 60
SINGLE = 6
TOLERANCE = 1e-3
IDS = [f"e{i}" for i in range(ROWS)]
FIELDS = ("prediction", "probability", "probabilities", "score", "scores", "outputs")


@dataclass
class Shop:
    """Storage with the rows of every family, and what serves from it."""

    house: JobHouse
    predict: Function
    input: str

    def batch(self, model: str, ids: list[str]) -> list[Any]:
        body = BatchBody.model_validate({"entity_ids": ids})
        return json.loads(predict_rows(self.house.settings, model, body))["predictions"]

    def single(self, model: str, entity: str) -> tuple[int, Any]:
        return self.predict(
            "POST /predict/{model_name}", {"model_name": model}, {"entity_id": entity}
        )

    def infer(self, model: str, body: Any) -> tuple[int, Any]:
        return self.predict("POST /v2/models/{model}/infer", {"model": model}, body)


@pytest.fixture(scope="module")
def shop(aws: Any, redis_server: Any) -> Iterator[Shop]:
    """One stack for the module; each family is a model of its own in it."""
    from neuralstream_core.redis import connect

    table_name = bucket = f"families-{uuid.uuid4().hex}"
    dynamodb, s3 = aws.client("dynamodb"), aws.client("s3")
    create_registry_table(dynamodb, table_name)
    create_history_table(dynamodb, f"{table_name}-history")
    s3.create_bucket(Bucket=bucket)
    redis_server.flush()
    redis = settings_for(redis_server, patient=True)
    settings = BatchSettings(
        namespace=NAMESPACE,
        redis_host=redis.redis_host,
        redis_port=redis.redis_port,
        table=table_name,
        history_table=f"{table_name}-history",
        data_bucket=bucket,
    )
    port = connect(redis)
    house = JobHouse(settings, Table(dynamodb, table_name), s3, port)
    house.view("numbers", "id", **{f"f{i}": "float32" for i in range(F)})
    house.write(
        "numbers",
        {
            entity: {f"f{i}": float(cell) for i, cell in enumerate(X[row])}
            for row, entity in enumerate(IDS)
        },
    )
    frame = train("text and gaps").rows
    house.view("mixed", "id", f0="float32", f1="float32", f2="string")
    house.write("mixed", {e: _cells(frame, row) for row, e in enumerate(IDS)})
    source = house.put("in.csv", "entity_id\n" + "".join(f"{entity}\n" for entity in IDS))
    predict = predict_function(
        {
            "NEURALSTREAM_NAMESPACE": NAMESPACE,
            "NEURALSTREAM_REDIS_HOST": redis.redis_host,
            "NEURALSTREAM_REDIS_PORT": str(redis.redis_port),
            "NEURALSTREAM_TABLE": table_name,
            "NEURALSTREAM_DATA_BUCKET": bucket,
        }
    )
    yield Shop(house, predict, source)
    port.close()


def _cells(frame: Any, row: int) -> dict[str, Any]:
    cells = frame.iloc[row]
    return {
        "f0": None if np.isnan(cells["f0"]) else float(cells["f0"]),
        "f1": float(cells["f1"]),
        "f2": str(cells["f2"]),
    }


def _inputs(trained: Trained) -> list[dict[str, Any]]:
    if not isinstance(trained.rows, np.ndarray):
        return [_cells(trained.rows, row) for row in range(ROWS)]
    return [{f"f{i}": float(cell) for i, cell in enumerate(X[row])} for row in range(ROWS)]


def _expected(name: str, trained: Trained) -> dict[str, list[Any]]:
    family = FAMILIES[name]
    rows = trained.rows[:ROWS]
    answers = getattr(trained.model, family.answer)(rows)
    if answers.ndim == 2 and answers.shape[1] == 1:
        answers = answers[:, 0]  # CatBoost answers several classes in a column
    expected = {"prediction": answers.tolist()}
    if family.probability:
        expected["probability"] = trained.model.predict_proba(rows).tolist()
    if family.score:
        expected["score"] = getattr(trained.model, family.score)(rows).tolist()
    return expected


def _registration(name: str, trained: Trained) -> tuple[list[str], dict[str, Any]]:
    family = FAMILIES[name]
    view, count = ("mixed", 3) if family.mixed else ("numbers", F)
    check = {
        "inputs": _inputs(trained),
        "expected": _expected(name, trained),
        "tolerance": TOLERANCE,
    }
    more: dict[str, Any] = {"format": "onnx", "check": check, **family.declared}
    if family.mixed:
        more["missing"] = "null"
    return [f"{view}:f{i}" for i in range(count)], more


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if not family.refused])
def test_a_family_is_served_as_its_library_predicts(shop: Shop, name: str) -> None:
    family, trained = FAMILIES[name], train(name)
    model = _model(name)
    features, more = _registration(name, trained)
    version = shop.house.serve(model, trained.data, features, **more)
    record = shop.house.registry.version(model, version)
    assert record.check is not None
    assert (record.check.rows, record.check.tolerance) == (ROWS, TOLERANCE)
    assert record.check.max_difference <= TOLERANCE

    batch = shop.batch(model, IDS)
    assert not [row for row in batch if "error" in row]
    _holds(name, trained, batch)

    job = shop.house.run(
        shop.input, model, output=f"s3://{shop.house.settings.data_bucket}/jobs/{model}/"
    )
    assert _answers(shop.house.rows(job)) == _answers(batch)

    for entity, row in list(zip(IDS, batch, strict=True))[:SINGLE]:
        status, single = shop.single(model, entity)
        assert (status, _answers([single])) == (200, _close_to([row]))

    status, infer = shop.infer(model, {"parameters": {"entity_id": IDS[0]}, "inputs": []})
    assert status == 200, infer
    if not family.mixed:
        data = X[:ROWS].ravel().tolist()
        tensor = {
            "name": _input_name(shop, model),
            "shape": [ROWS, F],
            "datatype": "FP32",
            "data": data,
        }
        status, infer = shop.infer(model, {"inputs": [tensor]})
        assert status == 200, infer
        first = infer["outputs"][0]
        assert first["shape"][0] == ROWS
        if family.library != "torch":
            width = len(first["data"]) // ROWS
            served = [row["prediction"] for row in batch]
            flat = served if width == 1 else [value for row in served for value in row]
            assert (
                first["data"] == pytest.approx(flat, rel=1e-5)
                if width > 1
                else first["data"] == flat
            )


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.refused])
def test_an_export_that_is_not_its_model_is_refused_before_it_is_ready(
    shop: Shop, name: str
) -> None:
    trained = train(name)
    features, more = _registration(name, trained)
    with pytest.raises(ArtifactRejected) as refusal:
        shop.house.register(_model(name), trained.data, features, **more)
    reason = FAMILIES[name].refused or ""
    assert reason == refusal.value.code or reason in refusal.value.detail
    with pytest.raises(NotFound):
        shop.house.registry.model(_model(name))


def test_features_in_another_order_are_refused_with_the_worst_rows(shop: Shop) -> None:
    trained = train("logistic")
    features, more = _registration("logistic", trained)
    swapped = [features[2], features[1], features[0], *features[3:]]
    with pytest.raises(ArtifactRejected, match="rows of the check differ") as refusal:
        shop.house.register("swapped", trained.data, swapped, **more)
    assert refusal.value.code == "check_failed"
    assert refusal.value.errors[0].loc.startswith("check.expected.prediction.")


def _model(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def _input_name(shop: Shop, model: str) -> str:
    signature = shop.house.registry.version(model, "v1").signature
    assert signature is not None
    return signature.inputs[0].name


def _answers(rows: list[Any]) -> list[dict[str, Any]]:
    return [{field: row[field] for field in FIELDS if row.get(field) is not None} for row in rows]


def _close_to(rows: list[Any]) -> list[Any]:
    """One row alone may sum a product in another order than many."""
    return [_approximate(row) for row in _answers(rows)]


def _approximate(value: Any) -> Any:
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-5, abs=1e-6)
    if isinstance(value, dict):
        return {key: _approximate(inner) for key, inner in value.items()}
    return [_approximate(inner) for inner in value] if isinstance(value, list) else value


def _holds(name: str, trained: Trained, rows: list[Any]) -> None:
    """The served answers are the library's own."""
    family, expected = FAMILIES[name], _expected(name, trained)
    for row, want in zip(rows, expected["prediction"], strict=True):
        if isinstance(want, float | list):
            assert row["prediction"] == pytest.approx(want, rel=TOLERANCE, abs=TOLERANCE)
        elif row["prediction"] != want:
            near = row.get("probability", row.get("score"))
            assert near == pytest.approx(0.5 if family.probability else 0.0, abs=TOLERANCE)
        assert ("probability" in row) == family.probability
        assert ("score" in row) == (family.score is not None)
    if family.probability:
        for row, want in zip(rows, expected["probability"], strict=True):
            if len(want) == 2:
                assert row["probability"] == pytest.approx(want[1], abs=TOLERANCE)
            else:
                assert list(row["probabilities"].values()) == pytest.approx(want, abs=TOLERANCE)
                assert row["probability"] == row["probabilities"][str(row["prediction"])]
    if family.score:
        for row, want in zip(rows, expected["score"], strict=True):
            numbers = list(row["scores"].values()) if isinstance(want, list) else row["score"]
            assert numbers == pytest.approx(want, rel=TOLERANCE, abs=TOLERANCE)
    if names := family.declared.get("outputs"):
        assert all(list(row["outputs"]) == names for row in rows)
        assert all(list(row["outputs"].values()) == row["prediction"] for row in rows)
