"""Changes to an ONNX graph: inputs named like features, no ZipMap, trees that compare in double precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neuralstream_client.log_model.errors import ConversionError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

__all__ = [
    "Splits",
    "chained",
    "double_imputers",
    "double_trees",
    "missing_branches",
    "named_inputs",
    "thresholds",
    "without_zipmap",
]

_TREES: Final = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
_WEIGHTS: Final = ("nodes_values", "class_weights", "target_weights", "base_values")

Splits = Mapping[tuple[int, float], tuple[float, bool | None]]
"""Of one tree, by (feature, threshold as float32): the threshold, and whether a missing value takes the
true branch; ``None`` leaves that as exported."""


def without_zipmap(model: ModelProto) -> None:
    """Answer the tensor of scores in place of the dictionaries that ZipMap makes of it."""
    from onnx import TensorProto, helper

    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "ZipMap"]:
        place = next(i for i, out in enumerate(graph.output) if out.name == node.output[0])
        graph.output[place].CopyFrom(
            helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, [None, None])
        )
        graph.node.remove(node)


def named_inputs(model: ModelProto, names: Mapping[str, str]) -> None:
    """Rename the graph's inputs, in its subgraphs too.

    Args:
        names: old name → new name.

    Raises:
        ConversionError: a new name is that of another tensor of the graph.
    """
    graph = model.graph
    made = {out for node in graph.node for out in node.output} | {t.name for t in graph.initializer}
    for name in sorted(made.intersection(names.values())):
        raise ConversionError(f"the feature name {name!r} is also a tensor of the graph; rename it")
    for given in graph.input:
        given.name = names.get(given.name, given.name)
    _rename(graph, names)


def _rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, names)


def chained(first: ModelProto, second: ModelProto, *, cast_to: int | None = None) -> ModelProto:
    """Two graphs as one: the only output of the first is the only input of the second.

    Args:
        cast_to: the element type that the second takes, if it is another than the first gives.
    """
    from onnx import compose, helper

    first = compose.add_prefix(first, "first/", rename_inputs=False)
    second = compose.add_prefix(second, "second/")
    source, target = first.graph.output[0].name, second.graph.input[0].name
    if cast_to is not None:
        cast = f"{source}/cast"
        first.graph.node.append(helper.make_node("Cast", [source], [cast], to=cast_to))
        first.graph.output[0].name = source = cast
        first.graph.output[0].type.tensor_type.elem_type = cast_to
    opsets: dict[str, int] = {}
    for given in (*first.opset_import, *second.opset_import):
        opsets[given.domain] = max(given.version, opsets.get(given.domain, 0))
    for model in (first, second):
        del model.opset_import[:]
        model.opset_import.extend(helper.make_opsetid(*pair) for pair in opsets.items())
        model.ir_version = max(first.ir_version, second.ir_version)
    return compose.merge_models(first, second, io_map=[(source, target)])


def double_trees(model: ModelProto, exact: Iterable[Splits]) -> bool:
    """Make the trees compare doubles with the model's own thresholds; the answers stay float32.

    LightGBM and scikit-learn's histogram boosting compare in double precision, and their converters
    round the thresholds to float32, so that a value beside a threshold takes the other branch.

    Args:
        exact: for each tree, by (feature, threshold as float32), the exact split.

    Returns:
        Whether the graph has exactly such trees; otherwise it is unchanged.
    """
    from onnx import TensorProto, helper, numpy_helper

    trees = list(exact)
    nodes = [node for node in model.graph.node if node.op_type in _TREES]
    if len(nodes) != 1 or len(model.graph.input) != 1:
        return False
    given = {a.name: helper.get_attribute_value(a) for a in nodes[0].attribute}
    values = np.array(given["nodes_values"], np.float64)
    missing = list(given.get("nodes_missing_value_tracks_true") or [0] * len(values))
    places = zip(
        given["nodes_modes"], given["nodes_treeids"], given["nodes_featureids"], strict=True
    )
    for at, (mode, tree, feature) in enumerate(places):
        if mode == b"LEAF":
            continue
        split = trees[tree].get((feature, float(np.float32(values[at]))))
        if mode != b"BRANCH_LEQ" or split is None:
            return False
        values[at] = split[0]
        missing[at] = missing[at] if split[1] is None else int(split[1])
    given["nodes_values"] = values
    node = nodes[0]
    kept = [
        a
        for a in node.attribute
        if a.name not in (*_WEIGHTS, "nodes_hitrates", "nodes_missing_value_tracks_true")
    ]
    for name in _WEIGHTS:
        if name in given:
            tensor = numpy_helper.from_array(np.array(given[name], np.float64), name)
            kept.append(helper.make_attribute(f"{name}_as_tensor", tensor))
    kept.append(helper.make_attribute("nodes_missing_value_tracks_true", missing))
    del node.attribute[:]
    node.attribute.extend(kept)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    for opset in model.opset_import:
        if opset.domain == "ai.onnx.ml":
            opset.version = 3
    return True


def double_imputers(model: ModelProto, values: Iterable[float]) -> None:
    """Impute in double precision, which the runtime's own operator does not.

    Args:
        values: the exact ones, of which the graph has those of float32.
    """
    from onnx import helper, numpy_helper

    exact = {float(np.float32(value)): value for value in values}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        floats = given.get("imputed_value_floats")
        if node.op_type != "Imputer" or not floats or not np.isnan(given["replaced_value_float"]):
            nodes.append(node)
            continue
        name = node.output[0]
        fill = np.array([exact.get(value, value) for value in floats], np.float64)
        model.graph.initializer.append(numpy_helper.from_array(fill, f"{name}/fill"))
        absent = helper.make_node("IsNaN", [node.input[0]], [f"{name}/absent"])
        filled = helper.make_node(
            "Where", [f"{name}/absent", f"{name}/fill", node.input[0]], [name]
        )
        nodes += [absent, filled]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def missing_branches(model: ModelProto, paths: Mapping[tuple[int, int], bool]) -> None:
    """Say in which branch a missing value goes.

    Args:
        paths: by (tree, node), whether it is the true one; of the only tree node of the graph.
    """
    from onnx import helper

    nodes = [node for node in model.graph.node if node.op_type in _TREES]
    if len(nodes) != 1:
        return
    given = {a.name: helper.get_attribute_value(a) for a in nodes[0].attribute}
    keys = zip(given["nodes_treeids"], given["nodes_nodeids"], strict=True)
    tracks = [int(paths.get(key, False)) for key in keys]
    kept = [a for a in nodes[0].attribute if a.name != "nodes_missing_value_tracks_true"]
    kept.append(helper.make_attribute("nodes_missing_value_tracks_true", tracks))
    del nodes[0].attribute[:]
    nodes[0].attribute.extend(kept)


def thresholds(model: ModelProto) -> Iterator[tuple[str, int, float]]:
    """Input, place in it and value of each threshold that a tree compares an input's value with.

    Trees behind a preprocessing step are left out: their values are not those of an input.
    """
    from onnx import helper

    direct = {given.name: given.name for given in model.graph.input}
    for node in model.graph.node:
        if node.op_type in ("Identity", "Cast") and node.input[0] in direct:
            direct[node.output[0]] = direct[node.input[0]]
        if node.op_type in _TREES and node.input[0] in direct:
            given: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            values = given.get("nodes_values")
            if values is None:
                from onnx import numpy_helper

                values = numpy_helper.to_array(given["nodes_values_as_tensor"])
            rows = zip(given["nodes_modes"], given["nodes_featureids"], values, strict=True)
            for mode, feature, value in rows:
                if mode != b"LEAF":
                    yield direct[node.input[0]], int(feature), float(value)
