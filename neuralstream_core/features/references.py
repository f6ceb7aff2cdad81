"""How a feature or a list of features is named: one parser for registration, feature services and training
sets.

=======================  =========================================================================
``view:feature``         a feature of a view
``view@role:feature``    the same for one of several entities of a request: the role names its id,
                         so that ``weather@origin:temp`` and ``weather@destination:temp`` are read
                         for two airports
``request:name``         a value that comes with each request
``service:name@2``       the features of a feature service at a version
``service:name``         the same at its newest version
=======================  =========================================================================

``request`` and ``service`` are therefore no names of views. Names hold neither ``:`` nor ``@``, so each text
has one meaning, and its text says nothing else.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias

from neuralstream_core.types import MAX_NAME

__all__ = [
    "MAX_REFERENCE",
    "MAX_ROLES",
    "REFERENCE_PATTERN",
    "REQUEST",
    "SERVICE",
    "FeatureReference",
    "Reference",
    "ServiceReference",
    "parse_reference",
]

REQUEST: Final = "request"
SERVICE: Final = "service"
MAX_REFERENCE: Final = 3 * MAX_NAME + 2
"""Characters of the longest reference."""
MAX_ROLES: Final = 16
"""Roles of one list of features, and further ids of one request."""

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
REFERENCE_PATTERN: Final = rf"^({_NAME}(@{_NAME})?:{_NAME}|{SERVICE}:{_NAME}@[1-9][0-9]{{0,8}})$"
"""What references look like, for JSON schemas."""
_FEATURE: Final = re.compile(rf"({_NAME})(?:@({_NAME}))?:({_NAME})")
_SERVICE: Final = re.compile(rf"{SERVICE}:({_NAME})(?:@([1-9][0-9]{{0,8}}))?")


class FeatureReference(NamedTuple):
    """One feature of a view, or a value of the request.

    Attributes:
        view: ``None`` for a value of the request.
        role: of the entity; ``None`` for the entity that the view's own keys name.
    """

    view: str | None
    feature: str
    role: str | None = None

    @property
    def text(self) -> str:
        """``view:feature``, ``view@role:feature`` or ``request:name``."""
        if self.role is None:
            return f"{self.view or REQUEST}:{self.feature}"
        return f"{self.view}@{self.role}:{self.feature}"


class ServiceReference(NamedTuple):
    """A feature service; without a version its newest one is meant."""

    name: str
    version: int | None = None

    @property
    def text(self) -> str:
        """``service:name@version`` or ``service:name``."""
        version = "" if self.version is None else f"@{self.version}"
        return f"{SERVICE}:{self.name}{version}"


Reference: TypeAlias = FeatureReference | ServiceReference


def parse_reference(text: str) -> Reference:
    """What ``text`` refers to; its ``text`` is ``text`` again.

    Raises:
        ValueError: none of the forms above.
    """
    if text.startswith((f"{SERVICE}:", f"{SERVICE}@")):
        found = _SERVICE.fullmatch(text)
        if found is None:
            raise ValueError(f"a feature service is named {SERVICE}:name or {SERVICE}:name@version")
        name, version = found.groups()
        return ServiceReference(name, None if version is None else int(version))
    found = _FEATURE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"must be view:feature, view@role:feature, {REQUEST}:name or {SERVICE}:name@version"
        )
    view, role, feature = found.groups()
    if view != REQUEST:
        return FeatureReference(view, feature, role)
    if role is not None:
        raise ValueError(f"a value of the request has no role; write {REQUEST}:{feature}")
    return FeatureReference(None, feature)
