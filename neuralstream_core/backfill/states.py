"""Cells by entity and feature: those that are online, and those that the history says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from neuralstream_core.backfill.cells import Cells, cells_of_packed
from neuralstream_core.backfill.newest import NewestRows, Share
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.upkeep import Alive, Upkeep
from neuralstream_core.features.writes import FORGOTTEN
from neuralstream_core.history.entries import Part
from neuralstream_core.history.reader import History, Snapshot
from neuralstream_core.time import Micros

__all__ = ["Cell", "State", "online_state", "said_state"]

_READ: Final = 1000

Cell: TypeAlias = tuple[Micros, Any]
"""Event time and value; ``None`` is NULL."""
State: TypeAlias = dict[tuple[bytes, str], Cell]
"""By entity and feature."""


def online_state(upkeep: Upkeep, view: FeatureView, entities: Sequence[bytes]) -> State:
    """The stored cells of entities, expired ones too.

    Raises:
        NotFound: the view was deleted.
        Unavailable: Redis cannot answer.
    """
    found: State = {}
    for start in range(0, len(entities), _READ):
        some = entities[start : start + _READ]
        for entity, row in zip(some, upkeep.rows(view, some), strict=True):
            if row is not None:
                cells = zip(row.names, row.values, row.event_times, strict=True)
                for name, value, time in cells:
                    if time is not None:
                        found[entity, name] = (time, value)
    return found


def said_state(
    history: History,
    snapshot: Snapshot,
    alive: Alive,
    taken: Callable[[bytes], bool],
    *,
    share: Share | None = None,
    entities: Sequence[bytes] | None = None,
    hears: Callable[[Part], None] | None = None,
) -> State:
    """The newest cells of the history, of files and log; of equal event times the last one written.

    Args:
        alive: of the entities in files, which to take.
        taken: of all entities, which to take.
        share, entities: what files are asked for; all of them where ``None``.
        hears: is given each part of the log that is not in files yet.

    Raises:
        Unavailable: DynamoDB or S3 cannot answer.
    """
    said = _Said(snapshot.view)
    names = None if entities is None else [entity.decode() for entity in entities]
    with tempfile.TemporaryDirectory() as spill:
        files, paths = history.attach(snapshot.files)
        newest = NewestRows(snapshot.view, files, paths, Path(spill))
        for cells in newest.cells(None, None, alive, share=share, only=names):
            said.add(cells, taken)
    parts = sorted(history.tail(snapshot), key=lambda each: (each[0], each[1].request_id))
    for _, part in parts:
        if hears is not None:
            hears(part)
        said.add_packed(part.entities, part.rows, taken)
    return said.cells


@dataclass(slots=True)
class _Said:
    """The history's answer so far: of each cell the newest event time, and of equal ones the last."""

    view: FeatureView
    cells: State = field(default_factory=dict)

    def add(self, cells: Cells, taken: Callable[[bytes], bool]) -> None:
        """Rows in the order in which they were written."""
        times = cells.times.tolist()
        columns = {name: _listed(values) for name, values in cells.columns.items()}
        for at, entity in enumerate(cells.entities):
            if not taken(entity):
                continue
            for position, name in enumerate(self.view.names):
                if cells.written[at, position]:
                    self._set((entity, name), (times[at], columns[name][at]))

    def add_packed(
        self, entities: Sequence[bytes], rows: Sequence[bytes], taken: Callable[[bytes], bool]
    ) -> None:
        """Rows of the log; where an entity was forgotten, what was said of it is taken back."""
        chosen = [(e, row) for e, row in zip(entities, rows, strict=True) if taken(e)]
        gone = {entity for entity, row in chosen if row == FORGOTTEN}
        if gone:
            self.cells = {key: cell for key, cell in self.cells.items() if key[0] not in gone}
        kept = [(entity, row) for entity, row in chosen if row != FORGOTTEN]
        if kept:
            packed = cells_of_packed(self.view, [e for e, _ in kept], [row for _, row in kept])
            self.add(packed, taken)

    def _set(self, key: tuple[bytes, str], cell: Cell) -> None:
        known = self.cells.get(key)
        if known is None or cell[0] >= known[0]:
            self.cells[key] = cell


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else list(values.tolist())
