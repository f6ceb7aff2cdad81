"""One entity's rows of the history, in their order, and which of them are asked for."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from neuralstream_core.errors import Invalid
from neuralstream_core.features.rows import Entity
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.time import Micros
from neuralstream_core.types import MAX_NAME

__all__ = ["EntityPage", "EntityRow", "Place", "Wanted"]

_FIRST: Final = -(2**63)


class Place(NamedTuple):
    """Where a row stands among those of its entity, which are in the order of their places: of equal event
    times the last one counts (`neuralstream_core.history.schema.ORDER`)."""

    event_time: Micros
    write_time: Micros
    request_id: str
    row: int

    @classmethod
    def first(cls, event_time: Micros) -> Place:
        """The first place of an event time."""
        return cls(event_time, _FIRST, "", _FIRST)


class EntityRow(NamedTuple):
    """One written row of an entity.

    Attributes:
        place: its event time, when it was appended to the log, and which row of which request it is.
        schema_version: of the view, when it was written.
        values: by feature, of those that were written: scalars, lists for vectors, a timestamp as `Micros`,
            ``None`` where it was written as NULL.
    """

    place: Place
    schema_version: int
    values: dict[str, Any]

    @property
    def identity(self) -> tuple[str, int, Micros]:
        """The same for a row that was delivered again."""
        return self.place.request_id, self.place.row, self.place.event_time


class Wanted(NamedTuple):
    """Which rows of an entity.

    Attributes:
        feature: only rows that wrote it, and only its value; all where ``None``.
        start, end: of the event times, in microseconds: from ``start`` up to and without ``end``.
        before: only rows that come before this place, ``next`` of the page before; all where ``None``.
        limit: most rows of the page.
    """

    feature: str | None = None
    start: Micros | None = None
    end: Micros | None = None
    before: Place | None = None
    limit: int = 100

    def names(self, view: FeatureView) -> tuple[str, ...]:
        """The features whose values are asked for.

        Raises:
            Invalid: the view has no such feature.
        """
        if self.feature is None:
            return view.names
        if self.feature not in view.index:
            shown = self.feature[:MAX_NAME]
            raise Invalid.at(
                "query.feature", f"view {view.name} has no feature {shown}", code="unknown_feature"
            )
        return (self.feature,)

    @property
    def last(self) -> Place | None:
        """The rows are those before this place; ``None``: all."""
        places = [] if self.before is None else [self.before]
        if self.end is not None:
            places.append(Place.first(self.end))
        return min(places, default=None)

    def takes(self, place: Place) -> bool:
        """Whether a row at ``place`` is one of them."""
        return (self.last is None or place < self.last) and (
            self.start is None or place.event_time >= self.start
        )


class EntityPage(NamedTuple):
    """Some rows of an entity, newest event time first.

    Attributes:
        view, entity: whose rows they are.
        next: `Wanted.before` of the next page; ``None`` on the last. A page that has one may have fewer rows
            than were asked for, or none: so many days were read in vain.
    """

    view: FeatureView
    entity: Entity
    rows: list[EntityRow]
    next: Place | None
