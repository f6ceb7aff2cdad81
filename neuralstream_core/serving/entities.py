"""Whose features a request means, when a model reads views with different entity keys.

``entity_id`` names the primary entity: that of ``feature_view`` if the request gives one, else of the
view of the model's first feature. ``entities`` gives further keys, or overrides, by key name. Every view
takes its own keys from these. The same text always routes the same way: the bucket is that of
``entity_id``, whatever else the request holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from neuralstream_core.errors import FieldError, Invalid
from neuralstream_core.features.entity import parse_entity
from neuralstream_core.features.rows import Entity
from neuralstream_core.registry.records import VersionRecord

__all__ = ["Keys", "column_entities", "primaries", "primary", "primary_view", "view_entities"]

Keys = Callable[[str], tuple[str, ...]]
"""The entity keys of a view by its name; raises NotFound."""


def primary_view(feature_view: str | None, version: VersionRecord) -> str | None:
    """The view whose keys ``entity_id`` gives: the request's, else that of the model's first feature.

    Returns:
        ``None`` for a model without views.
    """
    if feature_view is not None:
        return feature_view
    return next((ref.view for ref in version.features if ref.view is not None), None)


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
        raise Invalid.at("entity_id", str(error), code="invalid_entity") from None


def primaries(raw: list[Any], view: str | None, keys: Keys) -> list[Entity]:
    """The ``entity_ids`` of a request, each as `primary` reads it.

    Raises:
        Invalid: names every entity that does not fit.
    """
    if set(map(type, raw)) <= {str}:
        return raw
    found: list[Entity] = []
    errors: list[FieldError] = []
    for at, entity in enumerate(raw):
        try:
            found.append(primary(entity, view, keys))
        except Invalid as error:
            errors.append(FieldError(f"entity_ids.{at}", error.errors[0].msg))
    if errors:
        raise Invalid(f"{errors[0].loc}: {errors[0].msg}", code="invalid_entity", errors=errors)
    return found


def view_entities(
    entity: Entity | None,
    views: Sequence[str],
    main: str,
    extra: Mapping[str, str] | None,
    keys: Keys,
) -> list[Entity]:
    """The entity of each of ``views``.

    Args:
        entity: ``None`` when the request named none; ``extra`` must then give every key.
        main: the primary view, whose keys ``entity`` gives.
        extra: the request's ``entities``.

    Raises:
        Invalid: a view needs a key that neither gives.
    """
    if entity is None and not extra:
        raise Invalid.at("entity_id", f"needed to read the view {views[0]}", code="missing_entity")
    known = dict(extra or {}) if entity is None else _known(entity, keys(main), extra)
    found: list[Entity] = []
    for view in views:
        wanted = keys(view)
        missing = [key for key in wanted if key not in known]
        if missing:
            raise Invalid.at(
                f"entities.{missing[0]}", f"needed to read the view {view}", code="missing_entity"
            )
        found.append(known[wanted[0]] if len(wanted) == 1 else tuple(known[k] for k in wanted))
    return found


def column_entities(
    entities: Sequence[Entity],
    views: Sequence[str],
    main: str,
    extra: Mapping[str, Sequence[str]] | None,
    keys: Keys,
) -> list[Sequence[Entity]]:
    """The same for ``n`` rows: per view its ``n`` entities, ``extra`` giving ``n`` values a key.

    Raises:
        Invalid: a view needs a key that neither gives.
    """
    main_keys = keys(main)
    found: list[Sequence[Entity]] = []
    for view in views:
        wanted = keys(view)
        if wanted == main_keys and not (extra and set(extra) & set(wanted)):
            found.append(entities)
            continue
        columns: list[Sequence[str]] = []
        for key in wanted:
            if extra is not None and key in extra:
                columns.append(extra[key])
            elif key in main_keys:
                at = main_keys.index(key)
                columns.append([e if isinstance(e, str) else e[at] for e in entities])
            else:
                raise Invalid.at(
                    f"entities.{key}", f"needed to read the view {view}", code="missing_entity"
                )
        found.append(columns[0] if len(wanted) == 1 else list(zip(*columns, strict=True)))
    return found


def _known(
    entity: Entity, keys: tuple[str, ...], extra: Mapping[str, str] | None
) -> dict[str, str]:
    parts = (entity,) if isinstance(entity, str) else entity
    known = dict(extra or {})
    if len(parts) == len(keys):
        for key, part in zip(keys, parts, strict=True):
            known.setdefault(key, part)
    elif not all(key in known for key in keys):
        raise Invalid.at(
            "entity_id",
            f"must be {len(keys)} ids ({', '.join(keys)})",
            code="invalid_entity",
        )
    return known
