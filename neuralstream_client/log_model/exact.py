"""The exact splits of trees whose converters round them, or leave out where a missing value goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from neuralstream_client.log_model.graph import Splits

__all__ = ["exact_splits", "missing_paths"]

_LEAF: Final = -1


def exact_splits(model: Any) -> list[Splits] | None:
    """For each tree, by (feature, threshold as float32), the split; ``None`` for other models.

    Also ``None`` where a tree has two thresholds of a feature that float32 does not tell apart.
    """
    if hasattr(model, "booster_"):
        model = model.booster_
    if hasattr(model, "dump_model") and hasattr(model, "num_model_per_iteration"):
        trees = [
            list(_lightgbm(tree["tree_structure"])) for tree in model.dump_model()["tree_info"]
        ]
    elif type(model).__name__.startswith("HistGradientBoosting"):
        trees = _histogram(model)
    else:
        return None
    found: list[Splits] = []
    for tree in trees:
        splits: dict[tuple[int, float], tuple[float, bool | None]] = {}
        for feature, threshold, missing in tree:
            with np.errstate(over="ignore"):
                key = (feature, float(np.float32(threshold)))
            if splits.setdefault(key, (threshold, missing)) != (threshold, missing):
                return None
        found.append(splits)
    return found


def missing_paths(model: Any) -> dict[tuple[int, int], bool] | None:
    """For each split of a scikit-learn tree or forest that was fitted with missing values, by (tree, node),
    whether one takes the true branch; ``None`` for other models. The converter leaves this out."""
    if hasattr(model, "tree_"):
        trees = [model]
    elif hasattr(model, "estimators_"):
        estimators = model.estimators_
        trees = list(getattr(estimators, "flat", estimators))
    else:
        return None
    if not trees or not all(hasattr(tree, "tree_") for tree in trees):
        return None
    found: dict[tuple[int, int], bool] = {}
    for number, tree in enumerate(trees):
        left = tree.tree_.missing_go_to_left
        for node in np.flatnonzero(tree.tree_.children_left != _LEAF).tolist():
            found[number, node] = bool(left[node])
    return found if any(found.values()) else None


def _lightgbm(node: Mapping[str, Any]) -> Iterator[tuple[int, float, bool | None]]:
    if "split_index" not in node:
        return
    threshold = node["threshold"]
    if isinstance(threshold, float):  # a categorical split has text
        # Without missing values in training LightGBM reads one as 0, which its converter does not.
        missing = threshold >= 0.0 if node["missing_type"] == "None" else None
        yield int(node["split_feature"]), threshold, missing
    yield from _lightgbm(node["left_child"])
    yield from _lightgbm(node["right_child"])


def _histogram(model: Any) -> list[list[tuple[int, float, bool | None]]]:
    """Of scikit-learn's histogram boosting, in the order in which its converter numbers the trees."""
    found: list[list[tuple[int, float, bool | None]]] = []
    for iteration in vars(model)["_predictors"]:
        for predictor in iteration:
            nodes = predictor.nodes[predictor.nodes["is_leaf"] == 0]
            found.append(
                [(int(node["feature_idx"]), float(node["num_threshold"]), None) for node in nodes]
            )
    return found
