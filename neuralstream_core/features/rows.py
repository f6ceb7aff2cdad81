"""What goes into and comes out of the online store: plain data, cheap to build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any, Final, NamedTuple, NotRequired, TypeAlias, TypedDict

from neuralstream_core.time import Micros

__all__ = [
    "NEVER",
    "BlockRead",
    "CellStatus",
    "Entity",
    "Row",
    "ViewRead",
    "WriteResult",
    "WriteRow",
]

NEVER: Final = -(2**63)
"""Stands in an array of event times for cells that were never written."""

Entity: TypeAlias = "str | tuple[str, ...]"
"""An entity id; a tuple in the view's key order for a composite entity."""


class CellStatus(IntEnum):
    """What a cell holds at the moment of reading."""

    PRESENT = 0
    NULL = 1
    """Written as null."""
    EXPIRED = 2
    """Older than the view's TTL: the value is withheld."""
    NOT_FOUND = 3
    """Never written (or long gone)."""


class WriteRow(TypedDict):
    """One row to write, as in ``POST /features/write``."""

    entity_id: str | Sequence[str] | Mapping[str, str]
    features: Mapping[str, Any]
    event_timestamp: NotRequired[str | datetime | None]
    """ISO 8601 with a zone, or an aware datetime; now when absent."""


class WriteResult(NamedTuple):
    """What became of a write. ``written + stale`` is the number of rows.

    Attributes:
        written: rows of which at least one value was stored.
        stale: rows all of whose values were older than what is stored; nothing changed.
        cells_written: values stored.
        cells_stale: values in written rows that were older than what is stored, and not stored.
    """

    written: int
    stale: int
    cells_written: int
    cells_stale: int


class ViewRead(NamedTuple):
    """One entity's features of one view; ``features=None`` means all."""

    view: str
    entity: Entity
    features: tuple[str, ...] | None = None


class BlockRead(NamedTuple):
    """Many entities' features of one view; ``features=None`` means all."""

    view: str
    entities: Sequence[Entity]
    features: tuple[str, ...] | None = None


class Row(NamedTuple):
    """Cells of one entity, in the order they were asked for.

    ``values`` are Python scalars (a timestamp as `Micros`), lists for vectors, and ``None`` for
    every cell that is not PRESENT. ``event_times`` are in microseconds; ``None`` where NOT_FOUND.
    """

    names: tuple[str, ...]
    values: tuple[Any, ...]
    status: tuple[CellStatus, ...]
    event_times: tuple[Micros | None, ...]

    @property
    def event_time(self) -> Micros | None:
        """The newest event time among the asked cells."""
        times = set(self.event_times)
        times.discard(None)
        return max(times) if times else None  # type: ignore[type-var]  # no None is left
