"""Entries of the append log and the names of the columns that they become."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import Unavailable
from neuralstream_core.features import Feature, FeatureView
from neuralstream_core.history.entries import FORGOTTEN, Entry, Part
from neuralstream_core.history.schema import columns_of, feature_columns, written_column

ROWS = st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.binary(max_size=200)), max_size=20)
NAMES = st.text("abcXYZ-_.09é", min_size=1, max_size=12)


@st.composite
def parts(draw: st.DrawFn) -> Part:
    rows = draw(ROWS)
    return Part(
        draw(NAMES),
        draw(NAMES),
        draw(st.integers(1, 60_000)),
        draw(NAMES),
        [entity for entity, _ in rows],
        [row for _, row in rows],
    )


@given(st.integers(0, 2**53), st.lists(parts(), min_size=1, max_size=5))
def test_an_entry_is_read_as_it_was_written(write_time: int, given_parts: list[Part]) -> None:
    entry = Entry(write_time, given_parts)
    assert Entry.unpack(entry.pack()) == entry


def test_a_forgotten_entity_is_not_a_row() -> None:
    entry = Entry(5, [Part("user", "g", 1, "r", [b"u1"], [FORGOTTEN])])
    assert Entry.unpack(entry.pack()).parts[0].rows == [FORGOTTEN]


@given(st.data())
def test_damaged_bytes_are_refused_or_read_as_an_entry(data: st.DataObject) -> None:
    packed = bytearray(Entry(5, [Part("user", "g", 1, "r", [b"u1"], [b"row"])]).pack())
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    with suppress(Unavailable):
        assert isinstance(Entry.unpack(bytes(packed)), Entry)


@pytest.mark.parametrize("cut", [0, 3, 5, 20, -1])
def test_a_cut_entry_is_refused(cut: int) -> None:
    packed = Entry(5, [Part("user", "g", 1, "r", [b"u1"], [b"row"])]).pack()
    with pytest.raises(Unavailable, match="history log"):
        Entry.unpack(packed[:cut])


def _view(*names: str) -> FeatureView:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return FeatureView(
        name="v",
        keys=("id",),
        features=tuple(Feature(name=name, dtype="float64") for name in names),
        generation="g",
        created_at=now,
        updated_at=now,
    )


def test_features_that_differ_by_case_have_columns_that_do_not() -> None:
    columns = feature_columns(_view("age", "Age", "AGE", "height"))
    assert columns == {"age": "age", "Age": "_1_Age", "AGE": "_2_AGE", "height": "height"}


def test_no_two_columns_of_a_view_have_one_name() -> None:
    names = [column.name.lower() for column in columns_of(_view("entity", "row", "Row", "1_Row"))]
    assert len(set(names)) == len(names)


def test_every_feature_has_a_bit_of_its_own() -> None:
    places = [written_column(position) for position in range(1000)]
    assert len(set(places)) == 1000
    assert places[31] == ("_written_0", 1 << 31)
    assert places[32] == ("_written_1", 1)
