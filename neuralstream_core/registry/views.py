"""What the registry needs of feature views: their schema when a version is registered, and a hold on them.

A version that needs a view is a member of the view item's string set ``dependents`` (``model@vN``), added
in the very transaction that makes the version READY, if the view is still the one that was resolved. The
catalog deletes a view only while that set is empty, so neither can slip past the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from neuralstream_core.errors import FieldError, Invalid, NotFound
from neuralstream_core.features.values import Dtype, checker
from neuralstream_core.registry.items import META, view_key
from neuralstream_core.registry.records import FeatureRef, HeldView, MissingPolicy, VersionRecord
from neuralstream_core.table import Table

if TYPE_CHECKING:
    from neuralstream_core.features.catalog import Catalog
    from neuralstream_core.registry.requests import FeatureSpec

__all__ = ["MAX_VIEWS", "CatalogViews", "Column", "View", "Views", "hold", "release", "resolve"]

MAX_VIEWS: Final = 40
"""Views one version may draw from; bounds the transaction."""


@dataclass(frozen=True, slots=True)
class Column:
    """A feature of a view: its dtype and its elements (1 for a scalar)."""

    dtype: str
    size: int
    default: Any = None


@dataclass(frozen=True, slots=True)
class View:
    """A view's schema as it is now."""

    name: str
    schema_version: int
    generation: str
    columns: Mapping[str, Column]


class Views(Protocol):
    """Where schemas come from."""

    def view(self, name: str) -> View:
        """The view's present schema; raises NotFound."""


class CatalogViews:
    """`Views` of the feature catalog, read afresh each time."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def view(self, name: str) -> View:
        """See `Views.view`."""
        found = self._catalog.fetch(name)
        columns = {f.name: Column(f.dtype.value, f.size or 1, f.default) for f in found.features}
        return View(name, found.schema_version, found.generation, columns)


def resolve(
    views: Views, wanted: Sequence[FeatureSpec], missing: MissingPolicy
) -> tuple[tuple[FeatureRef, ...], dict[str, HeldView]]:
    """The features a version asks for, with their dtypes, and the views they come from.

    Raises:
        Invalid: names each feature that is unknown, twice or without the default it needs.
    """
    found: dict[str, View | None] = {}
    refs: list[FeatureRef] = []
    errors: list[FieldError] = []
    for place, spec in enumerate(wanted):
        loc = f"features.{place}"
        view, feature = spec.parts
        if view is None:
            column: Column | None = Column(spec.dtype or "float64", spec.size or 1)
        else:
            if view not in found:
                found[view] = _look_up(views, view)
            schema = found[view]
            if schema is None:
                errors.append(FieldError(loc, f"there is no feature view {view}"))
                continue
            column = schema.columns.get(feature)
        if column is None:
            errors.append(FieldError(loc, f"{feature} is not a feature of {view}"))
            continue
        try:
            default = _default(column, spec)
        except ValueError as error:
            errors.append(FieldError(f"{loc}.default", str(error)))
            continue
        refs.append(
            FeatureRef(
                view=view, feature=feature, dtype=column.dtype, size=column.size, default=default
            )
        )
        if missing is MissingPolicy.DEFAULT and default is None:
            errors.append(
                FieldError(loc, "has no default, which the policy missing=default asks for")
            )
    if len(found) > MAX_VIEWS:
        errors.append(FieldError("features", f"a version may draw from {MAX_VIEWS} views at most"))
    if errors:
        raise Invalid(f"{errors[0].loc}: {errors[0].msg}", code="invalid_features", errors=errors)
    held = {
        name: HeldView(schema_version=v.schema_version, generation=v.generation)
        for name, v in found.items()
        if v is not None
    }
    return tuple(refs), held


def _default(column: Column, spec: FeatureSpec) -> Any:
    default = column.default if spec.default is None else spec.default
    if default is None:
        return None
    checked = checker(Dtype(column.dtype), None if column.size == 1 else column.size)(default)
    return default if column.dtype == "string" else checked  # text is checked as its bytes


def _look_up(views: Views, name: str) -> View | None:
    try:
        return views.view(name)
    except NotFound:
        return None


def hold(table: Table, namespace: str, *versions: VersionRecord) -> list[dict[str, Any]]:
    """Transaction writes that make ``versions`` dependents of their views, if they still are what they were.

    One write a view, since a transaction may touch an item once.
    """
    labels: dict[tuple[str, str], set[str]] = {}
    for version in versions:
        for name, held in version.feature_views.items():
            labels.setdefault((name, held.generation), set()).add(_label(version))
    return [
        table.update_action(
            view_key(namespace, name),
            META,
            "ADD dependents :us",
            values={":us": us, ":generation": generation},
            condition="generation = :generation AND attribute_not_exists(deleting)",
        )
        for (name, generation), us in labels.items()
    ]


def release(
    table: Table, namespace: str, version: VersionRecord, present: Iterable[str]
) -> list[dict[str, Any]]:
    """Transaction writes that let go of those of the version's views that are ``present``."""
    return [
        table.update_action(
            view_key(namespace, name),
            META,
            "DELETE dependents :me",
            values={":me": {_label(version)}},
            condition="attribute_exists(PK)",
        )
        for name in present
    ]


def _label(version: VersionRecord) -> str:
    return f"{version.model}@{version.version}"
