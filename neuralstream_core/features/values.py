"""What one value of each dtype may be, and how times are read.

Every check takes what a caller sent and returns what is packed, or raises `BadValue` with a
sentence that never repeats the value. Nothing is rounded into range, guessed or coerced between
kinds: ``true`` is not 1, ``"1"`` is not 1, 1.0 is not an int64. The one widening is int → float.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from math import isfinite
from numbers import Integral, Real
from typing import Any, Final

from neuralstream_core.time import Micros, to_micros

__all__ = [
    "EXACT",
    "MAX_FUTURE",
    "MAX_STRING",
    "BadValue",
    "Dtype",
    "bounded_time",
    "checker",
    "parse_time",
]

MAX_STRING: Final = 64 * 1024
"""UTF-8 bytes of one string value."""

MAX_FUTURE: Final = 5 * 60 * 1_000_000
"""How far ahead of the clock an event time may be, in microseconds."""
EXACT: Final = 2**53
"""Event times stay below this many microseconds, which a Lua number holds exactly."""

_INT64: Final = range(-(2**63), 2**63)
_FLOAT32: Final = struct.Struct("<f")


class BadValue(ValueError):
    """What is wrong with a value, as the end of a sentence that begins with its place."""


class Dtype(StrEnum):
    """The dtypes of the contract; ``shape: [n]`` makes a vector of a numeric one."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    INT64 = "int64"
    BOOL = "bool"
    STRING = "string"
    TIMESTAMP = "timestamp"

    @property
    def code(self) -> str:
        """The `struct` code of one packed value; a string packs its length, its bytes go to the tail."""
        return _CODES[self]

    @property
    def width(self) -> int:
        """Bytes of one packed value."""
        return struct.calcsize("<" + _CODES[self])

    @property
    def numeric(self) -> bool:
        """Whether vectors of it are allowed."""
        return self in (Dtype.FLOAT32, Dtype.FLOAT64, Dtype.INT64)


_CODES: Final = {
    Dtype.FLOAT32: "f",
    Dtype.FLOAT64: "d",
    Dtype.INT64: "q",
    Dtype.BOOL: "?",
    Dtype.STRING: "I",
    Dtype.TIMESTAMP: "q",
}


def _float64(value: Any) -> float:
    if type(value) is not float:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise BadValue("must be a number")
        try:
            value = float(value)
        except OverflowError:
            raise BadValue("is beyond the range of float64") from None
    if not isfinite(value):
        raise BadValue("must be finite; send null for a missing value")
    return float(value)


def _float32(value: Any) -> float:
    number = _float64(value)
    try:
        _FLOAT32.pack(number)
    except OverflowError:
        raise BadValue("is beyond the range of float32") from None
    return number


def _int64(value: Any) -> int:
    if type(value) is not int:
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise BadValue("must be a whole number")
        value = int(value)
    if value not in _INT64:
        raise BadValue("is beyond the range of int64")
    return int(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue("must be true or false")
    return value


def _string(value: Any) -> bytes:
    if not isinstance(value, str):
        raise BadValue("must be a string")
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise BadValue("must be valid Unicode (it holds a lone surrogate)") from None
    if len(data) > MAX_STRING:
        raise BadValue(f"may have at most {MAX_STRING} bytes of UTF-8")
    return data


def parse_time(value: Any) -> Micros:
    """Microseconds of an ISO 8601 text with a zone, or of an aware ``datetime``.

    Digits below the microsecond are cut off, never rounded: a time does not move into the future.

    Raises:
        BadValue: not such a time, or without a zone.
    """
    if isinstance(value, datetime):
        return _micros(value)
    if not isinstance(value, str):
        raise BadValue("must be an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z")
    try:
        moment = datetime.fromisoformat(value[:-1] + "Z" if value.endswith("z") else value)
    except ValueError:
        raise BadValue(
            "must be an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z"
        ) from None
    return _micros(moment)


def bounded_time(time: Micros, now: Micros) -> Micros:
    """An event time that a row may have.

    Raises:
        BadValue: too far in the future or out of range.
    """
    if time > now + MAX_FUTURE:
        raise BadValue("is more than 5 minutes in the future")
    if not -EXACT < time < EXACT:
        raise BadValue("is out of range (years 1685 to 2255)")
    return time


def _micros(moment: datetime) -> Micros:
    if moment.tzinfo is None:
        raise BadValue("must have a zone: add Z or an offset")
    return to_micros(moment)


_CHECKS: Final[dict[Dtype, Callable[[Any], Any]]] = {
    Dtype.FLOAT32: _float32,
    Dtype.FLOAT64: _float64,
    Dtype.INT64: _int64,
    Dtype.BOOL: _bool,
    Dtype.STRING: _string,
    Dtype.TIMESTAMP: parse_time,
}


def checker(dtype: Dtype, size: int | None) -> Callable[[Any], Any]:
    """The check of one cell: a scalar's packed value, or a vector's list of ``size`` of them."""
    check = _CHECKS[dtype]
    if size is None:
        return check

    def vector(value: Any) -> list[Any]:
        tolist = getattr(value, "tolist", None)
        if tolist is not None:
            value = tolist()
        if not isinstance(value, list | tuple):
            raise BadValue(f"must be a list of {size} numbers")
        if len(value) != size:
            raise BadValue(f"must have exactly {size} numbers, not {len(value)}")
        return [check(element) for element in value]

    return vector
