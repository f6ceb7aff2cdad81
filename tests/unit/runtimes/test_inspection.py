"""What must never reach a runtime, refused from its bytes."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from neuralstream_core.errors import ArtifactRejected
from neuralstream_core.runtimes import load
from neuralstream_core.runtimes._linear import inspect_linear
from neuralstream_core.runtimes._onnx_inspect import inspect_onnx
from tests.support.trained import linear, sklearn_onnx

ROOT = Path(__file__).parents[3]
FLOAT = TensorProto.FLOAT
INSPECT = {"onnx": inspect_onnx, "linear": inspect_linear}


def model(*nodes: Any, initializers: Any = (), opsets: Any = (("", 15),), **more: Any) -> Any:
    """A model from ``x`` (n, 2) to ``y``."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        initializer=list(initializers),
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets]
    return helper.make_model(graph, opset_imports=imports, **more)


def identity() -> Any:
    return model(helper.make_node("Identity", ["x"], ["y"]))


def shaped(operator: str, sizes: list[int]) -> Any:
    """A model that makes a tensor of a constant shape."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [len(sizes)], sizes)
    inputs = {"ConstantOfShape": ["shape"]}.get(operator, ["x", "shape"])
    return model(helper.make_node(operator, inputs, ["y"]), initializers=[shape])


def refused(data: bytes, reason: str, kind: str = "onnx") -> None:
    with pytest.raises(ArtifactRejected, match=reason):
        INSPECT[kind](data)
    with pytest.raises(ArtifactRejected, match=reason):
        load(kind, data)


def test_plain_models_pass() -> None:
    inspect_onnx(identity().SerializeToString())
    inspect_onnx(sklearn_onnx("forest", zipmap=True))


def test_custom_operators_are_refused_wherever_they_hide() -> None:
    foreign = helper.make_node("Evil", ["x"], ["y"], domain="com.evil")
    refused(
        model(foreign, opsets=(("", 15), ("com.evil", 1))).SerializeToString(), "custom operators"
    )
    branch = helper.make_graph(
        [helper.make_node("Evil", ["x"], ["z"], domain="com.evil")],
        "branch",
        [],
        [helper.make_tensor_value_info("z", FLOAT, None)],
    )
    condition = helper.make_tensor("c", TensorProto.BOOL, [], [True])
    nested = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    refused(model(nested, initializers=[condition]).SerializeToString(), "custom operators")
    context = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft")
    refused(
        model(context, opsets=(("", 15), ("com.microsoft", 1))).SerializeToString(), "EPContext"
    )


def test_functions_of_standard_operators_are_the_models_own() -> None:
    double = helper.make_function(
        "own", "Double", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 15)],
    )  # fmt: skip
    calls = helper.make_node("Double", ["x"], ["y"], domain="own")
    proto = model(calls, opsets=(("", 15), ("own", 1)), functions=[double])
    runtime = load("onnx", proto.SerializeToString())
    assert runtime.run({"x": np.ones((1, 2), np.float32)}).values.tolist() == [[2.0, 2.0]]


def test_tensors_in_other_files_are_refused() -> None:
    weight = helper.make_tensor("w", FLOAT, [2], [1.0, 2.0])
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")
    proto = model(helper.make_node("Add", ["x", "w"], ["y"]), initializers=[weight])
    refused(proto.SerializeToString(), "other files")
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    proto = model(constant, helper.make_node("Add", ["x", "w"], ["y"]))
    refused(proto.SerializeToString(), "other files")


@pytest.mark.parametrize("operator", ["ConstantOfShape", "Expand", "Tile"])
def test_a_small_file_cannot_ask_for_huge_memory(operator: str) -> None:
    inspect_onnx(shaped(operator, [4, 2]).SerializeToString())
    refused(shaped(operator, [1 << 20, 1 << 20]).SerializeToString(), "elements")


def test_declared_sizes_are_held_against_the_data() -> None:
    lying = helper.make_tensor("w", FLOAT, [2], np.ones(2, np.float32).tobytes(), raw=True)
    lying.dims[0] = 1_000_000
    proto = model(helper.make_node("Add", ["x", "w"], ["y"]), initializers=[lying])
    refused(proto.SerializeToString(), "does not hold them")
    lying.dims[0] = 1 << 40
    proto = model(helper.make_node("Add", ["x", "w"], ["y"]), initializers=[lying])
    refused(proto.SerializeToString(), "elements")
    proto = identity()
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 40
    refused(proto.SerializeToString(), "declared shape")


def test_deep_nesting_is_refused() -> None:
    condition = helper.make_tensor("c", TensorProto.BOOL, [], [True])
    output = [helper.make_tensor_value_info("y", FLOAT, None)]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], output)
    for _ in range(30):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
        del node.attribute[1:]
        graph = helper.make_graph([node], "g", [], output)
    proto = model(graph.node[0], initializers=[condition])
    refused(proto.SerializeToString(), "nested")


def test_a_fixed_batch_axis_is_refused_with_the_reason() -> None:
    proto = identity()
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(ArtifactRejected, match="first axis must be free"):
        load("onnx", proto.SerializeToString())


def test_a_model_that_does_not_answer_row_by_row_is_refused() -> None:
    mean = helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)
    with pytest.raises(ArtifactRejected, match="row"):
        load("onnx", model(mean).SerializeToString())


@pytest.mark.parametrize(
    "data", [b"", b"not a model", b"\x08", pickle.dumps({"a": 1}), b"\xff" * 64]
)
def test_other_files_are_not_models(data: bytes) -> None:
    refused(data, "not a readable")
    refused(data, "not a readable", "linear")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_models_are_refused_or_pass_but_nothing_else(data: st.DataObject) -> None:
    good = bytearray(sklearn_onnx("logistic"))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(good) - 1))
        good[at] = data.draw(st.integers(0, 255))
    with suppress(ArtifactRejected):
        inspect_onnx(bytes(good[: data.draw(st.integers(0, len(good)))]))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_linear_archives_are_refused_or_load_but_nothing_else(data: st.DataObject) -> None:
    whole = linear([1.0, -2.0], 0.5, classes=np.array([0, 1]))
    good = bytearray(data.draw(st.sampled_from([whole, archive(coef=npy(np.ones(2)))])))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ArtifactRejected):
        load("linear", bytes(good[: data.draw(st.just(len(good)) | st.integers(0, len(good)))]))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_array_headers_are_refused_or_load_but_nothing_else(data: st.DataObject) -> None:
    """Behind the archive's checksum, where damage to the archive itself does not get."""
    arrays = {"coef": npy(np.array([1.0, -2.0])), "classes": npy(np.array(["no", "yes"]))}
    name = data.draw(st.sampled_from(sorted(arrays)))
    bad = bytearray(arrays[name])
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.just(len(bad)) | st.integers(0, len(bad)))
    with suppress(ArtifactRejected):
        load("linear", archive(**{**arrays, name: bytes(bad[:cut])}))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["onnx", "linear"]), st.binary(max_size=300))
def test_any_bytes_are_refused_or_pass_but_nothing_else(kind: str, data: bytes) -> None:
    with suppress(ArtifactRejected):
        INSPECT[kind](data)


def test_large_unpacked_ensembles_are_inspected_quickly_and_correctly() -> None:
    """Runs of a hundred thousand numbers, each a field of its own, and a refusal behind them."""
    node = helper.make_node("Identity", ["x"], ["y"])
    node.attribute.append(helper.make_attribute("ints", list(range(100_000))))
    node.attribute.append(helper.make_attribute("floats", [0.5] * 100_000))
    inspect_onnx(model(node).SerializeToString())
    node.domain = "com.evil"
    refused(model(node, opsets=(("", 15), ("com.evil", 1))).SerializeToString(), "custom operators")


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(f"{name}.npy", data)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_linear_archives_hold_plain_small_arrays_only() -> None:
    inspect_linear(linear([1.0, 2.0]))
    file = io.BytesIO()
    np.savez(file, coef=np.array([object()]))
    refused(file.getvalue(), "pickles are never loaded", "linear")
    refused(archive(coef=npy(np.ones(2)), extra=npy(np.ones(2))), "is an .npz of", "linear")
    refused(archive(coef=b"\0" * (40 << 20)), "at most", "linear")
    header = npy(np.ones(2)).replace(b"(2,)", b"(9999999999,)")
    refused(archive(coef=header), "not", "linear")
    refused(archive(coef=npy(np.ones(3)).replace(b"(3,)", b"(9,)")), "does not match", "linear")
    for bad in (linear([1.0, np.nan]), linear(np.ones((2, 2)), np.zeros(3))):
        with pytest.raises(ArtifactRejected):
            load("linear", bad)
    with pytest.raises(ArtifactRejected, match="do not fit"):
        load("linear", linear(np.ones((3, 2)), 0.0, classes=np.array([0, 1])))


def test_onnx_runtime_is_imported_by_the_first_onnx_model_and_not_before() -> None:
    program = (
        "import sys, neuralstream_core.serving.engine, neuralstream_core.serving.models as m;"
        "from neuralstream_core.runtimes import load;"
        "load('linear', open(sys.argv[1],'rb').read());"
        "print([n for n in ('onnxruntime','onnx','boto3','pandas','scipy','redis') if n in sys.modules])"
    )
    with tempfile.NamedTemporaryFile() as file:
        file.write(linear([1.0]))
        file.flush()
        done = subprocess.run(
            [sys.executable, "-c", program, file.name],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
        )
    assert done.stdout.strip() == "[]"


def test_onnx_is_not_needed_to_inspect() -> None:
    assert "import onnx\n" not in "".join(
        path.read_text() for path in (ROOT / "neuralstream_core").rglob("*.py")
    )
    assert onnx.__version__  # the tests build their models with it
