"""A prediction and a batch of one agree: in the answer, or in the code of the error."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from neuralstream_core.errors import Invalid
from neuralstream_core.features.entity import entity_json
from neuralstream_core.serving.batch.requests import batch_json
from neuralstream_core.serving.entities import Identities
from neuralstream_core.serving.predictions import answer_columns
from neuralstream_core.serving.requests import answer_json
from tests.support.artifacts import onnx_bytes

from .conftest import World
from .test_engine import linear

FEATURES = ["users:age", "users:spend"]
FIELDS = ("prediction", "probability", "probabilities", "score", "scores", "outputs")
ENTITIES = ("full", "half", "empty", "nobody", "large")


def drops_large_rows() -> bytes:
    """Answers only rows whose sum is below 5,000, which no trial row reaches."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["s"]),
        helper.make_node("Less", ["most", "s"], ["large"]),
        helper.make_node("Not", ["large"], ["few"]),
        helper.make_node("Reshape", ["few", "flat"], ["mask"]),
        helper.make_node("Compress", ["s", "mask"], ["y"], axis=0),
    ]
    constants = {
        "w": np.ones((2, 1), np.float32),
        "most": np.array([5e3], np.float32),
        "flat": np.array([-1], np.int64),
    }
    return onnx_bytes(nodes, constants)


@pytest.fixture
def shop(world: World) -> World:
    world.view("users", {"age": "float64", "spend": "float64"})
    world.write(
        "users",
        {
            "full": {"age": 40.0, "spend": 2.5},
            "half": {"age": -3.0},
            "empty": {"age": None, "spend": None},
            "large": {"age": 1e38, "spend": 1e300},
        },
    )
    defaults = [{"feature": f, "default": 1.0} for f in FEATURES]
    three = [[0.0, 0.1], [0.01, 0.0], [-0.1, 0.2]]
    served: dict[str, tuple[bytes, dict[str, Any]]] = {
        "line": (linear([1.0, 10.0]), {"kind": "linear"}),
        "lines": (linear(three), {"kind": "linear", "outputs": ["a", "b", "c"]}),
        "two": (linear([0.0, 0.1], classes=np.array([False, True])), {"kind": "linear"}),
        "three": (linear(three, classes=np.array(["x", "y", "z"])), {"kind": "linear"}),
        "filled": (
            linear(three, classes=np.array([1, 5, 9])),
            {"kind": "linear", "missing": "default"},
        ),
        "nulls": (drops_large_rows(), {"missing": "null"}),
        "drops": (drops_large_rows(), {}),
    }
    for name, (data, more) in served.items():
        kind = more.pop("kind", "onnx")
        world.serve(name, data, defaults if "missing" in more else FEATURES, kind=kind, **more)
    return world


MODELS = ("line", "lines", "two", "three", "filled", "nulls", "drops")
VALUES = st.one_of(
    st.none(),
    st.floats(-1e4, 1e4),
    st.sampled_from([1e308, "text", True, [1.0]]),
)


def one(shop: World, model: str, entity: Any, features: Any) -> dict[str, Any]:
    try:
        found = shop.engine.predict(model, entity, features=features)
        answer = json.loads(answer_json(found))
    except Invalid as error:
        return {"error": error.code}
    return {field: answer[field] for field in FIELDS if field in answer}


def many(shop: World, model: str, entities: list[Any], features: Any) -> list[dict[str, Any]]:
    overrides = {name: [value] * len(entities) for name, value in (features or {}).items()}
    try:
        columns = shop.engine.predict_columns(model, entities, overrides=overrides or None)
    except Invalid as error:
        return [{"error": error.code}] * len(entities)
    _jobs_agree(columns)
    rows = json.loads(batch_json(model, Identities(entities, None), columns, 0))["predictions"]
    assert [row["entity_id"] for row in rows] == [entity_json(entity) for entity in entities]
    return [
        {"error": row["error"]["code"]}
        if "error" in row
        else {field: row[field] for field in FIELDS if field in row}
        for row in rows
    ]


def _jobs_agree(columns: Any) -> None:
    """A job takes its rows from the same columns; what fails there has no answer either."""
    job = answer_columns(columns)
    for row, prediction in enumerate(job["prediction"]):
        assert (prediction is None) == (row in columns.errors)


def alike(a: Any, b: Any) -> bool:
    """Equal but for the rounding of a product summed in another order."""
    if isinstance(a, float) and isinstance(b, float):
        return a == pytest.approx(b, rel=1e-9, abs=1e-12)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(alike, a, b))
    return bool(a == b)


def test_a_prediction_and_a_batch_of_one_agree(shop: World) -> None:
    @settings(deadline=None, max_examples=120)
    @given(
        st.sampled_from(MODELS),
        st.sampled_from(ENTITIES),
        st.none()
        | st.dictionaries(
            st.sampled_from(["age", "users:spend", "spend", "nope"]), VALUES, max_size=2
        ),
    )
    def agree(model: str, entity: str, features: Any) -> None:
        single = one(shop, model, entity, features)
        (row,) = many(shop, model, [entity], features)
        assert alike(single, row), (single, row)

    agree()


def test_one_bad_row_leaves_its_neighbours_their_answers(shop: World) -> None:
    for model in MODELS:
        rows = many(shop, model, [*ENTITIES, *ENTITIES], None)
        for entity, row in zip(ENTITIES * 2, rows, strict=True):
            assert alike(one(shop, model, entity, None), row), (model, entity, row)
    assert one(shop, "drops", "large", None) == {"error": "wrong_row_count"}
    assert many(shop, "drops", ["full", "large"], None)[0] == {"prediction": 42.5}
