"""Model artifacts whose cost or shape depends on the values they are given, or shows only at load."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.support.artifacts import onnx_bytes

__all__ = [
    "allocates_by_feature",
    "allocates_per_row",
    "folds_to",
    "loops_by_feature",
    "multiplies_by_feature",
    "permutes_rows",
    "rows_by_feature",
    "slow_to_load",
    "strings_by_feature",
]

_ROW = helper.make_node("ReduceSum", ["x", "axis"], ["row"], keepdims=1)
_AXIS = {"axis": np.array([1], np.int64), "one": np.array([1], np.int64)}


def _greatest(name: str, shape: list[str]) -> list[Any]:
    """``name`` is the greatest value of all features as INT64, in the shape of the constant given."""
    return [
        helper.make_node("ReduceMax", ["x"], [f"{name}_f"], keepdims=0),
        helper.make_node("Cast", [f"{name}_f"], [f"{name}_s"], to=TensorProto.INT64),
        helper.make_node("Reshape", [f"{name}_s", *shape], [name]),
    ]


def _loop(inner: list[Any], state: int = TensorProto.FLOAT) -> Any:
    """A body that maps ``state`` to ``next``."""
    return helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), *inner],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", state, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", state, None),
        ],
    )


def loops_by_feature() -> bytes:
    """Runs a loop as often as its greatest feature says; then answers the sum of the row."""
    body = _loop([helper.make_node("Identity", ["state"], ["next"])])
    nodes = [
        _ROW,
        *_greatest("steps", ["scalar"]),
        helper.make_node("Loop", ["steps", "yes", "row"], ["y"], body=body),
    ]
    constants = {**_AXIS, "scalar": np.zeros(0, np.int64), "yes": np.array(True)}
    return onnx_bytes(nodes, constants)


def allocates_by_feature() -> bytes:
    """Makes a tensor of as many floats as its greatest feature says."""
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    nodes = [
        _ROW,
        *_greatest("size", ["one"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"], value=zero),
        helper.make_node("ReduceSum", ["zeros"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["row", "nothing"], ["y"]),
    ]
    return onnx_bytes(nodes, _AXIS)


def allocates_per_row(size: int) -> bytes:
    """Answers the sum of the row, by way of ``size`` bytes of zeros for each row."""
    nodes = [
        _ROW,
        helper.make_node("Shape", ["x"], ["asked"]),
        helper.make_node("Slice", ["asked", "nought", "one"], ["count"]),
        helper.make_node("Concat", ["count", "width"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros", "axis"], ["nothing"], keepdims=1),
        helper.make_node("Add", ["row", "nothing"], ["y"]),
    ]
    constants = {"nought": np.array([0], np.int64), "width": np.array([size // 4], np.int64)}
    return onnx_bytes(nodes, {**_AXIS, **constants})


def strings_by_feature() -> bytes:
    """Doubles a text as often as its greatest feature says: memory that no tensor's shape shows."""
    doubled = helper.make_node("StringConcat", ["state", "state"], ["next"])
    nodes = [
        _ROW,
        *_greatest("steps", ["scalar"]),
        helper.make_node("Loop", ["steps", "yes", "text"], ["long"], body=_loop([doubled], 8)),
        helper.make_node("Equal", ["long", "text"], ["same"]),
        helper.make_node("Cast", ["same"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["number", "nought"], ["nothing"]),
        helper.make_node("Add", ["row", "nothing"], ["y"]),
    ]
    constants = {
        **_AXIS,
        "scalar": np.zeros(0, np.int64),
        "yes": np.array(True),
        "text": np.array(["0123456789abcdef"], object),
        "nought": np.array([0], np.float32),
    }
    return onnx_bytes(nodes, constants, opset=20)


def multiplies_by_feature() -> bytes:
    """One matrix product of as many rows and columns as its greatest feature says.

    It cannot be interrupted: the runtime looks at its terminate flag between operators only.
    """
    one = helper.make_tensor("ones", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        _ROW,
        *_greatest("size", ["one"]),
        helper.make_node("Concat", ["size", "size"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["a"], value=one),
        helper.make_node("MatMul", ["a", "a"], ["product"]),
        helper.make_node("ReduceMin", ["product"], ["least"], keepdims=0),
        helper.make_node("Sub", ["row", "least"], ["y"]),
    ]
    return onnx_bytes(nodes, _AXIS)


def rows_by_feature() -> bytes:
    """Answers as many rows more than it was asked as its greatest feature says."""
    nodes = [
        *_greatest("more", ["one"]),
        helper.make_node("Shape", ["x"], ["asked"]),
        helper.make_node("Slice", ["asked", "nought", "one"], ["count"]),
        helper.make_node("Add", ["count", "more"], ["size"]),
        helper.make_node("Concat", ["size", "one"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["y"]),
    ]
    return onnx_bytes(nodes, {**_AXIS, "nought": np.array([0], np.int64)})


def permutes_rows() -> bytes:
    """Answers the sums of the rows in descending order, whichever row they belong to."""
    nodes = [
        _ROW,
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "nought", "one"], ["count"]),
        helper.make_node("TopK", ["row", "count"], ["y", "order"], axis=0),
    ]
    return onnx_bytes(nodes, {**_AXIS, "nought": np.array([0], np.int64)})


def folds_to(megabytes: int, times: int = 1) -> bytes:
    """A file of a few hundred bytes with ``times`` constants that take ``megabytes`` each once loaded."""
    nodes = [
        _ROW,
        helper.make_node("Cast", ["row"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Min", ["whole", "nought"], ["place"]),
        helper.make_node("Max", ["place", "nought"], ["first"]),
    ]
    answer = "row"
    for n in range(times):
        # different values, or the runtime keeps only one of the constants
        value = helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0 + n])
        nodes += [
            helper.make_node("ConstantOfShape", ["size"], [f"c{n}"], value=value),
            helper.make_node("Gather", [f"c{n}", "first"], [f"picked{n}"]),
            helper.make_node("Mul", [answer, f"picked{n}"], [f"y{n}"]),
        ]
        answer = f"y{n}"
    nodes.append(helper.make_node("Identity", [answer], ["y"]))
    size = np.array([megabytes * 2**20 // 4], np.int64)
    return onnx_bytes(nodes, {**_AXIS, "size": size, "nought": np.array([0], np.int64)})


def slow_to_load(products: int, size: int = 2048) -> bytes:
    """A small file with ``products`` large matrix products that are computed at load."""
    tiny = helper.make_tensor("tiny", TensorProto.FLOAT, [1], [1.0 / size])
    nodes = [helper.make_node("ConstantOfShape", ["size"], ["p0"], value=tiny)]
    nodes += [helper.make_node("MatMul", [f"p{n}", "p0"], [f"p{n + 1}"]) for n in range(products)]
    nodes += [
        helper.make_node("ReduceMean", [f"p{products}"], ["mean"], keepdims=0),
        _ROW,
        helper.make_node("Add", ["row", "mean"], ["y"]),
    ]
    return onnx_bytes(nodes, {**_AXIS, "size": np.array([size, size], np.int64)})
