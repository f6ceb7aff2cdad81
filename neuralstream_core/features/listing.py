"""Lists of features: what model versions, feature services and training sets have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from pydantic import AwareDatetime

from neuralstream_core.errors import FieldError, Invalid, NotFound
from neuralstream_core.features.references import (
    MAX_ROLES,
    FeatureReference,
    Reference,
    ServiceReference,
    parse_reference,
)
from neuralstream_core.features.schema import Feature, FeatureView
from neuralstream_core.types import Name, Record

__all__ = [
    "MAX_LISTED",
    "MAX_VIEWS",
    "Expanded",
    "FeatureService",
    "SchemaSource",
    "ServiceSource",
    "expand",
    "feature_of",
    "invalid_features",
    "views_of",
]

MAX_LISTED: Final = 500
"""Features of one service, and of one model version."""
MAX_VIEWS: Final = 40
"""Views that one list may draw from; bounds the transaction that holds them."""


class FeatureService(Record):
    """One version of a feature service."""

    name: Name
    version: int
    features: tuple[str, ...]
    """Texts of references, see `neuralstream_core.features.references`."""
    description: str = ""
    created_at: AwareDatetime

    @property
    def reference(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"


class SchemaSource(Protocol):
    """Where schemas come from: `neuralstream_core.features.Catalog`."""

    def fetch(self, name: str, /) -> FeatureView:
        """The view as it is now; raises NotFound."""


class ServiceSource(Protocol):
    """Where feature services come from: `FeatureServices`."""

    def fetch(self, name: str, version: int | None = None, /) -> FeatureService:
        """A version, the newest one when ``None``; raises NotFound."""


class Expanded(NamedTuple):
    """A list of references with the features of its services in their place.

    Attributes:
        features: each with the position of the reference that it comes from.
        services: those that were named, each as ``name@version``.
    """

    features: list[tuple[int, FeatureReference]]
    services: tuple[str, ...]


def expand(references: Sequence[Reference], services: ServiceSource) -> Expanded:
    """The features that ``references`` stand for.

    Raises:
        Invalid: ``features.{position}``: there is no such service, or a feature is listed twice.
    """
    found: list[tuple[int, FeatureReference]] = []
    named: dict[str, None] = {}
    seen: dict[FeatureReference, int] = {}
    errors: list[FieldError] = []
    for place, reference in enumerate(references):
        listed: Sequence[Reference] = (reference,)
        if isinstance(reference, ServiceReference):
            try:
                service = services.fetch(reference.name, reference.version)
            except NotFound as error:
                errors.append(FieldError(f"features.{place}", error.detail))
                continue
            named[service.reference] = None
            listed = [parse_reference(text) for text in service.features]
        for one in listed:
            if isinstance(one, ServiceReference):
                continue  # `FeatureServices.put` lets none in
            if one in seen:
                of = "" if seen[one] == place else f", also by features.{seen[one]}"
                errors.append(FieldError(f"features.{place}", f"{one.text} is listed twice{of}"))
                continue
            seen[one] = place
            found.append((place, one))
    if not errors and len(found) > MAX_LISTED:
        errors.append(FieldError("features", f"are {len(found)}, at most {MAX_LISTED} are allowed"))
    if errors:
        raise invalid_features(errors)
    return Expanded(found, tuple(named))


def views_of(
    features: Sequence[FeatureReference], schemas: SchemaSource
) -> tuple[dict[str, FeatureView], list[FieldError]]:
    """The views of ``features`` that exist, by name, and what is wrong with the list as a whole."""
    names = dict.fromkeys(one.view for one in features if one.view is not None)
    errors = []
    if len(names) > MAX_VIEWS:
        errors.append(FieldError("features", f"may be of {MAX_VIEWS} views at most"))
        return {}, errors
    roles = {one.role for one in features if one.role is not None}
    if len(roles) > MAX_ROLES:
        errors.append(FieldError("features", f"may have {MAX_ROLES} roles at most"))
    found: dict[str, FeatureView] = {}
    for name in names:
        with suppress(NotFound):
            found[name] = schemas.fetch(name)
    return found, errors


def feature_of(reference: FeatureReference, views: Mapping[str, FeatureView]) -> Feature | None:
    """The declared feature; ``None`` for a value of the request.

    Raises:
        ValueError: no such view or feature, or a role of a view with several keys.
    """
    if reference.view is None:
        return None
    view = views.get(reference.view)
    if view is None:
        raise ValueError(f"there is no feature view {reference.view}")
    if reference.feature not in view.index:
        raise ValueError(f"{reference.feature} is not a feature of {reference.view}")
    if reference.role is not None and len(view.keys) > 1:
        raise ValueError(
            f"a role stands for one id, and {reference.view} has the keys {', '.join(view.keys)}"
        )
    return view.feature(reference.feature)


def invalid_features(errors: Sequence[FieldError]) -> Invalid:
    """The error of a list, which names each place."""
    return Invalid(f"{errors[0].loc}: {errors[0].msg}", code="invalid_features", errors=errors)
