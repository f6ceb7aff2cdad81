"""How versions depend on feature views.

A version that needs a view is a member of the view item's string set ``dependents`` (``model@vN``), added
in the transaction that makes the version READY, if the view is still the one that was resolved. The catalog
deletes a view only while that set is empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from neuralstream_core.errors import Conflict, FieldError
from neuralstream_core.features.catalog import view_key
from neuralstream_core.features.listing import (
    SchemaSource,
    ServiceSource,
    expand,
    feature_of,
    invalid_features,
    views_of,
)
from neuralstream_core.features.references import FeatureReference
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.values import Dtype, checker
from neuralstream_core.registry.records import FeatureRef, HeldView, MissingPolicy, VersionRecord
from neuralstream_core.table import Table

if TYPE_CHECKING:
    from neuralstream_core.registry.listed import FeatureSpec

__all__ = ["Resolved", "check_views", "hold", "release", "resolve"]


class Resolved(NamedTuple):
    """What a version asks for.

    Attributes:
        features: with their dtypes and defaults, in the model's order.
        views: those they come from, by name.
        services: the feature services that named them, each as ``name@version``.
    """

    features: tuple[FeatureRef, ...]
    views: dict[str, HeldView]
    services: tuple[str, ...]


def resolve(
    schemas: SchemaSource,
    services: ServiceSource,
    wanted: Sequence[FeatureSpec],
    missing: MissingPolicy,
) -> Resolved:
    """The features a version asks for, and where they come from.

    Raises:
        Invalid: names each feature or service that is unknown, each feature that is listed twice or lacks the
            default it needs.
    """
    found = expand([spec.reference for spec in wanted], services)
    views, errors = views_of([one for _, one in found.features], schemas)
    refs: list[FeatureRef] = []
    for place, reference in found.features if not errors else ():
        try:
            ref = _resolved(reference, wanted[place], views)
        except ValueError as error:
            loc, msg = error.args
            errors.append(FieldError(f"features.{place}{loc}", msg))
            continue
        refs.append(ref)
        if missing is MissingPolicy.DEFAULT and ref.default is None:
            whose = f"{reference.text} " if found.services else ""
            msg = f"{whose}has no default, which the policy missing=default asks for"
            errors.append(FieldError(f"features.{place}", msg))
    if errors:
        raise invalid_features(errors)
    held = {
        name: HeldView(schema_version=view.schema_version, generation=view.generation)
        for name, view in views.items()
    }
    return Resolved(tuple(refs), held, found.services)


def _resolved(
    reference: FeatureReference, spec: FeatureSpec, views: Mapping[str, FeatureView]
) -> FeatureRef:
    """One input of a model.

    Raises:
        ValueError: ``(place within the feature, message)``.
    """
    dtype, size, default = spec.dtype or "float64", spec.size or 1, spec.default
    try:
        feature = feature_of(reference, views)
    except ValueError as error:
        raise ValueError("", str(error)) from None
    if feature is not None:
        dtype, size = feature.dtype.value, feature.size or 1
        default = feature.default if default is None else default
    if default is not None:
        try:
            checked = checker(Dtype(dtype), None if size == 1 else size)(default)
        except ValueError as error:
            raise ValueError(".default", str(error)) from None
        if dtype != "string":  # the check of a text gives its bytes
            default = checked
    return FeatureRef(**reference._asdict(), dtype=dtype, size=size, default=default)


def check_views(table: Table, namespace: str, version: VersionRecord) -> None:
    """Check that the views a version needs are still those it was registered with.

    Raises:
        Conflict: one was deleted, or replaced by another view of the same name.
    """
    keys = {view_key(namespace, view): view for view in version.feature_views}
    found = {(item["PK"], item["SK"]): item for item in table.get_many(list(keys))}
    for key, view in keys.items():
        item = found.get(key)
        generation = None if item is None or item.get("deleting") else item["generation"]
        if generation != version.feature_views[view].generation:
            raise Conflict(f"the feature view {view} was deleted", code="view_deleted")


def hold(table: Table, namespace: str, *versions: VersionRecord) -> list[dict[str, Any]]:
    """Transaction writes that make ``versions`` dependents of their views, if these are unchanged: one per
    view, since a transaction may touch an item once."""
    labels: dict[tuple[str, str], set[str]] = {}
    for version in versions:
        for name, held in version.feature_views.items():
            labels.setdefault((name, held.generation), set()).add(_label(version))
    return [
        table.update_action(
            *view_key(namespace, name),
            "ADD dependents :us",
            values={":us": us, ":generation": generation},
            condition="generation = :generation AND attribute_not_exists(deleting)",
        )
        for (name, generation), us in labels.items()
    ]


def release(table: Table, namespace: str, version: VersionRecord) -> list[dict[str, Any]]:
    """Transaction writes that end the version's hold on those of its views that still exist."""
    keys = [view_key(namespace, view) for view in version.feature_views]
    return [
        table.update_action(
            item["PK"],
            item["SK"],
            "DELETE dependents :me",
            values={":me": {_label(version)}},
            condition="attribute_exists(PK)",
        )
        for item in table.get_many(keys)
    ]


def _label(version: VersionRecord) -> str:
    return f"{version.model}@{version.version}"
