"""Small model artifacts, good and bad, made on the spot."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

__all__ = ["double_sum", "endless", "greedy", "linear", "onnx_bytes", "zip_bomb"]


def onnx_bytes(
    nodes: list[Any], constants: dict[str, np.ndarray], width: int = 2, opset: int = 17
) -> bytes:
    """A model from ``x`` (FP32, n by ``width``) to ``y`` (FP32, n by 1)."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def double_sum(width: int = 2) -> bytes:
    """``y`` is twice the sum of ``x``."""
    weights = np.full((width, 1), 2, np.float32)
    return onnx_bytes([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weights}, width)


def greedy(gigabytes: int = 10) -> bytes:
    """A tiny file that asks for ``gigabytes`` of memory when it is run."""
    block = 128 * 1024 * 1024
    blocks = gigabytes * 1024**3 // (block * 4)
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], [f"c{n}"], value=one) for n in range(blocks)
    ]
    nodes += [
        helper.make_node("Concat", [f"c{n}" for n in range(blocks)], ["all"], axis=0),
        helper.make_node("ReduceSum", ["all"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["x", "axis"], ["row"], keepdims=1),
        helper.make_node("Add", ["row", "sum"], ["y"]),
    ]
    return onnx_bytes(nodes, {"size": np.array([block], np.int64), "axis": np.array([1], np.int64)})


def endless() -> bytes:
    """A model whose loop would run for years."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["state", "state"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("ReduceSum", ["x", "axis"], ["row"], keepdims=1),
        helper.make_node("Loop", ["steps", "yes", "row"], ["y"], body=body),
    ]
    return onnx_bytes(
        nodes,
        {
            "axis": np.array([1], np.int64),
            "steps": np.array(2**62, np.int64),
            "yes": np.array(True),
        },
    )


def linear(width: int = 2) -> bytes:
    """A linear model: the sum of its inputs plus a half."""
    file = io.BytesIO()
    np.savez(file, coef=np.ones((1, width)), intercept=np.array([0.5]))
    return file.getvalue()


def zip_bomb() -> bytes:
    """An ``.npz`` of a few kilobytes that claims two gigabytes and unpacks to 64 MiB of zeros."""
    file = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (1, 2**28)}
    )
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("coef.npy", "w") as member,
    ):
        member.write(header.getvalue())
        for _ in range(64):
            member.write(bytes(1 << 20))
    return file.getvalue()
