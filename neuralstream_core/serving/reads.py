"""The features of one row or of many, from the request and from the online store in one flight.

Whose features they are is decided in `neuralstream_core.serving.entities`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from neuralstream_core.errors import Invalid, Unavailable
from neuralstream_core.features.rows import BlockRead, CellStatus, Entity, Row, ViewRead
from neuralstream_core.serving.cells import overrides
from neuralstream_core.serving.entities import view_entities
from neuralstream_core.serving.servable import Servable, ViewFeatures

if TYPE_CHECKING:
    from neuralstream_core.features.block import Block
    from neuralstream_core.features.store import OnlineStore
    from neuralstream_core.serving.predictions import Group

__all__ = [
    "Beside",
    "Cells",
    "RowRequest",
    "plan_row",
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


@dataclass(slots=True)
class Cells:
    """The cells of one row in model order: the request's own, and which are read from the store.

    Attributes:
        status: one per feature; NOT_FOUND of those that are still to be read.
        views, reads: what is to be read, in the same order.
    """

    values: list[Any]
    status: list[int]
    views: Sequence[ViewFeatures] = ()
    reads: Sequence[ViewRead] = ()

    def take(self, rows: Sequence[Row]) -> None:
        """Take over what was read."""
        for view, row in zip(self.views, rows, strict=True):
            for place, value, cell in zip(view.places, row.values, row.status, strict=True):
                self.values[place] = value
                self.status[place] = cell


def plan_row(store: OnlineStore, servable: Servable, request: RowRequest) -> Cells:
    """What a request gives of a row, and what is to be read of it.

    Raises:
        Invalid: a value, a name or an entity of the request is wrong.
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
        return Cells(values, status)
    entities = view_entities(
        None if request.entity is None else [request.entity],
        unread,
        servable,
        request.feature_view,
        {key: [value] for key, value in (request.entities or {}).items()},
        lambda view: store.catalog.get(view).keys,
    )
    reads = [ViewRead(v.view, of[0], v.names) for v, of in zip(unread, entities, strict=True)]
    return Cells(values, status, unread, reads)


def read_row(
    store: OnlineStore, servable: Servable, request: RowRequest, beside: Beside | None = None
) -> tuple[list[Any], list[int], bool]:
    """Values and cell statuses in model order: the request's own first, the rest from the store.

    Args:
        beside: what a shadow reads is read with the same flight; what goes wrong with it stays there.

    Returns:
        Them, and whether the store is down and declared defaults must fill what it should have given.

    Raises:
        Invalid: a value, a name or an entity of the request is wrong.
        Unavailable: the store is down and not every cell has a default.
    """
    cells = plan_row(store, servable, request)
    others = beside.cells if beside is not None else None
    if not cells.reads and (others is None or not others.reads):
        return cells.values, cells.status, False
    try:
        if beside is None or others is None or not others.reads:
            cells.take(_read(store, store.read_rows, cells.reads))
        else:
            _read_both(store, cells, others, beside)
    except Unavailable as error:
        if not _filled_by_defaults(error, [(servable, cells.views)]):
            raise
        return cells.values, cells.status, True
    return cells.values, cells.status, False


def _read_both(store: OnlineStore, cells: Cells, others: Cells, beside: Beside) -> None:
    """Read two rows in one flight; alike reads are one."""
    own = len(cells.reads)
    more = [read for read in others.reads if read not in cells.reads]
    try:
        rows = _read(store, store.read_rows, [*cells.reads, *more])
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - perhaps the shadow's alone: the answer is read by itself
        beside.failed = error
        cells.take(_read(store, store.read_rows, cells.reads) if cells.reads else [])
        return
    cells.take(rows[:own])
    found = dict(zip([*cells.reads, *more], rows, strict=True))
    others.take([found[read] for read in others.reads])


def read_columns(
    store: OnlineStore,
    groups: Sequence[Group],
    entities: Sequence[Entity],
    keys: Mapping[str, Sequence[str]] | None,
    given: Mapping[str, Any],
    feature_view: str | None,
    beside: Beside | None = None,
) -> bool:
    """The same for ``n`` rows: fill the columns of all groups with what the store has.

    Args:
        keys: further ids by entity key or role, ``n`` each.
        given: the overrides by name, which are in the columns already.

    Returns:
        As the last of `read_row`; then all groups have their defaults.
    """
    wanted: list[_Wanted] = []
    for group in groups:
        wanted += _wanted(store, group, entities, keys, given, feature_view)
    others: list[_Wanted] = []
    if beside is not None and beside.group is not None:
        try:
            others = _wanted(store, beside.group, entities, keys, given, feature_view)
        except Exception as error:  # noqa: BLE001 - as in _read_both
            beside.failed = error
    reads = [one.read for one in wanted]
    more = [one.read for one in others if one.read not in reads]
    if not reads and not more:
        return False
    try:
        blocks = _read(store, store.read_blocks, [*reads, *more])
    except Unavailable as error:
        if not _filled_by_defaults(error, [(one.group.servable, [one.view]) for one in wanted]):
            raise
        return True
    except Exception as error:
        if beside is None or not more:
            raise
        beside.failed, others = error, []
        blocks = _read(store, store.read_blocks, reads) if reads else []
    for one in others:  # first, and as copies: the groups fill their own in place
        block = blocks[[*reads, *more].index(one.read)]
        _take(one, block, copy=True)
    for one, block in zip(wanted, blocks, strict=False):
        _take(one, block)
    return False


class _Wanted(NamedTuple):
    """What a group reads of one view."""

    group: Group
    view: ViewFeatures
    read: BlockRead


def _wanted(
    store: OnlineStore,
    group: Group,
    entities: Sequence[Entity],
    keys: Mapping[str, Sequence[str]] | None,
    given: Mapping[str, Any],
    feature_view: str | None,
) -> list[_Wanted]:
    servable = group.servable
    # A shadow may not have all the inputs that the request gives.
    places = {servable.place(name, feature_view) for name in given if name in servable.lookup}
    unread = servable.unread(places, feature_view)
    if not unread:
        return []
    own = view_entities(
        _selected(entities, group),
        unread,
        servable,
        feature_view,
        {key: _selected(column, group) for key, column in (keys or {}).items()},
        lambda view: store.catalog.get(view).keys,
    )
    return [
        _Wanted(group, view, BlockRead(view.view, of, view.names))
        for view, of in zip(unread, own, strict=True)
    ]


def _take(one: _Wanted, block: Block, *, copy: bool = False) -> None:
    for place, name in zip(one.view.places, one.view.names, strict=True):
        column = block.columns[name]
        one.group.columns[place] = column.copy() if copy else column
    one.group.status[:, list(one.view.places)] = block.status


T = TypeVar("T")


def _selected(values: Sequence[T], group: Group) -> Sequence[T]:
    if len(group.rows) == len(values):
        return values
    return [values[row] for row in group.rows.tolist()]


class Beside(Protocol):
    """Whose features are read with the answer's, see `neuralstream_core.serving.shadowing.Shadow`."""

    cells: Cells | None
    group: Group | None
    failed: Exception | None


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
