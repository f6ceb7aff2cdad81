"""The forms in which a trained model can be served, the one to be preferred first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

import numpy as np

from neuralstream_client.log_model.converters import Inputs, Precision, to_graph
from neuralstream_client.log_model.errors import ConversionError
from neuralstream_client.log_model.graph import named_inputs, thresholds
from neuralstream_client.log_model.linear import packed
from neuralstream_client.log_model.names import input_name
from neuralstream_client.log_model.preparing import has_columns
from neuralstream_client.log_model.served import Artifact
from neuralstream_client.log_model.sources import Source
from neuralstream_client.log_model.table import Table

__all__ = ["candidates"]

_LINEAR: Final = frozenset(
    {"LinearRegression", "Ridge", "Lasso", "ElasticNet", "LogisticRegression"}
)
_DOUBLE: Final = ("LGBM", "HistGradientBoosting")
_WIDE: Final = "input"


def candidates(
    source: Source,
    table: Table,
    features: Sequence[str],
    wanted: Literal["onnx", "linear"] | None,
) -> Iterator[Callable[[], Artifact]]:
    """What makes each form: arrays for plain linear models, ONNX with numbers in one precision or the other.

    A model that compares or computes in float64 is tried in float64 first, the others in float32.

    Args:
        features: ``view:feature`` in the columns' order.
        wanted: only this format.

    Raises:
        ConversionError: on a call: the model has not this form.
    """
    plain = type(source.model).__name__ in _LINEAR and source.library == "sklearn"
    if plain and table.numeric and wanted != "onnx":
        yield lambda: _arrays(source)
    if wanted == "linear":
        if not plain:
            raise ConversionError(
                f"{source.family} is no plain linear model: leave out format='linear'"
            )
        return
    last = source.family.removeprefix("Pipeline of ")
    double = last.startswith(_DOUBLE) or source.family == "lightgbm Booster"
    order: tuple[Precision, ...] = ("float64", "float32") if double else ("float32", "float64")
    if source.library == "torch" or (source.library in ("xgboost", "catboost")):
        order = ("float32",)
    for precision in order:
        yield lambda precision=precision: _onnx(source, table, features, precision)  # type: ignore[misc]


def _arrays(source: Source) -> Artifact:
    model = source.model
    arrays = {"coef": model.coef_, "intercept": model.intercept_}
    if source.classes is not None:
        arrays["classes"] = np.array(list(source.classes))
    return Artifact("linear", packed(arrays), "coefficients as arrays")


def _onnx(source: Source, table: Table, features: Sequence[str], precision: Precision) -> Artifact:
    texts = [column.text for column in table.columns]
    apart = has_columns(source.model) and (table.form != "array" or any(texts))
    if not apart and any(texts) and not all(texts):
        raise ConversionError(
            "text and numbers need a ColumnTransformer that says what is done with which column"
        )
    if apart:
        inputs: Inputs = [
            (column.name, "text" if column.text else "number", 1) for column in table.columns
        ]
    else:
        inputs = [(_WIDE, "text" if all(texts) else "number", len(texts))]
    graph = to_graph(source.model, inputs, precision)
    if apart:
        try:
            named_inputs(graph, dict(zip(table.names, _bare(features), strict=True)))
        except ConversionError:
            named_inputs(graph, dict(zip(table.names, _full(features), strict=True)))
    by = {"sklearn": "skl2onnx", "lightgbm": "onnxmltools", "xgboost": "onnxmltools"}
    return Artifact(
        "onnx",
        graph.SerializeToString(deterministic=True),
        f"{by.get(source.library, source.library)}, {precision}",
        tuple(thresholds(graph)),
    )


def _bare(features: Sequence[str]) -> list[str]:
    """The features' names; with their views where two views have the same name."""
    bare = [feature.partition(":")[2] for feature in features]
    return bare if len(set(bare)) == len(bare) else _full(features)


def _full(features: Sequence[str]) -> list[str]:
    return [input_name(feature) for feature in features]
