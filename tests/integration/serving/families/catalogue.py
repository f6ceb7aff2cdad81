"""The estimator families: each trained on small data and exported as its users would export it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from .exports import EXPORTS
from .rows import (
    BINARY,
    TARGET,
    TARGETS,
    THREE,
    THREE_WORDS,
    WORDS,
    X,
)

__all__ = ["FAMILIES", "Family", "Trained", "train"]


@dataclass(frozen=True)
class Family:
    """How to train an estimator, and what it answers.

    Attributes:
        estimator: builds it, unfitted.
        y: what it is fitted to; ``None`` for an estimator without a target.
        declared: of the registration: kind, classes, outputs, scores.
        probability: the expected ``probability`` comes from ``predict_proba``.
        score: the method that gives the expected ``score``.
        refused: why registration refuses the exported model, if it must.
        library: the converter.
        mixed: two of the features are text and one has gaps.
    """

    estimator: Callable[[], Any]
    y: np.ndarray | None = None
    declared: dict[str, Any] = field(default_factory=dict)
    probability: bool = False
    score: str | None = None
    refused: str | None = None
    library: str = "sklearn"
    mixed: bool = False
    answer: str = "predict"


@dataclass(frozen=True)
class Trained:
    """A fitted estimator, its export and the rows it is compared on."""

    model: Any
    data: bytes
    rows: Any


class _Lazy:
    """A library whose estimators are imported when one is built, not when tests are collected."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def build(*args: Any, **more: Any) -> Any:
            return getattr(import_module(self._module), name)(*args, **more)

        return build


calibration = _Lazy("sklearn.calibration")
cluster = _Lazy("sklearn.cluster")
decomposition = _Lazy("sklearn.decomposition")
discriminant_analysis = _Lazy("sklearn.discriminant_analysis")
ensemble = _Lazy("sklearn.ensemble")
gaussian_process = _Lazy("sklearn.gaussian_process")
linear_model = _Lazy("sklearn.linear_model")
mixture = _Lazy("sklearn.mixture")
naive_bayes = _Lazy("sklearn.naive_bayes")
neighbors = _Lazy("sklearn.neighbors")
neural_network = _Lazy("sklearn.neural_network")
pipeline = _Lazy("sklearn.pipeline")
preprocessing = _Lazy("sklearn.preprocessing")
svm = _Lazy("sklearn.svm")
tree = _Lazy("sklearn.tree")
catboost = _Lazy("catboost")
lightgbm = _Lazy("lightgbm")
xgboost = _Lazy("xgboost")


def _catalogue() -> dict[str, Family]:
    def classifier(build: Callable[[], Any], y: np.ndarray = BINARY, **more: Any) -> Family:
        return Family(build, y, probability=True, **more)

    quiet = {"n_estimators": 20, "n_jobs": 1}
    cat = {"iterations": 20, "verbose": False, "allow_writing_files": False, "thread_count": 1}
    return {
        # classifiers with probabilities
        "logistic": classifier(linear_model.LogisticRegression),
        "logistic, words": classifier(linear_model.LogisticRegression, WORDS),
        "logistic, three words": classifier(linear_model.LogisticRegression, THREE_WORDS),
        "sgd, log loss": classifier(
            lambda: linear_model.SGDClassifier(loss="log_loss", random_state=0)
        ),
        "decision tree": classifier(
            lambda: tree.DecisionTreeClassifier(max_depth=4, random_state=0), THREE
        ),
        "random forest": classifier(lambda: ensemble.RandomForestClassifier(15, random_state=0)),
        "random forest, three words": classifier(
            lambda: ensemble.RandomForestClassifier(15, random_state=0), THREE_WORDS
        ),
        "extra trees": classifier(lambda: ensemble.ExtraTreesClassifier(15, random_state=0), WORDS),
        "gradient boosting": classifier(
            lambda: ensemble.GradientBoostingClassifier(n_estimators=15, random_state=0)
        ),
        "gradient boosting, three": classifier(
            lambda: ensemble.GradientBoostingClassifier(n_estimators=15, random_state=0), THREE
        ),
        "hist gradient boosting": classifier(
            lambda: ensemble.HistGradientBoostingClassifier(max_iter=15, random_state=0)
        ),
        "bagging": classifier(lambda: ensemble.BaggingClassifier(n_estimators=8, random_state=0)),
        "ada boost": classifier(
            lambda: ensemble.AdaBoostClassifier(n_estimators=10, random_state=0)
        ),
        "stacking": classifier(
            lambda: ensemble.StackingClassifier(
                [
                    ("a", linear_model.LogisticRegression()),
                    ("b", tree.DecisionTreeClassifier(max_depth=3, random_state=0)),
                ]
            )
        ),
        "soft voting": classifier(
            lambda: ensemble.VotingClassifier(
                [
                    ("a", linear_model.LogisticRegression()),
                    ("b", tree.DecisionTreeClassifier(max_depth=3, random_state=0)),
                ],
                voting="soft",
                flatten_transform=False,
            )
        ),
        "neighbours": classifier(lambda: neighbors.KNeighborsClassifier(7), THREE),
        "naive bayes": classifier(naive_bayes.GaussianNB, THREE_WORDS),
        "bernoulli bayes": classifier(naive_bayes.BernoulliNB),
        "linear discriminant": classifier(discriminant_analysis.LinearDiscriminantAnalysis, THREE),
        "quadratic discriminant": classifier(
            discriminant_analysis.QuadraticDiscriminantAnalysis,
            THREE,
            refused="one prediction per row",
        ),
        "perceptron network": classifier(
            lambda: neural_network.MLPClassifier((8,), max_iter=60, random_state=0), WORDS
        ),
        "svc with probability": classifier(lambda: svm.SVC(probability=True, random_state=0)),
        "sigmoid calibration": classifier(
            lambda: calibration.CalibratedClassifierCV(
                tree.DecisionTreeClassifier(max_depth=3, random_state=0), method="sigmoid", cv=2
            )
        ),
        "isotonic calibration": classifier(
            lambda: calibration.CalibratedClassifierCV(
                linear_model.LogisticRegression(), method="isotonic", cv=2
            ),
            refused="check_failed",
        ),
        "scaled pipeline": classifier(
            lambda: pipeline.make_pipeline(
                preprocessing.StandardScaler(), linear_model.LogisticRegression()
            ),
            WORDS,
        ),
        "text and gaps": classifier(lambda: None, WORDS, mixed=True),
        # classifiers without
        "ridge classifier": Family(linear_model.RidgeClassifier, BINARY, score="decision_function"),
        "ridge classifier, three words": Family(
            linear_model.RidgeClassifier, THREE_WORDS, score="decision_function"
        ),
        "linear svc": Family(svm.LinearSVC, BINARY, score="decision_function"),
        "linear svc, three words": Family(svm.LinearSVC, THREE_WORDS, score="decision_function"),
        "svc without probability": Family(svm.SVC, WORDS),
        "svc without probability, three": Family(svm.SVC, THREE, score="decision_function"),
        "sgd, hinge": Family(
            lambda: linear_model.SGDClassifier(random_state=0), BINARY, score="decision_function"
        ),
        "perceptron": Family(
            lambda: linear_model.Perceptron(random_state=0), THREE, score="decision_function"
        ),
        "logits alone": classifier(
            linear_model.LogisticRegression,
            THREE_WORDS,
            declared={
                "kind": "classifier",
                "classes": ["low", "mid", "top"],
                "scores": "logits",
            },
            library="torch",
        ),
        # boosting libraries
        "lightgbm": classifier(
            lambda: lightgbm.LGBMClassifier(**quiet, verbose=-1), library="lightgbm"
        ),
        "lightgbm, three words": classifier(
            lambda: lightgbm.LGBMClassifier(**quiet, verbose=-1), THREE_WORDS, library="lightgbm"
        ),
        "lightgbm regressor": Family(
            lambda: lightgbm.LGBMRegressor(**quiet, verbose=-1), TARGET, library="lightgbm"
        ),
        "xgboost": classifier(lambda: xgboost.XGBClassifier(**quiet), library="xgboost"),
        "xgboost, three": classifier(
            lambda: xgboost.XGBClassifier(**quiet), THREE, library="xgboost"
        ),
        "xgboost regressor": Family(
            lambda: xgboost.XGBRegressor(**quiet), TARGET, library="xgboost"
        ),
        "catboost": classifier(lambda: catboost.CatBoostClassifier(**cat), library="catboost"),
        "catboost, three words": classifier(
            lambda: catboost.CatBoostClassifier(**cat), THREE_WORDS, library="catboost"
        ),
        "catboost regressor": Family(
            lambda: catboost.CatBoostRegressor(**cat), TARGET, library="catboost"
        ),
        # regressors
        "linear regression": Family(linear_model.LinearRegression, TARGET),
        "linear regression, two outputs": Family(
            linear_model.LinearRegression, TARGETS, {"outputs": ["up", "down"]}
        ),
        "ridge": Family(linear_model.Ridge, TARGET),
        "lasso": Family(lambda: linear_model.Lasso(alpha=0.01), TARGET),
        "bayesian ridge": Family(linear_model.BayesianRidge, TARGET),
        "huber": Family(linear_model.HuberRegressor, TARGET),
        "forest regressor, two outputs": Family(
            lambda: ensemble.RandomForestRegressor(15, random_state=0),
            TARGETS,
            {"outputs": ["up", "down"]},
        ),
        "gradient boosting regressor": Family(
            lambda: ensemble.GradientBoostingRegressor(n_estimators=15, random_state=0), TARGET
        ),
        "hist gradient boosting regressor": Family(
            lambda: ensemble.HistGradientBoostingRegressor(max_iter=15, random_state=0), TARGET
        ),
        "neighbours regressor": Family(lambda: neighbors.KNeighborsRegressor(5), TARGET),
        "support vector regression": Family(svm.SVR, TARGET),
        "network regressor": Family(
            lambda: neural_network.MLPRegressor(
                hidden_layer_sizes=(8,), max_iter=80, random_state=0
            ),
            TARGET,
        ),
        "gaussian process": Family(gaussian_process.GaussianProcessRegressor, TARGET),
        # anomaly detectors
        "isolation forest": Family(
            lambda: ensemble.IsolationForest(n_estimators=15, random_state=0),
            score="decision_function",
        ),
        "one-class svm": Family(svm.OneClassSVM, score="decision_function"),
        "local outlier factor": Family(
            lambda: neighbors.LocalOutlierFactor(novelty=True), score="decision_function"
        ),
        # clusterers and embeddings
        "k-means": Family(lambda: cluster.KMeans(4, n_init=2, random_state=0), score="transform"),
        "mini-batch k-means": Family(
            lambda: cluster.MiniBatchKMeans(4, n_init=2, random_state=0), score="transform"
        ),
        "gaussian mixture": Family(
            lambda: mixture.GaussianMixture(3, random_state=0),
            declared={"kind": "clusterer"},
            probability=True,
        ),
        "pca": Family(
            lambda: decomposition.PCA(2, random_state=0),
            None,
            {"kind": "embedding"},
            answer="transform",
        ),
    }


FAMILIES = _catalogue()


@cache
def train(name: str) -> Trained:
    """Fit and export a family."""
    family = FAMILIES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own deprecations are not ours
        if family.mixed:
            return _mixed()
        model = family.estimator()
        model.fit(X) if family.y is None else model.fit(X, family.y)
        return Trained(model, EXPORTS[family.library](model), X)


def _mixed() -> Trained:
    """Numbers with gaps and a text column, one input each."""
    import pandas as pd
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    age = X[:, 0].copy()
    age[::7] = np.nan
    frame = pd.DataFrame(
        {
            "f0": age,
            "f1": X[:, 1],
            "f2": np.array(["de", "fr", "it"])[np.digitize(X[:, 2], [-0.4, 0.4])],
        }
    )
    pipeline = make_pipeline(
        ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["f0", "f1"]),
                ("words", OneHotEncoder(handle_unknown="ignore"), ["f2"]),
            ]
        ),
        LogisticRegression(),
    ).fit(frame, WORDS)
    kinds = [
        ("f0", FloatTensorType([None, 1])),
        ("f1", FloatTensorType([None, 1])),
        ("f2", StringTensorType([None, 1])),
    ]
    graph = to_onnx(pipeline, initial_types=kinds, options={"zipmap": False})
    return Trained(pipeline, bytes(graph.SerializeToString()), frame)
