"""Models whose cost or shape depends on the values they get: the offender is answered, others are served.

docs/serving.md states the limits. The graphs are built in `tests.support.hostile`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support import hostile
from tests.support.alone import printed
from tests.support.artifacts import double_sum

HUGE = 1e12
"""Loops for days, allocates terabytes, answers a trillion rows."""

HARMLESS = {"inputs": [{"a": 0.0, "b": 0.0}], "expected": {"prediction": [0.0]}}
"""A check of its author's own choice, with which a model shows at registration what it likes."""

OFFENDERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "loop": (hostile.loops_by_feature, "inference_timeout"),
    "allocation": (hostile.allocates_by_feature, "inference_memory"),
    "rows": (hostile.rows_by_feature, "inference_memory"),
}


@pytest.fixture(params=OFFENDERS)
def offender(request: Any, world: Any) -> str:
    """The code that a hostile value is answered with; the model is in production, and so is another."""
    make, code = OFFENDERS[request.param]
    world.view("users", {"a": "float64", "b": "float64"})
    world.write("users", {f"u{i}": {"a": 0.0, "b": 0.0} for i in range(40)})
    world.write("users", {"evil": {"a": HUGE, "b": 0.0}})
    for model, data in (("hostile", make()), ("honest", double_sum())):
        world.serve(model, data, ["users:a", "users:b"], check=HARMLESS)
    return code


def served(function: Any, model: str = "honest") -> None:
    status, body = function(
        "POST /predict/{model_name}", {"model_name": model}, {"entity_id": "u1"}
    )
    assert (status, body["prediction"]) == (200, 0.0)


def test_a_hostile_stored_value_is_refused_and_the_next_requests_are_served(
    function: Any, offender: str
) -> None:
    path = {"model_name": "hostile"}
    status, body = function("POST /predict/{model_name}", path, {"entity_id": "evil"})
    assert (status, body["code"]) == (422, offender)
    served(function, "hostile")
    served(function)


def test_a_hostile_value_of_the_caller_is_refused_and_the_next_requests_are_served(
    function: Any, offender: str
) -> None:
    path = {"model_name": "hostile"}
    asked = {"entity_id": "u1", "features": {"a": HUGE}}
    status, body = function("POST /predict/{model_name}", path, asked)
    assert (status, body["code"]) == (422, offender)
    served(function, "hostile")
    served(function)


def test_a_hostile_tensor_is_refused_and_the_next_requests_are_served(
    function: Any, offender: str
) -> None:
    tensor = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [0, 0, HUGE, 0]}
    key, path = "POST /v2/models/{model}/infer", {"model": "hostile"}
    status, body = function(key, path, {"inputs": [tensor]})
    assert status == 400
    said = {"inference_timeout": "did not answer within", "inference_memory": "more memory"}
    assert said[offender] in body["error"]
    status, body = function(key, path, {"inputs": [{**tensor, "data": [0, 0, 0, 0]}]})
    assert (status, body["outputs"][0]["data"]) == (200, [0.0, 0.0])
    served(function)


def test_a_hostile_row_fails_alone_among_many(world: Any, offender: str) -> None:
    entities = [*(f"u{i}" for i in range(20)), "evil", *(f"u{i}" for i in range(20, 40))]
    columns = world.engine.predict_columns("hostile", entities)
    assert {row: error.code for row, error in columns.errors.items()} == {20: offender}
    assert [p for row, p in enumerate(columns.prediction) if row != 20] == [0.0] * 40
    assert world.engine.predict("honest", "u1").answer.prediction == 0.0


def test_a_failed_run_is_counted_by_its_code(world: Any, offender: str) -> None:
    with pytest.raises(Exception, match="model"):
        world.engine.predict("hostile", "evil")
    assert world.recorder.failures == [("hostile", "v1", offender)]


def test_a_model_that_permutes_its_rows_leaves_others_served(world: Any, function: Any) -> None:
    world.view("users", {"a": "float64", "b": "float64"})
    world.write("users", {f"u{i}": {"a": 0.0, "b": 0.0} for i in range(3)})
    world.serve("hostile", hostile.permutes_rows(), ["users:a", "users:b"], check=HARMLESS)
    world.serve("honest", double_sum(), ["users:a", "users:b"])
    world.engine.predict_columns("hostile", ["u0", "u1", "u2"])
    served(function)


def test_text_that_doubles_by_a_feature_is_refused_in_a_process_of_bounded_memory() -> None:
    """No tensor's shape shows such memory: the limit of the process holds it."""
    script = """
import numpy as np
from neuralstream_core.errors import Invalid
from neuralstream_core.memory import limit_growth
from neuralstream_core.runtimes import Bounds, load
from tests.support.hostile import strings_by_feature
runtime = load("onnx", strings_by_feature(), Bounds(run_seconds=60))
limit_growth(300 * 2**20)
def ask(times):
    try:
        return runtime.run({"x": np.full((1, 2), times, np.float32)}).values.tolist()
    except Invalid as error:
        return error.code
print(ask(3), ask(40), ask(3))
"""
    assert printed(script).split("\n")[0] == "[6.0] inference_memory [6.0]"
