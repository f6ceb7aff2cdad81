"""Columns as callers send them → packed rows, by array arithmetic; see `_layout` for the bytes.

The rows are byte for byte those that `neuralstream_core.features._packing.Encoder` makes of the same cells:
a property test compares them. A column whose values all have the packed type is checked as a whole; any
other one is checked cell by cell, which accepts it or names what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from neuralstream_core.errors import FieldError
from neuralstream_core.features._layout import (
    COMPLETE,
    HEAD,
    MAX_ROW,
    ROW_TOO_LARGE,
    Layout,
)
from neuralstream_core.features._packing import MAX_ERRORS, PackedRows, event_time, refused
from neuralstream_core.features.block import NUMPY
from neuralstream_core.features.entity import entity_bytes, parse_entity
from neuralstream_core.features.schema import Feature, FeatureView
from neuralstream_core.features.values import (
    EXACT,
    MAX_FUTURE,
    MAX_STRING,
    BadValue,
    Dtype,
    bounded_time,
    checker,
)
from neuralstream_core.time import Micros
from neuralstream_core.types import MAX_ENTITY_ID, MAX_NAME

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ColumnEncoder"]

_LENGTH: Final = np.dtype("<u4")
_NONE: Final = type(None)
_NUMBERS: Final = frozenset({float, int})
_PYTHON_TYPES: Final[dict[Dtype, frozenset[type]]] = {
    Dtype.FLOAT32: _NUMBERS,
    Dtype.FLOAT64: _NUMBERS,
    Dtype.INT64: frozenset({int}),
    Dtype.BOOL: frozenset({bool}),
}
"""The types that numpy converts exactly as the check of one value does."""


class _Cells(NamedTuple):
    """The packed values of one feature, one per row.

    Attributes:
        values: ``(n,)`` or, of a vector, ``(n, size)``; of a string its length. Zero where NULL.
        null: ``(n,)``; ``None`` when no cell is NULL.
        texts: UTF-8 of each string; ``None`` for other dtypes.
    """

    values: NDArray[Any]
    null: NDArray[np.bool_] | None
    texts: list[bytes] | None = None


class ColumnEncoder:
    """Checks and packs columns of one view at one schema version.

    Args:
        prefix: the beginning of the keys of the view's rows.
    """

    def __init__(self, view: FeatureView, layout: Layout, prefix: bytes) -> None:
        self._view = view
        self._layout = layout
        self._prefix = prefix

    def encode(
        self,
        entity_ids: Sequence[Any],
        columns: Mapping[str, Any],
        event_timestamp: Any,
        now: Micros,
    ) -> PackedRows:
        """``n`` rows packed, or every wrong place.

        Args:
            entity_ids: ``n`` entities in the forms of a row, or all as their `entity_bytes`.
            columns: ``n`` values by feature, a list or an array; ``None`` is NULL, and so is what a masked
                array masks.
            event_timestamp: one for all rows, or a list of ``n``, or an int64 array of ``n`` in
                microseconds; now where ``None``.
            now: in microseconds.

        Raises:
            Invalid: at least one place is wrong (the first hundred are named).
        """
        errors: list[FieldError] = []
        keys = self._keys(entity_ids, errors)
        times = _event_times(event_timestamp, len(entity_ids), now, errors)
        if not columns:
            errors.append(FieldError("columns", "must have at least one feature"))
        cells: dict[int, _Cells] = {}
        for name, values in columns.items():
            if len(errors) >= MAX_ERRORS:
                break
            place = f"columns.{str(name)[:MAX_NAME]}"
            position = self._view.index.get(name)
            if position is None:
                errors.append(FieldError(place, f"not a feature of {self._view.name}"))
                continue
            wrong = _wrong_form(values, len(entity_ids))
            if wrong is not None:
                errors.append(FieldError(place, wrong))
                continue
            cells[position] = _cells(self._view.features[position], values, place, errors)
        if errors:
            raise refused(errors[:MAX_ERRORS])
        rows = self._rows(times, cells)
        for at, row in enumerate(rows):
            if len(row) > MAX_ROW:
                errors.append(FieldError(f"entity_ids.{at}", ROW_TOO_LARGE))
        if errors:
            raise refused(errors[:MAX_ERRORS])
        return PackedRows(keys, times, rows, [len(columns)] * len(rows))

    def _keys(self, entity_ids: Sequence[Any], errors: list[FieldError]) -> list[bytes]:
        prefix, names = self._prefix, self._view.keys
        if set(map(type, entity_ids)) == {bytes}:
            return [prefix + raw for raw in entity_ids]
        if len(names) == 1 and all(
            type(raw) is str and 0 < len(raw) <= MAX_ENTITY_ID for raw in entity_ids
        ):
            try:
                return [prefix + raw.encode() for raw in entity_ids]
            except UnicodeEncodeError:
                pass  # below it is said which one
        keys: list[bytes] = []
        for at, raw in enumerate(entity_ids):
            try:
                keys.append(prefix + entity_bytes(names, parse_entity(names, raw)))
            except BadValue as error:
                errors.append(FieldError(f"entity_ids.{at}", str(error)))
        return keys

    def _rows(self, times: Sequence[Micros], cells: Mapping[int, _Cells]) -> list[bytes]:
        layout, n = self._layout, len(times)
        if not n:
            return []
        known = sum(1 << position for position in cells)
        head = layout.head(COMPLETE if known == layout.all_known else 0)
        head += known.to_bytes(layout.bitmap, "little")
        stride = layout.values_at + layout.width
        buffer = np.zeros((n, stride), np.uint8)
        buffer[:, : len(head)] = np.frombuffer(head, np.uint8)

        def put(offset: int, values: NDArray[Any]) -> None:
            strides = (stride, values.dtype.itemsize)[: values.ndim]
            np.ndarray(values.shape, values.dtype, buffer, offset, strides)[...] = values

        put(layout.values_at - 8, np.array(times, "<i8"))
        null = np.zeros((n, 8 * layout.bitmap), np.bool_)
        for position, column in cells.items():
            put(layout.values_at + layout.offsets[position], column.values)
            if column.null is not None:
                null[:, position] = column.null
        if null.any():
            at = HEAD.size + layout.bitmap
            buffer[:, at : at + layout.bitmap] = np.packbits(null, axis=1, bitorder="little")
        joined = buffer.tobytes()
        rows = [joined[at : at + stride] for at in range(0, len(joined), stride)]
        texts = [t for i in layout.strings if i in cells and (t := cells[i].texts) is not None]
        return list(map(b"".join, zip(rows, *texts, strict=True))) if texts else rows


def _event_times(given: Any, n: int, now: Micros, errors: list[FieldError]) -> list[Micros]:
    """An event time for each of ``n`` rows; appends to ``errors`` what is wrong."""
    if isinstance(given, np.ndarray):
        return _checked_times(given, n, now, errors)
    if not isinstance(given, list | tuple):
        try:
            return [now if given is None else event_time(given, now)] * n
        except BadValue as error:
            errors.append(FieldError("event_timestamp", str(error)))
            return []
    if len(given) != n:
        errors.append(FieldError("event_timestamp", f"has {len(given)} times for {n} entities"))
        return []
    times: list[Micros] = []
    known: dict[Any, Micros] = {None: now}  # many rows share one event time
    for at, value in enumerate(given):
        hashable = value is None or type(value) is str
        found = known.get(value) if hashable else None
        if found is None:
            try:
                found = event_time(value, now)
            except BadValue as error:
                errors.append(FieldError(f"event_timestamp.{at}", str(error)))
                continue
            if hashable:
                known[value] = found
        times.append(found)
    return times


def _checked_times(
    given: NDArray[Any], n: int, now: Micros, errors: list[FieldError]
) -> list[Micros]:
    """Event times in microseconds; appends to ``errors`` what is wrong."""
    if given.dtype != np.int64 or given.shape != (n,):
        errors.append(FieldError("event_timestamp", f"must be an int64 array of {n} microseconds"))
        return []
    times: list[Micros] = given.tolist()
    if n and not -EXACT < int(given.min()) <= int(given.max()) <= min(now + MAX_FUTURE, EXACT - 1):
        for at, time in enumerate(times):
            try:
                bounded_time(time, now)
            except BadValue as error:
                errors.append(FieldError(f"event_timestamp.{at}", str(error)))
    return times


def _wrong_form(values: Any, n: int) -> str | None:
    """What is wrong with a column before its values are looked at."""
    if not (values.ndim if isinstance(values, np.ndarray) else isinstance(values, list | tuple)):
        return "must be a list"
    return None if len(values) == n else f"has {len(values)} values for {n} entities"


def _cells(feature: Feature, values: Any, place: str, errors: list[FieldError]) -> _Cells:
    if isinstance(values, np.ma.MaskedArray):
        blank = values.filled(0) if values.ndim == 1 and values.dtype.kind != "O" else values
        if blank.dtype == NUMPY.get(feature.dtype) and _fits(feature, blank):
            return _Cells(blank, np.ma.getmaskarray(values))
        return _cells(feature, values.tolist(), place, errors)
    if isinstance(values, np.ndarray):
        if values.dtype == NUMPY.get(feature.dtype) and _fits(feature, values):
            return _Cells(values, None)
        values = values.tolist()
    types = set(map(type, values))
    null: NDArray[np.bool_] | None = None
    given = values
    if _NONE in types:
        types.remove(_NONE)
        blank = _blank(feature)
        if types:
            null = np.fromiter((value is None for value in values), np.bool_, len(values))
            given = [blank if value is None else value for value in values]
        else:
            null = np.ones(len(values), np.bool_)
            given, types = [blank] * len(values), {type(blank)}
    if feature.dtype is Dtype.STRING:
        texts = _texts(given) if types <= {str} else None
        if texts is not None:
            return _Cells(np.fromiter(map(len, texts), _LENGTH, len(texts)), null, texts)
    elif (array := _array(feature, given, types)) is not None:
        return _Cells(array, null)
    return _cell_by_cell(feature, values, place, errors)


def _blank(feature: Feature) -> Any:
    """A value of the packed type that packs as zeros."""
    zero = {Dtype.STRING: "", Dtype.BOOL: False}.get(feature.dtype, 0)
    return zero if feature.size is None else [zero] * feature.size


def _texts(values: Sequence[Any]) -> list[bytes] | None:
    """The UTF-8 of all ``values``; ``None`` if one needs a closer look."""
    try:
        if values and values.count(values[0]) == len(values):
            texts = [values[0].encode()] * len(values)
        else:
            texts = [value.encode() for value in values]
    except UnicodeEncodeError:
        return None
    return texts if max(map(len, texts), default=0) <= MAX_STRING else None


def _array(feature: Feature, values: Sequence[Any], types: set[type]) -> NDArray[Any] | None:
    """All ``values``, which are of ``types``, as packed; ``None`` if one needs a closer look."""
    wanted = _PYTHON_TYPES.get(feature.dtype)
    if wanted is None:
        return None
    if feature.size is not None:
        if not types <= {list} or set(map(len, values)) - {feature.size}:
            return None
        values = list(chain.from_iterable(values))
        types = set(map(type, values))
    if not types <= wanted:
        return None
    try:
        with np.errstate(over="ignore"):  # beyond float32 is infinite, which does not fit
            array = np.array(values, NUMPY[feature.dtype])
    except OverflowError:
        return None
    if feature.size is not None:
        array = array.reshape(-1, feature.size)
    return array if _fits(feature, array) else None


def _fits(feature: Feature, array: NDArray[Any]) -> bool:
    shape = () if feature.size is None else (feature.size,)
    return array.shape[1:] == shape and (array.dtype.kind != "f" or bool(np.isfinite(array).all()))


def _cell_by_cell(
    feature: Feature, values: Sequence[Any], place: str, errors: list[FieldError]
) -> _Cells:
    n = len(values)
    check = checker(feature.dtype, feature.size)
    shape = (n,) if feature.size is None else (n, feature.size)
    packed = np.zeros(shape, NUMPY.get(feature.dtype, _LENGTH))
    null = np.zeros(n, np.bool_)
    texts = [b""] * n if feature.dtype is Dtype.STRING else None
    for at, value in enumerate(values):
        if value is None:
            null[at] = True
            continue
        try:
            checked = check(value)
        except BadValue as error:
            errors.append(FieldError(f"{place}[{at}]", str(error)))
            if len(errors) >= MAX_ERRORS:
                break
            continue
        if texts is None:
            packed[at] = checked
        else:
            texts[at] = checked
            packed[at] = len(checked)
    return _Cells(packed, null, texts)
