"""Rows changed beside the way of every write: merged into Redis alone, or forgotten."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from neuralstream_core.errors import NotFound
from neuralstream_core.features._codec import LEAST_LIFE_MS, kept_ms
from neuralstream_core.features._merge import MERGE
from neuralstream_core.features.store import RETENTION_SECONDS
from neuralstream_core.features.writes import (
    FORGOTTEN,
    Batch,
    GivenForgotten,
    GivenPacked,
    WriteLog,
    asks_for,
    count_of,
    flight_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from neuralstream_core.features.rows import Entity, Row
    from neuralstream_core.features.schema import FeatureView
    from neuralstream_core.features.store import OnlineStore
    from neuralstream_core.redis.port import RedisPort
    from neuralstream_core.time import Clock, Micros

__all__ = ["Alive", "Forgotten", "Upkeep"]


_SCAN_COUNT: Final = 1000
_NEVER_EXPIRED: Final = -(2**62)
"""A moment at which no cell has expired."""


class Forgotten(NamedTuple):
    """Entities that were forgotten.

    Attributes:
        view: of which.
        entities: `entity_bytes` of each.
        found: whether each had a row online.
    """

    view: FeatureView
    entities: Sequence[bytes]
    found: Sequence[bool]


class Alive(NamedTuple):
    """Which entities have a row still: those with a row in the history of at least one of these times.

    Attributes:
        event_time: in microseconds; ``None``: no event time keeps a row.
        write_time: in microseconds.
    """

    event_time: Micros | None
    write_time: Micros

    @classmethod
    def at(cls, view: FeatureView, now: Micros) -> Alive:
        """As of ``now``, by the lives that `Batch.calls` gives rows."""
        if view.ttl_seconds is None:
            return cls(None, now - RETENTION_SECONDS * 1_000_000)
        return cls(now - kept_ms(view.ttl_seconds) * 1000, now - LEAST_LIFE_MS * 1000)


class Upkeep:
    """Changes rows of one namespace.

    Args:
        store: checks and packs rows.
        port: Redis, as the store's.
        log: keeps what is forgotten, so that it is removed from the history too.

    Raises (every method):
        NotFound: no such view, or it was deleted meanwhile.
        Unavailable: Redis, the log or the table cannot answer.
    """

    def __init__(
        self, store: OnlineStore, port: RedisPort, log: WriteLog, clock: Clock, namespace: str
    ) -> None:
        self.store = store
        self._port = port
        self._log = log
        self._clock = clock
        self._namespace = namespace

    def merge(self, batch: Batch) -> list[int]:
        """Merge prepared rows into Redis alone: rows that the history has, or gets by another way.

        Returns:
            The merge script's count for each row: stale cells, `ALL_STALE` or `TOO_LARGE`.
        """
        view = batch.codec.view
        calls = chain(batch.calls(self._clock()), [asks_for(self._namespace, view.generation)])
        replies = self._port.run(MERGE, calls, flight=flight_of([batch]))
        if count_of(replies[-1]):
            raise NotFound(f"view {view.name} was deleted", code="view_not_found")
        return [count_of(reply) for reply in replies[:-1]]

    def record(self, batches: Sequence[Batch]) -> None:
        """Keep prepared rows in the log alone."""
        self._log.record(batches)

    def rows(self, view: FeatureView, entities: Sequence[bytes]) -> list[Row | None]:
        """The stored rows of entities, by their `entity_bytes`, with the values of expired cells; ``None``
        where there is none.
        """
        blank = [FORGOTTEN] * len(entities)
        batch = self.store.prepare(view.name, GivenPacked(entities, blank))
        decoder = batch.codec.decoder(view.names)
        found = self._port.mget(batch.packed.keys)
        return [None if row is None else decoder.decode(row, _NEVER_EXPIRED) for row in found]

    def entities(self, taken: Mapping[str, Callable[[bytes], bool]]) -> dict[str, set[bytes]]:
        """The `entity_bytes` of stored rows of views, by one scan over all keys.

        Args:
            taken: by generation of a view, which of its entities to take.
        """
        prefix = f"{self._namespace}:f:".encode()
        found: dict[str, set[bytes]] = {generation: set() for generation in taken}
        cursor: bytes | None = None
        while True:
            cursor, keys = self._port.scan(cursor, prefix + b"*", _SCAN_COUNT)
            for key in keys:
                generation, _, entity = key.removeprefix(prefix).partition(b":")
                takes = taken.get(generation.decode())
                if takes is not None and takes(entity):
                    found[generation.decode()].add(entity)
            if cursor is None:
                return found

    def stored(self, view: FeatureView) -> Iterator[list[bytes]]:
        """The `entity_bytes` of every stored row of a view, some at a time; one may come twice."""
        prefix = f"{self._namespace}:f:{view.generation}:".encode()
        cursor: bytes | None = None
        while True:
            cursor, keys = self._port.scan(cursor, prefix + b"*", _SCAN_COUNT)
            yield [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
            if cursor is None:
                return

    def remove(self, batch: Batch) -> None:
        """Remove the rows of a batch's entities from Redis alone."""
        self._port.flight([(b"UNLINK", key) for key in batch.packed.keys])

    def forget(
        self, view: str, entities: Callable[[FeatureView], Sequence[Entity]], request_id: str
    ) -> Forgotten:
        """Remove the rows of entities from Redis, and tell the log, for the history to remove theirs too.

        The log is told first, whether or not the view has a history now: it may have had one, and who fails
        before Redis is asked does it again. A view without rows of these entities is no error.

        Raises:
            Invalid: an entity that can have no row.
        """
        self.store.catalog.latest(view)
        batch = self.store.prepare(view, GivenForgotten(entities), request_id)
        self._log.record([batch])
        replies = self._port.flight([(b"UNLINK", key) for key in batch.packed.keys])
        return Forgotten(batch.codec.view, batch.entities, [bool(count_of(r)) for r in replies])
