"""A loaded version with everything about serving it that can be decided before a request comes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from neuralstream_core.errors import ArtifactRejected, Invalid
from neuralstream_core.registry.records import FeatureRef, MissingPolicy, VersionRecord
from neuralstream_core.runtimes import Runtime
from neuralstream_core.runtimes.binding import Binding, bind
from neuralstream_core.serving.given import typed
from neuralstream_core.serving.outputs import OutputReader

__all__ = ["Servable", "ViewFeatures", "make_servable"]


@dataclass(frozen=True, slots=True)
class ViewFeatures:
    """The features of one view, under one role or none, and their places in the model's feature list."""

    view: str
    names: tuple[str, ...]
    places: tuple[int, ...]
    role: str | None = None

    @property
    def label(self) -> str:
        """``view`` or ``view@role``."""
        return self.view if self.role is None else f"{self.view}@{self.role}"


@dataclass(frozen=True, slots=True)
class Servable:
    """A loaded version, ready to serve.

    Attributes:
        binding: ``None`` for a version that lists no features.
        views: what is read, in the order in which each view's first feature appears; a view once per role.
        labels: of the features, as `FeatureRef.label`.
        main: the first view without a role, whose keys ``entity_id`` gives; ``None`` if there is none.
        lookup: the names a request may use for an input → its places; more than one is ambiguous.
        fill: per feature what a missing cell becomes: ``(value,)``, or ``None`` when it is an error.
    """

    version: VersionRecord
    runtime: Runtime
    binding: Binding | None
    features: tuple[FeatureRef, ...]
    views: tuple[ViewFeatures, ...]
    lookup: Mapping[str, tuple[int, ...]]
    fill: tuple[tuple[Any] | None, ...]
    reader: OutputReader
    main: str | None
    labels: tuple[str, ...]

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

    def defaulted(self, views: Collection[ViewFeatures]) -> bool:
        """Whether all features of these views have a declared default to fall back on."""
        return self.version.missing is MissingPolicy.DEFAULT and all(
            self.fill[place] is not None for view in views for place in view.places
        )

    def unread(self, given: Collection[int], feature_view: str | None) -> list[ViewFeatures]:
        """What must be read from the store when the request gives the inputs at the places ``given``.

        Raises:
            Invalid: the model does not read the request's ``feature_view``.
        """
        if (
            feature_view is not None
            and self.views
            and all(view.view != feature_view or view.role is not None for view in self.views)
        ):
            names = ", ".join(view.label for view in self.views)
            raise Invalid.at(
                "feature_view", f"the model reads {names[:200]}", code="wrong_feature_view"
            )
        if not given:
            return list(self.views)
        left = (
            _view_features(
                view.view, view.role, [p for p in view.places if p not in given], self.features
            )
            for view in self.views
        )
        return [view for view in left if view.places]

    def place(self, name: str, view: str | None) -> int:
        """The input a request means by ``name``; ``view`` decides between views that share it.

        Raises:
            Invalid: the model has no such input, or it is ambiguous.
        """
        places = self.lookup.get(name, ())
        if len(places) > 1 and view is not None:
            own = [p for p in places if self.features[p].view == view]
            places = tuple(p for p in own if self.features[p].role is None) or places
        if len(places) == 1:
            return places[0]
        if not places:
            raise Invalid.at(
                f"features.{name[:128]}", "not an input of the model", code="unknown_feature"
            )
        candidates = ", ".join(self.features[place].label for place in places)
        raise Invalid.at(f"features.{name}", f"ambiguous: {candidates}", code="ambiguous_feature")


def make_servable(version: VersionRecord, runtime: Runtime) -> Servable:
    """Prepare a version.

    Raises:
        ArtifactRejected: its features do not fit its model.
    """
    features = version.features
    binding = bind(runtime.signature, features) if features else None
    by_view: dict[tuple[str, str | None], list[int]] = {}
    lookup: dict[str, tuple[int, ...]] = {}
    for place, ref in enumerate(features):
        if ref.view is not None:
            by_view.setdefault((ref.view, ref.role), []).append(place)
        lookup[ref.label] = (place,)
        lookup[ref.feature] = (*lookup.get(ref.feature, ()), place)
    # Registration settled what the outputs mean; their shapes are those of the loaded model.
    settled = version.signature or runtime.signature
    fields = {name: getattr(settled, name) for name in ("kind", "classes", "scores", "names")}
    return Servable(
        version=version,
        runtime=runtime,
        binding=binding,
        features=features,
        views=tuple(
            _view_features(view, role, places, features) for (view, role), places in by_view.items()
        ),
        lookup=lookup,
        fill=tuple(
            _fill(version.missing, ref, can_be_null)
            for ref, can_be_null in zip(features, binding.nullable if binding else (), strict=True)
        ),
        reader=OutputReader(runtime.signature.model_copy(update=fields)),
        main=next((view for view, role in by_view if role is None), None),
        labels=tuple(ref.label for ref in features),
    )


def _view_features(
    view: str, role: str | None, places: list[int], features: tuple[FeatureRef, ...]
) -> ViewFeatures:
    names = tuple(features[place].feature for place in places)
    return ViewFeatures(view, names, tuple(places), role)


def _fill(policy: MissingPolicy, ref: FeatureRef, nullable: bool) -> tuple[Any] | None:
    if policy is MissingPolicy.NULL and nullable:
        return (None,)
    if policy is MissingPolicy.DEFAULT and ref.default is not None:
        try:
            return (typed(ref)(ref.default),)
        except ValueError as error:
            raise ArtifactRejected(f"the default of {ref.label} {error}") from None
    return None
