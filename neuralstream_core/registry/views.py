"""How versions depend on feature views.

A version that needs a view is a member of the view item's string set ``dependents`` (``model@vN``), added
in the transaction that makes the version READY, if the view is still the one that was resolved. The catalog
deletes a view only while that set is empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from neuralstream_core.errors import Conflict, FieldError, Invalid, NotFound
from neuralstream_core.features.catalog import view_key
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.values import Dtype, checker
from neuralstream_core.registry.records import FeatureRef, HeldView, MissingPolicy, VersionRecord
from neuralstream_core.table import Table

if TYPE_CHECKING:
    from neuralstream_core.registry.registration import FeatureSpec

__all__ = ["MAX_VIEWS", "SchemaSource", "check_views", "hold", "release", "resolve"]

MAX_VIEWS: Final = 40
"""Views one version may draw from; bounds the transaction."""


class SchemaSource(Protocol):
    """Where schemas come from: `neuralstream_core.features.Catalog`."""

    def fetch(self, name: str, /) -> FeatureView:
        """The view as it is now; raises NotFound."""


def resolve(
    schemas: SchemaSource, wanted: Sequence[FeatureSpec], missing: MissingPolicy
) -> tuple[tuple[FeatureRef, ...], dict[str, HeldView]]:
    """The features a version asks for, with their dtypes, and the views they come from.

    Raises:
        Invalid: names each feature that is unknown, twice or without the default it needs.
    """
    names = [name for name in dict.fromkeys(spec.parts[0] for spec in wanted) if name is not None]
    found: dict[str, FeatureView] = {}
    for name in names:
        with suppress(NotFound):
            found[name] = schemas.fetch(name)
    refs: list[FeatureRef] = []
    errors: list[FieldError] = []
    for place, spec in enumerate(wanted):
        try:
            ref = _resolved(spec, found)
        except ValueError as error:
            loc, msg = error.args
            errors.append(FieldError(f"features.{place}{loc}", msg))
            continue
        refs.append(ref)
        if missing is MissingPolicy.DEFAULT and ref.default is None:
            msg = "has no default, which the policy missing=default asks for"
            errors.append(FieldError(f"features.{place}", msg))
    if len(names) > MAX_VIEWS:
        errors.append(FieldError("features", f"a version may draw from {MAX_VIEWS} views at most"))
    if errors:
        raise Invalid(f"{errors[0].loc}: {errors[0].msg}", code="invalid_features", errors=errors)
    held = {
        name: HeldView(schema_version=view.schema_version, generation=view.generation)
        for name, view in found.items()
    }
    return tuple(refs), held


def _resolved(spec: FeatureSpec, views: Mapping[str, FeatureView]) -> FeatureRef:
    """One input of a model.

    Raises:
        ValueError: ``(place within the feature, message)``.
    """
    view, name = spec.parts
    dtype, size, default = spec.dtype or "float64", spec.size or 1, spec.default
    if view is not None:
        if view not in views:
            raise ValueError("", f"there is no feature view {view}")
        if name not in views[view].index:
            raise ValueError("", f"{name} is not a feature of {view}")
        feature = views[view].feature(name)
        dtype, size = feature.dtype.value, feature.size or 1
        default = feature.default if default is None else default
    if default is not None:
        try:
            checked = checker(Dtype(dtype), None if size == 1 else size)(default)
        except ValueError as error:
            raise ValueError(".default", str(error)) from None
        if dtype != "string":  # the check of a text gives its bytes
            default = checked
    return FeatureRef(view=view, feature=name, dtype=dtype, size=size, default=default)


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
