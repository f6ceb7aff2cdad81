"""Whose features a request asks for, and by whom its version is chosen.

``entity_id`` names the primary entity: that of ``feature_view`` if the request gives one, else of the view
of the model's first feature without a role. ``entities`` gives further ids, or overrides, by entity key
or by role. Every view takes its own keys from these; under a role it takes the id of that role.

A model whose views all have roles has no primary view. Its entity is the ids of its roles, in the order of
the roles' names: given by ``entities``, or by an ``entity_id`` that is an object by role. Any other
``entity_id`` of such a model only chooses the version.

The version is always chosen by the entity alone, so the same ids get the same version in single
predictions, in batches and in jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from neuralstream_core.errors import FieldError, Invalid
from neuralstream_core.features.entity import entity_json, parse_entity
from neuralstream_core.features.rows import Entity
from neuralstream_core.registry.records import VersionRecord
from neuralstream_core.serving.servable import Servable, ViewFeatures

__all__ = [
    "Identities",
    "Identity",
    "Keys",
    "identify",
    "identify_rows",
    "primaries",
    "primary",
    "primary_view",
    "shown",
    "view_entities",
]

Keys: TypeAlias = Callable[[str], tuple[str, ...]]
"""The entity keys of a view by its name; raises NotFound."""


class Identity(NamedTuple):
    """Whom a request for one row names.

    Attributes:
        entity: by which the version is chosen; canonical: a string, or a tuple in the order of the
            primary view's keys (of `roles`); ``None`` when the request named none.
        entities: further ids by entity key or role.
        roles: whose ids `entity` holds; empty when it is that of a view, or any other id.
    """

    entity: Entity | None
    entities: Mapping[str, str] | None
    roles: tuple[str, ...] = ()


class Identities(NamedTuple):
    """The same of a request for ``n`` rows, each of which names an entity.

    Attributes:
        entities: one per row.
        keys: further ids, ``n`` by entity key or role.
        roles: as in `Identity`, for those entities that are tuples.
    """

    entities: list[Entity]
    keys: Mapping[str, Sequence[str]] | None
    roles: tuple[str, ...] = ()


def primary_view(feature_view: str | None, version: VersionRecord) -> str | None:
    """The view whose keys ``entity_id`` gives; ``None`` for a model without views, or with roles only."""
    if feature_view is not None:
        return feature_view
    return next(
        (ref.view for ref in version.features if ref.view is not None and ref.role is None), None
    )


def primary(raw: Any, view: str | None, keys: Keys) -> Entity:
    """``entity_id`` of a request in its canonical form.

    Args:
        raw: an id, a list of ids or an object by key.
        view: the primary view; ``None`` for a model without views.

    Raises:
        Invalid: not such a form, or not that of the view.
    """
    try:
        if isinstance(raw, str | int):
            return parse_entity(("entity_id",), raw)
        if view is not None:
            return parse_entity(keys(view), raw)
        parts = list(raw.values()) if isinstance(raw, Mapping) else raw
        return parse_entity(("",) * len(parts), parts)
    except (ValueError, TypeError) as error:
        raise _wrong(str(error)) from None


def primaries(raw: list[Any], view: str | None, keys: Keys) -> list[Entity]:
    """The ``entity_ids`` of a request, each as `primary` reads it.

    Raises:
        Invalid: names every entity that does not fit.
    """
    if set(map(type, raw)) <= {str}:
        return raw  # checked where the store makes keys of them
    return _each(raw, lambda _, entity: primary(entity, view, keys))


def identify(
    raw: Any,
    entities: Mapping[str, str] | None,
    feature_view: str | None,
    version: VersionRecord,
    keys: Keys,
) -> Identity:
    """Whom a request names.

    Args:
        raw: its ``entity_id``: an id, a list of ids, an object by key or by role, or ``None``.
        entities: its further ids by entity key or role.
        version: one that may answer; all versions of a model name their entity alike.

    Raises:
        Invalid: ``entity_id`` does not fit the version.
    """
    view, roles = primary_view(feature_view, version), version.roles
    if not roles:
        return Identity(None if raw is None else primary(raw, view, keys), entities)
    known = dict(entities or {})
    if view is None:
        return _by_role(raw, known, roles)
    if isinstance(raw, Mapping):
        own = keys(view)
        known = {**_ids(raw, [role for role in roles if role in raw]), **known}
        raw = {key: value for key, value in raw.items() if key in own or key not in roles}
    return Identity(None if raw is None else primary(raw, view, keys), known)


def identify_rows(
    raw: list[Any],
    entities: Mapping[str, Sequence[str]] | None,
    feature_view: str | None,
    version: VersionRecord,
    keys: Keys,
) -> Identities:
    """Whom a request for rows names, each row as `identify` reads it.

    Raises:
        Invalid: names every row of ``entity_ids`` that does not fit, or that lacks an id which others give.
    """
    view, roles = primary_view(feature_view, version), version.roles
    if not roles:
        return Identities(primaries(raw, view, keys), entities or None)
    if set(map(type, raw)) <= {str} and (view is not None or len(roles) > 1):
        return Identities(raw, entities or None)  # they name no role
    given = entities or {}

    def one(at: int, entity: Any) -> Identity:
        own = {name: column[at] for name, column in given.items()}
        found = identify(entity, own, feature_view, version, keys)
        if found.entity is None:
            raise _wrong(f"must have the keys {', '.join(roles)}")
        return found

    rows = _each(raw, one)
    names = dict.fromkeys(name for row in rows for name in row.entities or ())

    def column(name: str) -> list[str]:
        def cell(_: int, row: Identity) -> str:
            if name not in (row.entities or {}):
                raise _wrong(f"must have the key {name}, as other rows do")
            return (row.entities or {})[name]

        return _each(rows, cell)

    return Identities(
        [row.entity for row in rows if row.entity is not None],
        {name: column(name) for name in names},
        rows[0].roles if rows else (),
    )


def shown(entity: Entity, roles: tuple[str, ...]) -> str | list[str] | dict[str, str]:
    """How answers name an entity: as text, as a list in the view's key order, or by role."""
    if roles and not isinstance(entity, str):
        return dict(zip(roles, entity, strict=True))
    return entity_json(entity)


def view_entities(
    entities: Sequence[Entity] | None,
    views: Sequence[ViewFeatures],
    servable: Servable,
    feature_view: str | None,
    extra: Mapping[str, Sequence[str]] | None,
    keys: Keys,
) -> list[Sequence[Entity]]:
    """Per view (and role) its ``n`` entities.

    Args:
        entities: ``n`` primary entities; ``None`` when the request named none, and ``extra`` must then
            give every key.
        feature_view: the request's primary view; that of ``servable`` when ``None``.
        extra: the request's ``entities``, ``n`` values per key.

    Raises:
        Invalid: a view needs an id that neither gives.
    """
    main = feature_view or servable.main
    if entities is not None and not extra:
        for view in views:
            if view.view != main or view.role is not None:
                break
        else:
            return [entities] * len(views)
    if entities is None and not extra and views[0].role is None:
        raise Invalid.at(
            "entity_id", f"needed to read the view {views[0].view}", code="missing_entity"
        )
    known = dict(extra or {})
    if entities is not None and main is not None:
        _add_keys(known, entities, keys(main))
    elif entities is not None:
        _add_roles(known, entities, servable.version.roles)
    found: list[Sequence[Entity]] = []
    for view in views:
        wanted = keys(view.view) if view.role is None else (view.role,)
        for key in wanted:
            if key not in known:
                raise Invalid.at(
                    f"entities.{key}",
                    f"needed to read the view {view.label}",
                    code="missing_entity",
                )
        columns = [known[key] for key in wanted]
        found.append(columns[0] if len(columns) == 1 else list(zip(*columns, strict=True)))
    return found


G = TypeVar("G")
T = TypeVar("T")


def _each(rows: Sequence[G], read: Callable[[int, G], T]) -> list[T]:
    """What ``read`` makes of each row; its errors of ``entity_id`` become one error that names every row."""
    found: list[T] = []
    errors: list[FieldError] = []
    for at, row in enumerate(rows):
        try:
            found.append(read(at, row))
        except Invalid as error:
            errors.append(FieldError(f"entity_ids.{at}", error.errors[0].msg))
    if errors:
        raise Invalid(f"{errors[0].loc}: {errors[0].msg}", code="invalid_entity", errors=errors)
    return found


def _by_role(raw: Any, known: dict[str, str], roles: tuple[str, ...]) -> Identity:
    """Whom a request names for a model whose views all have roles."""
    if isinstance(raw, Mapping):
        if unknown := [name for name in raw if name not in roles]:
            raise _wrong(f"has the key {unknown[0]}; the model's roles are {', '.join(roles)}")
        known = {**_ids(raw, list(raw)), **known}
    elif raw is not None:
        if isinstance(raw, list | tuple):
            raise _wrong(f"must be an object by role ({', '.join(roles)}), or one id")
        entity = primary(raw, None, _no_keys)
        if len(roles) == 1 and isinstance(entity, str):
            known.setdefault(roles[0], entity)
        return Identity(entity, known)
    if not all(role in known for role in roles):
        return Identity(None, known)
    ids = tuple(known[role] for role in roles)
    return Identity(ids[0] if len(ids) == 1 else ids, known, roles)


def _ids(raw: Mapping[str, Any], names: list[str]) -> dict[str, str]:
    """The ids of these names, each as text."""
    try:
        return {name: str(parse_entity((name,), raw[name])) for name in names}
    except ValueError as error:
        raise _wrong(str(error)) from None


def _no_keys(view: str) -> tuple[str, ...]:
    raise AssertionError(f"no key of {view} is asked for")


def _add_keys(
    known: dict[str, Sequence[str]], entities: Sequence[Entity], keys: tuple[str, ...]
) -> None:
    """Add the values of the primary view's keys that are not known yet."""
    rows = [(entity,) if isinstance(entity, str) else entity for entity in entities]
    if all(len(row) == len(keys) for row in rows):
        for at, key in enumerate(keys):
            known.setdefault(key, [row[at] for row in rows])
    elif not all(key in known for key in keys):
        raise Invalid.at(
            "entity_id", f"must be {len(keys)} ids ({', '.join(keys)})", code="invalid_entity"
        )


def _add_roles(
    known: dict[str, Sequence[str]], entities: Sequence[Entity], roles: tuple[str, ...]
) -> None:
    """The same for entities that may be ids of all roles; others only choose versions."""
    rows = [(entity,) if isinstance(entity, str) else entity for entity in entities]
    if all(len(row) == len(roles) for row in rows):
        for at, role in enumerate(roles):
            known.setdefault(role, [row[at] for row in rows])


def _wrong(message: str) -> Invalid:
    return Invalid.at("entity_id", message, code="invalid_entity")
