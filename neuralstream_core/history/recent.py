"""Rows of one entity that are in the log, and not in files yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from neuralstream_core.features.block import build_written
from neuralstream_core.features.rows import CellStatus
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.history.entries import FORGOTTEN, Part
from neuralstream_core.history.rows import EntityRow, Place
from neuralstream_core.history.staging import Forgotten, check_version
from neuralstream_core.time import Micros

__all__ = ["RecentRows"]

_DECODED: Final = 4096
"""Rows that are decoded together."""
_KEPT: Final = 4096
"""Newest rows that are kept: more than a page has."""


class RecentRows:
    """Gathers rows of one entity from parts of the log.

    Args:
        view: at a schema version that knows every row's features.
        entity: its `entity_bytes`.
        names: features whose values are wanted; a row that wrote none of them is left out.
        takes: whether a row at a place is wanted.

    Attributes:
        forgotten: when the entity was forgotten last; ``None`` if it was not.
        complete_from: rows before this place were left out, as there are too many; ``None``: none was.
    """

    def __init__(
        self,
        view: FeatureView,
        entity: bytes,
        names: Sequence[str],
        takes: Callable[[Place], bool],
    ) -> None:
        self.forgotten: Forgotten | None = None
        self.complete_from: Place | None = None
        self._view, self._entity, self._names, self._takes = view, entity, names, takes
        self._waiting: list[tuple[Micros, Part, int]] = []
        self._rows: dict[tuple[str, int, Micros], EntityRow] = {}

    def add(self, write_time: Micros, part: Part) -> None:
        """Take the entity's rows of a part.

        Raises:
            Unavailable: a row of a schema version that the view has not reached, or a damaged row.
        """
        check_version(self._view, part)
        for number, entity in enumerate(part.entities):
            if entity != self._entity:
                continue
            if part.rows[number] == FORGOTTEN:
                when = Forgotten(write_time, part.request_id, number)
                self.forgotten = max(when, self.forgotten or when)
            else:
                self._waiting.append((write_time, part, number))
        if len(self._waiting) >= _DECODED:
            self._decode()

    def rows(self) -> list[EntityRow]:
        """What was taken, newest first, less what was forgotten; a row that came twice is in it once."""
        self._decode()
        return sorted(filter(self._alive, self._rows.values()), reverse=True)

    def _alive(self, row: EntityRow) -> bool:
        return self.forgotten is None or row.place[1:] > self.forgotten

    def _decode(self) -> None:
        waiting, self._waiting = self._waiting, []
        block = build_written(self._view, [part.rows[number] for _, part, number in waiting])
        times = [] if block.event_times is None else block.event_times.tolist()
        columns = {name: block.columns[name].tolist() for name in self._names}
        status = {name: block.status[:, self._view.index[name]] for name in self._names}
        for at, (write_time, part, number) in enumerate(waiting):
            place = Place(times[at], write_time, part.request_id, number)
            values = {
                name: columns[name][at] if found[at] == CellStatus.PRESENT else None
                for name, found in status.items()
                if found[at] != CellStatus.NOT_FOUND
            }
            if values and self._takes(place):
                self._keep(EntityRow(place, part.schema_version, values))
        if len(self._rows) > 2 * _KEPT:
            kept = sorted(self._rows.values(), reverse=True)[:_KEPT]
            self._rows = {row.identity: row for row in kept}
            self.complete_from = kept[-1].place

    def _keep(self, row: EntityRow) -> None:
        if self.complete_from is not None and row.place < self.complete_from:
            return
        known = self._rows.get(row.identity)
        if known is None or row.place < known.place:
            self._rows[row.identity] = row
