"""Artifacts the serving tests share: trained once a process, exported as a user would."""

from __future__ import annotations

import io
import warnings
from functools import cache
from typing import Any

import numpy as np

N, F = 400, 6


def rows(seed: int = 3, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, F)).astype(np.float32)


def binary() -> np.ndarray:
    data = rows()
    return (data[:, 0] + data[:, 1] * data[:, 2] > 0).astype(np.int64)


def three() -> np.ndarray:
    data = rows()
    return np.array(["low", "mid", "top"])[np.digitize(data[:, 0], [-0.5, 0.5])]


def linear(coef: Any, intercept: Any = 0.0, **more: Any) -> bytes:
    """A linear artifact."""
    file = io.BytesIO()
    np.savez(file, coef=np.asarray(coef), intercept=np.asarray(intercept), **more)
    return file.getvalue()


@cache
def sklearn_model(name: str) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LinearRegression, LogisticRegression

    data = rows()
    targets = data @ np.arange(F) + 1
    match name:
        case "logistic":
            return LogisticRegression().fit(data, binary())
        case "forest":
            return RandomForestClassifier(20, random_state=0).fit(data, binary())
        case "boosting":
            return GradientBoostingClassifier(n_estimators=20, random_state=0).fit(data, binary())
        case "three":
            return RandomForestClassifier(20, random_state=0).fit(data, three())
        case "regression":
            return LinearRegression().fit(data, targets)
        case "outputs":
            return LinearRegression().fit(data, np.stack([targets, -targets], axis=1))
    raise KeyError(name)


@cache
def sklearn_onnx(name: str, *, zipmap: bool = False) -> bytes:
    from skl2onnx import to_onnx

    model = sklearn_model(name)
    options = {"zipmap": zipmap} if hasattr(model, "predict_proba") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own deprecations are not ours
        data: bytes = to_onnx(model, rows()[:1], options=options).SerializeToString()
    return data


@cache
def boosted(library: str) -> tuple[Any, bytes]:
    """A LightGBM or XGBoost classifier and its ONNX."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnxmltools.convert.common.data_types import FloatTensorType

        shape = [("input", FloatTensorType([None, F]))]
        if library == "lightgbm":
            from lightgbm import LGBMClassifier
            from onnxmltools import convert_lightgbm

            model: Any = LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1)
            model.fit(rows(), binary())
            graph = convert_lightgbm(model, initial_types=shape, zipmap=False, target_opset=15)
        else:
            from onnxmltools import convert_xgboost
            from xgboost import XGBClassifier

            model = XGBClassifier(n_estimators=20, n_jobs=1)
            model.fit(rows(), binary())
            graph = convert_xgboost(model, initial_types=shape, target_opset=15)
        return model, graph.SerializeToString()


@cache
def with_string() -> tuple[Any, bytes]:
    """A pipeline over two numbers and a category, one input each: ``age``, ``spend``, ``country``."""
    import pandas as pd
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    data = rows()
    frame = pd.DataFrame(
        {
            "age": data[:, 0],
            "spend": data[:, 1],
            "country": np.array(["de", "fr", "it"])[np.digitize(data[:, 2], [-0.4, 0.4])],
        }
    )
    labels = (data[:, 0] + (frame["country"] == "fr") > 0.3).to_numpy()
    pipeline = make_pipeline(
        ColumnTransformer(
            [
                ("numbers", StandardScaler(), ["age", "spend"]),
                ("words", OneHotEncoder(handle_unknown="ignore"), ["country"]),
            ]
        ),
        LogisticRegression(),
    ).fit(frame, labels.astype(int))
    kinds = [
        ("age", FloatTensorType([None, 1])),
        ("spend", FloatTensorType([None, 1])),
        ("country", StringTensorType([None, 1])),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = to_onnx(pipeline, initial_types=kinds, options={"zipmap": False})
    return (pipeline, frame), graph.SerializeToString()
