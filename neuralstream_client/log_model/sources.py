"""Trained models: which family one is of, and what it answers.

The library is found by the modules of the model's classes, so nothing is imported that the caller did not
import already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuralstream_client.log_model.answers import (
    Answers,
    Kind,
    Meaning,
    labels_of,
    sigmoid,
    softmax,
)
from neuralstream_client.log_model.errors import LogModelError

__all__ = ["Declared", "Source", "library_of", "read_numbers", "source_of"]

_LIBRARIES = ("lightgbm", "xgboost", "catboost", "sklearn", "torch", "onnx")


@dataclass(frozen=True)
class Declared:
    """What the caller says about a model that it does not tell itself; as in a registration."""

    kind: Kind | None = None
    classes: tuple[Any, ...] | None = None
    outputs: tuple[str, ...] | None = None
    scores: Meaning | None = None


@dataclass(frozen=True)
class Source:
    """A trained model.

    Attributes:
        family: its class, as messages and the report name it.
        library: whose it is: ``sklearn``, ``lightgbm``, ``xgboost``, ``catboost``, ``torch``, ``onnx``.
        meaning: of the numbers beside its labels; ``None`` if it gives none.
        classes: labels of a classifier in the order of its numbers.
        answer: its answers for rows in the form that it was fitted with.
        body: fields of the registration that the artifact alone does not tell.
        own: whether ``answer`` is the model's own; else it is the artifact's, and takes a `Table`.
    """

    model: Any
    family: str
    library: str
    kind: Kind
    meaning: Meaning | None
    classes: tuple[Any, ...] | None
    answer: Callable[[Any], Answers]
    body: dict[str, Any] = field(default_factory=dict)
    own: bool = True


def library_of(model: Any) -> str:
    """The library a model is of; a subclass belongs to the library of its nearest known base.

    Raises:
        LogModelError: none that is known.
    """
    for kind in type(model).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in _LIBRARIES:
            return name
    raise LogModelError(
        f"models of {type(model).__module__}.{type(model).__qualname__} are not known; export it to ONNX "
        "yourself and give the file with reference=, a function that answers as the model does"
    )


def source_of(model: Any, declared: Declared) -> Source:
    """What a fitted model of scikit-learn, LightGBM, XGBoost, CatBoost or torch is.

    Raises:
        LogModelError: its library or its kind is not known.
    """
    library = library_of(model)
    if library == "torch":
        return _torch(model, declared)
    if type(model).__name__ == "Booster":
        return _booster(model, library)
    return _estimator(model, library, declared)


def _estimator(model: Any, library: str, declared: Declared) -> Source:
    kind = declared.kind or _kind(model)
    name = _family(model)
    classes = tuple(labels_of(model.classes_)) if kind == "classifier" else None
    outputs = {"outputs": list(declared.outputs)} if declared.outputs else {}
    if kind in ("embedding", "regressor"):
        numbers_of = model.transform if kind == "embedding" else model.predict
        body = {"kind": kind, **outputs} if kind == "embedding" else outputs
        return Source(
            model,
            name,
            library,
            kind,
            None,
            None,
            lambda rows: Answers(_numbers(numbers_of(rows))),
            body,
        )
    meaning, numbers = _beside(model, kind)

    def answer(X: Any) -> Answers:  # noqa: N803
        beside = None if numbers is None else _wide(numbers(X))
        return Answers(labels_of(model.predict(X)), beside)

    mixture = kind == "clusterer" and meaning == "probability"
    return Source(
        model, name, library, kind, meaning, classes, answer, {"kind": kind} if mixture else {}
    )


def _kind(model: Any) -> Kind:
    """The kind of a scikit-learn compatible estimator; of a pipeline, that of its last step."""
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    told = _told(last)
    if type(last).__name__ == "CatBoost":
        raise LogModelError("train CatBoostClassifier or CatBoostRegressor: CatBoost tells no kind")
    if told == "outlier_detector":
        return "anomaly"
    if told in ("classifier", "regressor", "clusterer"):
        return told  # type: ignore[return-value]
    if type(last).__name__.endswith("GaussianMixture"):
        return "clusterer"
    if hasattr(last, "transform") and not hasattr(last, "predict"):
        return "embedding"
    if hasattr(last, "predict"):
        return "regressor"
    raise LogModelError(f"{_family(model)} has neither predict nor transform")


def _told(estimator: Any) -> str:
    given = getattr(estimator, "_estimator_type", None)
    if given:
        return str(given)
    from sklearn.utils import get_tags

    return get_tags(estimator).estimator_type or ""


def _beside(model: Any, kind: Kind) -> tuple[Meaning | None, Callable[[Any], Any] | None]:
    """What a model gives beside its labels."""
    if kind == "clusterer":
        if hasattr(model, "predict_proba"):
            return "probability", model.predict_proba
        return ("score", model.transform) if hasattr(model, "transform") else (None, None)
    if kind == "classifier" and hasattr(model, "predict_proba"):
        return "probability", model.predict_proba
    if hasattr(model, "decision_function"):
        return "score", model.decision_function
    return None, None


def _booster(model: Any, library: str) -> Source:
    """A LightGBM or XGBoost model of the native API, which answers probabilities instead of labels."""
    name = f"{library} Booster"
    if library == "lightgbm":
        objective = str(model.dump_model(num_iteration=1)["objective"]).split(" ")[0]
        predict: Callable[[Any], Any] = model.predict
    else:
        import json

        import xgboost

        objective = json.loads(model.save_config())["learner"]["objective"]["name"]

        def predict(X: Any) -> Any:  # noqa: N803
            names = None if hasattr(X, "columns") else model.feature_names
            return model.predict(xgboost.DMatrix(X, feature_names=names))

    binary = objective in ("binary", "binary:logistic", "cross_entropy")
    if not binary and not objective.startswith("multi"):
        return Source(
            model,
            name,
            library,
            "regressor",
            None,
            None,
            lambda rows: Answers(_numbers(predict(rows))),
        )
    if objective == "multi:softmax":
        raise LogModelError(
            "a Booster of the objective multi:softmax answers labels alone; train it with multi:softprob"
        )
    width = 2 if binary else _width(model, library)
    classes = tuple(range(width))
    return Source(
        model,
        name,
        library,
        "classifier",
        "probability",
        classes,
        lambda rows: _of_probabilities(predict(rows), classes),
    )


def _width(model: Any, library: str) -> int:
    """How many classes a multi-class booster has."""
    if library == "lightgbm":
        return int(model.num_model_per_iteration())
    import json

    return int(json.loads(model.save_config())["learner"]["learner_model_param"]["num_class"])


def _torch(model: Any, declared: Declared) -> Source:
    kind: Kind = declared.kind or ("classifier" if declared.classes else "regressor")
    meaning: Meaning | None = declared.scores or ("logits" if kind == "classifier" else None)
    if kind == "classifier" and not declared.classes:
        raise LogModelError("a torch classifier needs classes=, in the order of its outputs")
    body: dict[str, Any] = {"kind": kind}
    if declared.classes and kind == "classifier":
        body |= {"classes": list(declared.classes), "scores": meaning}
    if declared.outputs:
        body["outputs"] = list(declared.outputs)

    def answer(X: Any) -> Answers:  # noqa: N803
        import torch

        model.eval()
        with torch.no_grad():
            raw = model(torch.from_numpy(np.asarray(X, np.float32))).numpy()
        return read_numbers(raw, kind, meaning, declared.classes)

    return Source(model, _family(model), "torch", kind, meaning, declared.classes, answer, body)


def read_numbers(
    raw: Any, kind: Kind, meaning: Meaning | None, classes: Sequence[Any] | None
) -> Answers:
    """The answers of a model that gives numbers alone, as serving reads them."""
    numbers = _numbers(raw)
    if kind == "anomaly":
        wide = _wide(numbers)
        return Answers(labels_of(np.where(wide[:, 0] < 0, -1, 1)), wide)
    if kind != "classifier" or classes is None:
        return Answers(numbers)
    wide = _wide(numbers)
    if meaning == "logits":
        wide = sigmoid(wide) if wide.shape[1] == 1 else softmax(wide)
    if wide.shape[1] == 1:
        middle = 0.0 if meaning == "score" else 0.5
        places = (wide[:, 0] > middle).astype(np.intp)
    else:
        places = wide.argmax(axis=1)
    return Answers(labels_of([classes[place] for place in places]), wide)


def _of_probabilities(raw: Any, classes: tuple[Any, ...]) -> Answers:
    wide = _wide(_numbers(raw))
    if wide.shape[1] == 1:
        wide = np.column_stack([1.0 - wide[:, 0], wide[:, 0]])
    return Answers(labels_of([classes[place] for place in wide.argmax(axis=1)]), wide)


def _numbers(values: Any) -> Any:
    """Numbers ``(n,)``, or ``(n, k)`` of several outputs."""
    dense = values.toarray() if hasattr(values, "toarray") else values
    array = np.asarray(dense, np.float64)
    if array.ndim > 1 and array.size == len(array):
        return array.reshape(len(array))
    return array.reshape(len(array), -1) if array.ndim > 2 else array


def _wide(values: Any) -> Any:
    array = np.asarray(values, np.float64)
    return array.reshape(len(array), -1)


def _family(model: Any) -> str:
    if hasattr(model, "steps"):
        return f"Pipeline of {_family(model.steps[-1][1])}"
    return type(model).__name__
