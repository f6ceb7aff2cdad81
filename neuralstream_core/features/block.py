"""Many packed rows → columns and one matrix, without a loop over cells.

Rows are joined into one buffer in which every fixed-width cell is a strided view. Rows of another
number of cells (schema versions) make another buffer, read the same way. Event times of merged rows
are looked up in the rows' own tables, all at once, and only when someone asks for them or a TTL does.
Only strings, which become Python objects, are cut out one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import numpy as np

from neuralstream_core.features._decode import unreadable
from neuralstream_core.features._layout import FORMAT, HEAD, Layout, bitmap_bytes, index_width
from neuralstream_core.features.rows import CellStatus
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.values import Dtype
from neuralstream_core.time import Micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Block", "Selection", "build_block"]

_NUMPY: Final[dict[Dtype, np.dtype[Any]]] = {
    Dtype.FLOAT32: np.dtype("<f4"),
    Dtype.FLOAT64: np.dtype("<f8"),
    Dtype.INT64: np.dtype("<i8"),
    Dtype.BOOL: np.dtype("?"),
    Dtype.TIMESTAMP: np.dtype("<i8"),
}
_LENGTH: Final = np.dtype("<u4")


class _Run(NamedTuple):
    """Neighbouring features of one dtype, copied into the matrix together."""

    column: int
    offset: int
    dtype: np.dtype[Any]
    size: int


class Selection:
    """Which features of a view a block has, and where they are; kept between reads."""

    def __init__(self, view: FeatureView, layout: Layout, positions: list[int]) -> None:
        self.layout = layout
        self.positions = positions
        self.features = [view.features[i] for i in positions]
        self.names = tuple(feature.name for feature in self.features)
        self.ttl = view.ttl_micros
        self.sizes = [feature.size or 1 for feature in self.features]
        self.width = sum(self.sizes)
        self.has_strings = any(feature.dtype is Dtype.STRING for feature in self.features)
        self._in_order = positions == [*range(len(positions))]
        self._runs: dict[int, list[_Run]] = {}

    def within(self, cells: int) -> tuple[slice | list[int], slice | list[int]]:
        """What a row of ``cells`` cells has of the selection: columns of the block, and the cells."""
        if self._in_order:
            some = slice(0, min(len(self.positions), cells))
            return some, some
        here = [j for j, position in enumerate(self.positions) if position < cells]
        if len(here) == len(self.positions):
            return slice(None), self.positions
        return here, [self.positions[j] for j in here]

    def runs(self, cells: int) -> list[_Run]:
        """What to copy from rows of ``cells`` cells into a matrix."""
        if (found := self._runs.get(cells)) is not None:
            return found
        runs: list[_Run] = []
        column = 0
        for position, feature, size in zip(self.positions, self.features, self.sizes, strict=True):
            if position < cells:
                run = _Run(column, self.layout.offsets[position], _NUMPY[feature.dtype], size)
                last = runs[-1] if runs else None
                if (
                    last is not None
                    and last.dtype == run.dtype
                    and last.offset + last.size * last.dtype.itemsize == run.offset
                    and last.column + last.size == column
                ):
                    runs[-1] = last._replace(size=last.size + size)
                else:
                    runs.append(run)
            column += size
        self._runs[cells] = runs
        return runs


class _Part:
    """Rows with the same number of cells, their fixed-width beginnings in one buffer.

    Attributes:
        at: which rows of the block these are; a full slice for all of them.
        rows: the whole packed rows (what follows the values is only there).
        buffer: heads, bitmaps, times and values, row after row.
        stride: bytes from one row to the next in ``buffer``.
        cells: in each row.
    """

    __slots__ = ("_bits", "at", "buffer", "cells", "rows", "stride")

    def __init__(
        self,
        at: NDArray[np.intp] | slice,
        rows: Sequence[bytes],
        buffer: bytes,
        stride: int,
        cells: int,
    ) -> None:
        self.at = at
        self.rows = rows
        self.buffer = buffer
        self.stride = stride
        self.cells = cells
        self._bits = 2 * bitmap_bytes(cells)

    def field(self, offset: int, dtype: str) -> NDArray[Any]:
        """One field of each row's beginning."""
        return np.ndarray((len(self.rows),), dtype, self.buffer, offset, (self.stride,))

    def values(self, offset: int, dtype: np.dtype[Any], size: int | None) -> NDArray[Any]:
        """``(rows,)`` or ``(rows, size)`` values that begin ``offset`` bytes into a row's values."""
        at = 20 + self._bits + offset
        if size is None:
            return np.ndarray((len(self.rows),), dtype, self.buffer, at, (self.stride,))
        strides = (self.stride, dtype.itemsize)
        return np.ndarray((len(self.rows), size), dtype, self.buffer, at, strides)

    @property
    def distinct(self) -> NDArray[np.int64]:
        """How many event times each row's table has; 0 for a row of one event time."""
        return self.field(6, "<u2").astype(np.int64)

    @property
    def tails(self) -> NDArray[np.int64]:
        """Where each row's strings begin."""
        distinct = self.distinct
        index = self.cells * index_width(self.cells)
        return self.stride + np.where(distinct > 0, index + 8 * distinct, 0)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each row."""
        return np.fromiter(map(len, self.rows), np.int64, len(self.rows))

    def times(self) -> NDArray[np.int64]:
        """Event times ``(rows, cells)``; those of cells never written mean nothing."""
        shape, strides = (len(self.rows), self.cells), (self.stride, 0)
        newest: NDArray[np.int64] = np.ndarray(shape, "<i8", self.buffer, 12 + self._bits, strides)
        distinct = self.distinct
        merged = np.flatnonzero(distinct)
        if not merged.size:
            return newest
        rows, counts = [self.rows[i] for i in merged.tolist()], distinct[merged]
        step = index_width(self.cells)
        at, table = self.stride, self.stride + self.cells * step
        index = np.frombuffer(b"".join([row[at:table] for row in rows]), f"<u{step}")
        times = np.frombuffer(
            b"".join(
                [row[table : table + 8 * k] for row, k in zip(rows, counts.tolist(), strict=True)]
            ),
            "<i8",
        )
        starts, ends = np.cumsum(counts) - counts, np.cumsum(counts) - 1
        places = starts[:, None] + index.reshape(len(rows), self.cells)
        found = newest.copy()
        found[merged] = times[
            np.minimum(places, ends[:, None])
        ]  # unknown cells point beyond the end
        return found

    def status(self, chosen: slice | list[int], oldest: Micros | None) -> NDArray[np.uint8]:
        """`CellStatus` ``(rows, chosen)``; event times before ``oldest`` are EXPIRED."""
        half = self._bits // 2
        shape, strides = (len(self.rows), self._bits), (self.stride, 1)
        bytes_ = np.ndarray(shape, np.uint8, self.buffer, 12, strides)
        bits = np.unpackbits(bytes_, axis=1, bitorder="little")
        known = bits[:, : self.cells][:, chosen]
        null = bits[:, 8 * half : 8 * half + self.cells][:, chosen]
        status: NDArray[np.uint8] = np.where(known, null, np.uint8(CellStatus.NOT_FOUND))
        if oldest is not None and (
            self.field(12 + self._bits, "<i8").min() < oldest or (self.distinct.any())
        ):
            expired = (self.times()[:, chosen] < oldest) & known.astype(np.bool_)
            status[expired] = CellStatus.EXPIRED
        return status


class Block:
    """Cells of many entities of one view.

    Attributes:
        names: the features, in the order they were asked for.
        status: ``uint8 (n_entities, n_features)`` of `CellStatus`.
        complete: whether every cell is PRESENT.
    """

    def __init__(self, selection: Selection, parts: list[_Part], status: NDArray[np.uint8]) -> None:
        self.names = selection.names
        self.status = status
        self._selection = selection
        self._parts = parts
        self.complete = not status.any()

    def __len__(self) -> int:
        return len(self.status)

    @cached_property
    def event_times(self) -> NDArray[np.int64]:
        """``int64 (n_entities, n_features)`` microseconds; 0 where NOT_FOUND."""
        out = np.zeros(self.status.shape, np.int64)
        for part in self._parts:
            here, chosen = self._selection.within(part.cells)
            out[_cross(part.at, here)] = part.times()[:, chosen]
        if not self.complete:
            out[self.status == CellStatus.NOT_FOUND] = 0
        return out

    @cached_property
    def columns(self) -> dict[str, NDArray[Any]]:
        """One array a feature, in its own dtype: timestamps as int64 microseconds, strings as objects,
        vectors as ``(n, size)``. Where a cell is not PRESENT: NaN, 0, False or ``None``."""
        return {name: self._column(j) for j, name in enumerate(self.names)}

    def matrix(self) -> NDArray[np.float64]:
        """All features side by side as ``float64 (n, sum of sizes)``, NaN where not PRESENT.

        Raises:
            TypeError: a feature is a string.
        """
        selection = self._selection
        if selection.has_strings:
            raise TypeError("a string feature has no place in a matrix")
        out = np.empty((len(self), selection.width), np.float64)
        for part in self._parts:
            for column, offset, dtype, size in selection.runs(part.cells):
                out[part.at, column : column + size] = part.values(offset, dtype, size)
        if not self.complete:
            absent = self.status != CellStatus.PRESENT
            if selection.width > len(self.names):
                absent = np.repeat(absent, selection.sizes, axis=1)
            out[absent] = np.nan
        return out

    def _column(self, j: int) -> NDArray[Any]:
        feature, position = self._selection.features[j], self._selection.positions[j]
        if feature.dtype is Dtype.STRING:
            return self._strings(j)
        dtype, offset = _NUMPY[feature.dtype], self._selection.layout.offsets[position]
        shape = (len(self),) if feature.size is None else (len(self), feature.size)
        out = np.zeros(shape, dtype)
        for part in self._parts:
            if position < part.cells:
                out[part.at] = part.values(offset, dtype, feature.size)
        if not self.complete:
            absent = self.status[:, j] != CellStatus.PRESENT
            out[absent] = np.nan if dtype.kind == "f" else 0
        return out

    def _strings(self, j: int) -> NDArray[Any]:
        position, layout = self._selection.positions[j], self._selection.layout
        before = [layout.offsets[i] for i in layout.strings if i < position]
        out = np.full(len(self), None, object)
        for part in self._parts:
            if position >= part.cells:
                continue
            start = part.tails
            for offset in before:
                start += part.values(offset, _LENGTH, None)
            end = start + part.values(layout.offsets[position], _LENGTH, None)
            if (end > part.lengths).any():
                raise unreadable()
            texts = np.empty(len(part.rows), object)
            try:
                texts[:] = [
                    row[a:b].decode()
                    for row, a, b in zip(part.rows, start.tolist(), end.tolist(), strict=True)
                ]
            except UnicodeDecodeError:
                raise unreadable() from None
            out[part.at] = texts
        if not self.complete:
            out[self.status[:, j] != CellStatus.PRESENT] = None
        return out


def build_block(selection: Selection, rows: Sequence[bytes | None], now: Micros) -> Block:
    """The block of packed ``rows`` (``None``: no such entity) as of ``now``.

    Raises:
        Unavailable: a row has an unknown format or is damaged; a text that is none shows only when
            its column is read.
    """
    oldest = None if selection.ttl is None else now - selection.ttl
    count = len(selection.positions)
    whole = _whole_part(selection.layout, rows)
    if whole is not None:
        status = np.zeros((len(rows), count), np.uint8)
        if oldest is not None:
            status[whole.field(len(selection.layout.whole), "<i8") < oldest] = CellStatus.EXPIRED
        return Block(selection, [whole], status)
    status = np.full((len(rows), count), CellStatus.NOT_FOUND, np.uint8)
    parts = _parts(selection.layout, rows)
    for part in parts:
        here, chosen = selection.within(part.cells)
        status[_cross(part.at, here)] = part.status(chosen, oldest)
    return Block(selection, parts, status)


def _cross(rows: NDArray[np.intp] | slice, columns: slice | list[int]) -> Any:
    """The index of all ``rows`` × ``columns``."""
    if isinstance(rows, slice) or isinstance(columns, slice):
        return rows, columns
    return np.ix_(rows, np.asarray(columns, np.intp))


def _whole_part(layout: Layout, rows: Sequence[bytes | None]) -> _Part | None:
    """All rows as one part, if each was written whole at this schema version.

    Such a row without strings is as long as its head says, so when the first row has that head, the
    second begins where the first must end, and so on: heads at equal steps prove themselves.
    """
    head = layout.whole
    stride = layout.values_at + layout.width
    if layout.strings or not rows:
        return None
    try:
        buffer = b"".join(rows)  # type: ignore[arg-type]  # None among them is the TypeError
    except TypeError:
        return None
    if len(buffer) != len(rows) * stride:
        return None
    for at in (*range(0, len(head) - 8, 8), len(head) - 8):
        words = np.ndarray((len(rows),), "<u8", buffer, at, (stride,))
        if (words != int.from_bytes(head[at : at + 8], "little")).any():
            return None
    return _Part(slice(None), cast("Sequence[bytes]", rows), buffer, stride, layout.cells)


def _parts(layout: Layout, rows: Sequence[bytes | None]) -> list[_Part]:
    """The rows that are there, by their number of cells."""
    present = [row for row in rows if row is not None]
    if not present:
        return []
    at: NDArray[np.intp] | slice = slice(None)
    if len(present) < len(rows):
        at = np.flatnonzero([row is not None for row in rows])
    if (one := _part(layout, at, present)) is not None:
        return [one]
    groups: dict[bytes, list[int]] = {}
    for i, row in enumerate(present):
        groups.setdefault(row[4:6], []).append(i)  # the number of cells
    places = np.arange(len(rows))[at]
    parts = [_part(layout, places[which], [present[i] for i in which]) for which in groups.values()]
    if None in parts:
        raise unreadable()
    return cast("list[_Part]", parts)


def _part(layout: Layout, at: NDArray[np.intp] | slice, rows: list[bytes]) -> _Part | None:
    """``rows`` as one part; ``None`` if they differ in their number of cells."""
    if len(rows[0]) < HEAD.size:
        raise unreadable()
    form, _, _, cells, _, width = HEAD.unpack_from(rows[0])
    if form != FORMAT or not layout.fits(cells, width):
        raise unreadable()
    stride = 20 + 2 * bitmap_bytes(cells) + width
    buffer = b"".join([row[:stride] for row in rows])
    if len(buffer) != len(rows) * stride:
        return None
    part = _Part(at, rows, buffer, stride, cells)
    if (part.field(0, "u1") != FORMAT).any():
        raise unreadable()
    same = (part.field(4, "<u2") == cells) & (part.field(8, "<u4") == width)
    if not same.all():
        return None
    if (layout.strings or part.distinct.any()) and (part.lengths < part.tails).any():
        raise unreadable()
    return part
