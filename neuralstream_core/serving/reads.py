"""The features of one row or of many, from the request and from the online store in one flight.

``entity_id`` names the primary entity: that of ``feature_view`` if the request gives one, else of the
view of the model's first feature. ``entities`` gives further keys, or overrides, by key name. Every view
takes its own keys from these. The version is always chosen by ``entity_id`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from neuralstream_core.errors import Invalid, Unavailable
from neuralstream_core.features.rows import BlockRead, CellStatus, Entity, ViewRead
from neuralstream_core.serving.cells import overrides
from neuralstream_core.serving.entities import view_entities
from neuralstream_core.serving.servable import Servable, ViewFeatures

if TYPE_CHECKING:
    from neuralstream_core.features.store import OnlineStore
    from neuralstream_core.serving.predictions import Group

__all__ = [
    "RowRequest",
    "read_columns",
    "read_row",
]


@dataclass(frozen=True, slots=True)
class RowRequest:
    """What a request for one row says beside the model and the version.

    Attributes:
        entity: canonical, see `neuralstream_core.serving.entities`; ``None`` when the request named none.
        feature_view: the view ``entity`` belongs to and in which unqualified names resolve.
        entities: further ids by entity key or role, for models that read several views.
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
        unread,
        servable,
        request.feature_view,
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
        keys: further ids by entity key or role, ``n`` each.
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
            unread,
            servable,
            feature_view,
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
