"""The Open Inference Protocol V2, by hand and by a public client over HTTP."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from neuralstream_core.errors import Invalid
from neuralstream_core.registry.registration import Registration
from neuralstream_core.serving.oip import InferBody, check_answer

from .conftest import ROOT, Function, World, by
from .test_engine import FEATURES, linear

INFER = "POST /v2/models/{model}/infer"
KINDS = {
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "BOOL": TensorProto.BOOL,
    "BYTES": TensorProto.STRING,
}


def echo(datatype: str) -> bytes:
    """Answers its input ``x`` (n, 2)."""
    kind = KINDS[datatype]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", kind, [None, 2])],
        [helper.make_tensor_value_info("y", kind, [None, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def infer(function: Function, model: str = "m", **body: Any) -> tuple[int, Any]:
    return function(INFER, {"model": model}, body)


def tensor(data: Any, datatype: str, shape: list[int], name: str = "x") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


MODEL_ROUTES = [
    "GET /v2/models/{model}",
    "GET /v2/models/{model}/ready",
    "GET /v2/models/{model}/versions/{version}",
    "GET /v2/models/{model}/versions/{version}/ready",
    "POST /v2/models/{model}/infer",
    "POST /v2/models/{model}/versions/{version}/infer",
]


@pytest.mark.parametrize("key", MODEL_ROUTES)
def test_a_version_that_cannot_serve_is_a_documented_conflict(
    world: World, function: Function, key: str
) -> None:
    upload = {"sha256": "0" * 64, "size": 9}
    body = json.dumps({"format": "onnx", "artifact": upload})
    world.registrar.register("m", Registration.model_validate_json(body), by())
    tensors = {"inputs": [tensor([1.0], "FP32", [1, 1])]}
    status, answer = function(
        key, {"model": "m", "version": "1"} if "{version}" in key else {"model": "m"}, tensors
    )

    assert status == 409
    assert answer["error"]
    method, _, path = key.partition(" ")
    document = json.loads((ROOT / "functions/console/openapi.json").read_text())
    assert "409" in document["paths"][path][method.lower()]["responses"]


CASES = {
    "FP32": [1.5, -2.0, 3.25, 4.0],
    "FP64": [0.1, 1e300, -3.0, 4.0],
    "INT32": [1, -2, 2**31 - 1, 4],
    "INT64": [1, -2, 2**63 - 1, -(2**63)],
    "BOOL": [True, False, False, True],
    "BYTES": ["a", "", "naïve", "日本"],
}


@pytest.mark.parametrize("datatype", CASES)
def test_every_datatype_flat_and_nested(world: World, function: Function, datatype: str) -> None:
    world.serve("m", echo(datatype), [])
    cells = CASES[datatype]
    for data in (cells, [cells[:2], cells[2:]]):
        status, answer = infer(function, id="42", inputs=[tensor(data, datatype, [2, 2])])
        assert status == 200, answer
        assert answer == {
            "model_name": "m",
            "model_version": "v1",
            "id": "42",
            "outputs": [{"name": "y", "datatype": datatype, "shape": [2, 2], "data": cells}],
        }


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (tensor([1, 2, 3], "FP32", [2, 2]), "3 elements"),
        (tensor([[1, 2], [3]], "FP32", [2, 2]), "nested"),
        (tensor([1, 2], "FP32", [2]), "shape"),
        (tensor([1, 2, 3], "FP32", [1, 3]), "shape"),
        (tensor([1, 2], "FP32", [1, 2], name="z"), "no input"),
        (tensor(["1", 2], "FP32", [1, 2]), "not FP32"),
        (tensor([True, 2], "FP32", [1, 2]), "not FP32"),
        (tensor(["a", "b"], "BYTES", [1, 2]), "takes FP32"),
        (tensor([1, 2], "FP8", [1, 2]), "unknown datatype"),
        (tensor([], "FP32", [0, 2]), "at least one"),
        (tensor([1, 2], "INT64", [1000000, 1000000]), "elements"),
    ],
)
def test_what_does_not_fit_is_400_in_the_protocols_own_form(
    world: World, function: Function, given: dict[str, Any], reason: str
) -> None:
    world.serve("m", echo("FP32"), [])
    status, answer = infer(function, inputs=[given])
    assert status == 400
    assert set(answer) == {"error"}
    assert reason in answer["error"]


def test_other_errors_have_the_same_form(world: World, function: Function) -> None:
    world.serve("m", echo("FP32"), [])
    good = tensor([1, 2], "INT64", [1, 2])
    assert infer(function, inputs=[good])[0] == 200  # whole numbers fit a float input
    assert infer(function, "nope", inputs=[good]) == (404, {"error": "there is no model nope"})
    assert infer(function)[0] == 400
    assert infer(function, inputs=[good, good])[0] == 400
    assert infer(function, inputs=[good], outputs=[{"name": "nope"}])[0] == 400
    assert infer(function, inputs=[tensor([1e39, 2], "FP32", [1, 2])])[0] == 400
    status, answer = function(INFER, {"model": "m"}, "{")
    assert (status, set(answer)) == (400, {"error"})


def test_health_and_metadata(world: World, function: Function) -> None:
    assert function("GET /v2/health/live") == (200, {"live": True})
    assert function("GET /v2/health/ready") == (200, {"ready": True})
    server = function("GET /v2")[1]
    assert server["name"] == "neuralstream"
    world.view("users", {"age": "int64", "spend": "float64"})
    world.serve("m", linear([1.0, 1.0], classes=np.array(["a", "b"])), FEATURES, kind="linear")
    world.register("m", linear([1.0, 1.0]), FEATURES, kind="linear")
    status, found = function("GET /v2/models/{model}", {"model": "m"})
    assert (status, found) == (
        200,
        {
            "name": "m",
            "versions": ["v1"],
            "platform": "neuralstream_linear",
            "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 2]}],
            "outputs": [
                {"name": "label", "datatype": "BYTES", "shape": [-1]},
                {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
            ],
        },
    )
    key = "GET /v2/models/{model}/versions/{version}"
    for name in ("2", "v2"):
        found = function(key, {"model": "m", "version": name})[1]
        assert [output["name"] for output in found["outputs"]] == ["prediction"]
    assert function(key, {"model": "m", "version": "3"})[0] == 404
    assert function("GET /v2/models/{model}/ready", {"model": "m"}) == (
        200,
        {"name": "m", "ready": True},
    )
    assert function(key + "/ready", {"model": "m", "version": "2"})[0] == 200
    assert function("GET /v2/models/{model}/ready", {"model": "x"})[0] == 404


def test_an_entity_in_place_of_inputs(world: World, function: Function) -> None:
    world.view("users", {"age": "int64", "spend": "float64"})
    world.write("users", {"u1": {"age": 40, "spend": 2.5}})
    world.serve("m", linear([1.0, 10.0]), FEATURES, kind="linear")
    status, answer = infer(function, parameters={"entity_id": "u1"})
    assert status == 200, answer
    assert answer["outputs"] == [
        {"name": "prediction", "shape": [1], "datatype": "FP64", "data": [65.0]}
    ]
    assert infer(function, parameters={"entity_id": "nobody"})[0] == 400
    assert infer(function, parameters={"entity_id": 5})[0] == 400


def test_an_entity_beside_inputs_chooses_the_version(world: World, function: Function) -> None:
    world.serve("m", linear([0.0], 1.0), [], kind="linear")
    world.register("m", linear([0.0], 2.0), [], kind="linear")
    world.registry.set_split("m", {"v1": 0.5, "v2": 0.5}, by())
    given = [tensor([0.0], "FP64", [1, 1], name="input")]
    for i in range(20):
        expected = world.deployments.get("m").assigner.one(f"u{i}")
        answer = infer(function, inputs=given, parameters={"entity_id": f"u{i}"})[1]
        assert answer["model_version"] == expected
    assert infer(function, inputs=given)[1]["model_version"] == "v1"


def test_inference_on_tensors_is_monitored_feature_by_feature(world: World) -> None:
    world.view("users", {"age": "int64", "spend": "float64"})
    world.serve("m", linear([1.0, 10.0]), FEATURES, kind="linear")
    world.engine.infer("m", lambda _: {"input": np.array([[1.0, 2.0], [3.0, 4.0]])})
    (seen,) = world.recorder.observations
    assert [column.tolist() for column in seen.columns] == [[1, 3], [2, 4]]
    assert seen.prediction.tolist() == [21, 43]


def test_an_answer_the_protocol_cannot_give_counts_as_refused(world: World) -> None:
    world.view("users", {"age": "int64", "spend": "float64"})
    world.write("users", {"u1": {"age": 40, "spend": 2.5}})
    world.serve("m", linear([1.0, 1e307]), FEATURES, kind="linear")
    unknown = partial(check_answer, InferBody.model_validate({"outputs": [{"name": "nope"}]}))
    finite = partial(check_answer, InferBody())
    infinite = np.array([[1.0, 1e10]])
    with pytest.raises(Invalid, match="no output 'nope'"):
        world.engine.infer("m", lambda _: {"input": np.zeros((1, 2))}, accept=unknown)
    with pytest.raises(Invalid, match="no output 'nope'"):
        world.engine.predict("m", "u1", accept=unknown)
    with pytest.raises(Invalid, match="not a number"):
        world.engine.infer("m", lambda _: {"input": infinite}, accept=finite)
    assert world.recorder.observations == []
    codes = [code for _, _, code in world.recorder.failures]
    assert codes == ["invalid", "invalid", "not_finite"]


def test_a_public_client_over_http(stack: Any) -> None:
    """tritonclient with JSON tensors against the running laptop stack."""
    import base64

    import tritonclient.http as triton

    model = "v2-client"
    registered = stack.request(
        "POST",
        f"/models/{model}/versions",
        {"format": "onnx", "artifact_base64": base64.b64encode(echo("FP32")).decode()},
    )
    assert registered.status in (200, 201), registered.data
    promoted = stack.request("POST", f"/models/{model}/promote/v1")
    assert promoted.status == 200, promoted.data

    client = triton.InferenceServerClient(stack.url.removeprefix("http://"))
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(model)
        assert client.is_model_ready(model, "1")
        assert not client.is_model_ready("nobody-knows")
        assert client.get_server_metadata()["name"] == "neuralstream"
        found = client.get_model_metadata(model)
        assert [tensor["name"] for tensor in found["inputs"]] == ["x"]
        cells = np.array([[1.5, 2.5], [3.5, 4.5]], np.float32)
        given = triton.InferInput("x", [2, 2], "FP32")
        given.set_data_from_numpy(cells, binary_data=False)
        wanted = triton.InferRequestedOutput("y", binary_data=False)
        answer = client.infer(model, [given], outputs=[wanted], request_id="7")
        np.testing.assert_array_equal(answer.as_numpy("y"), cells)
        assert answer.get_response()["id"] == "7"
        answer = client.infer(model, [given], model_version="1", outputs=[wanted])
        np.testing.assert_array_equal(answer.as_numpy("y"), cells)
        wrong = triton.InferInput("z", [2, 2], "FP32")
        wrong.set_data_from_numpy(cells, binary_data=False)
        with pytest.raises(triton.InferenceServerException, match="no input"):
            client.infer(model, [wrong], outputs=[wanted])
    finally:
        client.close()
