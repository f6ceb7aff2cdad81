"""One packed row → a `Row`: the real-time way, without numpy."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from neuralstream_core.errors import Unavailable
from neuralstream_core.features._layout import FORMAT, HEAD, Layout, bitmap_bytes, index_width
from neuralstream_core.features.rows import CellStatus, Row
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.values import Dtype
from neuralstream_core.time import Micros

__all__ = ["Decoder", "unreadable"]

_PRESENT, _NULL, _EXPIRED, _NOT_FOUND = CellStatus


def unreadable() -> Unavailable:
    """A row that a newer release wrote in a format this one does not know, or that is damaged."""
    return Unavailable(
        "a stored row has an unknown format or is damaged", dependency="redis", retry_after=60
    )


class Decoder:
    """Reads the selected features of one view from its rows, of whatever schema version.

    Args:
        positions: of the selected features, in the order of the answer.
    """

    def __init__(self, view: FeatureView, layout: Layout, positions: list[int]) -> None:
        features = view.features
        self.names = tuple(features[i].name for i in positions)
        self._positions = positions
        self._mask = sum(1 << i for i in set(positions))
        self._layout_cells = layout.cells
        self._ttl = view.ttl_micros
        count = len(positions)
        nothing = (None,) * count
        self.missing = Row(self.names, nothing, (_NOT_FOUND,) * count, nothing)
        self._none = nothing
        self._all_present = (_PRESENT,) * count
        self._all_expired = (_EXPIRED,) * count
        self._count = count

        # The fast way: a row that was written whole at this schema, scalars only. Cells that were
        # not asked for are skipped as padding.
        self._whole = layout.whole
        self._at = len(layout.whole)
        self._unpack: Callable[[bytes, int], tuple[Any, ...]] | None = None
        self._order: tuple[int, ...] | None = None
        chosen = sorted(set(positions))
        if all(features[i].dtype is not Dtype.STRING and not features[i].shape for i in chosen):
            codes = "".join(
                f.dtype.code if i in set(chosen) else f"{f.width}x" for i, f in enumerate(features)
            )
            self._unpack = struct.Struct(f"<q{codes}").unpack_from
            if chosen != positions:
                self._order = tuple(chosen.index(i) + 1 for i in positions)

        self._cells = [
            (i, layout.offsets[i], struct.Struct(f"<{f.size or 1}{f.dtype.code}"), f.size, f.dtype)
            for i, f in ((i, features[i]) for i in positions)
        ]
        self._strings = [(i, layout.offsets[i]) for i in layout.strings]

    def decode(self, row: bytes | None, now: Micros) -> Row:
        """The selected cells of ``row`` as of ``now``.

        Raises:
            Unavailable: the row has an unknown format or is damaged.
        """
        if row is None:
            return self.missing
        try:
            return self._row(row, now)
        except (struct.error, IndexError, UnicodeDecodeError):
            # Its head promises more than there is, or a text is none.
            raise unreadable() from None

    def _row(self, row: bytes, now: Micros) -> Row:
        if self._unpack is not None and row.startswith(self._whole):
            values = self._unpack(row, self._at)
            time = values[0]
            ttl = self._ttl
            times = (time,) * self._count
            if ttl is not None and time + ttl < now:
                return Row(self.names, self._none, self._all_expired, times)
            order = self._order
            return Row(
                self.names,
                values[1:] if order is None else tuple([values[i] for i in order]),
                self._all_present,
                times,
            )
        return self._any_row(row, now)

    def _any_row(self, row: bytes, now: Micros) -> Row:
        form, _, _, cells, distinct, width = HEAD.unpack_from(row)
        if form != FORMAT:
            raise unreadable()
        bitmap = bitmap_bytes(cells)
        known = int.from_bytes(row[12 : 12 + bitmap], "little")
        null = int.from_bytes(row[12 + bitmap : 12 + 2 * bitmap], "little")
        (newest,) = struct.unpack_from("<q", row, 12 + 2 * bitmap)
        at = 20 + 2 * bitmap
        after = at + width
        index, step = after, index_width(cells)
        times_at = after + (cells * step if distinct else 0)
        oldest = None if self._ttl is None else now - self._ttl
        mask = self._mask
        if (
            self._unpack is not None
            and known & mask == mask
            and not null & mask
            and self._layout_cells <= cells <= 255
        ):
            # A merged row (or a longer one) that has all that was asked for.
            moments = (newest,) * self._count
            if distinct:
                table = struct.unpack_from(f"<{distinct}q", row, times_at)
                moments = tuple([table[row[index + i]] for i in self._positions])
            if oldest is None or min(moments) >= oldest:
                found = self._unpack(row, at - 8)
                order = self._order or range(1, self._count + 1)
                return Row(self.names, tuple([found[i] for i in order]), self._all_present, moments)

        texts = self._texts(row, at, times_at + 8 * distinct, cells) if self._strings else {}
        values: list[Any] = []
        status: list[CellStatus] = []
        times: list[Micros | None] = []
        for i, offset, form_of, size, dtype in self._cells:
            if i >= cells or not known >> i & 1:
                values.append(None)
                status.append(_NOT_FOUND)
                times.append(None)
                continue
            time = newest
            if distinct:
                entry = index + i * step
                which = int.from_bytes(row[entry : entry + step], "little")
                if which >= distinct:
                    raise unreadable()
                (time,) = struct.unpack_from("<q", row, times_at + 8 * which)
            times.append(time)
            if oldest is not None and time < oldest:
                values.append(None)
                status.append(_EXPIRED)
            elif null >> i & 1:
                values.append(None)
                status.append(_NULL)
            else:
                status.append(_PRESENT)
                if dtype is Dtype.STRING:
                    values.append(texts[i].decode())
                else:
                    packed = form_of.unpack_from(row, at + offset)
                    values.append(packed[0] if size is None else list(packed))
        return Row(self.names, tuple(values), tuple(status), tuple(times))

    def _texts(self, row: bytes, values_at: int, tail: int, cells: int) -> dict[int, bytes]:
        """Bytes of every string cell, by position."""
        texts: dict[int, bytes] = {}
        for i, offset in self._strings:
            if i >= cells:
                break
            (length,) = struct.unpack_from("<I", row, values_at + offset)
            texts[i] = row[tail : tail + length]
            tail += length
        if tail > len(row):
            raise unreadable()
        return texts
