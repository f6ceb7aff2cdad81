"""Writes with a history, and what the log has of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from neuralstream_core.features import Catalog, CellStatus, Feature, OnlineStore, ViewSpec
from neuralstream_core.features.writes import GivenRows
from neuralstream_core.history.entries import Entry
from neuralstream_core.history.log import HistoryLog, slot_of
from neuralstream_core.redis import RedisPort
from neuralstream_core.table import Table
from tests.support.features import Clock

__all__ = ["Kept", "entries", "ints", "kept", "writer"]


class Kept(NamedTuple):
    """One row of the log, read with the schema that wrote it."""

    entity: str
    event_time: int
    cells: dict[str, Any]


@pytest.fixture
def writer(redis_port: RedisPort, table: Table, clock: Clock, log: HistoryLog) -> OnlineStore:
    return OnlineStore(redis_port, Catalog(table, "test", clock), clock, "test", log=log)


def ints(*names: str, history: bool = True) -> ViewSpec:
    chosen = [Feature(name=name, dtype="int64") for name in names]
    return ViewSpec(entity="id", features=chosen, history=history)


def entries(log: HistoryLog, clock: Clock) -> list[Entry]:
    """All of the last ten seconds, the oldest first."""
    first, last = slot_of(clock() - 10_000_000), slot_of(clock())
    found = [entry for _, entry in log.entries(first, last)]
    return sorted(found, key=lambda entry: entry.write_time)


def kept(store: OnlineStore, log: HistoryLog, clock: Clock, name: str) -> list[Kept]:
    """The rows of one view, entry after entry; a cell that was not written is left out."""
    codec = store.prepare(name, GivenRows([])).codec
    decoder = codec.decoder(None)
    rows: list[Kept] = []
    for entry in entries(log, clock):
        for part in entry.parts:
            if part.generation != codec.view.generation:
                continue
            for entity, packed in zip(part.entities, part.rows, strict=True):
                row = decoder.decode(packed, clock())
                cells = {
                    n: v
                    for n, v, status in zip(row.names, row.values, row.status, strict=True)
                    if status is not CellStatus.NOT_FOUND
                }
                (at,) = {time for time in row.event_times if time is not None} or {0}
                rows.append(Kept(entity.decode(), at, cells))
    return rows
