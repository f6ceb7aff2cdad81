"""The Thrift compact protocol, as far as a Parquet footer uses it: decode, change, encode again.

A structure becomes a dictionary from field number to ``(type, value)``, so unknown fields of a newer
writer survive unchanged. Source: *Thrift compact protocol encoding*, Apache Thrift's specification.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

__all__ = ["Struct", "decode", "encode"]

Struct: TypeAlias = dict[int, tuple[int, Any]]
"""Field number → (compact type, value). A list's value is ``(element type, [values])``."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_INTEGERS: Final = frozenset({_I16, _I32, _I64})
_MAX_DEPTH: Final = 16


def decode(data: bytes) -> Struct:
    """The structure that ``data`` begins with.

    Raises:
        ValueError: not a compact-protocol structure.
    """
    try:
        return _Decoder(data).struct(0)
    except IndexError:
        raise ValueError("the footer ends inside a value") from None


def encode(struct: Struct) -> bytes:
    """The bytes of a structure."""
    out = bytearray()
    _struct(out, struct)
    return bytes(out)


class _Decoder:
    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self, depth: int) -> Struct:
        if depth > _MAX_DEPTH:
            raise ValueError("the footer is nested too deeply")
        fields: Struct = {}
        number = 0
        while head := self._byte():
            kind = head & 0x0F
            number = number + (head >> 4) if head >> 4 else _unzigzag(self._varint())
            fields[number] = (kind, self._value(kind, depth, element=False))
        return fields

    def _value(self, kind: int, depth: int, *, element: bool) -> Any:
        if kind in _INTEGERS:
            return _unzigzag(self._varint())
        if kind == _BINARY:
            return self._take(self._varint())
        if kind in (_TRUE, _FALSE):
            return (self._byte() == _TRUE) if element else kind == _TRUE
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            head = self._byte()
            size, inner = head >> 4, head & 0x0F
            if size == 0x0F:
                size = self._varint()
            if size > len(self._data) - self._at:
                raise ValueError("a list in the footer is longer than the footer")
            return inner, [self._value(inner, depth + 1, element=True) for _ in range(size)]
        if kind == _BYTE:
            return self._byte()
        if kind == _DOUBLE:
            return self._take(8)
        raise ValueError(f"the footer holds a value of unknown type {kind}")

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise ValueError("the footer ends inside a value")
        self._at += size
        return self._data[self._at - size : self._at]

    def _varint(self) -> int:
        result = shift = 0
        while (byte := self._byte()) & 0x80:
            result |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise ValueError("a number in the footer has too many bytes")
        return result | byte << shift


def _struct(out: bytearray, struct: Struct) -> None:
    last = 0
    for number, (declared, value) in sorted(struct.items()):
        kind = declared
        if declared in (_TRUE, _FALSE):
            kind = _TRUE if value else _FALSE
        if 0 < number - last <= 15:
            out.append((number - last) << 4 | kind)
        else:
            out.append(kind)
            _varint(out, _zigzag(number))
        last = number
        if kind not in (_TRUE, _FALSE):
            _value(out, kind, value)
    out.append(0)


def _value(out: bytearray, kind: int, value: Any) -> None:
    if kind in _INTEGERS:
        _varint(out, _zigzag(value))
    elif kind == _BINARY:
        _varint(out, len(value))
        out += value
    elif kind == _STRUCT:
        _struct(out, value)
    elif kind in (_LIST, _SET):
        inner, values = value
        if len(values) < 15:
            out.append(len(values) << 4 | inner)
        else:
            out.append(0xF0 | inner)
            _varint(out, len(values))
        for each in values:
            _value(out, inner, each)
    elif kind == _DOUBLE:
        out += value
    elif kind == _BYTE:
        out.append(value)
    else:  # an element of a list of booleans
        out.append(_TRUE if value else _FALSE)


def _varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _zigzag(value: int) -> int:
    return (value << 1) ^ (value >> 63)


def _unzigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
