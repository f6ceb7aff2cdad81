"""Cutting an input into chunks and records.

**JSONL**: a record ends at every line feed.
**CSV** (RFC 4180): a record ends at a line feed before which the number of ``"`` bytes since the
beginning of the file is even. A quoted field may hold line feeds; a quote inside one is doubled, which
keeps the count even; a quote may stand nowhere else. In UTF-8 neither byte is part of another
character, so counting bytes is exact. A file that breaks the rule (a stray quote in a bare field)
yields one record over several lines, which is reported as a bad row with the lines it spans, and a
file whose count is odd at its end is refused as a whole.

A carriage return before the line feed belongs to the line end. Blank lines are no records. A record
of more than `MAX_RECORD` bytes is dropped while it streams by and counts as one bad row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from neuralstream_core.errors import Invalid
from neuralstream_core.jobs.files import Numbered

__all__ = [
    "CHUNK_ROWS",
    "MAX_RECORD",
    "STRIDE",
    "Chunk",
    "Cut",
    "Records",
    "boundaries",
    "cut_groups",
    "cut_lines",
    "split",
    "split_header",
]

MAX_RECORD: Final = 1 << 20
"""Bytes of one record."""
CHUNK_BYTES: Final = 16 << 20
CHUNK_ROWS: Final = 100_000

STRIDE: Final = 4096
"""Records between two boundaries that a scan offers, at most."""

_LF, _QUOTE = 10, 34


class Chunk(Numbered):
    """One piece of the input: ``[start, end)`` in bytes (CSV, JSONL) or row groups (Parquet)."""

    start: int
    end: int
    first_line: int
    """1-based line (CSV, JSONL) or row (Parquet) of the chunk's first record."""


@dataclass(frozen=True, slots=True)
class Records:
    """Whole records of one block: ``data[i]`` without its line end (``None``: over `MAX_RECORD`) and
    ``lines[i]``, the 1-based line on which it begins."""

    data: list[bytes | None]
    lines: npt.NDArray[np.int64]

    def slices(self, size: int) -> Iterator[Records]:
        """The same records in pieces of at most ``size``."""
        for start in range(0, len(self.data), size):
            yield Records(self.data[start : start + size], self.lines[start : start + size])


@dataclass(frozen=True, slots=True)
class Cut:
    """A record boundary while scanning: the byte after it, and how many lines and records lie before."""

    offset: int
    lines: int
    records: int


def _ends(data: bytes, *, quoted: bool, odd: bool) -> tuple[npt.NDArray[np.int64], int, bool]:
    """Positions of record-ending line feeds in ``data``, line feeds in all, and the parity after it."""
    bytes_ = np.frombuffer(data, np.uint8)
    feeds = np.flatnonzero(bytes_ == _LF)
    if not quoted:
        return feeds, len(feeds), False
    if b'"' not in data:
        return (feeds[:0] if odd else feeds), len(feeds), odd
    quotes = np.flatnonzero(bytes_ == _QUOTE)
    before = np.searchsorted(quotes, feeds) + odd
    return feeds[(before & 1) == 0], len(feeds), bool((len(quotes) + odd) & 1)


def boundaries(blocks: Iterable[bytes], *, quoted: bool) -> Iterator[Cut]:
    """Scan a whole input once and yield boundaries to choose chunks from: at least one every `STRIDE`
    records and one in every block that has any; the last is the end of the input.

    Raises:
        Invalid: the input ends inside a quoted field.
    """
    offset = lines = records = 0
    odd = unfinished = False
    for block in blocks:
        ends, feeds, odd = _ends(block, quoted=quoted, odd=odd)
        if len(ends):
            chosen = np.union1d(np.arange(STRIDE - 1, len(ends), STRIDE), [len(ends) - 1])
            line_of = _line_counts(block, ends, feeds)
            for index in chosen.tolist():
                yield Cut(
                    offset + int(ends[index]) + 1, lines + int(line_of[index]), records + index + 1
                )
        offset += len(block)
        lines += feeds
        records += len(ends)
        if block:
            unfinished = len(ends) == 0 or int(ends[-1]) != len(block) - 1
    if odd:
        raise Invalid.at(
            "input",
            "the input ends inside a quoted field: a quote is opened and never closed",
            code="invalid_input",
        )
    if unfinished:
        yield Cut(offset, lines + 1, records + 1)


def split(blocks: Iterable[bytes], *, quoted: bool, first_line: int) -> Iterator[Records]:
    """Records of a range that begins and ends on a boundary, block by block, in order."""
    carry: list[bytes] = []
    """The beginning of the record under way; given up once it is larger than a record may be."""
    carried = 0
    odd = False
    line = begins = first_line
    for block in blocks:
        ends, feeds, odd = _ends(block, quoted=quoted, odd=odd)
        if len(ends):
            begin, end = int(ends[0]) + 1, int(ends[-1])
            first = block[: begin - 1]
            whole = carried + len(first) <= MAX_RECORD
            data: list[bytes | None] = [b"".join([*carry, first]) if whole else None]
            if len(ends) == feeds:
                data += block[begin:end].split(b"\n") if len(ends) > 1 else []
            else:
                data += [block[a + 1 : b] for a, b in pairwise(ends.tolist())]
            after = line + _line_counts(block, ends, feeds)
            yield _records(data, np.concatenate(([begins], after[:-1])))
            begins = int(after[-1])
            carry, carried = [], 0
            rest = block[end + 1 :]
        else:
            rest = block
        line += feeds
        carried += len(rest)
        if carried > MAX_RECORD:
            carry.clear()
        else:
            carry.append(rest)
    if carried:
        yield _records([b"".join(carry) if carried <= MAX_RECORD else None], np.array([begins]))


def _line_counts(block: bytes, ends: npt.NDArray[np.int64], feeds: int) -> npt.NDArray[np.int64]:
    """How many line feeds of the block lie at or before each record end."""
    if len(ends) == feeds:
        return np.arange(1, feeds + 1, dtype=np.int64)
    all_feeds = np.flatnonzero(np.frombuffer(block, np.uint8) == _LF)
    return np.searchsorted(all_feeds, ends, "right").astype(np.int64)


def _records(data: list[bytes | None], lines: npt.NDArray[np.int64]) -> Records:
    """Strip line ends, leave out blank lines and what is too large."""
    stripped = [None if r is None or len(r) > MAX_RECORD else r.removesuffix(b"\r") for r in data]
    if b"" not in stripped:
        return Records(stripped, lines)
    keep = [i for i, r in enumerate(stripped) if r != b""]
    return Records([stripped[i] for i in keep], lines[keep])


def cut_lines(
    blocks: Iterable[bytes], offset: int, first_line: int, *, quoted: bool, rows: int
) -> Iterator[Chunk]:
    """Chunks of CSV or JSONL records: each ends at the first offered boundary at which it has
    `CHUNK_BYTES` or would soon have more than ``rows`` records.

    Args:
        blocks: the input from byte ``offset`` on, where line ``first_line`` begins.

    Raises:
        Invalid: the input ends inside a quoted field.
    """
    number = 0
    start = cut = Cut(0, 0, 0)
    for cut in boundaries(blocks, quoted=quoted):
        if cut.offset - start.offset >= CHUNK_BYTES or cut.records - start.records >= rows:
            yield _chunk(
                number, offset + start.offset, offset + cut.offset, first_line + start.lines
            )
            number += 1
            start = cut
    if cut.offset > start.offset:
        yield _chunk(number, offset + start.offset, offset + cut.offset, first_line + start.lines)


def cut_groups(groups: Iterable[int], rows: int) -> Iterator[Chunk]:
    """Chunks of Parquet row groups: neighbours together up to ``rows``, never less than one."""
    start = held = number = 0
    first = 1
    at = -1
    for at, size in enumerate(groups):
        if held and held + size > rows:
            yield _chunk(number, start, at, first)
            number += 1
            first += held
            start, held = at, 0
        held += size
    if held:
        yield _chunk(number, start, at + 1, first)


def _chunk(number: int, start: int, end: int, first_line: int) -> Chunk:
    return Chunk(chunk=number, start=start, end=end, first_line=first_line)


def split_header(blocks: Iterator[bytes]) -> tuple[Iterator[bytes], bytes, int]:
    """The blocks after a CSV file's first record, that record with its line end, and its number of lines."""
    head = b""
    for block in blocks:
        head += block
        at = head.find(b"\n")
        while at >= 0 and head.count(b'"', 0, at) % 2:
            at = head.find(b"\n", at + 1)
        if at >= 0:
            return chain([head[at + 1 :]], blocks), head[: at + 1], head.count(b"\n", 0, at + 1)
        if len(head) > MAX_RECORD:
            raise Invalid.at(
                "input", f"the header is longer than {MAX_RECORD} bytes", code="invalid_input"
            )
    return iter(()), head, 1
