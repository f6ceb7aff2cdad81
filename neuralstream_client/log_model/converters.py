"""Trained models to ONNX graphs, by the converters of their libraries.

A pipeline's preprocessing and its last step are converted apart and joined: so the last step may be of any
library, and each part can compute in the precision that its library uses.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from neuralstream_client.extras import how_to_add
from neuralstream_client.log_model.errors import ConversionError
from neuralstream_client.log_model.exact import exact_splits, missing_paths
from neuralstream_client.log_model.graph import (
    chained,
    double_imputers,
    double_trees,
    missing_branches,
    without_zipmap,
)
from neuralstream_client.log_model.preparing import (
    imputed_values,
    plain_attributes,
    ready_for_export,
)
from neuralstream_client.log_model.sources import library_of

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["Inputs", "Precision", "to_graph"]

Precision = Literal["float32", "float64"]
Inputs = list[tuple[str, str, int]]
"""Of the graph: name, ``number`` or ``text``, and width of each."""

_OPSET: Final = {"": 17, "ai.onnx.ml": 3}
_BOOSTING_OPSET: Final = 15


def to_graph(model: Any, inputs: Inputs, precision: Precision) -> ModelProto:
    """A fitted model as an ONNX graph that answers plain tensors.

    Args:
        precision: in which numbers are given to it; the answers may be float32 all the same.

    Raises:
        ConversionError: the converter is not installed or does not know the model; says why.
    """
    try:
        graph = _graph(ready_for_export(model), inputs, precision)
    except ConversionError:
        raise
    except ImportError as error:
        raise ConversionError(
            f"{error.name or error} is not installed, which converts models to ONNX: "
            f"{how_to_add(library_of(model))}"
        ) from error
    except Exception as error:  # the converters' exceptions share no base but Exception
        why = " ".join(str(error).split())[:300]
        raise ConversionError(
            f"the converter does not take this {type(model).__name__} ({type(error).__name__}: {why}); "
            "export it to ONNX yourself and give the file with reference=model.predict_proba or "
            "model.predict"
        ) from error
    without_zipmap(graph)
    return graph


def _graph(model: Any, inputs: Inputs, precision: Precision) -> ModelProto:
    steps = getattr(model, "steps", None)
    if not steps:
        return _LAST[library_of(model)](model, inputs, precision)
    steps = [(name, step) for name, step in steps if step not in (None, "passthrough")]
    last = steps[-1][1]
    if len(steps) == 1:
        return _graph(last, inputs, precision)
    if not hasattr(last, "predict"):
        return _sklearn(model, inputs, precision)
    from onnx import TensorProto
    from sklearn.pipeline import Pipeline

    first = _sklearn(Pipeline(steps[:-1]), inputs, precision)
    width = int(last.n_features_in_)
    second = _graph(last, [("inner", "number", width)], precision)
    given = first.graph.output[0].type.tensor_type.elem_type
    takes = second.graph.input[0].type.tensor_type.elem_type
    if given == TensorProto.STRING:
        raise ConversionError("the last step of the pipeline would be given text")
    return chained(first, second, cast_to=None if given == takes else takes)


def _sklearn(model: Any, inputs: Inputs, precision: Precision) -> ModelProto:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    plain_attributes()
    splits = exact_splits(model) if precision == "float64" else None
    trees = hasattr(model, "tree_") or (hasattr(model, "estimators_") and _casts(model))
    number = (
        DoubleTensorType
        if precision == "float64" and splits is None and not trees
        else FloatTensorType
    )
    types = [
        (name, StringTensorType([None, width]) if kind == "text" else number([None, width]))
        for name, kind, width in inputs
    ]
    classifies = hasattr(model, "predict_proba") and hasattr(model, "classes_")
    options = {id(model): {"zipmap": False}} if classifies else {}
    graph: ModelProto = to_onnx(model, initial_types=types, options=options, target_opset=_OPSET)
    if splits is not None:
        double_trees(graph, splits)
    if number is DoubleTensorType:
        double_imputers(graph, imputed_values(model))
    paths = missing_paths(model)
    if paths is not None:
        missing_branches(graph, paths)
    return graph


def _casts(model: Any) -> bool:
    """Whether a forest casts its inputs to float32 itself, as scikit-learn's trees do."""
    return all(hasattr(tree, "tree_") for tree in _flat(model.estimators_))


def _flat(estimators: Any) -> list[Any]:
    return list(getattr(estimators, "flat", estimators))


def _lightgbm(model: Any, inputs: Inputs, precision: Precision) -> ModelProto:
    from onnxmltools import convert_lightgbm

    graph: ModelProto = convert_lightgbm(
        model, initial_types=_floats(inputs), zipmap=False, target_opset=_BOOSTING_OPSET
    )
    splits = exact_splits(model) if precision == "float64" else None
    if splits is not None:
        double_trees(graph, splits)
    return graph


def _xgboost(model: Any, inputs: Inputs, precision: Precision) -> ModelProto:  # noqa: ARG001
    """XGBoost compares in float32, whatever it is given."""
    from onnxmltools import convert_xgboost

    model = copy.deepcopy(model)
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    booster.feature_names = booster.feature_types = None  # the converter wants f0, f1, …
    graph: ModelProto = convert_xgboost(
        model, initial_types=_floats(inputs), target_opset=_BOOSTING_OPSET
    )
    return graph


def _catboost(model: Any, inputs: Inputs, precision: Precision) -> ModelProto:  # noqa: ARG001
    """CatBoost compares in float32, whatever it is given."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model.save_model(str(path), format="onnx")
        graph = onnx.load_model_from_string(path.read_bytes())
    (given,) = graph.graph.input
    for node in graph.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = inputs[0][0] if name == given.name else name
    given.name = inputs[0][0]
    return graph


def _torch(model: Any, inputs: Inputs, precision: Precision) -> ModelProto:  # noqa: ARG001
    import io

    import onnx
    import torch

    name, _, width = inputs[0]
    model.eval()
    file = io.BytesIO()
    torch.onnx.export(
        model,
        (torch.zeros(2, width),),
        file,
        input_names=[name],
        output_names=["output"],
        dynamic_axes={name: {0: "rows"}, "output": {0: "rows"}},
        opset_version=_OPSET[""],
        dynamo=False,
    )
    return onnx.load_model_from_string(file.getvalue())


def _floats(inputs: Inputs) -> list[Any]:
    from onnxmltools.convert.common.data_types import FloatTensorType

    if len(inputs) != 1 or inputs[0][1] == "text":
        raise ConversionError(
            "this library's converter takes numbers only: put the encoder of the text columns and the "
            "model into one scikit-learn Pipeline"
        )
    return [(name, FloatTensorType([None, width])) for name, _, width in inputs]


_LAST: Final[Mapping[str, Callable[[Any, Inputs, Precision], ModelProto]]] = {
    "sklearn": _sklearn,
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "catboost": _catboost,
    "torch": _torch,
}
