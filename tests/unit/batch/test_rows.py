"""Cells and rows: what is read, what is refused, and that one bad row never hides another."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid
from neuralstream_core.serving.batch.cells import RowErrors, convert
from neuralstream_core.serving.batch.rows import InputSchema, csv_header, csv_rows, jsonl_rows
from neuralstream_core.serving.batch.splitting import Records


def records(*data: bytes | None) -> Records:
    return Records(list(data), np.arange(1, len(data) + 1, dtype=np.int64))


PLAIN = InputSchema(("entity_id",), (), {})
AMOUNT = InputSchema(("entity_id",), (), {"amount": ("float64", 1)})


def test_a_bad_csv_row_does_not_disturb_its_neighbours() -> None:
    rows = csv_rows(
        records(b"u1,1", b"u2", b"\xff,3", None, b'u5,"5"', b'u6,"6', b"u7,7"),
        AMOUNT,
        ("entity_id", "amount"),
    )
    assert rows.entities == ["u1", None, None, None, "u5", None, "u7"]
    assert rows.features["amount"] == [1.0, None, None, None, 5.0, None, 7.0]
    assert {at: why.code for at, why in rows.errors.items()} == {
        1: "invalid_csv",
        2: "invalid_encoding",
        3: "record_too_large",
        5: "invalid_csv",
    }


@given(
    st.lists(
        st.text(alphabet='ab1,"\r\0 é\u2028', min_size=1, max_size=6).map(str.encode)
        | st.sampled_from([b"u,1", b"\xff,1", None]),
        min_size=1,
        max_size=6,
    )
)
def test_csv_rows_are_read_together_as_each_by_itself(lines: list[bytes | None]) -> None:
    header = ("entity_id", "amount")
    together = csv_rows(records(*lines), AMOUNT, header)
    for at, line in enumerate(lines):
        alone = csv_rows(records(line), AMOUNT, header)
        assert together.entities[at] == alone.entities[0]
        assert together.features["amount"][at] == alone.features["amount"][0]
        assert together.errors.get(at) == alone.errors.get(0)


def test_ids_stay_text() -> None:
    rows = csv_rows(records(b"007", b" u ", b"1e5", "é".encode()), PLAIN, ("entity_id",))
    assert rows.entities == ["007", " u ", "1e5", "é"]
    rows = jsonl_rows(records(b'{"entity_id":"007"}', b'{"entity_id":12345678901234567890}'), PLAIN)
    assert rows.entities == ["007", "12345678901234567890"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"not json", "invalid_json"),
        (b"[1]", "invalid_json"),
        (b'{"entity_id":"a"} {"entity_id":"b"}', "invalid_json"),
        (b'{"entity_id":NaN}', "invalid_json"),
        (b"{}", "missing_entity"),
        (b'{"entity_id":null}', "missing_entity"),
        (b'{"entity_id":""}', "missing_entity"),
        (b'{"entity_id":true}', "invalid_entity"),
        (b'{"entity_id":1.5}', "invalid_entity"),
        (b'{"entity_id":["a","b"]}', "invalid_entity"),
        (json.dumps({"entity_id": "x" * 1025}).encode(), "invalid_entity"),
        (b'{"entity_id":"u","amount":"1"}', "invalid_feature"),
        (b'{"entity_id":"u","amount":1e999}', "invalid_feature"),
        (b'{"entity_id":"u","amount":true}', "invalid_feature"),
    ],
)
def test_json_lines_that_cannot_be_a_row(line: bytes, code: str) -> None:
    rows = jsonl_rows(records(b'{"entity_id":"before"}', line, b'{"entity_id":"after"}'), AMOUNT)
    assert {at: why.code for at, why in rows.errors.items()} == {1: code}
    assert (rows.entities[0], rows.entities[2]) == ("before", "after")


def test_reasons_never_repeat_a_value() -> None:
    word = "hunter2"
    lines = [
        json.dumps({"entity_id": "u", "amount": word}).encode(),
        f'{{"entity_id": {word}}}'.encode(),
        json.dumps({"entity_id": [word]}).encode(),
    ]
    rows = jsonl_rows(records(*lines), AMOUNT)
    assert len(rows.errors) == 3
    assert not any(word in why.detail for why in rows.errors.values())


@pytest.mark.parametrize(
    ("dtype", "cells", "values"),
    [
        ("float64", ["1", "", "-2.5", "1e3"], [1.0, None, -2.5, 1000.0]),
        ("float32", ["1", "", "x"], [1.0, None, "bad"]),
        ("float64", ["1_0", "nan", "inf", "0x1", "2"], ["bad", "bad", "bad", "bad", 2.0]),
        ("int64", ["1", "-7", "1.0", "9223372036854775808", ""], [1, -7, "bad", "bad", None]),
        ("bool", ["true", "FALSE", "1", "0", "yes", ""], [True, False, True, False, "bad", None]),
        ("string", ["a", "", "1"], ["a", None, "1"]),
        (
            "timestamp",
            ["2026-01-01T00:00:00Z", "2026-01-01", ""],
            ["2026-01-01T00:00:00Z", "bad", None],
        ),
    ],
)
def test_csv_text_becomes_values_of_the_dtype(
    dtype: str, cells: list[str], values: list[Any]
) -> None:
    bad: RowErrors = {}
    found = convert(cells, dtype, 1, "f", bad, text=True)
    assert ["bad" if i in bad else v for i, v in enumerate(found)] == values


def test_vectors() -> None:
    bad: RowErrors = {}
    assert convert(["[1,2]", "[1]", "x", ""], "float64", 2, "v", bad, text=True) == [
        [1.0, 2.0],
        None,
        None,
        None,
    ]
    assert set(bad) == {1, 2}
    bad = {}
    assert convert([[1, 2], [1, None]], "float64", 2, "v", bad, text=False)[0] == [1.0, 2.0]
    assert set(bad) == {1}


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False), st.integers(-(10**30), 10**30))))
def test_whole_columns_and_single_cells_give_the_same_verdict(cells: list[Any]) -> None:
    whole: RowErrors = {}
    found = convert(cells, "float64", 1, "f", whole, text=False)
    for at, cell in enumerate(cells):
        single: RowErrors = {}
        # beside a string, each cell is looked at by itself
        value = convert([cell, "x"], "float64", 1, "f", single, text=False)[0]
        assert (0 in single) == (at in whole)
        assert value == found[at]


@given(
    st.lists(
        st.one_of(
            st.floats().map(repr),
            st.integers().map(str),
            st.from_regex(r"[+-]?[0-9]{0,25}\.?[0-9]{0,25}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
            st.text(alphabet="0123456789-+.eE_,[]{}\"' \ttruenlaf", max_size=8),
        ),
        max_size=6,
    )
)
def test_a_whole_column_of_text_is_read_as_cell_by_cell(cells: list[str]) -> None:
    whole: RowErrors = {}
    found = convert(cells, "float64", 1, "f", whole, text=True)
    for at, cell in enumerate(cells):
        single: RowErrors = {}
        # beside a word, each cell is looked at by itself
        value = convert([cell, "x"], "float64", 1, "f", single, text=True)[0]
        assert (0 in single) == (at in whole)
        assert value == found[at]


def test_a_header_with_a_byte_order_mark_and_quotes() -> None:
    assert csv_header(b'\xef\xbb\xbf"entity_id","a,b"\r') == ("entity_id", "a,b")
    with pytest.raises(Invalid):
        csv_header(b"a,a")
    with pytest.raises(Invalid):
        csv_header(b"\xff")
