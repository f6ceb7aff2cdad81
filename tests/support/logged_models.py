"""The families of models that ``ns.log_model`` takes or refuses, trained on small data.

``docs/bring-your-model.md`` has one line for each; a test holds the two equal.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from tests.support.logged_rows import BINARY, GAPS, TARGET, THREE, WORDS, X, frame, numbers

__all__ = ["FAMILIES", "Family", "Fitted", "fitted"]

QUIET = {"n_estimators": 20, "n_jobs": 1}
CAT = {"iterations": 20, "verbose": False, "allow_writing_files": False, "thread_count": 1}


@dataclass(frozen=True)
class Fitted:
    """A fitted model with its rows; ``source`` answers them where the model itself is a file."""

    model: Any
    X: Any
    y: Any = None
    source: Any = None
    predict: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        build: trains it.
        options: of ``log_model``.
        refused: part of the reason, if it is refused before the upload.
    """

    build: Callable[[], Fitted]
    options: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None


def _prepared(last: Any) -> Any:
    """A pipeline over `frame`: gaps filled, text encoded, then the model."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    words = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="unknown"),
        OneHotEncoder(handle_unknown="ignore"),
    )
    parts = [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age in years", "visits"]),
        ("words", words, ["country"]),
        ("rest", "passthrough", ["member"]),
    ]
    return make_pipeline(ColumnTransformer(parts), last).fit(frame(), labels_for(last))


def labels_for(last: Any) -> Any:
    """XGBoost takes no text for labels."""
    return BINARY if type(last).__name__.startswith("XGB") else WORDS


def _pipeline(build: Callable[[], Any]) -> Callable[[], Fitted]:
    def made() -> Fitted:
        last = build()
        return Fitted(_prepared(last), frame(), labels_for(last))

    return made


def _on(name: str, y: Any, rows: Any = X, **params: Any) -> Callable[[], Fitted]:
    """Fits ``sklearn``'s or another library's class ``module.Name`` to ``rows``."""

    def made() -> Fitted:
        from importlib import import_module

        module, _, kind = name.rpartition(".")
        given = rows() if callable(rows) else rows
        model = getattr(import_module(module), kind)(**params)
        return Fitted(model.fit(given) if y is None else model.fit(given, y), given, y)

    return made


def _two(kind: str, **params: Any) -> Callable[[], Fitted]:
    def made() -> Fitted:
        from sklearn import ensemble
        from sklearn.linear_model import LogisticRegression
        from sklearn.tree import DecisionTreeClassifier

        parts = [("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=3))]
        return Fitted(getattr(ensemble, kind)(parts, **params).fit(X, BINARY), X, BINARY)

    return made


def _boosted(kind: str, library: str, target: Any, **params: Any) -> Callable[[], Fitted]:
    """A model of scikit-learn with a booster of a library in it, fitted on columns with names."""

    def made() -> Fitted:
        from importlib import import_module

        from sklearn import ensemble
        from sklearn.linear_model import LinearRegression, LogisticRegression

        module, _, name = library.partition(".")
        quiet = {**QUIET, "verbose": -1} if module == "lightgbm" else QUIET
        booster = getattr(import_module(module), name)(**quiet)
        plain = LogisticRegression() if kind.endswith("Classifier") else LinearRegression()
        frame = numbers().fillna(0.0)
        model = getattr(ensemble, kind)([("a", plain), ("b", booster)], **params)
        return Fitted(model.fit(frame, target), frame, target)

    return made


def _calibrated(method: str) -> Callable[[], Fitted]:
    def made() -> Fitted:
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.linear_model import LogisticRegression

        model = CalibratedClassifierCV(LogisticRegression(), method=method, cv=2)
        return Fitted(model.fit(X, BINARY), X, BINARY)

    return made


def _scaled_svc() -> Fitted:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    return Fitted(make_pipeline(StandardScaler(), LinearSVC()).fit(X, BINARY), X, BINARY)


def _log_target() -> Fitted:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    model = TransformedTargetRegressor(Ridge(), transformer=StandardScaler())
    return Fitted(model.fit(X, TARGET), X, TARGET)


def _lightgbm_booster() -> Fitted:
    import lightgbm

    params = {"objective": "binary", "verbose": -1, "num_threads": 1}
    model = lightgbm.train(params, lightgbm.Dataset(X, BINARY), 20)
    return Fitted(model, X, BINARY, predict=model.predict)


def _lightgbm_categories() -> Fitted:
    import lightgbm

    rows = numbers().assign(country=frame()["country"].astype("category"))
    model = lightgbm.LGBMClassifier(**QUIET, verbose=-1).fit(rows, BINARY)
    return Fitted(model, rows, BINARY)


def _xgboost_booster() -> Fitted:
    import xgboost

    model = xgboost.train(
        {"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(X, BINARY), 20
    )
    return Fitted(model, X, BINARY, predict=lambda rows: model.predict(xgboost.DMatrix(rows)))


def _catboost_categories() -> Fitted:
    import catboost

    rows = numbers().assign(country=frame()["country"].fillna("none"))
    model = catboost.CatBoostClassifier(**CAT, cat_features=["country"]).fit(rows, BINARY)
    return Fitted(model, rows, BINARY)


def _onnx_of(model: Any) -> bytes:
    from skl2onnx import to_onnx

    graph = to_onnx(model, X[:1].astype(np.float32), options={"zipmap": False})
    return bytes(graph.SerializeToString())


def _onnx_file(*, of_another: bool = False) -> Callable[[], Fitted]:
    def made() -> Fitted:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression().fit(X, WORDS)
        exported = LogisticRegression(C=0.01).fit(X, WORDS) if of_another else model
        return Fitted(_onnx_of(exported), X, WORDS, source=model)

    return made


def _logits() -> Fitted:
    """A linear layer without an activation, as a torch classifier is exported."""
    from onnx import TensorProto, helper, numpy_helper
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(X, THREE)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["logits"])],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 3])],
        [
            numpy_helper.from_array(model.coef_.T.astype(np.float32), "w"),
            numpy_helper.from_array(model.intercept_.astype(np.float32), "b"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Fitted(made, X, THREE, source=model)


def _arrays() -> Fitted:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(X, WORDS)
    arrays = {"coef": model.coef_, "intercept": model.intercept_, "classes": model.classes_}
    return Fitted(arrays, X, WORDS, source=model)


def _catalogue() -> dict[str, Family]:
    from sklearn import ensemble

    two = np.stack([TARGET, -2 * TARGET + X[:, 2]], axis=1)
    forest = {"n_estimators": 15, "random_state": 0}
    lgbm = {**QUIET, "verbose": -1}

    def library(name: str, **params: Any) -> Callable[[], Any]:
        def made() -> Any:
            from importlib import import_module

            module, _, kind = name.rpartition(".")
            return getattr(import_module(module), kind)(**params)

        return made

    return {
        "LogisticRegression": Family(_on("sklearn.linear_model.LogisticRegression", WORDS)),
        "LogisticRegression, three classes": Family(
            _on("sklearn.linear_model.LogisticRegression", THREE)
        ),
        "LinearRegression, Ridge, Lasso": Family(_on("sklearn.linear_model.Ridge", TARGET)),
        "LinearRegression, several outputs": Family(
            _on("sklearn.linear_model.LinearRegression", two), {"outputs": ["up", "down"]}
        ),
        "RidgeClassifier": Family(_on("sklearn.linear_model.RidgeClassifier", THREE)),
        "LinearSVC in a pipeline": Family(_scaled_svc),
        "SVC with probability": Family(
            _on("sklearn.svm.SVC", WORDS, probability=True, random_state=0)
        ),
        "SVC without probability": Family(_on("sklearn.svm.SVC", WORDS)),
        "RandomForestClassifier": Family(
            _on("sklearn.ensemble.RandomForestClassifier", THREE, **forest)
        ),
        "RandomForestClassifier, missing values": Family(
            _on("sklearn.ensemble.RandomForestClassifier", BINARY, GAPS, **forest)
        ),
        "ExtraTreesRegressor": Family(
            _on("sklearn.ensemble.ExtraTreesRegressor", TARGET, **forest)
        ),
        "GradientBoostingClassifier": Family(
            _on("sklearn.ensemble.GradientBoostingClassifier", THREE, **forest)
        ),
        "HistGradientBoostingClassifier": Family(
            _on("sklearn.ensemble.HistGradientBoostingClassifier", BINARY, GAPS, max_iter=10)
        ),
        "HistGradientBoostingRegressor": Family(
            _on("sklearn.ensemble.HistGradientBoostingRegressor", TARGET, max_iter=10)
        ),
        "StackingClassifier": Family(_two("StackingClassifier")),
        "VotingClassifier, soft": Family(_two("VotingClassifier", voting="soft")),
        "VotingClassifier, hard": Family(_two("VotingClassifier")),
        "VotingClassifier, soft, with XGBoost": Family(
            _boosted("VotingClassifier", "xgboost.XGBClassifier", WORDS, voting="soft")
        ),
        "StackingClassifier with XGBoost": Family(
            _boosted("StackingClassifier", "xgboost.XGBClassifier", WORDS)
        ),
        "StackingRegressor with XGBoost": Family(
            _boosted("StackingRegressor", "xgboost.XGBRegressor", TARGET)
        ),
        "VotingClassifier, hard, with LightGBM": Family(
            _boosted("VotingClassifier", "lightgbm.LGBMClassifier", WORDS)
        ),
        "VotingClassifier, soft, with LightGBM": Family(
            _boosted("VotingClassifier", "lightgbm.LGBMClassifier", WORDS, voting="soft"),
            refused="use XGBoost",
        ),
        "KNeighborsClassifier": Family(
            _on("sklearn.neighbors.KNeighborsClassifier", THREE, n_neighbors=7)
        ),
        "GaussianNB": Family(_on("sklearn.naive_bayes.GaussianNB", THREE)),
        "LinearDiscriminantAnalysis": Family(
            _on("sklearn.discriminant_analysis.LinearDiscriminantAnalysis", THREE)
        ),
        "QuadraticDiscriminantAnalysis": Family(
            _on("sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis", THREE),
            refused="LinearDiscriminantAnalysis",
        ),
        "MLPClassifier": Family(
            _on(
                "sklearn.neural_network.MLPClassifier",
                WORDS,
                hidden_layer_sizes=(8,),
                max_iter=60,
                random_state=0,
            )
        ),
        "CalibratedClassifierCV, sigmoid": Family(_calibrated("sigmoid")),
        "CalibratedClassifierCV, isotonic": Family(
            _calibrated("isotonic"), refused="method='sigmoid'"
        ),
        "Pipeline with text and nulls": Family(
            _pipeline(library("sklearn.linear_model.LogisticRegression"))
        ),
        "Pipeline with text and nulls, forest": Family(
            _pipeline(lambda: ensemble.RandomForestClassifier(**forest))
        ),
        "Pipeline with text and nulls, LightGBM": Family(
            _pipeline(library("lightgbm.LGBMClassifier", **lgbm))
        ),
        "Pipeline with text and nulls, XGBoost": Family(
            _pipeline(library("xgboost.XGBClassifier", **QUIET))
        ),
        "Pipeline with text and nulls, CatBoost": Family(
            _pipeline(library("catboost.CatBoostClassifier", **CAT))
        ),
        "TransformedTargetRegressor": Family(_log_target, refused="reference="),
        "IsolationForest": Family(_on("sklearn.ensemble.IsolationForest", None, **forest)),
        "OneClassSVM": Family(_on("sklearn.svm.OneClassSVM", None)),
        "KMeans": Family(
            _on("sklearn.cluster.KMeans", None, n_clusters=4, n_init=2, random_state=0)
        ),
        "GaussianMixture": Family(
            _on("sklearn.mixture.GaussianMixture", None, n_components=3, random_state=0)
        ),
        "PCA": Family(_on("sklearn.decomposition.PCA", None, n_components=2, random_state=0)),
        "LGBMClassifier": Family(_on("lightgbm.LGBMClassifier", THREE, numbers, **lgbm)),
        "LGBMRegressor": Family(_on("lightgbm.LGBMRegressor", TARGET, **lgbm)),
        "LightGBM Booster": Family(_lightgbm_booster),
        "LightGBM with pandas categories": Family(_lightgbm_categories, refused="OneHotEncoder"),
        "XGBClassifier": Family(_on("xgboost.XGBClassifier", BINARY, numbers, **QUIET)),
        "XGBRegressor": Family(_on("xgboost.XGBRegressor", TARGET, GAPS, **QUIET)),
        "XGBoost Booster": Family(_xgboost_booster),
        "CatBoostClassifier": Family(_on("catboost.CatBoostClassifier", THREE, GAPS, **CAT)),
        "CatBoostRegressor": Family(_on("catboost.CatBoostRegressor", TARGET, numbers, **CAT)),
        "CatBoost with cat_features": Family(_catboost_categories, refused="ColumnTransformer"),
        "ONNX file": Family(_onnx_file(), {"reference": "predict_proba"}),
        "ONNX file of another model": Family(
            _onnx_file(of_another=True), {"reference": "predict_proba"}, refused="reference="
        ),
        "ONNX file of logits": Family(
            _logits,
            {"reference": "predict_proba", "classes": ["low", "mid", "top"], "scores": "logits"},
        ),
        "Linear model as arrays": Family(_arrays, {"reference": "predict_proba"}),
    }


FAMILIES = _catalogue()


@cache
def fitted(name: str) -> tuple[Fitted, dict[str, Any]]:
    """A family, trained, and its options of ``log_model``."""
    family = FAMILIES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own deprecations are not ours
        made = family.build()
    options = dict(family.options)
    if "reference" in options:
        options["reference"] = getattr(made.source, options["reference"])
    return made, options
