"""A reader of the protobuf wire format, to inspect a model without loading it (docs/decisions/0010).

https://protobuf.dev/programming-guides/encoding/ : a message is a run of fields, each a varint tag
(``number << 3 | wire type``) and a payload: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
Nothing is copied; every length is checked against its message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from neuralstream_core.errors import ArtifactRejected

__all__ = ["Budget", "Field", "Malformed", "fields", "int64s", "utf8", "varints"]

_CHUNK: Final = 4096
_MAX_VARINT: Final = 10


class Malformed(ArtifactRejected):
    """The bytes are not a well-formed message."""

    code = "artifact_rejected"

    def __init__(self) -> None:
        super().__init__("the artifact is not a readable ONNX model (malformed protobuf)")


class Budget:
    """How many fields may still be read; it bounds the time of an inspection."""

    __slots__ = ("left",)

    def __init__(self, fields: int) -> None:
        self.left = fields

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ArtifactRejected("the ONNX graph has too many parts to be inspected")


class Field(NamedTuple):
    """One field: ``value`` is the number of a varint or fixed field, ``data`` the bytes of the others."""

    number: int
    value: int
    data: memoryview


_NOTHING = memoryview(b"")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    result = shift = 0
    for step in range(_MAX_VARINT):
        if at + step >= len(data):
            break
        byte = data[at + step]
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, at + step + 1
        shift += 7
    raise Malformed


def fields(
    data: memoryview, budget: Budget, *, skip: frozenset[int] = frozenset()
) -> Iterator[Field]:
    """The fields of one message in order.

    Args:
        skip: numbers of repeated unpacked numeric fields to pass over. Tree ensembles hold millions of
            them; a run of one is passed in vectorised steps and costs one unit of the budget.
    """
    at, end = 0, len(data)
    while at < end:
        budget.spend()
        start = at
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number in skip and tag < 0x80 and wire in (0, 5):
            at = _pass_run(data, start, tag, wire)
        elif wire == 0:
            value, at = _varint(data, at)
            yield Field(number, value, _NOTHING)
        elif wire == 2:
            size, at = _varint(data, at)
            if size > end - at:
                raise Malformed
            yield Field(number, 0, data[at : at + size])
            at += size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            if size > end - at:
                raise Malformed
            yield Field(
                number, int.from_bytes(data[at : at + size], "little"), data[at : at + size]
            )
            at += size
        else:  # groups (3, 4) are not used by ONNX; 6 and 7 do not exist
            raise Malformed


def _pass_run(data: memoryview, at: int, tag: int, wire: int) -> int:
    """The position after a run of fields that all carry ``tag``; at least the first is passed."""
    size = _CHUNK
    while at < len(data) and data[at] == tag:
        window = np.frombuffer(data[at : at + size], dtype=np.uint8)
        stop = _run_of_fours(window, tag) if wire == 5 else _run_of_varints(window, tag)
        if stop == 0:  # a window holds many fields; not even one means it is cut short or overlong
            raise Malformed
        at += stop
        size = min(size * 2, 1 << 22)
    return at


def _run_of_fours(window: np.ndarray, tag: int) -> int:
    rows = len(window) // 5
    other = np.flatnonzero(window[: rows * 5 : 5] != tag)
    return int(other[0] if len(other) else rows) * 5


def _run_of_varints(window: np.ndarray, tag: int) -> int:
    ends = np.flatnonzero(window < 0x80)  # the last byte of each varint; tags are varints too
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    pairs = len(ends) // 2
    other = np.flatnonzero(
        (window[starts[: pairs * 2 : 2]] != tag)
        | (ends[: pairs * 2 : 2] != starts[: pairs * 2 : 2])
        | (ends[1 : pairs * 2 : 2] - starts[1 : pairs * 2 : 2] >= _MAX_VARINT)
    )
    good = int(other[0]) if len(other) else pairs
    return 0 if good == 0 else int(ends[good * 2 - 1]) + 1


def varints(field: Field, budget: Budget) -> list[int]:
    """A repeated signed integer field, packed or one element of an unpacked one."""
    if not field.data:
        return [_signed(field.value)]
    found: list[int] = []
    at = 0
    while at < len(field.data):
        budget.spend()
        value, at = _varint(field.data, at)
        found.append(_signed(value))
    return found


def int64s(raw: memoryview) -> list[int]:
    """Little-endian ``int64`` elements of a tensor's raw data."""
    if len(raw) % 8:
        raise Malformed
    return [int(value) for value in np.frombuffer(raw, "<i8")]


def utf8(data: memoryview) -> str:
    """A string field."""
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        raise Malformed from None


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
