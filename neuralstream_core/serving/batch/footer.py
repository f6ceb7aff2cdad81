"""A Parquet file's footer, and the same file seen through another: some row groups, some columns.

The Arrow library of the bundle reads whole files only. A footer that lists a part of the file makes
that part a whole file: the data pages stay where they are, `ObjectFile` shows the new footer behind
them, and only the bytes that it names are fetched. Field numbers: *parquet.thrift*, Apache Parquet.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from neuralstream_core.errors import Invalid
from neuralstream_core.serving.batch.locations import Location
from neuralstream_core.serving.batch.objects import ObjectFile, Objects
from neuralstream_core.serving.batch.thrift import Struct, decode, encode

__all__ = ["MAX_FOOTER", "Footer", "open_part", "read_footer"]

MAX_FOOTER: Final = 16 << 20
_MAGIC: Final = b"PAR1"
_NUM_COLUMNS, _SCHEMA, _NUM_ROWS, _GROUPS, _PAIRS, _ORDERS, _ENCRYPTION = 5, 2, 3, 4, 5, 7, 8
_REPETITION, _NAME = 3, 4
_GROUP_COLUMNS, _GROUP_ROWS, _GROUP_SORTING, _GROUP_ORDINAL = 1, 3, 4, 7
_COLUMN_INDEXES: Final = (4, 5, 6, 7)
_META: Final = 3
_VALUES, _UNCOMPRESSED, _COMPRESSED, _DATA_PAGE, _DICTIONARY_PAGE = 5, 6, 7, 9, 11
_MANY: Final = 1 << 40
_STRUCT: Final = 12


@dataclass(frozen=True, slots=True)
class Footer:
    """What a plan and a reader need of a Parquet file."""

    fields: Struct
    data_end: int
    """Where the footer begins: data pages are below it."""

    @property
    def rows(self) -> list[int]:
        """Rows of each row group."""
        return [group[_GROUP_ROWS][1] for group in self._groups()]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the top-level columns."""
        return tuple(self._name(elements[0]) for elements in self._trees())

    def verify(self) -> None:
        """Check what the Arrow library takes on trust: it ends the process over a negative offset.

        Raises:
            ValueError, TypeError, KeyError, IndexError: the footer contradicts itself or the file.
        """
        trees = self._trees()
        flat = [
            len(tree) == 1 and tree[0].get(_REPETITION, (0, 0))[1] in (0, 1)
            for tree in trees
            for element in tree
            if not _children(element)
        ]
        leaves = len(flat)
        if not trees or not all(isinstance(e[_NAME][1], bytes) for tree in trees for e in tree):
            raise ValueError("it has no columns")
        if _ORDERS in self.fields and len(self.fields[_ORDERS][1][1]) != leaves:
            raise ValueError("its column orders do not fit its columns")
        for group in self._groups():
            _, columns = group[_GROUP_COLUMNS][1]
            if len(columns) != leaves or not 0 <= group[_GROUP_ROWS][1] < _MANY:
                raise ValueError("a row group does not fit the schema")
            for column, one_a_row in zip(columns, flat, strict=True):
                meta: Struct = column[_META][1]
                pages = [meta[n][1] for n in (_DATA_PAGE, _DICTIONARY_PAGE) if n in meta]
                size = meta[_COMPRESSED][1]
                first = min((page for page in pages if page), default=0)
                if min(pages) < 0 or size < 0 or first + size > self.data_end:
                    raise ValueError("a column lies outside the file")
                if not all(0 <= meta[n][1] < _MANY for n in (_VALUES, _UNCOMPRESSED)):
                    raise ValueError("a column has an impossible size")
                if one_a_row and meta[_VALUES][1] != group[_GROUP_ROWS][1]:
                    raise ValueError("a column has more or fewer values than its row group rows")

    def part(self, start: int, end: int, keep: Collection[str]) -> bytes:
        """A footer for row groups ``[start, end)`` and the top-level columns ``keep``, ready to follow
        the data."""
        trees = self._trees()
        kept_leaves: list[int] = []
        elements: list[Struct] = []
        leaf = 0
        for tree in trees:
            leaves = sum(1 for e in tree if not _children(e))
            if self._name(tree[0]) in keep:
                elements += tree
                kept_leaves += range(leaf, leaf + leaves)
            leaf += leaves
        chosen = [t for t in trees if self._name(t[0]) in keep]
        root: Struct = {**self._schema()[0], _NUM_COLUMNS: (5, len(chosen))}
        groups = [self._group(g, kept_leaves) for g in self._groups()[start:end]]
        fields: Struct = {
            **{n: f for n, f in self.fields.items() if n != _PAIRS},
            _SCHEMA: (9, (_STRUCT, [root, *elements])),
            _NUM_ROWS: (6, sum(g[_GROUP_ROWS][1] for g in groups)),
            _GROUPS: (9, (_STRUCT, groups)),
        }
        if _ORDERS in fields:
            kind, (inner, orders) = fields[_ORDERS]
            fields[_ORDERS] = (kind, (inner, [orders[i] for i in kept_leaves]))
        data = encode(fields)
        return data + struct.pack("<I", len(data)) + _MAGIC

    def _schema(self) -> list[Struct]:
        elements: list[Struct] = self.fields[_SCHEMA][1][1]
        return elements

    def _groups(self) -> list[Struct]:
        groups: list[Struct] = self.fields[_GROUPS][1][1]
        return groups

    def _trees(self) -> list[list[Struct]]:
        """The schema's elements, depth first, one list a top-level column."""
        elements = self._schema()[1:]
        trees: list[list[Struct]] = []
        at = 0
        while at < len(elements):
            end, open_ = at, 1
            while open_:
                open_ += _children(elements[end]) - 1
                end += 1
            trees.append(elements[at:end])
            at = end
        return trees

    @staticmethod
    def _name(element: Struct) -> str:
        name: bytes = element[_NAME][1]
        return name.decode("utf-8", "replace")

    @staticmethod
    def _group(group: Struct, leaves: list[int]) -> Struct:
        kind, (inner, columns) = group[_GROUP_COLUMNS]
        slim = [{n: f for n, f in columns[i].items() if n not in _COLUMN_INDEXES} for i in leaves]
        kept = {n: f for n, f in group.items() if n not in (_GROUP_SORTING, _GROUP_ORDINAL)}
        return {**kept, _GROUP_COLUMNS: (kind, (inner, slim))}


def _children(element: Struct) -> int:
    count: Any = element.get(_NUM_COLUMNS, (0, 0))[1]
    return int(count)


def read_footer(objects: Objects, at: Location, size: int, etag: str) -> Footer:
    """The footer of an object of ``size`` bytes.

    Raises:
        Invalid: not a Parquet file, encrypted, or a footer that cannot be read.
    """
    if size < 12:
        raise _not_parquet(at, "it is too short")
    tail = objects.read_range(at, max(0, size - (64 << 10)), size, etag)
    if tail[-4:] != _MAGIC:
        raise _not_parquet(
            at,
            "it does not end in PAR1"
            + ("; its footer is encrypted" if tail[-4:] == b"PARE" else ""),
        )
    length: int = struct.unpack("<I", tail[-8:-4])[0]
    if length > min(size - 12, MAX_FOOTER):
        raise _not_parquet(at, "its footer's length is impossible or over 16 MiB")
    start = size - 8 - length
    data = (
        tail[-8 - length : -8]
        if length + 8 <= len(tail)
        else objects.read_range(at, start, size - 8, etag)
    )
    try:
        fields = decode(data)
        footer = Footer(fields, start)
        if _ENCRYPTION in fields:
            raise ValueError("it is encrypted")
        footer.verify()
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _not_parquet(
            at, str(error) if isinstance(error, ValueError) else "a bad footer"
        ) from None
    return footer


def open_part(
    objects: Objects,
    at: Location,
    etag: str,
    footer: Footer,
    start: int,
    end: int,
    keep: Collection[str],
) -> ObjectFile:
    """The file with only these row groups and columns."""
    return ObjectFile(objects, at, etag, footer.data_end, footer.part(start, end, keep))


def _not_parquet(at: Location, why: str) -> Invalid:
    return Invalid.at("input", f"{at} is not a Parquet file: {why}", code="invalid_input")
