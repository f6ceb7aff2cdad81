"""The bytes of one stored row, format 1. All integers little-endian.

===========  =======================  ================================================================
at           size                     what
===========  =======================  ================================================================
0            1                        format, 1
1            1                        flags; bit 0: every cell of the row's schema version is known
2            2                        schema version of the newest writer
4            2                        *n*: number of cells
6            2                        *k*: number of distinct event times; 0 if all known cells share one
8            4                        *w*: bytes of all values
12           b = ⌈n/8⌉                bitmap of known cells; cell *i* is bit *i* mod 8 of byte *i* div 8
12 + b       b                        bitmap of cells that are NULL
12 + 2b      8                        the event time in microseconds; the newest one if *k* > 0
20 + 2b      w                        values in schema order, fixed width, zero where unknown or NULL;
                                      a string's value is its length (u32)
20 + 2b + w  n·(1, or 2 if n > 255)   only if *k* > 0: for each cell, which of the times is its own; all
                                      bits set where unknown
…            8·k                      only if *k* > 0: the distinct event times
…            rest                     strings of the known cells, UTF-8, in schema order
===========  =======================  ================================================================

The head suffices to find every cell, so readers of an older or newer schema version can read the row. A
row written whole takes 8 bytes for its event time; one merged from *k* writes takes one byte per cell and
8·k more. 50 float64 cells: 434 bytes, or 484 + 8·k.
"""

from __future__ import annotations

import struct
from typing import Final

from neuralstream_core.errors import Unavailable
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.values import Dtype
from neuralstream_core.time import Micros

__all__ = [
    "COMPLETE",
    "FORMAT",
    "HEAD",
    "MAX_ROW",
    "ROW_TOO_LARGE",
    "Layout",
    "Selection",
    "bitmap_bytes",
    "index_width",
    "unreadable",
]

FORMAT: Final = 1
COMPLETE: Final = 1
MAX_ROW: Final = 256 * 1024
"""Bytes of one stored row, strings included."""
ROW_TOO_LARGE: Final = f"would make a row of more than {MAX_ROW} bytes"
HEAD: Final = struct.Struct("<BBHHHI")
_TIME: Final = struct.Struct("<q")
_BEGINNING: Final = -(2**63)


def bitmap_bytes(cells: int) -> int:
    """Bytes of a bitmap over ``cells``."""
    return (cells + 7) // 8


def index_width(cells: int) -> int:
    """Bytes of one entry of the time index."""
    return 1 if cells <= 255 else 2


def unreadable() -> Unavailable:
    """The error for a row in a newer release's format, or a damaged one."""
    return Unavailable(
        "a stored row has an unknown format or is damaged", dependency="redis", retry_after=60
    )


class Layout:
    """Where the cells of one schema version are.

    Attributes:
        bitmap: bytes of one bitmap.
        values_at: offset of the first value in a row of exactly this schema.
        offsets: of each cell, from the first value.
        width: bytes of all values.
        codes: `struct` codes of all values, without byte order.
        strings: positions of the string cells.
        widths: argument of the merge script: u16 per cell, its width, 0 for a string; then u32 for every
            eight cells, their width together, 0 if there is a string among them.
        whole: first bytes of a row whose cells are all known, not NULL and of one event time.
    """

    def __init__(self, view: FeatureView) -> None:
        self.features = view.features
        self.cells = len(view.features)
        self.schema_version = view.schema_version
        self.bitmap = bitmap_bytes(self.cells)
        self.values_at = HEAD.size + 2 * self.bitmap + 8
        self.offsets: list[int] = []
        self.width = 0
        for feature in view.features:
            self.offsets.append(self.width)
            self.width += feature.width
        self.codes = "".join(f"{f.size or 1}{f.dtype.code}" for f in view.features)
        self.strings = [i for i, f in enumerate(view.features) if f.dtype is Dtype.STRING]
        widths = [0 if f.dtype is Dtype.STRING else f.width for f in view.features]
        eights = [widths[i : i + 8] for i in range(0, self.cells - 7, 8)]
        together = [sum(eight) if all(eight) else 0 for eight in eights]
        self.widths = struct.pack(f"<{self.cells}H{len(together)}I", *widths, *together)
        self.all_known = (1 << self.cells) - 1
        self.whole = (
            self.head(COMPLETE)
            + self.all_known.to_bytes(self.bitmap, "little")
            + bytes(self.bitmap)
        )

    def fits(self, cells: int, width: int) -> bool:
        """Whether a row of ``cells`` cells can have ``width`` bytes of values."""
        if cells > self.cells:
            return width >= self.width
        return width == (self.width if cells == self.cells else self.offsets[cells])

    def empty(self, time: Micros) -> bytes:
        """A row without a cell."""
        return self.head(0) + bytes(2 * self.bitmap) + _TIME.pack(time) + bytes(self.width)

    def head(self, flags: int) -> bytes:
        """The head of a row of this schema that one write makes (one event time)."""
        return HEAD.pack(FORMAT, flags, self.schema_version, self.cells, 0, self.width)


class Selection:
    """Features of a view that are read together.

    Args:
        positions: of the features, in the order of the answer.
    """

    def __init__(self, view: FeatureView, layout: Layout, positions: list[int]) -> None:
        self.layout = layout
        self.positions = positions
        self.features = [view.features[i] for i in positions]
        self.names = tuple(feature.name for feature in self.features)
        self._ttl = view.ttl_micros

    def oldest(self, now: Micros) -> Micros:
        """The oldest event time that is not EXPIRED at ``now``."""
        return _BEGINNING if self._ttl is None else now - self._ttl
