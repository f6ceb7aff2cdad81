"""The merge script against a model of what it promises, on any schema and any history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.features import CellStatus, Feature
from neuralstream_core.features._codec import Codec
from neuralstream_core.features._merge import ALL_STALE, MERGE
from neuralstream_core.features.block import build_block
from neuralstream_core.redis import RedisPort
from neuralstream_core.time import to_micros
from tests.support.strategies import DAY, any_schema, features, rows_of, view_of

NOW = to_micros(DAY)
KEY = b"test:f:g:row"


class Model:
    """The promise in Python: a value goes only to an equal or newer event time."""

    def __init__(self) -> None:
        self.cells: dict[str, tuple[int, Any]] = {}

    def write(self, time: int, row: dict[str, Any]) -> int:
        """Cells that were older, or `ALL_STALE`."""
        newer = {n: v for n, v in row.items() if n not in self.cells or time >= self.cells[n][0]}
        self.cells.update({n: (time, v) for n, v in newer.items()})
        return len(row) - len(newer) if newer else ALL_STALE

    def read(self, chosen: list[Feature]) -> list[tuple[Any, CellStatus, int | None]]:
        found: list[tuple[Any, CellStatus, int | None]] = []
        for feature in chosen:
            time, value = self.cells.get(feature.name, (None, None))
            status = CellStatus.NOT_FOUND
            if time is not None:
                status = CellStatus.NULL if value is None else CellStatus.PRESENT
            found.append((to_micros(value) if isinstance(value, datetime) else value, status, time))
        return found


@any_schema
@given(data=st.data())
def test_any_history_ends_as_the_model_says(redis_port: RedisPort, data: st.DataObject) -> None:
    """Writers of two schema versions take turns, with few event times so that they often meet."""
    chosen = data.draw(features(min_size=2))
    beginning = chosen[: data.draw(st.integers(1, len(chosen)))]
    new = Codec(view_of(chosen, schema_version=2), "test", 1000)
    old = Codec(view_of(beginning), "test", 1000)
    model = Model()
    redis_port.flight([(b"DEL", KEY)])
    for _ in range(data.draw(st.integers(1, 6))):
        codec, known = data.draw(st.sampled_from([(new, chosen), (old, beginning)]))
        row = data.draw(rows_of(known))
        time = NOW - data.draw(st.integers(0, 3)) * 10**9 - data.draw(st.integers(0, 1))
        packed = codec.encoder.encode([{"entity_id": "u", "features": row}], time)
        (reply,) = redis_port.run(MERGE, [(KEY, *packed.rows, 100_000, codec.layout.widths)])
        assert reply == model.write(time, row)
        (raw,) = redis_port.mget([KEY])
        for reader, names in ((new, chosen), (old, beginning)):
            found = reader.decoder(None).decode(raw, NOW)
            assert list(zip(found.values, found.status, found.event_times, strict=True)) == (
                model.read(names)
            )
            block = build_block(reader.decoder(None).selection, [raw, None], NOW)
            assert block.status[0].tolist() == list(found.status)
            for j, name in enumerate(block.names):
                if found.status[j] is CellStatus.PRESENT:
                    cell = block.columns[name][0]
                    assert (cell.tolist() if hasattr(cell, "tolist") else cell) == found.values[j]


@pytest.mark.parametrize("count", [8, 9, 254, 255, 256, 257, 500])
def test_rows_of_any_length_keep_a_time_for_every_cell(redis_port: RedisPort, count: int) -> None:
    chosen = [Feature(name=f"f{i}", dtype="int64") for i in range(count)]
    codec = Codec(view_of(chosen), "test", 1000)
    calls = []
    for i in range(count):
        packed = codec.encoder.encode([{"entity_id": "u", "features": {f"f{i}": i}}], NOW - i)
        calls.append((KEY, *packed.rows, 100_000, codec.layout.widths))
    calls = calls[::7] + calls
    for i in range(0, len(calls), 50):
        replies = redis_port.run(MERGE, calls[i : i + 50])
        assert replies == [0] * len(replies)
    (raw,) = redis_port.mget([KEY])
    found = codec.decoder(None).decode(raw, NOW)
    assert found.values == tuple(range(count))
    assert found.event_times == tuple(NOW - i for i in range(count))
    # Read with a TTL at which the second half of the writes, older by a microsecond each, is expired.
    expiring = Codec(view_of(chosen, ttl_seconds=60), "test", 1000)
    later = NOW + 60_000_000 - count // 2
    block = build_block(expiring.decoder(None).selection, [raw], later)
    assert block.status[0].tolist() == list(expiring.decoder(None).decode(raw, later).status)
    assert [name for name, column in block.columns.items() if column[0]] == [
        f"f{i}" for i in range(1, count // 2 + 1)
    ]
    assert [column[0] for column in block.columns.values()][: count // 2] == list(range(count // 2))
