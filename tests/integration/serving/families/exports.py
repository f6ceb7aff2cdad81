"""Fitted estimators as ONNX files, each exported as its users would export it."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuralstream_client.log_model.preparing import plain_attributes

from .rows import (
    F,
    X,
)

__all__ = ["EXPORTS"]


def _sklearn(model: Any) -> bytes:
    from skl2onnx import to_onnx

    plain_attributes()
    probabilities = hasattr(model, "predict_proba") and type(model).__name__ != "GaussianMixture"
    graph = to_onnx(
        model,
        X[:1],
        options={"zipmap": False} if probabilities else {},
        target_opset={"": 17, "ai.onnx.ml": 3},
    )
    return bytes(graph.SerializeToString())


def _lightgbm(model: Any) -> bytes:
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    graph = convert_lightgbm(
        model, initial_types=[("input", FloatTensorType([None, F]))], zipmap=False, target_opset=15
    )
    return bytes(graph.SerializeToString())


def _xgboost(model: Any) -> bytes:
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    graph = convert_xgboost(
        model, initial_types=[("input", FloatTensorType([None, F]))], target_opset=15
    )
    return bytes(graph.SerializeToString())


def _catboost(model: Any) -> bytes:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model.save_model(str(path), format="onnx")
        return path.read_bytes()


def _logits(model: Any) -> bytes:
    """A linear layer without an activation, as a torch classifier is exported."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["logits"])],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, F])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, len(model.classes_)])],
        [
            numpy_helper.from_array(model.coef_.T.astype(np.float32), "w"),
            numpy_helper.from_array(model.intercept_.astype(np.float32), "b"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


EXPORTS = {
    "sklearn": _sklearn,
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "catboost": _catboost,
    "torch": _logits,
}
