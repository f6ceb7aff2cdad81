"""Is what is online what the history says? Cells of a share of the entities, compared one by one.

Which entities: by a hash of their bytes, other ones in every run, so that all are compared after some runs.
The history's answer is made as a rebuild makes it, of files and log. Writes go on meanwhile, and one is for a
moment in one of the two only: what differs is looked at again after a pause, and counts only if neither side
has changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from neuralstream_core.backfill.newest import BUCKETS, Share
from neuralstream_core.backfill.states import Cell, State, online_state, said_state
from neuralstream_core.errors import NotFound
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.upkeep import Alive, Upkeep
from neuralstream_core.history.consistency import CellCounts, ConsistencyReports, ViewConsistency
from neuralstream_core.history.reader import History, Snapshot
from neuralstream_core.time import Clock, Micros, from_micros

__all__ = ["ConsistencyCheck"]

_ENTITIES: Final = 20_000
"""Compared in one run, about."""
_SETTLED: Final[Micros] = 5 * 60 * 1_000_000
"""Cells that expire within this time are not compared: they expire while they are."""


@dataclass(frozen=True, slots=True)
class ConsistencyCheck:
    """Checks views.

    Attributes:
        pause: waits for writes that are under way to be in both.
    """

    history: History
    upkeep: Upkeep
    reports: ConsistencyReports
    clock: Clock
    pause: Callable[[], None]

    def run(self, number: int, *, entities: int = _ENTITIES) -> list[ViewConsistency]:
        """Check every view that keeps a history, and keep the reports.

        Args:
            number: of the run; decides which entities are compared.
            entities: to compare of each view, about.

        Raises:
            Unavailable: a dependency cannot answer; views that come later are not checked.
        """
        views = {view.generation: view for view in self._views() if view.history}
        snapshots = {key: self.history.snapshot(view) for key, view in views.items()}
        shares = {key: _share(each, number, entities) for key, each in snapshots.items()}
        stored = self.upkeep.entities({key: share.has for key, share in shares.items()})
        found: list[ViewConsistency] = []
        for generation, snapshot in snapshots.items():
            try:
                report = self._check(snapshot, shares[generation], stored[generation])
            except NotFound:
                continue  # the view was deleted meanwhile
            self.reports.put(report)
            found.append(report)
        names = {view.name for view in views.values()}
        for known in self.reports.all():
            if known.feature_view not in names:
                self.reports.delete(known.feature_view)
        return found

    def _check(self, snapshot: Snapshot, share: Share, stored: set[bytes]) -> ViewConsistency:
        """Compare a share of the entities of one view.

        Args:
            stored: those of the share that have a row online.
        """
        view, at = snapshot.view, self.clock()
        online, said = self._both(snapshot, share, at, stored, share.has)
        suspects = _differing(online, said)
        if suspects:
            self.pause()
            whose = {entity for entity, _ in suspects}
            later, said_later = self._both(snapshot, share, at, whose, whose.__contains__)
            suspects = {
                key
                for key in suspects
                if later.get(key) != said_later.get(key)
                and later.get(key) == online.get(key)
                and said_later.get(key) == said.get(key)
            }
        compared = (online.keys() | said.keys()) - suspects
        counts: dict[str, dict[str, int]] = {
            name: dict.fromkeys(CellCounts.model_fields, 0) for name in view.names
        }
        for _, name in compared:
            counts[name]["match"] += 1
        for key in suspects:
            counts[key[1]][_kind(view, online.get(key), said.get(key))] += 1
        return ViewConsistency(
            feature_view=view.name,
            checked_at=from_micros(at),
            entities=len({entity for entity, _ in online.keys() | said.keys()}),
            share=share.buckets / BUCKETS,
            features={name: CellCounts(**each) for name, each in counts.items()},
        )

    def _views(self) -> Iterator[FeatureView]:
        token: str | None = None
        while True:
            page = self.upkeep.store.catalog.list(limit=100, token=token)
            yield from page.views
            token = page.next_token
            if token is None:
                return

    def _both(
        self,
        snapshot: Snapshot,
        share: Share,
        at: Micros,
        stored: set[bytes],
        taken: Callable[[bytes], bool],
    ) -> tuple[State, State]:
        """The cells online, and those the history says, without expired ones.

        Args:
            stored: entities to read online.
            taken: which of the share to take of the history.
        """
        view = snapshot.view
        online = online_state(self.upkeep, view, sorted(stored))
        said = said_state(self.history, snapshot, Alive.at(view, at), taken, share=share)
        oldest = _oldest(view, at)
        return _since(oldest, online), _since(oldest, said)


def _share(snapshot: Snapshot, number: int, entities: int) -> Share:
    """Of about so many entities, in every run other ones."""
    buckets = min(BUCKETS, max(1, BUCKETS * entities // max(1, snapshot.rows)))
    return Share(number * buckets % BUCKETS, buckets)


def _oldest(view: FeatureView, at: Micros) -> Micros:
    """The oldest event time that is compared."""
    return -(2**63) if view.ttl_micros is None else at - view.ttl_micros + _SETTLED


def _since(oldest: Micros, state: State) -> State:
    return {key: cell for key, cell in state.items() if cell[0] >= oldest}


def _differing(online: State, said: State) -> set[tuple[bytes, str]]:
    return {key for key in online.keys() | said.keys() if online.get(key) != said.get(key)}


def _kind(view: FeatureView, online: Cell | None, said: Cell | None) -> str:
    if online is None:
        return "missing"
    if not view.history_complete and (said is None or said[0] < online[0]):
        return "unadopted"
    return "extra" if said is None else "mismatch"
