"""From registered model and written features to an answer, through functions/predict."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from neuralstream_core.errors import Invalid

from .conftest import Function, World, by

PREDICT = "POST /predict/{model_name}"


def linear(coef: Any, intercept: Any = 0.0, **more: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, coef=np.array(coef), intercept=np.array(intercept), **more)
    return file.getvalue()


def ask(function: Function, model: str = "m", **body: Any) -> tuple[int, dict[str, Any]]:
    return function(PREDICT, {"model_name": model}, {"entity_id": "u1", **body})


@pytest.fixture
def users(world: World) -> World:
    world.view("users", {"age": "int64", "spend": "float64"})
    world.write("users", {"u1": {"age": 40, "spend": 2.5}, "u2": {"age": 20, "spend": None}})
    return world


FEATURES = ["users:age", "users:spend"]


def test_one_request_fetches_features_and_answers(users: World, function: Function) -> None:
    users.serve("m", linear([1.0, 10.0], 0.5), FEATURES, kind="linear")
    status, answer = ask(function, return_features=True)
    assert status == 200, answer
    assert answer.pop("latency_ms") > 0
    assert answer.pop("timestamp").endswith("Z")
    assert answer.pop("prediction_id").startswith("m:v1:")
    assert answer == {
        "model": "m",
        "version": "v1",
        "entity_id": "u1",
        "prediction": 65.5,
        "features": {"age": 40, "spend": 2.5},
    }


def test_binary_answers_the_positive_class_and_three_classes_all_of_them(
    users: World, function: Function
) -> None:
    users.serve("two", linear([0.0, 1.0], classes=np.array([False, True])), FEATURES, kind="linear")
    _, answer = ask(function, "two")
    assert answer["prediction"] is True
    assert answer["probability"] == pytest.approx(1 / (1 + np.exp(-2.5)))
    assert "probabilities" not in answer
    coef = [[0.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    users.serve("three", linear(coef, classes=np.array(["a", "b", "c"])), FEATURES, kind="linear")
    _, answer = ask(function, "three")
    assert answer["prediction"] == "b"
    assert set(answer["probabilities"]) == {"a", "b", "c"}
    assert answer["probability"] == answer["probabilities"]["b"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_several_outputs_are_a_list(users: World, function: Function) -> None:
    users.serve("m", linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]), FEATURES, kind="linear")
    assert ask(function)[1]["prediction"] == [40.0, 2.5]


def test_missing_features_by_policy(users: World, function: Function) -> None:
    tree = onnx_sum()
    users.serve("strict", tree, FEATURES)
    status, problem = ask(function, "strict", entity_id="u2")
    assert status == 422
    assert problem["code"] == "missing_features"
    assert problem["errors"] == [{"loc": "features.users:spend", "msg": "NULL"}]
    status, problem = ask(function, "strict", entity_id="nobody")
    assert status == 422
    assert [e["msg"] for e in problem["errors"]] == ["NOT_FOUND", "NOT_FOUND"]

    defaulted = [{"feature": "users:age", "default": 1}, {"feature": "users:spend", "default": 0.5}]
    users.serve("default", tree, defaulted, missing="default")
    assert ask(function, "default", entity_id="u2")[1]["prediction"] == 20.5
    assert ask(function, "default", entity_id="nobody")[1]["prediction"] == 1.5

    users.serve("null", tree, FEATURES, missing="null")
    status, problem = ask(function, "null", entity_id="u2")
    assert (status, problem["code"]) == (422, "not_finite")


def onnx_sum() -> bytes:
    """Adds up the inputs of a row; NaN if one is NaN."""
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        initializer=[helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def test_overrides_are_typed_and_win_over_the_store(users: World, function: Function) -> None:
    users.serve(
        "m",
        linear([1.0, 10.0, 100.0]),
        [*FEATURES, {"feature": "request:hour", "dtype": "int64"}],
        kind="linear",
    )
    status, answer = ask(function, features={"hour": 2, "users:spend": 0.5}, return_features=True)
    assert status == 200, answer
    assert answer["prediction"] == 245
    assert answer["features"] == {"age": 40, "spend": 0.5, "hour": 2}
    for features, loc in (
        ({"hour": 2.5}, "features.hour"),
        ({"hour": "2"}, "features.hour"),
        ({"hour": True}, "features.hour"),
        ({"hour": 1, "nope": 1}, "features.nope"),
    ):
        status, problem = ask(function, features=features)
        assert status == 422
        assert [e["loc"] for e in problem["errors"]] == [loc]
    status, problem = ask(function)
    assert [e["loc"] for e in problem["errors"]] == ["features.request:hour"]
    everything = {"age": 1, "spend": 1.0, "hour": 1}
    assert ask(function, entity_id="nobody", features=everything)[1]["prediction"] == 111


def test_views_with_different_keys_are_read_together(users: World, function: Function) -> None:
    users.view("items", {"price": "float32"}, "item_id")
    users.view("pairs", {"clicks": "int64"}, ["user_id", "item_id"])
    users.write("items", {"i1": {"price": 7.0}})
    users.store.write("pairs", [{"entity_id": ["u1", "i1"], "features": {"clicks": 3}}])
    wanted = ["users:age", "items:price", "pairs:clicks"]
    users.serve("m", linear([1.0, 10.0, 100.0]), wanted, kind="linear")
    status, answer = ask(function, entities={"item_id": "i1"})
    assert status == 200, answer
    assert answer["prediction"] == 410
    status, problem = ask(function)
    assert status == 422
    assert problem["errors"][0]["loc"] == "entities.item_id"
    assert ask(function, entity_id="i1", feature_view="items", entities={"user_id": "u1"})[1][
        "prediction"
    ] == 410  # fmt: skip


def test_a_composite_entity_in_every_form(world: World, function: Function) -> None:
    world.view("pairs", {"clicks": "int64"}, ["user_id", "item_id"])
    world.store.write("pairs", [{"entity_id": ["u,1", "i1"], "features": {"clicks": 3}}])
    world.serve("m", linear([2.0]), ["pairs:clicks"], kind="linear")
    for entity in (["u,1", "i1"], {"item_id": "i1", "user_id": "u,1"}):
        status, answer = ask(function, entity_id=entity)
        assert status == 200, answer
        assert (answer["prediction"], answer["entity_id"]) == (6, ["u,1", "i1"])
    for entity in ("u,1", ["u,1"], ["a", "b", "c"], {"user_id": "x"}, "", [], 5, {"a": 1}):
        status, problem = ask(function, entity_id=entity)
        assert status == 422, (entity, problem)


def test_a_wrong_feature_view_is_named(users: World, function: Function) -> None:
    users.serve("m", linear([1.0, 10.0]), FEATURES, kind="linear")
    assert ask(function, feature_view="users")[0] == 200
    status, problem = ask(function, feature_view="others")
    assert (status, problem["errors"][0]["loc"]) == (422, "feature_view")


def test_a_pinned_version_answers_whatever_its_stage(users: World, function: Function) -> None:
    users.serve("m", linear([1.0, 0.0]), FEATURES, kind="linear")
    users.register("m", linear([0.0, 1.0]), FEATURES, kind="linear")
    assert ask(function)[1]["version"] == "v1"
    assert ask(function, version="v2")[1]["prediction"] == 2.5
    assert ask(function, version="v3")[0] == 404
    assert ask(function, "unknown")[0] == 404
    users.register("fresh", linear([1.0, 0.0]), FEATURES, kind="linear")
    status, problem = ask(function, "fresh")
    assert (status, problem["code"]) == (409, "not_in_production")


def test_a_split_is_sticky_and_shared_with_the_batch_path(users: World) -> None:
    users.serve("m", linear([0.0, 0.0], 1.0), FEATURES, kind="linear", missing="null")
    users.register("m", linear([0.0, 0.0], 2.0), FEATURES, kind="linear", missing="null")
    users.registry.set_split("m", {"v1": 0.5, "v2": 0.5}, by())
    ids = [f"user-{i}" for i in range(200)]
    users.write("users", {i: {"age": 1, "spend": 1.0} for i in ids})
    one = [users.engine.predict("m", i) for i in ids]
    many = users.engine.predict_columns("m", ids)
    assert [p.servable.version.version for p in one] == [many.versions[v] for v in many.version]
    assert [p.answer.prediction for p in one] == many.prediction.tolist()
    assert {p.answer.prediction for p in one} == {1.0, 2.0}


def test_what_monitoring_is_told(users: World) -> None:
    features = [{"feature": "users:age", "default": 1}, {"feature": "users:spend", "default": 0.5}]
    users.serve("m", onnx_sum(), features, missing="default")
    users.engine.predict("m", "u1")
    users.engine.predict("m", "u2", version="v1")
    first, second = users.recorder.observations
    assert (first.values, first.status, first.prediction, first.cold) == (
        (40, 2.5),
        None,
        42.5,
        True,
    )
    assert list(second.values) == [20, 0.5]
    assert list(second.status) == [0, 1]
    assert (second.cold, second.pinned, second.score) == (False, True, None)
    with pytest.raises(Invalid):
        users.engine.predict("m", "u1", features={"nope": 1})
    assert users.recorder.failures == [("m", "v1", "unknown_feature")]


def test_a_feature_added_after_the_view_was_cached_is_found(users: World) -> None:
    users.serve("m", linear([1.0, 10.0]), FEATURES, kind="linear")
    users.engine.predict("m", "u1")
    other = World(users.table, users.artifacts, users.port, users.disk)
    other.view("users", {"age": "int64", "spend": "float64", "new": "float64"})
    other.write("users", {"u1": {"new": 5.0}})
    other.serve("m", linear([1.0]), ["users:new"], kind="linear")
    assert users.engine.predict("m", "u1").answer.prediction == 5.0
    assert users.engine.predict_columns("m", ["u1"]).prediction.tolist() == [5.0]
