"""Everything about serving one version that can be decided before a request comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuralstream_core.errors import ArtifactRejected, FieldError, Invalid
from neuralstream_core.features.rows import Status
from neuralstream_core.features.values import Dtype, checker
from neuralstream_core.registry.records import FeatureRef, MissingPolicy, VersionRecord
from neuralstream_core.serving.binding import Binding, bind
from neuralstream_core.serving.runtimes import Predictions, Runtime

__all__ = ["Outcome", "Part", "Plan", "make_plan", "missing_features", "not_finite", "typed"]


@dataclass(frozen=True, slots=True)
class Part:
    """What one view contributes: its feature names and their places in the model's feature list."""

    view: str
    names: tuple[str, ...]
    places: tuple[int, ...]


@dataclass(slots=True)
class Outcome:
    """One row's answer. Not frozen, because one is built for every request.

    Attributes:
        prediction: a label, a number, or a list of a model with several outputs.
        probability: binary: of the positive class; otherwise of the predicted class; ``None`` when
            the model gives no scores.
        probabilities: by class, only with three or more of them.
    """

    prediction: Any
    probability: float | None
    probabilities: dict[str, float] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A loaded version, ready to serve.

    Attributes:
        parts: the views to read, in the order their first feature appears.
        whole: whether the one part is the feature list itself, so that a row needs no rearranging.
        lookup: how a request may name an input → its places; more than one is ambiguous.
        fill: per feature what a missing cell becomes: ``(value,)``, or ``None`` when it is an error.
    """

    version: VersionRecord
    runtime: Runtime
    binding: Binding | None
    features: tuple[FeatureRef, ...]
    parts: tuple[Part, ...]
    whole: bool
    lookup: Mapping[str, tuple[int, ...]]
    fill: tuple[tuple[Any] | None, ...]
    classes: tuple[str | int | bool, ...] | None
    classifies: bool
    head: str
    """How an answer of this version begins, as JSON up to the entity id."""

    @property
    def bound(self) -> Binding:
        """The binding.

        Raises:
            Invalid: the version lists no features, so an entity alone cannot be predicted.
        """
        if self.binding is None:
            raise Invalid(
                f"{self.version.model} {self.version.version} lists no features; send its inputs "
                "to the V2 inference route",
                code="no_features",
            )
        return self.binding

    def defaulted(self, places: Sequence[int]) -> bool:
        """Whether all of these features have a declared default to fall back on."""
        return self.version.missing is MissingPolicy.DEFAULT and all(
            self.fill[place] is not None for place in places
        )

    def check_view(self, view: str | None) -> None:
        """Hold a request's ``feature_view`` against the views the model reads.

        Raises:
            Invalid: it reads others.
        """
        if view is not None and self.parts and all(part.view != view for part in self.parts):
            raise Invalid.at(
                "feature_view",
                f"the model reads {', '.join(part.view for part in self.parts)[:200]}",
                code="wrong_feature_view",
            )

    def place(self, name: str, view: str | None) -> int:
        """The input a request means by ``name``; ``view`` decides between views that share it.

        Raises:
            Invalid: the model has no such input, or it is ambiguous.
        """
        places = self.lookup.get(name, ())
        if len(places) > 1 and view is not None:
            places = tuple(p for p in places if self.features[p].view == view) or places
        if len(places) == 1:
            return places[0]
        if not places:
            raise Invalid.at(
                f"features.{name[:128]}", "not an input of the model", code="unknown_feature"
            )
        candidates = ", ".join(self.features[place].label for place in places)
        raise Invalid.at(f"features.{name}", f"ambiguous: {candidates}", code="ambiguous_feature")

    def outcome(self, predictions: Predictions) -> Outcome:
        """The answer of predictions of exactly one row.

        Raises:
            Invalid: it is not a finite number.
        """
        prediction = predictions.values.tolist()[0]
        scores = predictions.probabilities
        if scores is None:
            if self.classifies or np.isfinite(predictions.values).all():
                return Outcome(prediction, None, None)
            raise not_finite()
        given: list[float] = scores.tolist()[0]
        if len(given) <= 2:
            probability = given[-1]
            by_class = None
        else:
            classes = self.classes
            if classes is None:
                probability, by_class = max(given), None
            else:
                by_class = {_name(label): p for label, p in zip(classes, given, strict=True)}
                probability = by_class.get(_name(prediction), max(given))
        if not 0.0 <= probability <= 1.000001:  # also false for NaN
            raise not_finite()
        return Outcome(prediction, probability, by_class)


def make_plan(version: VersionRecord, runtime: Runtime) -> Plan:
    """Prepare a version.

    Raises:
        ArtifactRejected: its features do not fit its model.
    """
    features = version.features
    binding = bind(runtime.signature, features) if features else None
    by_view: dict[str, list[int]] = {}
    lookup: dict[str, tuple[int, ...]] = {}
    for place, ref in enumerate(features):
        if ref.view is not None:
            by_view.setdefault(ref.view, []).append(place)
        lookup[ref.label] = (place,)
        lookup[ref.feature] = (*lookup.get(ref.feature, ()), place)
    parts = tuple(
        Part(view, tuple(features[place].feature for place in places), tuple(places))
        for view, places in by_view.items()
    )
    nullable = binding.nullable if binding is not None else ()
    return Plan(
        version=version,
        runtime=runtime,
        binding=binding,
        features=features,
        parts=parts,
        whole=len(parts) == 1 and parts[0].places == tuple(range(len(features))),
        lookup=lookup,
        fill=tuple(
            _fill(version.missing, ref, can_be_null)
            for ref, can_be_null in zip(features, nullable, strict=True)
        ),
        classes=runtime.signature.classes,
        classifies=runtime.signature.kind == "classifier",
        head=json.dumps({"model": version.model, "version": version.version, "entity_id": 0})[:-2],
    )


def _fill(policy: MissingPolicy, ref: FeatureRef, nullable: bool) -> tuple[Any] | None:
    if policy is MissingPolicy.NULL and nullable:
        return (None,)
    if policy is MissingPolicy.DEFAULT and ref.default is not None:
        try:
            return (typed(ref)(ref.default),)
        except ValueError as error:
            raise ArtifactRejected(f"the default of {ref.label} {error}") from None
    return None


def typed(ref: FeatureRef) -> Callable[[Any], Any]:
    """The check of a value a request gives for this input: of the view's dtype, nothing coerced.

    The check raises ``ValueError`` with a sentence that never repeats the value.
    """
    dtype = Dtype(ref.dtype)
    check = checker(dtype, ref.size if ref.size > 1 else None)
    if dtype is Dtype.STRING:

        def text(value: Any) -> Any:
            check(value)
            return value

        return text
    if ref.size == 1 and dtype.numeric:
        single = checker(dtype, 1)
        return lambda value: single(value)[0] if isinstance(value, list | tuple) else check(value)
    return check


def missing_features(plan: Plan, status: Sequence[int]) -> Invalid:
    """The error of a row whose missing cells the policy does not fill."""
    errors = [
        FieldError(f"features.{ref.label}", Status(int(cell)).name)
        for ref, cell, fill in zip(plan.features, status, plan.fill, strict=True)
        if cell and fill is None
    ]
    named = ", ".join(error.loc.removeprefix("features.") for error in errors[:10])
    more = f" and {len(errors) - 10} more" if len(errors) > 10 else ""
    return Invalid(f"missing features: {named}{more}", code="missing_features", errors=errors)


def not_finite() -> Invalid:
    """The model computed NaN or infinity, typically from a missing input it cannot handle."""
    return Invalid("the model's answer for these features is not a number", code="not_finite")


def _name(label: Any) -> str:
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)
