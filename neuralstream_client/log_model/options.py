"""How a model is logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from neuralstream_client.log_model.inputs import Features
from neuralstream_client.log_model.proving import Missing
from neuralstream_client.services import without_role

__all__ = ["Options", "named_by", "views_of"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a model is logged; all fields are optional.

    Attributes:
        features: where the columns come from: ``view:feature`` or ``view@role:feature`` for each column in
            order, or by column; or a feature service, ``service:name@2``, alone or in the list.
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
        listed: what the version lists in place of ``features``: feature services. Filled by ``log_model``.
    """

    features: Features | str | None = None
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
    listed: Sequence[str] | None = None
    description: str = ""
    tags: Mapping[str, str] | None = None

    def with_dtypes(self, dtypes: Mapping[str, str]) -> Options:
        """The same with the types of the features."""
        return replace(self, dtypes=dtypes)

    def with_services(self, services: Mapping[str, tuple[str, Sequence[str]]]) -> Options:
        """The same with feature services replaced by their features.

        Args:
            services: by what ``features`` calls it, the service at its version and its features.
        """
        texts = named_by(self)
        features: list[str] = []
        for text in texts:
            features += services[text][1] if text in services else [text]
        listed = [services[text][0] if text in services else text for text in texts]
        return replace(self, features=features, listed=listed)


def named_by(options: Options) -> list[str]:
    """The features and services that the options name."""
    given = options.features or ()
    if isinstance(given, str):
        return [given]
    return list(given.values() if isinstance(given, Mapping) else given)


def views_of(options: Options) -> list[str]:
    """The feature views that the options name."""
    named = [without_role(label).partition(":")[0] for label in named_by(options)]
    views = [*named, *([options.view] if options.view else [])]
    return sorted({view for view in views if view and view != "request"})
