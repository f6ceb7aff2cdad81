"""Output files: what is written in columns is what would be written row by row."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.jobs.files import json_columns, json_lines

CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(alphabet='ab,"\\%{}\n\u2028é\U0001f600', max_size=6),
    st.lists(st.floats(allow_nan=False), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b,"]), st.floats(allow_nan=False), max_size=2),
)


@st.composite
def columns(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Columns of one kind of cell each, some of them with gaps."""
    n = draw(st.integers(0, 5))
    names = draw(st.lists(st.sampled_from(["id", "p,%b", '"', "é"]), unique=True, max_size=4))
    some = [draw(st.lists(CELLS, min_size=1, max_size=3)) for _ in names]
    return {
        name: draw(st.lists(st.sampled_from(cells), min_size=n, max_size=n))
        for name, cells in zip(names, some, strict=True)
    }


def one_by_one(found: dict[str, list[Any]]) -> bytes:
    return json_lines(
        {name: v for name, v in zip(found, row, strict=True) if v is not None}
        for row in zip(*found.values(), strict=True)
    )


@given(columns())
def test_lines_of_columns_are_those_of_the_rows(found: dict[str, list[Any]]) -> None:
    assert json_columns(found) == one_by_one(found)
