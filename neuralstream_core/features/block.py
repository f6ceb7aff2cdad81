"""Many packed rows → columns, by array arithmetic; see `_layout` for the bytes.

Rows with the same number of cells are joined into one buffer, in which a fixed-width cell is a strided view.
Rows of another schema version make another buffer. Only strings are cut out one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import numpy as np

from neuralstream_core.features._layout import (
    FORMAT,
    HEAD,
    Layout,
    Selection,
    bitmap_bytes,
    index_width,
    unreadable,
)
from neuralstream_core.features.rows import NEVER, CellStatus
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.values import Dtype
from neuralstream_core.time import Micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NUMPY", "Block", "build_block", "build_written"]

NUMPY: Final[dict[Dtype, np.dtype[Any]]] = {
    Dtype.FLOAT32: np.dtype("<f4"),
    Dtype.FLOAT64: np.dtype("<f8"),
    Dtype.INT64: np.dtype("<i8"),
    Dtype.BOOL: np.dtype("?"),
    Dtype.TIMESTAMP: np.dtype("<i8"),
}
_LENGTH: Final = np.dtype("<u4")


class Block(NamedTuple):
    """Cells of many entities of one view.

    Attributes:
        names: the features, in the order they were asked for.
        status: ``uint8 (n_entities, n_features)`` of `CellStatus`.
        columns: one array per feature, in its own dtype: timestamps as int64 microseconds, strings as
            objects, vectors as ``(n, size)``. Where a cell is not PRESENT: NaN, 0, False or ``None``.
        event_times: ``int64 (n_entities,)``, the newest event time among each row's cells, `NEVER` where
            none was ever written; ``None`` if not asked for.
    """

    names: tuple[str, ...]
    status: NDArray[np.uint8]
    columns: dict[str, NDArray[Any]]
    event_times: NDArray[np.int64] | None = None

    @property
    def complete(self) -> bool:
        """Whether every cell is PRESENT."""
        return not self.status.any()


class _RowBuffer:
    """Rows with the same number of cells, their fixed-width beginnings in one buffer.

    Attributes:
        at: indices of these rows in the block; a full slice for all of them.
        rows: the packed rows, event times and strings included.
        buffer: heads, bitmaps, newest event times and values, row after row.
        stride: bytes from one row to the next in ``buffer``.
        cells: in each row.
        distinct: ``(rows,)`` number of event times in each row's table; 0 for a row of one event time.
    """

    def __init__(
        self,
        at: NDArray[np.intp] | slice,
        rows: Sequence[bytes],
        buffer: bytes,
        stride: int,
        cells: int,
    ) -> None:
        self.at, self.rows, self.buffer, self.stride, self.cells = at, rows, buffer, stride, cells
        self._bitmap = bitmap_bytes(cells)
        self._time_at = HEAD.size + 2 * self._bitmap
        self.distinct: NDArray[np.int64] = self.field(6, "<u2").astype(np.int64)

    def field(
        self, offset: int, dtype: str | np.dtype[Any], size: int | None = None
    ) -> NDArray[Any]:
        """``(rows,)`` or ``(rows, size)`` values, ``offset`` bytes from the beginning of each row."""
        kind = np.dtype(dtype)
        if size is None:
            return np.ndarray((len(self.rows),), kind, self.buffer, offset, (self.stride,))
        strides = (self.stride, kind.itemsize)
        return np.ndarray((len(self.rows), size), kind, self.buffer, offset, strides)

    def values(self, offset: int, dtype: np.dtype[Any], size: int | None = None) -> NDArray[Any]:
        """The same, ``offset`` bytes from the first value of each row."""
        return self.field(self._time_at + 8 + offset, dtype, size)

    def tails(self) -> NDArray[np.int64]:
        """Where each row's strings begin."""
        index = self.cells * index_width(self.cells)
        return self.stride + np.where(self.distinct > 0, index + 8 * self.distinct, 0)

    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each row."""
        return np.fromiter(map(len, self.rows), np.int64, len(self.rows))

    def row_times(self) -> NDArray[np.int64]:
        """``(rows,)`` the event time in each row's head, the newest one of a merged row."""
        return self.field(self._time_at, "<i8")

    def times(self) -> NDArray[np.int64]:
        """Event times ``(rows, cells)``; those of cells never written are arbitrary."""
        newest = self.row_times()
        found = np.repeat(newest[:, None], self.cells, axis=1)
        merged = np.flatnonzero(self.distinct)
        if not merged.size:
            return found
        counts, rows = self.distinct[merged], [self.rows[i] for i in merged.tolist()]
        step = index_width(self.cells)
        table = self.stride + self.cells * step
        tables = [row[table : table + 8 * k] for row, k in zip(rows, counts.tolist(), strict=True)]
        times = np.frombuffer(b"".join(tables), "<i8")
        index = np.frombuffer(b"".join([row[self.stride : table] for row in rows]), f"<u{step}")
        ends = np.cumsum(counts)
        places = (ends - counts)[:, None] + index.reshape(len(rows), self.cells)
        found[merged] = times[
            np.minimum(places, ends[:, None] - 1)
        ]  # a cell never written points past
        return found

    def current(self, whole: bytes, oldest: Micros) -> bool:
        """Whether all rows begin with ``whole`` and no cell is EXPIRED."""
        begin = self.field(0, "u1", len(whole))
        newest = self.row_times()
        return bool((begin == np.frombuffer(whole, "u1")).all() and (newest >= oldest).all())

    def status(self, oldest: Micros) -> NDArray[np.uint8]:
        """`CellStatus` ``(rows, cells)``; event times before ``oldest`` are EXPIRED."""
        known, null = self._bits(0), self._bits(1)
        status: NDArray[np.uint8] = np.where(known, null, np.uint8(CellStatus.NOT_FOUND))
        if self.distinct.any() or self.row_times().min() < oldest:
            status[(self.times() < oldest) & known.astype(np.bool_)] = CellStatus.EXPIRED
        return status

    def newest(self, positions: Sequence[int]) -> NDArray[np.int64]:
        """``(rows,)`` newest event time among the cells at ``positions``; `NEVER` if none is known."""
        cells = [position for position in positions if position < self.cells]
        times = np.where(self._bits(0)[:, cells], self.times()[:, cells], NEVER)
        found: NDArray[np.int64] = times.max(axis=1, initial=NEVER)
        return found

    def _bits(self, which: int) -> NDArray[np.uint8]:
        """One of the two bitmaps as 0 and 1, ``(rows, cells)``."""
        bitmap = self.field(HEAD.size + which * self._bitmap, "u1", self._bitmap)
        return np.unpackbits(bitmap, axis=1, count=self.cells, bitorder="little")

    def texts(self, layout: Layout, position: int) -> NDArray[Any]:
        """One string per row."""
        start = self.tails()
        for i in layout.strings:
            if i < position:
                start += self.values(layout.offsets[i], _LENGTH)
        end = start + self.values(layout.offsets[position], _LENGTH)
        if (end > self.lengths()).any():
            raise unreadable()
        found = np.empty(len(self.rows), object)
        try:
            found[:] = [
                row[a:b].decode()
                for row, a, b in zip(self.rows, start.tolist(), end.tolist(), strict=True)
            ]
        except UnicodeDecodeError:
            raise unreadable() from None
        return found


def build_block(
    selection: Selection,
    rows: Sequence[bytes | None],
    now: Micros,
    *,
    event_times: bool = False,
) -> Block:
    """The block of packed ``rows`` (``None``: no such entity) as of ``now``.

    Args:
        event_times: whether the newest event time of each row is wanted.

    Raises:
        Unavailable: a row has an unknown format or is damaged.
    """
    buffers = _buffers(selection.layout, rows)
    block = _cells(selection, buffers, len(rows), selection.oldest(now))
    if not event_times:
        return block
    newest = np.full(len(rows), NEVER)
    for buffer in buffers:
        newest[buffer.at] = buffer.newest(selection.positions)
    return block._replace(event_times=newest)


def build_written(view: FeatureView, rows: Sequence[bytes]) -> Block:
    """The block of all features of rows as one write each packed them, with their event times.

    Nothing is EXPIRED in it, and a row that names no feature has an event time too.

    Raises:
        Unavailable: a row has an unknown format or is damaged.
    """
    layout = Layout(view)
    buffers = _buffers(layout, rows)
    selection = Selection(view, layout, list(range(layout.cells)))
    block = _cells(selection, buffers, len(rows), NEVER)
    times = np.full(len(rows), NEVER)
    for buffer in buffers:
        times[buffer.at] = buffer.row_times()
    return block._replace(event_times=times)


def _cells(
    selection: Selection, buffers: Sequence[_RowBuffer], count: int, oldest: Micros
) -> Block:
    """A block of ``count`` rows without event times; cells older than ``oldest`` are EXPIRED."""
    status = np.full((count, len(selection.names)), CellStatus.NOT_FOUND, np.uint8)
    for buffer in buffers:
        if buffer.current(selection.layout.whole, oldest):
            status[buffer.at] = CellStatus.PRESENT
            continue
        found = buffer.status(oldest)
        for j, position in enumerate(selection.positions):
            if position < buffer.cells:
                status[buffer.at, j] = found[:, position]
    complete = not status.any()
    columns: dict[str, NDArray[Any]] = {}
    for j, (name, position) in enumerate(zip(selection.names, selection.positions, strict=True)):
        column = _column(selection.layout, position, count, buffers)
        if not complete:
            column[status[:, j] != CellStatus.PRESENT] = _absent(column.dtype)
        columns[name] = column
    return Block(selection.names, status, columns)


def _column(
    layout: Layout, position: int, count: int, buffers: Sequence[_RowBuffer]
) -> NDArray[Any]:
    feature = layout.features[position]
    string = feature.dtype is Dtype.STRING
    dtype = np.dtype(object) if string else NUMPY[feature.dtype]
    column = np.empty(count if feature.size is None else (count, feature.size), dtype)
    for buffer in buffers:
        if position < buffer.cells:
            column[buffer.at] = (
                buffer.texts(layout, position)
                if string
                else buffer.values(layout.offsets[position], dtype, feature.size)
            )
    return column


def _absent(dtype: np.dtype[Any]) -> float | int | None:
    return {"f": np.nan, "O": None}.get(dtype.kind, 0)


def _buffers(layout: Layout, rows: Sequence[bytes | None]) -> list[_RowBuffer]:
    """The rows that are there, by their number of cells."""
    at: NDArray[np.intp] | slice = slice(None)
    if all(rows):
        present = cast("list[bytes]", rows)
    else:
        at = np.flatnonzero([row is not None for row in rows])
        present = [row for row in rows if row is not None]
    if not present:
        return []
    if (one := _buffer(layout, at, present)) is not None:
        return [one]
    groups: dict[bytes, list[int]] = {}
    for i, row in enumerate(present):
        groups.setdefault(row[4:6], []).append(i)  # the number of cells
    places = np.arange(len(rows))[at]
    buffers: list[_RowBuffer] = []
    for group in groups.values():
        buffer = _buffer(layout, places[group], [present[i] for i in group])
        if buffer is None:
            raise unreadable()
        buffers.append(buffer)
    return buffers


def _buffer(layout: Layout, at: NDArray[np.intp] | slice, rows: list[bytes]) -> _RowBuffer | None:
    """``rows`` in one buffer; ``None`` if they differ in their number of cells."""
    if len(rows[0]) < HEAD.size:
        raise unreadable()
    form, _, _, cells, _, width = HEAD.unpack_from(rows[0])
    if form != FORMAT or not layout.fits(cells, width):
        raise unreadable()
    stride = HEAD.size + 2 * bitmap_bytes(cells) + 8 + width
    same_length = set(map(len, rows)) == {stride}
    buffer = b"".join(rows if same_length else [row[:stride] for row in rows])
    if len(buffer) != len(rows) * stride:
        return None
    found = _RowBuffer(at, rows, buffer, stride, cells)
    if (found.field(0, "u1") != FORMAT).any():
        raise unreadable()
    if (found.field(4, "<u2") != cells).any() or (found.field(8, "<u4") != width).any():
        return None
    if (layout.strings or found.distinct.any()) and (found.lengths() < found.tails()).any():
        raise unreadable()
    return found
