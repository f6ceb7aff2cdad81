"""Who a request may be about, what it may ask for, and answers too wide to be sent."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from neuralstream_core.errors import ArtifactRejected, TooLarge
from neuralstream_core.runtimes import load
from neuralstream_core.serving.inference import MAX_VALUES
from tests.support import artifacts

from .conftest import Function, World, by

PREDICT = "POST /predict/{model_name}"
INFER = "POST /v2/models/{model}/infer"


def ask(function: Function, model: str = "m", **body: Any) -> tuple[int, dict[str, Any]]:
    return function(PREDICT, {"model_name": model}, body)


@pytest.fixture
def users(world: World) -> World:
    """``m`` answers twice the sum of a user's age and spend."""
    world.view("users", {"age": "float64", "spend": "float64"})
    world.write("users", {"u1": {"age": 40.0, "spend": 2.0}, "17": {"age": 1.0, "spend": 2.0}})
    world.serve("m", artifacts.double_sum(), ["users:age", "users:spend"])
    return world


@pytest.mark.usefixtures("users")
def test_a_whole_number_and_its_digits_are_one_entity(function: Function) -> None:
    _, number = ask(function, entity_id=17)
    _, text = ask(function, entity_id="17")

    assert number["prediction"] == text["prediction"] == 6.0
    assert number["entity_id"] == "17"
    parameters = {"parameters": {"entity_id": 17}}
    assert function(INFER, {"model": "m"}, parameters)[1]["outputs"][0]["data"] == [6.0]
    assert function(INFER, {"model": "m"}, {"parameters": {"entity_id": True}})[0] == 400


def test_keys_of_other_views_may_be_numbers(users: World, function: Function) -> None:
    users.view("items", {"price": "float64"}, "item_id")
    users.view("pairs", {"clicks": "float64"}, ["user_id", "item_id"])
    users.write("items", {"5": {"price": 7.0}})
    users.store.write("pairs", [{"entity_id": [17, "5"], "features": {"clicks": 3.0}}])
    users.serve("both", artifacts.double_sum(3), ["users:age", "items:price", "pairs:clicks"])

    _, answer = ask(function, "both", entity_id=17, entities={"item_id": 5})
    assert answer["prediction"] == 22.0
    users.serve("pair", artifacts.double_sum(1), ["pairs:clicks"])
    for entity in ([17, 5], ["17", 5], {"user_id": 17, "item_id": "5"}):
        assert ask(function, "pair", entity_id=entity)[1]["prediction"] == 6.0


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("entity", [1.5, 17.0, True, False, [True], [1.5], {"user_id": 1.5}, {}])
def test_other_kinds_of_ids_are_refused_in_words_of_the_request(
    function: Function, entity: Any
) -> None:
    status, problem = ask(function, entity_id=entity)

    assert status == 422
    assert {error["loc"].partition(".")[0] for error in problem["errors"]} == {"entity_id"}
    assert "[" not in json.dumps([error["loc"] for error in problem["errors"]])[1:]
    assert "function-" not in json.dumps(problem)


@pytest.mark.usefixtures("users")
def test_no_entity_is_needed_when_every_feature_came_with_the_request(function: Function) -> None:
    status, answer = ask(function, features={"age": 1.0, "users:spend": 4.0})

    assert status == 200, answer
    assert (answer["prediction"], answer["entity_id"]) == (10.0, None)
    assert ask(function, features={"age": 1.0, "spend": 4.0}, version="v1")[1]["prediction"] == 10.0


@pytest.mark.usefixtures("users")
def test_an_entity_is_needed_as_soon_as_a_feature_must_be_read(function: Function) -> None:
    for body in ({}, {"features": {"age": 1.0}}, {"features": {}}, {"entity_id": None}):
        status, problem = ask(function, **body)
        assert (status, problem["code"]) == (422, "missing_entity")
        assert problem["errors"][0]["loc"] == "entity_id"


@pytest.mark.usefixtures("users")
def test_keys_by_name_do_without_an_entity_id(function: Function) -> None:
    assert ask(function, entities={"user_id": "u1"})[1]["prediction"] == 84.0
    status, problem = ask(function, entities={"item_id": "i1"})
    assert (status, problem["errors"][0]["loc"]) == (422, "entities.user_id")


def test_requests_without_an_entity_stay_on_production_while_a_split_runs(
    users: World, function: Function
) -> None:
    users.register("m", artifacts.double_sum(), ["users:age", "users:spend"])
    users.registry.set_split("m", {"v1": 0.01, "v2": 0.99}, by())

    answers = [ask(function, features={"age": float(n), "spend": 0.0})[1] for n in range(50)]
    assert {answer["version"] for answer in answers} == {"v1"}


@pytest.mark.usefixtures("users")
def test_what_the_model_saw_is_for_keys_that_may_read_features(function: Function) -> None:
    body = {"entity_id": "u1", "return_features": True}
    refused = function.answer(PREDICT, {"model_name": "m"}, body, scopes="predict")
    problem = json.loads(refused["body"])

    assert (refused["statusCode"], problem["code"]) == (403, "missing_scope")
    assert "features:read" in problem["detail"]
    both = function.answer(PREDICT, {"model_name": "m"}, body, scopes="predict features:read")
    assert json.loads(both["body"])["features"] == {"age": 40.0, "spend": 2.0}
    without = {"entity_id": "u1"}
    plain = function.answer(PREDICT, {"model_name": "m"}, without, scopes="predict")
    assert plain["statusCode"] == 200


def wide(width: int) -> bytes:
    """Answers ``width`` values per row, whatever it is asked."""
    return artifacts.onnx_bytes(
        [
            helper.make_node("ReduceSum", ["x", "axis"], ["sum"], keepdims=1),
            helper.make_node("Expand", ["sum", "shape"], ["y"]),
        ],
        {"axis": np.array([1], np.int64), "shape": np.array([1, width], np.int64)},
    )


def wide_on_demand() -> bytes:
    """Answers as many values per row as its first input says, at least one."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Max", ["most", "one"], ["width"]),
        helper.make_node("Cast", ["width"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["whole", "zero"], ["columns"]),
        helper.make_node("Concat", ["rows", "columns"], ["shape"], axis=0),
        helper.make_node("ReduceSum", ["x", "axis"], ["sum"], keepdims=1),
        helper.make_node("Expand", ["sum", "shape"], ["y"]),
    ]
    return artifacts.onnx_bytes(
        nodes,
        {
            "one": np.array(1, np.float32),
            "zero": np.array([0], np.int64),
            "rows": np.array([1], np.int64),
            "axis": np.array([1], np.int64),
        },
    )


def test_a_model_whose_answer_is_too_wide_is_refused_at_registration() -> None:
    with pytest.raises(ArtifactRejected, match=r"answers 3000000 values per row; at most 100000"):
        load("onnx", wide(3_000_000))
    assert load("onnx", wide(4096)).signature.outputs[0].shape == (-1, 4096)


def test_an_answer_that_turns_out_too_wide_is_refused_with_the_limit(
    users: World, function: Function
) -> None:
    check = {"inputs": [{"a": 3.0, "b": 0.0}], "expected": {"prediction": [[3.0, 3.0, 3.0]]}}
    users.serve("wide", wide_on_demand(), ["request:a", "request:b"], check=check)
    status, problem = ask(function, "wide", features={"a": 3_000_000.0, "b": 0.0})
    assert (status, problem["code"]) == (413, "answer_too_large")
    assert "3000000 values per row; at most 100000" in problem["detail"]
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [3e6, 0.0]}
    status, refused = function(INFER, {"model": "wide"}, {"inputs": [tensor]})
    assert status == 413
    assert "100000" in refused["error"]


def test_more_values_than_any_answer_holds_are_refused_before_they_are_written(
    users: World, function: Function
) -> None:
    users.serve("long", wide(4096), ["users:age", "users:spend"])
    with pytest.raises(TooLarge, match=str(MAX_VALUES)):
        users.engine.predict_columns("long", ["u1"] * 1000)
    tensor = {"name": "x", "shape": [1000, 2], "datatype": "FP32", "data": [1.0] * 2000}
    assert function(INFER, {"model": "long"}, {"inputs": [tensor]})[0] == 413
    assert len(users.engine.predict_columns("long", ["u1"] * 3).prediction[0]) == 4096
