"""Records are cut at the same places however the bytes arrive, and chunks lose nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid
from neuralstream_core.serving.batch.splitting import (
    CHUNK_ROWS,
    MAX_RECORD,
    Records,
    boundaries,
    cut_groups,
    cut_lines,
    split,
)

cells = st.text(st.sampled_from('ab",\n\r é'), max_size=6)
tables = st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=20)


def blocks(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """``data`` in blocks of the given sizes, over and over."""
    at = 0
    while at < len(data):
        for size in sizes:
            yield data[at : at + size]
            at += size


def joined(parts: Iterator[Records]) -> tuple[list[bytes | None], list[int]]:
    data: list[bytes | None] = []
    lines: list[int] = []
    for part in parts:
        data += part.data
        lines += part.lines.tolist()
    return data, lines


def written(table: list[list[str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(table)
    return out.getvalue().encode()


@given(tables, st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_csv_records_are_those_of_the_writer(table: list[list[str]], sizes: list[int]) -> None:
    data = written(table)
    records, lines = joined(split(blocks(data, sizes), quoted=True, first_line=1))
    parsed = [next(csv.reader([r.decode()], strict=True)) for r in records if r is not None]
    assert parsed == [[row[0], row[1]] for row in table]
    for record, line in zip(records, lines, strict=True):
        assert record is not None
        rest = b"\n".join(data.split(b"\n")[line - 1 :])
        assert rest.startswith(record)


@given(st.binary(max_size=200), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_jsonl_records_are_the_lines(data: bytes, sizes: list[int]) -> None:
    records, lines = joined(split(blocks(data, sizes), quoted=False, first_line=1))
    expected = [
        (number, line.removesuffix(b"\r"))
        for number, line in enumerate(data.split(b"\n"), 1)
        if line.removesuffix(b"\r")
    ]
    assert list(zip(lines, records, strict=True)) == expected


@given(tables, st.integers(1, 5), st.integers(1, 40), st.booleans())
def test_chunks_together_are_the_input(
    table: list[list[str]], rows: int, size: int, quoted: bool
) -> None:
    data = written(table)
    whole = joined(split(iter([data]), quoted=quoted, first_line=1))
    chunks = list(cut_lines(blocks(data, [size]), 0, 1, quoted=quoted, rows=rows))
    assert [c.chunk for c in chunks] == list(range(len(chunks)))
    assert [c.start for c in chunks] == [0, *(c.end for c in chunks[:-1])]
    assert chunks[-1].end == len(data)
    parts = [
        joined(split(iter([data[c.start : c.end]]), quoted=quoted, first_line=c.first_line))
        for c in chunks
    ]
    assert [r for part in parts for r in part[0]] == whole[0]
    assert [n for part in parts for n in part[1]] == whole[1]


def test_an_open_quote_is_refused_rather_than_swallowing_the_rest() -> None:
    with pytest.raises(Invalid, match="never closed"):
        list(cut_lines(iter([b'a\n"b\nc\nd\n']), 0, 1, quoted=True, rows=10))


def test_a_huge_line_is_one_bad_record_and_the_rest_goes_on() -> None:
    data = b"a\n" + b"x" * (3 * MAX_RECORD) + b"\nb\n"
    records, lines = joined(split(blocks(data, [1 << 16]), quoted=False, first_line=1))
    assert records == [b"a", None, b"b"]
    assert lines == [1, 2, 3]
    records, lines = joined(split(iter([data]), quoted=True, first_line=1))
    assert records == [b"a", None, b"b"]


def test_a_huge_last_line_without_its_end_is_a_bad_record_too() -> None:
    data = b"a\n" + b"x" * (2 * MAX_RECORD)
    records, _ = joined(split(blocks(data, [1 << 16]), quoted=False, first_line=1))
    assert records == [b"a", None]


def test_quoted_line_feeds_count_as_lines() -> None:
    data = b'"a\n\n",1\nb,2\n'
    records, lines = joined(split(iter([data]), quoted=True, first_line=10))
    assert records == [b'"a\n\n",1', b"b,2"]
    assert lines == [10, 13]


def test_chunks_stay_near_their_size() -> None:
    data = b"0123456789\n" * 100_000
    chunks = list(cut_lines(blocks(data, [1 << 20]), 0, 1, quoted=False, rows=20_000))
    sizes = [(c.end - c.start) // 11 for c in chunks]
    assert sum(sizes) == 100_000
    assert max(sizes) <= 20_000 + CHUNK_ROWS // 10


def test_boundaries_end_with_the_input() -> None:
    cuts = list(boundaries(iter([b"a\nb\n", b"c"]), quoted=False))
    assert (cuts[-1].offset, cuts[-1].lines, cuts[-1].records) == (5, 3, 3)


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 60))
def test_row_groups_are_all_taken_in_order(groups: list[int], rows: int) -> None:
    chunks = list(cut_groups(groups, rows))
    taken = [g for c in chunks for g in range(c.start, c.end)]
    assert [g for g in taken if groups[g]] == [i for i, size in enumerate(groups) if size]
    for chunk in chunks:
        assert chunk.first_line == 1 + sum(groups[: chunk.start])
        held = [g for g in groups[chunk.start : chunk.end] if g]
        assert sum(held) <= rows or len(held) == 1
