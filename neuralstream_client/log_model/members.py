"""The parts of a model; boosters of LightGBM and XGBoost within votes and stacks of scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from neuralstream_client.extras import how_to_add
from neuralstream_client.log_model.errors import ConversionError

__all__ = [
    "is_booster",
    "known_to_the_converter",
    "of_lightgbm",
    "parts_of",
    "without_column_names",
]

_LIBRARIES = ("lightgbm", "xgboost")


def parts_of(value: Any, depth: int = 0) -> Iterator[Any]:
    """The estimators that a fitted model consists of, itself included."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from parts_of(one, depth)
    elif isinstance(value, dict):
        yield from parts_of(list(value.values()), depth)
    elif hasattr(value, "get_params") and not isinstance(value, type) and depth < 8:
        yield value
        for one in vars(value).values():
            yield from parts_of(one, depth + 1)


def of_lightgbm(part: Any) -> bool:
    """Whether an estimator is one of LightGBM."""
    return _library(part) == "lightgbm"


def is_booster(part: Any) -> bool:
    """Whether an estimator is one of LightGBM or XGBoost."""
    return _library(part) in _LIBRARIES


def known_to_the_converter(parts: Iterable[Any]) -> None:
    """Make scikit-learn's converter take the boosters among the parts of a model.

    Raises:
        ConversionError: what converts them is not installed.
    """
    for library in sorted({_library(part) for part in parts if is_booster(part)}):
        try:
            _REGISTERED[library]()
        except ImportError as error:
            raise ConversionError(
                f"{error.name or error} is not installed, which converts the model's {library} part to "
                f"ONNX: {how_to_add(library)}"
            ) from error


def without_column_names(part: Any) -> None:
    """Let a fitted XGBoost model count its columns, as the converter wants them; others are left alone."""
    if _library(part) == "xgboost" and part.__sklearn_is_fitted__():
        booster = part.get_booster()
        booster.feature_names = booster.feature_types = None


def _library(part: Any) -> str:
    return type(part).__module__.partition(".")[0]


@cache
def _lightgbm() -> None:
    from lightgbm import LGBMClassifier, LGBMRegressor
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    _register(LGBMClassifier, LGBMRegressor, convert_lightgbm, {"split": None})


@cache
def _xgboost() -> None:
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from xgboost import XGBClassifier, XGBRegressor

    _register(XGBClassifier, XGBRegressor, convert_xgboost, None)


def _register(
    classifier: Any, regressor: Any, convert: Any, of_regressor: dict[str, Any] | None
) -> None:
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    of_classifier = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    for kind, shapes, options in (
        (classifier, calculate_linear_classifier_output_shapes, of_classifier),
        (regressor, calculate_linear_regressor_output_shapes, of_regressor),
    ):
        update_registered_converter(kind, kind.__name__, shapes, convert, options=options)


_REGISTERED = {"lightgbm": _lightgbm, "xgboost": _xgboost}
