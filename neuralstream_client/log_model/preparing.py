"""What is changed about a fitted model, or about a converter, so that the export is the model."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any, Final

import numpy as np

from neuralstream_client.log_model.errors import ConversionError
from neuralstream_client.log_model.members import (
    is_booster,
    known_to_the_converter,
    parts_of,
    without_column_names,
)

__all__ = ["has_columns", "imputed_values", "plain_attributes", "ready_for_export"]

_ENCODERS: Final = ("OneHotEncoder", "OrdinalEncoder")


def ready_for_export(model: Any) -> Any:
    """The model, or a copy of it that the converter takes and that answers the same.

    * A missing text is served as an empty one: where an encoder has learned a missing category, or an
      imputer fills in missing text, the copy has the empty text there.
    * A soft vote answers its transform unflattened, which the converter asks for.
    * A booster of XGBoost within a model has no names of columns.

    Raises:
        ConversionError: an encoder has learned both a missing and an empty category.
    """
    within = [part for part in parts_of(model) if part is not model]
    known_to_the_converter(within)
    if not any(map(_changes, parts_of(model))) and not any(map(is_booster, within)):
        return model
    made = copy.deepcopy(model)
    for part in parts_of(made):
        name = type(part).__name__
        if name in _ENCODERS and hasattr(part, "categories_"):
            part.categories_ = [_with_empty(given) for given in part.categories_]
        elif name == "SimpleImputer" and _of_text(part):
            part.missing_values = ""
        elif name == "VotingClassifier":
            part.flatten_transform = False
        elif part is not made:
            without_column_names(part)
    return made


def has_columns(model: Any) -> bool:
    """Whether a part of the model picks columns, by name or by place."""
    return any(type(part).__name__ == "ColumnTransformer" for part in parts_of(model))


def imputed_values(model: Any) -> list[float]:
    """The numbers that the imputers of a model fill in."""
    found: list[float] = []
    for part in parts_of(model):
        for value in getattr(part, "statistics_", ()) if "Imputer" in type(part).__name__ else ():
            found += [float(value)] if isinstance(value, float | np.floating) else []
    return found


def _changes(part: Any) -> bool:
    name = type(part).__name__
    if name in _ENCODERS:
        return any(_missing(given).any() for given in getattr(part, "categories_", ()))
    return name == "VotingClassifier" or (name == "SimpleImputer" and _of_text(part))


def _of_text(imputer: Any) -> bool:
    statistics = getattr(imputer, "statistics_", None)
    return statistics is not None and any(isinstance(one, str) for one in statistics)


def _missing(categories: Any) -> Any:
    if categories.dtype.kind not in "OUT":
        return np.zeros(len(categories), np.bool_)
    return np.array([one is None or one != one for one in categories], np.bool_)


def _with_empty(categories: Any) -> Any:
    missing = _missing(categories)
    if not missing.any():
        return categories
    if "" in categories[~missing].tolist() or missing.sum() > 1:
        raise ConversionError(
            "an encoder has learned a missing category and an empty (or a second missing) one, which "
            "serving does not tell apart: fill the missing text before training"
        )
    made = categories.copy()
    made[missing] = ""
    return made


@cache
def plain_attributes() -> None:
    """Make the converter of histogram gradient boosting write Python numbers.

    It leaves numpy's in the attributes of its nodes, which the ONNX library refuses.
    """
    from skl2onnx import update_registered_converter
    from skl2onnx.common._registration import get_converter, get_shape_calculator
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    def wrapped(convert: Any) -> Any:
        def plain(scope: Any, operator: Any, container: Any) -> None:
            convert(scope, operator, _Plain(container))

        return plain

    for kind in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        alias = f"Sklearn{kind.__name__}"
        options = {"zipmap": [True, False], "raw_scores": [True, False], "nocl": [True, False]}
        update_registered_converter(
            kind,
            alias,
            get_shape_calculator(alias),
            wrapped(get_converter(alias)),
            options=options if hasattr(kind, "predict_proba") else None,
        )


class _Plain:
    """A converter's container that takes numpy's numbers, too."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *args: Any, **attributes: Any) -> Any:
        plain = {name: _plain(value) for name, value in attributes.items()}
        return self._container.add_node(*args, **plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | list):
        return [_plain(one) for one in value]
    if isinstance(value, bool | np.bool_):
        return int(value)
    return value.item() if isinstance(value, np.generic) else value
