"""Rows as callers send them → packed rows, and one packed row → a `Row`; see `_layout` for the bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from operator import itemgetter
from typing import Any, Final, NamedTuple

from neuralstream_core.errors import FieldError, Invalid
from neuralstream_core.features._layout import (
    COMPLETE,
    FORMAT,
    HEAD,
    MAX_ROW,
    ROW_TOO_LARGE,
    Layout,
    Selection,
    bitmap_bytes,
    index_width,
    unreadable,
)
from neuralstream_core.features.entity import entity_bytes, parse_entity
from neuralstream_core.features.rows import CellStatus, Row
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.values import (
    EXACT,
    MAX_FUTURE,
    BadValue,
    Dtype,
    bounded_time,
    checker,
    parse_time,
)
from neuralstream_core.time import Micros
from neuralstream_core.types import MAX_ENTITY_ID, MAX_NAME

__all__ = [
    "MAX_ERRORS",
    "Decoder",
    "Encoder",
    "PackedRows",
    "event_time",
    "refused",
]

MAX_ERRORS: Final = 100
"""Wrong places that one error names."""
_FIELDS: Final = frozenset({"entity_id", "features", "event_timestamp"})
_PYTHON_TYPES: Final[dict[Dtype, type]] = {
    Dtype.FLOAT32: float,
    Dtype.FLOAT64: float,
    Dtype.INT64: int,
    Dtype.BOOL: bool,
}
"""The type that `struct` packs as it is, for the dtypes that need no further check but finiteness."""


class PackedRows(NamedTuple):
    """Rows ready to be sent: the Redis key, event time, packed row and number of cells of each."""

    keys: list[bytes]
    times: list[Micros]
    rows: list[bytes]
    cells: list[int]

    def add(self, key: bytes, time: Micros, row: bytes, cells: int) -> None:
        self.keys.append(key)
        self.times.append(time)
        self.rows.append(row)
        self.cells.append(cells)


class _Cell(NamedTuple):
    position: int
    slot: int
    size: int | None
    dtype: Dtype
    check: Callable[[Any], Any]


class Encoder:
    """Checks and packs rows of one view at one schema version.

    Args:
        prefix: the beginning of the keys of the view's rows.
    """

    def __init__(self, view: FeatureView, layout: Layout, prefix: bytes) -> None:
        self._view = view
        self._prefix = prefix
        self._layout = layout
        self._cells: dict[str, _Cell] = {}
        self._zeros: list[Any] = []
        for i, feature in enumerate(view.features):
            check = checker(feature.dtype, feature.size)
            self._cells[feature.name] = _Cell(
                i, len(self._zeros), feature.size, feature.dtype, check
            )
            self._zeros += [0.0 if feature.dtype.code in "fd" else 0] * (feature.size or 1)
        self._pack = struct.Struct(f"<12s{layout.bitmap}s{layout.bitmap}sq{layout.codes}").pack
        self._pack_whole = struct.Struct(f"<{len(layout.whole)}sq{layout.codes}").pack
        names = view.names
        self._values: Callable[[Mapping[str, Any]], tuple[Any, ...]] = (
            itemgetter(*names) if len(names) > 1 else lambda features: (features[names[0]],)
        )
        self._types: list[type] | None = None
        if len(view.keys) == 1 and all(
            f.dtype in _PYTHON_TYPES and f.size is None for f in view.features
        ):
            self._types = [_PYTHON_TYPES[f.dtype] for f in view.features]

    def encode(
        self, rows: Sequence[Mapping[str, Any]], now: Micros, *, where: str = "rows.{}."
    ) -> PackedRows:
        """All ``rows`` packed, or every wrong place.

        Args:
            rows: as `neuralstream_core.features.WriteRow`.
            now: event time of rows that have none.
            where: prefix of each place, formatted with the row's number.

        Raises:
            Invalid: at least one row is wrong (the first hundred places are named).
        """
        packed = PackedRows([], [], [], [])
        errors: list[FieldError] = []
        time_of = lru_cache(parse_time)  # most rows of a request share one event time
        for number, row in enumerate(rows):
            try:
                if self._add_whole(row, now, time_of, packed):
                    continue
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError, struct.error):
                pass  # `_add_checked` accepts it or names what is wrong
            self._add_checked(row, now, where.format(number), errors, packed)
            if len(errors) >= MAX_ERRORS:
                break
        if errors:
            raise refused(errors)
        return packed

    def _add_whole(
        self, row: Any, now: Micros, time_of: Callable[[Any], Micros], packed: PackedRows
    ) -> bool:
        """Pack a row of exactly this schema, every value of its packed type: the usual one.

        Returns:
            Whether it is such a row; it may raise for any other.
        """
        entity, features = row["entity_id"], row["features"]
        moment = row.get("event_timestamp")
        time = now if moment is None else time_of(moment)
        values = self._values(features)
        if (
            type(entity) is not str
            or not 0 < len(entity) <= MAX_ENTITY_ID
            or len(features) != len(values)
            or len(row) != 2 + ("event_timestamp" in row)
            or list(map(type, values)) != self._types
            or not isfinite(sum(values))
            or not -EXACT < time <= now + MAX_FUTURE < EXACT
        ):
            return False
        data = self._pack_whole(self._layout.whole, time, *values)
        packed.add(self._prefix + entity.encode(), time, data, len(values))
        return True

    def _add_checked(
        self, row: Any, now: Micros, where: str, errors: list[FieldError], packed: PackedRows
    ) -> None:
        """One row, place by place; appends to ``packed`` or, when it is wrong, to ``errors``."""
        before = len(errors)
        if not isinstance(row, Mapping):
            errors.append(FieldError(where.rstrip(".") or "body", "must be an object"))
            return
        errors += [
            FieldError(f"{where}{str(f)[:MAX_NAME]}", "unknown field")
            for f in row
            if f not in _FIELDS
        ]
        key = b""
        try:
            if "entity_id" not in row:
                raise BadValue("is required")
            keys = self._view.keys
            key = self._prefix + entity_bytes(keys, parse_entity(keys, row["entity_id"]))
        except BadValue as error:
            errors.append(FieldError(f"{where}entity_id", str(error)))
        time = now
        try:
            if row.get("event_timestamp") is not None:
                time = event_time(row["event_timestamp"], now)
        except BadValue as error:
            errors.append(FieldError(f"{where}event_timestamp", str(error)))
        features = row.get("features")
        if not isinstance(features, Mapping) or not features:
            errors.append(
                FieldError(f"{where}features", "must be an object with at least one feature")
            )
            return
        data = self._packed(features, time, f"{where}features", errors)
        if len(data) > MAX_ROW:
            errors.append(FieldError(f"{where}features", ROW_TOO_LARGE))
        if len(errors) == before:
            packed.add(key, time, data, len(features))

    def _packed(
        self, features: Mapping[str, Any], time: Micros, where: str, errors: list[FieldError]
    ) -> bytes:
        flat = self._zeros.copy()
        strings: dict[int, bytes] = {}
        known = null = 0
        for name, value in features.items():
            cell = self._cells.get(name)
            if cell is None:
                unknown = f"not a feature of {self._view.name}"
                errors.append(FieldError(f"{where}.{str(name)[:MAX_NAME]}", unknown))
                continue
            known |= 1 << cell.position
            if value is None:
                null |= 1 << cell.position
                continue
            try:
                checked = cell.check(value)
            except BadValue as error:
                errors.append(FieldError(f"{where}.{name}", str(error)))
                continue
            if cell.dtype is Dtype.STRING:
                strings[cell.position] = checked
                flat[cell.slot] = len(checked)
            elif cell.size is None:
                flat[cell.slot] = checked
            else:
                flat[cell.slot : cell.slot + cell.size] = checked
        if errors:
            return b""
        layout = self._layout
        row = self._pack(
            layout.head(COMPLETE if known == layout.all_known else 0),
            known.to_bytes(layout.bitmap, "little"),
            null.to_bytes(layout.bitmap, "little"),
            time,
            *flat,
        )
        return row + b"".join(strings[i] for i in layout.strings if i in strings)


def refused(errors: Sequence[FieldError]) -> Invalid:
    """The error of a write with these wrong places, of which there is at least one."""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Invalid(f"{errors[0].loc}: {errors[0].msg}{more}", errors=errors)


def event_time(value: Any, now: Micros) -> Micros:
    """The event time that a caller gave, in microseconds.

    Raises:
        BadValue: no time, without a zone, too far in the future or out of range.
    """
    return bounded_time(parse_time(value), now)


class Decoder:
    """Reads the selected features of one view from its rows, of any schema version."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        positions, layout = selection.positions, selection.layout
        nothing = (None,) * len(positions)
        self.missing = Row(
            selection.names, nothing, (CellStatus.NOT_FOUND,) * len(positions), nothing
        )
        self._present = (CellStatus.PRESENT,) * len(positions)
        # Scalars of a row that was written whole at this schema version are unpacked at once; the cells
        # that were not asked for are skipped as padding.
        self._unpack: Callable[[bytes, int], tuple[Any, ...]] | None = None
        slots = {position: slot for slot, position in enumerate(sorted(set(positions)), 1)}
        if all(f.dtype is not Dtype.STRING and f.size is None for f in selection.features):
            codes = "".join(
                f.dtype.code if i in slots else f"{f.width}x" for i, f in enumerate(layout.features)
            )
            self._unpack = struct.Struct(f"<q{codes}").unpack_from
        self._order = [slots[i] for i in positions]
        self._cells = [
            (i, layout.offsets[i], struct.Struct(f"<{f.size or 1}{f.dtype.code}"), f)
            for i, f in zip(positions, selection.features, strict=True)
        ]

    def decode(self, row: bytes | None, now: Micros) -> Row:
        """The selected cells of ``row`` as of ``now``.

        Raises:
            Unavailable: the row has an unknown format or is damaged.
        """
        if row is None:
            return self.missing
        try:
            whole = self.selection.layout.whole
            if self._unpack is not None and row.startswith(whole):
                found = self._unpack(row, len(whole))
                if found[0] >= self.selection.oldest(now):
                    values = tuple([found[i] for i in self._order])
                    times = (found[0],) * len(values)
                    return Row(self.selection.names, values, self._present, times)
            return self._cell_by_cell(row, now)
        except (struct.error, IndexError, UnicodeDecodeError):
            # Its head promises more than there is, or a text is not UTF-8.
            raise unreadable() from None

    def _cell_by_cell(self, row: bytes, now: Micros) -> Row:
        form, _, _, cells, distinct, width = HEAD.unpack_from(row)
        if form != FORMAT:
            raise unreadable()
        bitmap = bitmap_bytes(cells)
        known = int.from_bytes(row[12 : 12 + bitmap], "little")
        null = int.from_bytes(row[12 + bitmap : 12 + 2 * bitmap], "little")
        (newest,) = struct.unpack_from("<q", row, 12 + 2 * bitmap)
        at = 20 + 2 * bitmap
        index, step = at + width, index_width(cells)
        times_at = index + (cells * step if distinct else 0)
        oldest = self.selection.oldest(now)
        texts = self._texts(row, at, times_at + 8 * distinct, cells)
        found: list[tuple[Any, CellStatus, Micros | None]] = []
        for i, offset, packed, feature in self._cells:
            if i >= cells or not known >> i & 1:
                found.append((None, CellStatus.NOT_FOUND, None))
                continue
            time = newest
            if distinct:
                entry = index + i * step
                which = int.from_bytes(row[entry : entry + step], "little")
                if which >= distinct:
                    raise unreadable()
                (time,) = struct.unpack_from("<q", row, times_at + 8 * which)
            if time < oldest:
                found.append((None, CellStatus.EXPIRED, time))
            elif null >> i & 1:
                found.append((None, CellStatus.NULL, time))
            elif feature.dtype is Dtype.STRING:
                found.append((texts[i].decode(), CellStatus.PRESENT, time))
            else:
                values = packed.unpack_from(row, at + offset)
                value = values[0] if feature.size is None else list(values)
                found.append((value, CellStatus.PRESENT, time))
        return Row(self.selection.names, *zip(*found, strict=True))

    def _texts(self, row: bytes, values_at: int, tail: int, cells: int) -> dict[int, bytes]:
        """Bytes of every string cell, by position."""
        texts: dict[int, bytes] = {}
        layout = self.selection.layout
        for i in layout.strings:
            if i >= cells:
                break
            (length,) = struct.unpack_from("<I", row, values_at + layout.offsets[i])
            texts[i] = row[tail : tail + length]
            tail += length
        if tail > len(row):
            raise unreadable()
        return texts
