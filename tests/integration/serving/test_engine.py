"""From registered model and written features to an answer."""

from __future__ import annotations

import io

import numpy as np

from .conftest import Function, World


def linear(coef: list[float], intercept: float = 0.0, **more: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, coef=np.array(coef), intercept=np.array(intercept), **more)
    return file.getvalue()


def test_one_request_fetches_features_and_answers(world: World, function: Function) -> None:
    world.view("users", {"age": "int64", "spend": "float64"})
    world.write("users", {"u1": {"age": 40, "spend": 2.5}})
    world.serve("m", linear([1.0, 10.0], 0.5), ["users:age", "users:spend"], kind="linear")

    status, answer = function(
        "POST /predict/{model_name}",
        {"model_name": "m"},
        {"entity_id": "u1", "return_features": True},
    )

    assert status == 200, answer
    assert answer.pop("latency_ms") > 0
    assert answer.pop("timestamp").endswith("Z")
    assert answer == {
        "model": "m",
        "version": "v1",
        "entity_id": "u1",
        "prediction": 65.5,
        "features": {"age": 40, "spend": 2.5},
    }
