"""Everything about serving one version that can be decided before a request comes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuralstream_core.errors import ArtifactRejected, Invalid
from neuralstream_core.registry.records import (
    FeatureRef,
    Label,
    MissingPolicy,
    Signature,
    VersionRecord,
)
from neuralstream_core.runtimes import Runtime
from neuralstream_core.serving.binding import Binding, bind
from neuralstream_core.serving.cells import typed
from neuralstream_core.serving.outcomes import Reader

__all__ = ["Part", "Plan", "make_plan"]


@dataclass(frozen=True, slots=True)
class Part:
    """What one view contributes: its feature names and their places in the model's feature list."""

    view: str
    names: tuple[str, ...]
    places: tuple[int, ...]


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
    reader: Reader
    head: str
    """How an answer of this version begins, as JSON up to the entity id."""

    @property
    def classes(self) -> tuple[Label, ...] | None:
        """Labels of a classifier or clusters."""
        return self.reader.classes

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
        reader=Reader(_signature(version, runtime)),
        head=json.dumps({"model": version.model, "version": version.version, "entity_id": 0})[:-2],
    )


def _signature(version: VersionRecord, runtime: Runtime) -> Signature:
    """What registration settled about the model, on the shapes that the loaded one really has."""
    settled = version.signature or runtime.signature
    fields = {name: getattr(settled, name) for name in ("kind", "classes", "scores", "names")}
    return runtime.signature.model_copy(update=fields)


def _fill(policy: MissingPolicy, ref: FeatureRef, nullable: bool) -> tuple[Any] | None:
    if policy is MissingPolicy.NULL and nullable:
        return (None,)
    if policy is MissingPolicy.DEFAULT and ref.default is not None:
        try:
            return (typed(ref)(ref.default),)
        except ValueError as error:
            raise ArtifactRejected(f"the default of {ref.label} {error}") from None
    return None
