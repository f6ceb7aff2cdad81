"""Rows as callers send them → packed rows, every place that is wrong named."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from operator import itemgetter
from typing import Any, Final, NamedTuple

from neuralstream_core.errors import FieldError, Invalid
from neuralstream_core.features._layout import COMPLETE, MAX_ROW, ROW_TOO_LARGE, Layout
from neuralstream_core.features.entity import entity_bytes, parse_entity
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.values import BadValue, Dtype, checker, parse_time
from neuralstream_core.time import Micros
from neuralstream_core.types import MAX_NAME

__all__ = ["MAX_FUTURE", "Encoder", "Packed"]

MAX_FUTURE: Final = 5 * 60 * 1_000_000
"""How far ahead of the clock an event time may be, in microseconds."""
MAX_ERRORS: Final = 100
_EXACT: Final = 2**53
"""Event times stay below this many microseconds, which a Lua number holds exactly."""
_FIELDS: Final = frozenset({"entity_id", "features", "event_timestamp"})
_FAST_TYPES: Final = {
    Dtype.FLOAT32: float,
    Dtype.FLOAT64: float,
    Dtype.INT64: int,
    Dtype.BOOL: bool,
}

_FLOAT_ONLY: Final = float.conjugate
"""Returns a float as it is and refuses everything else, in less time than a look at its type."""


class Packed(NamedTuple):
    """Rows ready to be sent, a list a part: a tuple a row would cost the collector more than the rest.

    Attributes:
        keys: the Redis key of each row.
        times: its event time.
        rows: the packed row.
        cells: how many cells it writes.
    """

    keys: list[bytes]
    times: list[Micros]
    rows: list[bytes]
    cells: list[int]


class _Cell(NamedTuple):
    position: int
    bit: int
    slot: int
    size: int | None
    string: bool
    check: Callable[[Any], Any]


class Encoder:
    """Checks and packs rows of one view at one schema version.

    Args:
        prefix: what the keys of the view's rows begin with.
    """

    def __init__(self, view: FeatureView, layout: Layout, prefix: bytes) -> None:
        self._view = view
        self._prefix = prefix
        self._layout = layout
        self._cells: dict[str, _Cell] = {}
        slot = 0
        for i, feature in enumerate(view.features):
            self._cells[feature.name] = _Cell(
                i,
                1 << i,
                slot,
                feature.size,
                feature.dtype is Dtype.STRING,
                checker(feature.dtype, feature.size),
            )
            slot += feature.size or 1
        self._zeros: list[Any] = []
        for feature in view.features:
            self._zeros += [0.0 if feature.dtype.code in "fd" else 0] * (feature.size or 1)
        bitmap = layout.bitmap
        self._pack = struct.Struct(f"<12s{bitmap}s{bitmap}sq{layout.codes}").pack
        self._head = layout.head(0)
        self._complete_head = layout.head(COMPLETE)

        # The fast way: a row of exactly this schema, every value already of its packed type.
        self._types: tuple[type, ...] | None = None
        if all(f.dtype in _FAST_TYPES and f.size is None for f in view.features):
            self._types = tuple(_FAST_TYPES[f.dtype] for f in view.features)
        self._floats = self._types is not None and set(self._types) == {float}
        names = view.names
        self._get: Callable[[Mapping[str, Any]], tuple[Any, ...]] = (
            itemgetter(*names) if len(names) > 1 else lambda features: (features[names[0]],)
        )
        self._pack_whole = struct.Struct(f"<{len(layout.whole)}sq{layout.codes}").pack

    def encode(
        self, rows: Sequence[Mapping[str, Any]], now: Micros, *, where: str = "rows.{}."
    ) -> Packed:
        """All ``rows`` packed, or every wrong place.

        Args:
            rows: as `neuralstream_core.features.WriteRow`.
            now: event time of rows that have none.
            where: prefix of each place, formatted with the row's number.

        Raises:
            Invalid: at least one row is wrong (the first hundred places are named).
        """
        packed = Packed([], [], [], [])
        add_key, add_time = packed.keys.append, packed.times.append
        add_row, add_cells = packed.rows.append, packed.cells.append
        errors: list[FieldError] = []
        types, get, pack, whole = self._types, self._get, self._pack_whole, self._layout.whole
        cells, single, prefix = self._layout.cells, len(self._view.keys) == 1, self._prefix
        floats = self._floats
        latest = now + MAX_FUTURE
        last_text: Any = None
        last_time = now
        for number, row in enumerate(rows):
            try:
                entity = row["entity_id"]
                if type(entity) is int:
                    entity = str(entity)
                features = row["features"]
                moment = row.get("event_timestamp")
                if moment is None:
                    time = now
                elif moment == last_text:
                    time = last_time
                else:
                    last_time = time = parse_time(moment)
                    last_text = moment
                if (
                    types is not None
                    and len(features) == cells
                    and (
                        isfinite(sum(map(_FLOAT_ONLY, values := get(features))))
                        if floats
                        else tuple(map(type, values := get(features))) == types
                        and isfinite(sum(values))
                    )
                    and -_EXACT < time <= latest < _EXACT
                    and len(row) == (3 if "event_timestamp" in row else 2)
                    and single
                    and type(entity) is str
                    and 0 < len(entity) <= 1024
                ):
                    key, data = prefix + entity.encode(), pack(whole, time, *values)
                    add_key(key)
                    add_time(time)
                    add_row(data)
                    add_cells(cells)
                    continue
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError, struct.error):
                pass  # something is unusual or wrong: the careful way accepts it or says what
            self._careful(row, now, where.format(number), errors, packed)
            if len(errors) >= MAX_ERRORS:
                break
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            raise Invalid(f"{errors[0].loc}: {errors[0].msg}{more}", errors=errors)
        return packed

    def _careful(
        self, row: Any, now: Micros, where: str, errors: list[FieldError], packed: Packed
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
                time = _event_time(row["event_timestamp"], now)
        except BadValue as error:
            errors.append(FieldError(f"{where}event_timestamp", str(error)))
        features = row.get("features")
        if not isinstance(features, Mapping) or not features:
            errors.append(
                FieldError(f"{where}features", "must be an object with at least one feature")
            )
            return
        data = self._cell_by_cell(features, time, where, errors)
        if len(data) > MAX_ROW:
            errors.append(FieldError(f"{where}features", ROW_TOO_LARGE))
        if len(errors) == before:
            packed.keys.append(key)
            packed.times.append(time)
            packed.rows.append(data)
            packed.cells.append(len(features))

    def _cell_by_cell(
        self, features: Mapping[str, Any], time: Micros, where: str, errors: list[FieldError]
    ) -> bytes:
        flat = self._zeros.copy()
        strings: dict[int, bytes] = {}
        known = null = 0
        cells = self._cells
        for name, value in features.items():
            cell = cells.get(name)
            if cell is None:
                errors.append(
                    FieldError(
                        f"{where}features.{str(name)[:MAX_NAME]}",
                        f"not a feature of {self._view.name}",
                    )
                )
                continue
            known |= cell.bit
            if value is None:
                null |= cell.bit
                continue
            try:
                checked = cell.check(value)
            except BadValue as error:
                errors.append(FieldError(f"{where}features.{name}", str(error)))
                continue
            if cell.string:
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
            self._complete_head if known == layout.all_known else self._head,
            known.to_bytes(layout.bitmap, "little"),
            null.to_bytes(layout.bitmap, "little"),
            time,
            *flat,
        )
        return row + b"".join([strings[i] for i in layout.strings if i in strings])


def _event_time(value: Any, now: Micros) -> Micros:
    time = parse_time(value)
    if time > now + MAX_FUTURE:
        raise BadValue("is more than 5 minutes in the future")
    if not -_EXACT < time < _EXACT:
        raise BadValue("is out of range (years 1685 to 2255)")
    return time
