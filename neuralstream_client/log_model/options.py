"""How a model is logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from neuralstream_client.log_model.inputs import Features
from neuralstream_client.log_model.proving import Missing

__all__ = ["Options", "views_of"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a model is logged; all fields are optional.

    Attributes:
        features: where the columns come from: ``view:feature`` for each column in order, or by column.
        view: the feature view of the columns that ``features`` does not name; without one they are values
            that each request sends.
        dtypes: types of the features by ``view:feature``.
        reference: for a model given as a file: a function that answers rows as the model does.
        kind, classes, outputs, scores: what a model does not tell itself, as in a registration.
        format: ``onnx`` or ``linear``; the more exact one that the model has, unless given.
        missing: what serving does with a missing value; ``null`` if the model takes them, else ``error``.
        tolerance: the largest difference between the model and its export: absolute for probabilities,
            relative to the larger of the expected number and the size of the model's numbers otherwise.
        on_mismatch: ``refuse`` raises `ParityError`; ``warn`` warns and goes on.
        metrics, params, description, tags: as in a registration.
        lineage: further entries; they replace those that are found out.
        dataset: name of the training data.
        training_set: id of the training set that ``X`` comes from.
    """

    features: Features | None = None
    view: str | None = None
    dtypes: Mapping[str, str] | None = None
    reference: Callable[[Any], Any] | None = None
    kind: Literal["classifier", "regressor", "anomaly", "clusterer", "embedding"] | None = None
    classes: Sequence[Any] | None = None
    outputs: Sequence[str] | None = None
    scores: Literal["probability", "logits", "score"] | None = None
    format: Literal["onnx", "linear"] | None = None
    missing: Missing | None = None
    tolerance: float = 1e-5
    on_mismatch: Literal["refuse", "warn"] = "refuse"
    metrics: Mapping[str, float] | None = None
    params: Mapping[str, Any] | None = None
    lineage: Mapping[str, Any] | None = None
    dataset: str = "training data"
    training_set: str | None = None
    description: str = ""
    tags: Mapping[str, str] | None = None

    def with_dtypes(self, dtypes: Mapping[str, str]) -> Options:
        """The same with the types of the features."""
        return replace(self, dtypes=dtypes)


def views_of(options: Options) -> list[str]:
    """The feature views that the options name."""
    given = options.features or ()
    labels = given.values() if isinstance(given, Mapping) else given
    named = [label.partition(":")[0] for label in labels]
    views = [*named, *([options.view] if options.view else [])]
    return sorted({view for view in views if view and view != "request"})
