"""Many packed rows → columns and one matrix, without a loop over cells.

Rows are joined into one buffer in which every fixed-width cell is a strided view. Rows of one length
whose heads agree need nothing else. Otherwise they are grouped by the number of cells in their head
(the schema version) and each group is read the same way; event times of merged rows are looked up in
their own tables, all of a group at once. Only strings, which become Python objects, are cut out one
by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from neuralstream_core.features._decode import unreadable
from neuralstream_core.features._layout import FORMAT, Layout, bitmap_bytes, index_width
from neuralstream_core.features.rows import Status
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.values import Dtype
from neuralstream_core.time import Micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Block", "build_block"]

_NUMPY: Final[dict[Dtype, np.dtype[Any]]] = {
    Dtype.FLOAT32: np.dtype("<f4"),
    Dtype.FLOAT64: np.dtype("<f8"),
    Dtype.INT64: np.dtype("<i8"),
    Dtype.BOOL: np.dtype("?"),
    Dtype.TIMESTAMP: np.dtype("<i8"),
}


class _Part:
    """Rows with the same number of cells, their fixed-width beginnings in one buffer.

    Attributes:
        at: which rows of the block these are; a full slice for all of them.
        rows: the whole packed rows (their tails hold the strings).
        stride: bytes from one row to the next in ``buffer``.
        values: offset of the first value.
        tails: offset of the strings in each row.
    """

    __slots__ = ("at", "buffer", "cells", "rows", "stride", "tails", "values")

    def __init__(
        self,
        at: NDArray[np.intp] | slice,
        rows: Sequence[bytes],
        buffer: bytes,
        stride: int,
        cells: int,
        tails: NDArray[np.int64] | int,
    ) -> None:
        self.at = at
        self.rows = rows
        self.buffer = buffer
        self.stride = stride
        self.cells = cells
        self.values = 20 + 2 * bitmap_bytes(cells)
        self.tails = tails

    def view(self, offset: int, dtype: np.dtype[Any], size: int | None) -> NDArray[Any]:
        """``(rows,)`` or ``(rows, size)`` values that begin ``offset`` bytes into a row's values."""
        at = self.values + offset
        if size is None:
            return np.ndarray((len(self.rows),), dtype, self.buffer, at, (self.stride,))
        return np.ndarray(
            (len(self.rows), size), dtype, self.buffer, at, (self.stride, dtype.itemsize)
        )


class Block:
    """Cells of many entities of one view.

    Attributes:
        names: the features, in the order they were asked for.
        status: ``uint8 (n_entities, n_features)`` of `Status`.
        event_times: ``int64 (n_entities, n_features)``, microseconds; 0 where NOT_FOUND. May be a
            read-only view.
    """

    def __init__(
        self,
        view: FeatureView,
        layout: Layout,
        positions: list[int],
        parts: list[_Part],
        status: NDArray[np.uint8],
        event_times: NDArray[np.int64],
    ) -> None:
        self.names = tuple(view.features[i].name for i in positions)
        self.status = status
        self.event_times = event_times
        self._features = [view.features[i] for i in positions]
        self._positions = positions
        self._layout = layout
        self._parts = parts
        self._columns: dict[str, NDArray[Any]] | None = None
        self._complete = not status.any()

    def __len__(self) -> int:
        return len(self.status)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """One array a feature, in its own dtype: timestamps as int64 microseconds, strings as objects,
        vectors as ``(n, size)``. Where a cell is not PRESENT: NaN, 0, False or ``None``."""
        if self._columns is None:
            self._columns = {name: self._column(j) for j, name in enumerate(self.names)}
        return self._columns

    def matrix(self) -> NDArray[np.float64]:
        """All features side by side as ``float64 (n, sum of sizes)``, NaN where not PRESENT.

        Raises:
            TypeError: a feature is a string.
        """
        if any(f.dtype is Dtype.STRING for f in self._features):
            raise TypeError("a string feature has no place in a matrix")
        sizes = [f.size or 1 for f in self._features]
        out = np.empty((len(self), sum(sizes)), np.float64)
        if not (self._parts and isinstance(self._parts[0].at, slice)):
            out.fill(np.nan)
        for part in self._parts:
            for column, offset, dtype, size in self._runs(part.cells):
                target = slice(column, column + size)
                values = part.view(offset, dtype, size)
                out[part.at, target] = values
        if not self._complete:
            absent = self.status != Status.PRESENT
            out[absent if max(sizes) == 1 else np.repeat(absent, sizes, axis=1)] = np.nan
        return out

    def _runs(self, cells: int) -> list[tuple[int, int, np.dtype[Any], int]]:
        """Neighbouring features of one dtype, copied together: (column, offset, dtype, size)."""
        runs: list[tuple[int, int, np.dtype[Any], int]] = []
        column = 0
        for position, feature in zip(self._positions, self._features, strict=True):
            size = feature.size or 1
            if position < cells:
                dtype, offset = _NUMPY[feature.dtype], self._layout.offsets[position]
                if runs:
                    c, o, d, s = runs[-1]
                    if d == dtype and o + s * d.itemsize == offset and c + s == column:
                        runs[-1] = (c, o, d, s + size)
                        column += size
                        continue
                runs.append((column, offset, dtype, size))
            column += size
        return runs

    def _column(self, j: int) -> NDArray[Any]:
        feature, position = self._features[j], self._positions[j]
        if feature.dtype is Dtype.STRING:
            return self._strings(j)
        dtype, offset = _NUMPY[feature.dtype], self._layout.offsets[position]
        shape = (len(self),) if feature.size is None else (len(self), feature.size)
        out = np.zeros(shape, dtype)
        for part in self._parts:
            if position < part.cells:
                out[part.at] = part.view(offset, dtype, feature.size)
        if not self._complete:
            absent = self.status[:, j] != Status.PRESENT
            out[absent] = np.nan if dtype.kind == "f" else 0
        return out

    def _strings(self, j: int) -> NDArray[Any]:
        position = self._positions[j]
        before = [self._layout.offsets[i] for i in self._layout.strings if i < position]
        out = np.full(len(self), None, object)
        length_of = np.dtype("<u4")
        for part in self._parts:
            if position >= part.cells:
                continue
            start = np.full(len(part.rows), part.tails, np.int64)
            for offset in before:
                start += part.view(offset, length_of, None)
            end = start + part.view(self._layout.offsets[position], length_of, None)
            texts = np.empty(len(part.rows), object)
            texts[:] = [
                row[a:b].decode()
                for row, a, b in zip(part.rows, start.tolist(), end.tolist(), strict=True)
            ]
            out[part.at] = texts
        if not self._complete:
            out[self.status[:, j] != Status.PRESENT] = None
        return out


def build_block(
    view: FeatureView,
    layout: Layout,
    positions: list[int],
    rows: Sequence[bytes | None],
    now: Micros,
) -> Block:
    """The block of packed ``rows`` (``None``: no such entity) as of ``now``."""
    oldest = None if view.ttl_micros is None else now - view.ttl_micros
    whole = _whole_part(layout, rows)
    if whole is not None:
        count = len(rows)
        times = np.ndarray((count,), "<i8", whole.buffer, len(layout.whole), (whole.stride,))
        status = np.zeros((count, len(positions)), np.uint8)
        if oldest is not None:
            expired = times < oldest
            if expired.any():
                status[expired] = Status.EXPIRED
        spread = np.broadcast_to(times[:, None], status.shape)
        return Block(view, layout, positions, [whole], status, spread)

    status = np.full((len(rows), len(positions)), Status.NOT_FOUND, np.uint8)
    event_times = np.zeros((len(rows), len(positions)), np.int64)
    parts: list[_Part] = []
    for at, part, all_known, all_null, all_times in _groups(rows):
        here = [j for j, position in enumerate(positions) if position < part.cells]
        chosen = [positions[j] for j in here]
        there: Any = (at[:, None], np.asarray(here, np.intp)[None, :])
        known, times = all_known[:, chosen], all_times[:, chosen]
        found = np.where(all_null[:, chosen], np.uint8(Status.NULL), np.uint8(Status.PRESENT))
        if oldest is not None:
            found[times < oldest] = Status.EXPIRED
        status[there] = np.where(known, found, Status.NOT_FOUND)
        event_times[there] = np.where(known, times, 0)
        parts.append(part)
    return Block(view, layout, positions, parts, status, event_times)


def _whole_part(layout: Layout, rows: Sequence[bytes | None]) -> _Part | None:
    """All rows as one part if each was written whole at this schema version and all are equally long."""
    if None in rows:
        return None
    present = cast("Sequence[bytes]", rows)
    stride = len(present[0]) if present else 0
    head = layout.whole
    fixed = layout.values_at + layout.width
    if stride < fixed or len(set(map(len, present))) != 1:
        return None
    buffer = b"".join(present)
    for at in (*range(0, len(head) - 8, 8), len(head) - 8):
        words = np.ndarray((len(present),), "<u8", buffer, at, (stride,))
        if not (words == int.from_bytes(head[at : at + 8], "little")).all():
            return None
    return _Part(slice(None), present, buffer, stride, layout.cells, fixed)


_HEAD: Final = np.dtype(
    [
        ("format", "u1"),
        ("flags", "u1"),
        ("version", "<u2"),
        ("cells", "<u2"),
        ("times", "<u2"),
        ("width", "<u4"),
    ]
)


def _groups(
    rows: Sequence[bytes | None],
) -> list[tuple[NDArray[np.intp], _Part, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]]:
    """Rows grouped by their number of cells; with each group its known and NULL cells and event
    times, all ``(rows, cells)``."""
    at = [i for i, row in enumerate(rows) if row is not None]
    present = [row for row in rows if row is not None]
    heads = np.frombuffer(b"".join([row[:12] for row in present]), _HEAD)
    if (heads["format"] != FORMAT).any():
        raise unreadable()
    groups = []
    for cells, width in {*zip(heads["cells"].tolist(), heads["width"].tolist(), strict=True)}:
        which = np.flatnonzero((heads["cells"] == cells) & (heads["width"] == width))
        chosen = [present[i] for i in which.tolist()]
        bitmap, step = bitmap_bytes(cells), index_width(cells)
        stride = 20 + 2 * bitmap + width
        buffer = b"".join([row[:stride] for row in chosen])
        distinct = heads["times"][which].astype(np.int64)
        tails = stride + np.where(distinct > 0, cells * step + 8 * distinct, 0)
        part_at = np.asarray(at)[which]
        part = _Part(part_at, chosen, buffer, stride, cells, tails)
        known, null = (
            np.unpackbits(
                np.ndarray((len(chosen), bitmap), "u1", buffer, offset, (stride, 1)),
                axis=1,
                count=cells,
                bitorder="little",
            ).astype(np.bool_)
            for offset in (12, 12 + bitmap)
        )
        newest = np.ndarray((len(chosen),), "<i8", buffer, 12 + 2 * bitmap, (stride,))
        times = np.repeat(newest[:, None], cells, axis=1)
        merged = np.flatnonzero(distinct)
        if merged.size:
            times[merged] = _merged_times(
                [chosen[i] for i in merged.tolist()], distinct[merged], stride, cells
            )
        groups.append((part_at, part, known, null, times))
    return groups


def _merged_times(
    rows: list[bytes], distinct: NDArray[np.int64], at: int, cells: int
) -> NDArray[np.int64]:
    """Event times ``(rows, cells)`` of rows that carry a time index and a table of times at ``at``."""
    step = index_width(cells)
    table = at + cells * step
    index = np.frombuffer(b"".join([row[at:table] for row in rows]), f"<u{step}")
    times = np.frombuffer(
        b"".join(
            [row[table : table + 8 * k] for row, k in zip(rows, distinct.tolist(), strict=True)]
        ),
        "<i8",
    )
    starts = np.cumsum(distinct) - distinct
    found: NDArray[np.int64] = times[starts[:, None] + index.reshape(len(rows), cells)]
    return found
