"""Packed rows: whatever fits a schema comes back, one row at a time and as a block."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid
from neuralstream_core.features import CellStatus, Feature
from neuralstream_core.features._codec import Codec
from neuralstream_core.features.block import build_block
from neuralstream_core.time import to_micros
from tests.support.strategies import DAY, any_schema, features, rows_of, view_of

NOW = to_micros(DAY)


def stored(value: Any) -> Any:
    """A value as the store returns it."""
    return to_micros(value) if isinstance(value, datetime) else value


def packed(codec: Codec, rows: list[dict[str, Any]], now: int = NOW) -> list[bytes]:
    requests = [{"entity_id": str(i), "features": row} for i, row in enumerate(rows)]
    return codec.encoder.encode(requests, now).rows


def expected(chosen: list[Feature], row: dict[str, Any] | None) -> list[tuple[Any, CellStatus]]:
    cells: list[tuple[Any, CellStatus]] = []
    for feature in chosen:
        if row is None or feature.name not in row:
            cells.append((None, CellStatus.NOT_FOUND))
        elif row[feature.name] is None:
            cells.append((None, CellStatus.NULL))
        else:
            cells.append((stored(row[feature.name]), CellStatus.PRESENT))
    return cells


@any_schema
@given(st.data())
def test_any_row_of_any_schema_comes_back(data: st.DataObject) -> None:
    chosen = data.draw(features())
    rows = data.draw(st.lists(rows_of(chosen), min_size=1, max_size=4))
    codec = Codec(view_of(chosen), "test", 1000)
    for row, raw in zip(rows, packed(codec, rows), strict=True):
        found = codec.decoder(None).decode(raw, NOW)
        assert list(zip(found.values, found.status, strict=True)) == expected(chosen, row)
        assert found.event_times == tuple(NOW if f.name in row else None for f in chosen)


@any_schema
@given(st.data())
def test_any_subset_in_any_order_comes_back(data: st.DataObject) -> None:
    chosen = data.draw(features(min_size=2))
    row = data.draw(rows_of(chosen))
    subset = data.draw(st.lists(st.sampled_from(chosen), min_size=1, unique_by=lambda f: f.name))
    codec = Codec(view_of(chosen), "test", 1000)
    (raw,) = packed(codec, [row])
    found = codec.decoder(tuple(f.name for f in subset)).decode(raw, NOW)
    assert list(zip(found.values, found.status, strict=True)) == expected(subset, row)


@any_schema
@given(st.data())
def test_a_block_agrees_with_its_rows(data: st.DataObject) -> None:
    """Rows of two schema versions, missing entities and expired rows, read in columns."""
    chosen = data.draw(features(min_size=2))
    beginning = chosen[: data.draw(st.integers(1, len(chosen)))]
    ttl = data.draw(st.none() | st.just(60))
    codec = Codec(view_of(chosen, schema_version=2, ttl_seconds=ttl), "test", 1000)
    older = Codec(view_of(beginning), "test", 1000)
    raws: list[bytes | None] = []
    for _ in range(data.draw(st.integers(0, 6))):
        now = NOW - data.draw(st.sampled_from([0, 100_000_000]))
        match data.draw(st.sampled_from(["new", "old", "missing"])):
            case "new":
                raws += packed(codec, [data.draw(rows_of(chosen))], now)
            case "old":
                raws += packed(older, [data.draw(rows_of(beginning))], now)
            case _:
                raws.append(None)
    subset = data.draw(st.permutations(range(len(chosen))))[
        : data.draw(st.integers(1, len(chosen)))
    ]
    names = tuple(chosen[i].name for i in subset)
    block = build_block(codec.decoder(names).selection, raws, NOW)
    rows = [codec.decoder(names).decode(raw, NOW) for raw in raws]

    assert block.names == names
    assert block.status.tolist() == [list(row.status) for row in rows]
    for j, name in enumerate(names):
        column = block.columns[name]
        for i, row in enumerate(rows):
            if row.status[j] is CellStatus.PRESENT:
                cell = column[i]
                assert (cell.tolist() if hasattr(cell, "tolist") else cell) == row.values[j]


@any_schema
@given(st.data())
def test_a_newer_row_is_readable_by_who_knows_only_its_beginning(data: st.DataObject) -> None:
    chosen = data.draw(features(min_size=2))
    beginning = chosen[: data.draw(st.integers(1, len(chosen) - 1))]
    newer = Codec(view_of(chosen, schema_version=2), "test", 1000)
    older = Codec(view_of(beginning), "test", 1000)
    row = data.draw(rows_of(chosen))
    (raw,) = packed(newer, [row])
    found = older.decoder(None).decode(raw, NOW)
    assert list(zip(found.values, found.status, strict=True)) == expected(beginning, row)
    block = build_block(older.decoder(None).selection, [raw, None], NOW)
    assert block.status[0].tolist() == list(found.status)


@any_schema
@given(features(), st.integers(0, 2**53))
def test_a_row_without_cells_says_nothing_of_any_feature(chosen: list[Feature], time: int) -> None:
    codec = Codec(view_of(chosen), "test", 1000)
    raw, decoder = codec.layout.empty(time), codec.decoder(None)
    row = decoder.decode(raw, NOW)
    assert list(zip(row.values, row.status, strict=True)) == expected(chosen, {})
    block = build_block(decoder.selection, [raw, None], NOW)
    assert set(block.status.ravel().tolist()) == {CellStatus.NOT_FOUND}


def test_fifty_float64_features_take_at_most_600_bytes_with_their_event_times() -> None:
    chosen = [Feature(name=f"f{i}", dtype="float64") for i in range(50)]
    codec = Codec(view_of(chosen), "test", 1000)
    (raw,) = packed(codec, [{f.name: 0.5 for f in chosen}])
    assert len(raw) == 434


def test_a_row_in_an_unknown_format_is_not_misread() -> None:
    chosen = [Feature(name="a", dtype="float64")]
    codec = Codec(view_of(chosen), "test", 1000)
    (raw,) = packed(codec, [{"a": 1.0}])
    strange = b"\x02" + raw[1:]
    with pytest.raises(Exception, match="unknown format"):
        codec.decoder(None).decode(strange, NOW)
    with pytest.raises(Exception, match="unknown format"):
        build_block(codec.decoder(None).selection, [strange], NOW)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, None])
def test_a_float_is_finite_or_null(value: Any) -> None:
    codec = Codec(view_of([Feature(name=n, dtype="float64") for n in "ab"]), "test", 1000)
    if value is None:
        assert packed(codec, [{"a": 1.0, "b": value}])
        return
    with pytest.raises(Invalid) as caught:
        packed(codec, [{"a": 1.0, "b": value}])
    assert [e.loc for e in caught.value.errors] == ["rows.0.features.b"]


def test_two_large_floats_are_finite_though_their_sum_is_not() -> None:
    codec = Codec(view_of([Feature(name=n, dtype="float64") for n in "ab"]), "test", 1000)
    (raw,) = packed(codec, [{"a": 1.7e308, "b": 1.7e308}])
    assert codec.decoder(None).decode(raw, NOW).values == (1.7e308, 1.7e308)


def test_numpy_values_are_taken_as_what_they_are() -> None:
    chosen = [
        Feature(name="a", dtype="float64"),
        Feature(name="b", dtype="int64"),
        Feature(name="c", dtype="float32", shape=[2]),
    ]
    codec = Codec(view_of(chosen), "test", 1000)
    row = {"a": np.float32(0.5), "b": np.int32(7), "c": np.array([1.0, 2.0])}
    (raw,) = packed(codec, [row])
    assert codec.decoder(None).decode(raw, NOW).values == (0.5, 7, [1.0, 2.0])


def test_more_errors_than_anyone_reads_are_cut_off() -> None:
    codec = Codec(view_of([Feature(name="a", dtype="int64")]), "test", 1000)
    with pytest.raises(Invalid) as caught:
        packed(codec, [{"a": "x"}] * 5000)
    assert len(caught.value.errors) == 100


@given(st.lists(st.text("a\0é日", min_size=1, max_size=4)))
def test_the_keys_of_many_entities_are_the_keys_of_each(ids: list[str]) -> None:
    codec = Codec(view_of([Feature(name="a", dtype="float64")]), "test", 1000)
    assert codec.keys(ids) == [codec.key(entity) for entity in ids]
