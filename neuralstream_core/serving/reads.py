"""The features of one row or of many, from the request and from the online store in one flight.

``entity_id`` names the primary entity: that of ``feature_view`` if the request gives one, else of the
view of the model's first feature. ``entities`` gives further keys, or overrides, by key name. Every view
takes its own keys from these. The version is always chosen by ``entity_id`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from neuralstream_core.errors import FieldError, Invalid, Unavailable
from neuralstream_core.features.entity import parse_entity
from neuralstream_core.features.rows import BlockRead, CellStatus, Entity, ViewRead
from neuralstream_core.registry.records import VersionRecord
from neuralstream_core.serving.cells import overrides
from neuralstream_core.serving.servable import Servable, ViewFeatures

if TYPE_CHECKING:
    from neuralstream_core.features.store import OnlineStore
    from neuralstream_core.serving.predictions import Group

__all__ = [
    "Keys",
    "RowRequest",
    "primaries",
    "primary",
    "primary_view",
    "read_columns",
    "read_row",
    "view_entities",
]

Keys: TypeAlias = Callable[[str], tuple[str, ...]]
"""The entity keys of a view by its name; raises NotFound."""


def primary_view(feature_view: str | None, version: VersionRecord) -> str | None:
    """The view whose keys ``entity_id`` gives; ``None`` for a model without views."""
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
        return raw  # checked where the store makes keys of them
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
    entities: Sequence[Entity] | None,
    views: Sequence[str],
    main: str,
    extra: Mapping[str, Sequence[str]] | None,
    keys: Keys,
) -> list[Sequence[Entity]]:
    """Per view its ``n`` entities.

    Args:
        entities: ``n`` entities of the primary view; ``None`` when the request named none, and
            ``extra`` must then give every key.
        main: the primary view.
        extra: the request's ``entities``, ``n`` values per key.

    Raises:
        Invalid: a view needs a key that neither gives.
    """
    if entities is None and not extra:
        raise Invalid.at("entity_id", f"needed to read the view {views[0]}", code="missing_entity")
    if entities is not None and not extra and set(views) <= {main}:
        return [entities] * len(views)
    known = dict(extra or {})
    if entities is not None:
        _add_keys(known, entities, keys(main))
    found: list[Sequence[Entity]] = []
    for view in views:
        wanted = keys(view)
        for key in wanted:
            if key not in known:
                raise Invalid.at(
                    f"entities.{key}", f"needed to read the view {view}", code="missing_entity"
                )
        columns = [known[key] for key in wanted]
        found.append(columns[0] if len(columns) == 1 else list(zip(*columns, strict=True)))
    return found


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


@dataclass(frozen=True, slots=True)
class RowRequest:
    """What a request for one row says beside the model and the version.

    Attributes:
        entity: canonical: a string, or a tuple in the primary view's key order; ``None`` when the
            request named none.
        feature_view: the view ``entity`` belongs to and in which unqualified names resolve.
        entities: further entity keys, for models that read several views.
        features: values that override the store or that only a request can give.
    """

    entity: Entity | None
    feature_view: str | None
    entities: Mapping[str, str] | None
    features: Mapping[str, Any]


def read_row(
    store: OnlineStore, servable: Servable, request: RowRequest
) -> tuple[list[Any], list[int], bool]:
    """Values and cell statuses in model order: the request's own first, the rest from the store.

    Returns:
        Them, and whether the store is down and declared defaults must fill what it should have given.

    Raises:
        Invalid: a value, a name or an entity of the request is wrong.
        Unavailable: the store is down and not every cell has a default.
    """
    count = len(servable.features)
    values: list[Any] = [None] * count
    status: list[int] = [CellStatus.NOT_FOUND] * count
    given = overrides(servable, request.features, request.feature_view)
    for place, value in given.items():
        values[place] = value
        status[place] = CellStatus.NULL if value is None else CellStatus.PRESENT
    unread = servable.unread(given, request.feature_view)
    if not unread:
        return values, status, False
    entities = view_entities(
        None if request.entity is None else [request.entity],
        [view.view for view in unread],
        request.feature_view or servable.views[0].view,
        {key: [value] for key, value in (request.entities or {}).items()},
        lambda view: store.catalog.get(view).keys,
    )
    reads = [ViewRead(v.view, of[0], v.names) for v, of in zip(unread, entities, strict=True)]
    try:
        rows = _read(store, store.read_rows, reads)
    except Unavailable as error:
        if not _filled_by_defaults(error, [(servable, unread)]):
            raise
        return values, status, True
    for view, row in zip(unread, rows, strict=True):
        for place, value, cell in zip(view.places, row.values, row.status, strict=True):
            values[place] = value
            status[place] = cell
    return values, status, False


def read_columns(
    store: OnlineStore,
    groups: Sequence[Group],
    entities: Sequence[Entity],
    keys: Mapping[str, Sequence[str]] | None,
    given: Mapping[str, Any],
    feature_view: str | None,
) -> bool:
    """The same for ``n`` rows: fill the columns of all groups with what the store has.

    Args:
        keys: further entity keys, ``n`` values each.
        given: the overrides by name, which are in the columns already.

    Returns:
        As the last of `read_row`; then all groups have their defaults.
    """
    wanted: list[tuple[Group, ViewFeatures]] = []
    reads: list[BlockRead] = []
    for group in groups:
        servable = group.servable
        places = {servable.place(name, feature_view) for name in given}
        unread = servable.unread(places, feature_view)
        if not unread:
            continue
        own = view_entities(
            _selected(entities, group),
            [view.view for view in unread],
            feature_view or servable.views[0].view,
            {key: _selected(column, group) for key, column in (keys or {}).items()},
            lambda view: store.catalog.get(view).keys,
        )
        for view, of in zip(unread, own, strict=True):
            wanted.append((group, view))
            reads.append(BlockRead(view.view, of, view.names))
    if not reads:
        return False
    try:
        blocks = _read(store, store.read_blocks, reads)
    except Unavailable as error:
        if not _filled_by_defaults(error, [(group.servable, [view]) for group, view in wanted]):
            raise
        return True
    for (group, view), block in zip(wanted, blocks, strict=True):
        for place, name in zip(view.places, view.names, strict=True):
            group.columns[place] = block.columns[name]
        group.status[:, list(view.places)] = block.status
    return False


T = TypeVar("T")


def _selected(values: Sequence[T], group: Group) -> Sequence[T]:
    if len(group.rows) == len(values):
        return values
    return [values[row] for row in group.rows.tolist()]


class _Read(Protocol):
    @property
    def view(self) -> str: ...


R = TypeVar("R", bound=_Read)


def _read(
    store: OnlineStore, read: Callable[[Sequence[R]], list[T]], reads: Sequence[R]
) -> list[T]:
    try:
        return read(reads)
    except Invalid as error:
        if error.code != "unknown_feature":
            raise
    # A view has grown since this process last looked: a new version reads the new feature.
    for one in reads:
        store.catalog.latest(one.view)
    return read(reads)


def _filled_by_defaults(
    error: Unavailable, wanted: Sequence[tuple[Servable, Sequence[ViewFeatures]]]
) -> bool:
    return error.dependency == "redis" and all(
        servable.defaulted(views) for servable, views in wanted
    )
