"""An entry of the append log: the rows of one request, packed as the online store packs them.

The bytes of an entry, all integers little-endian::

    0        1   format, 1
    1        4   h: bytes of the head
    5        h   head: JSON {"write_time", "parts": [{"view", "generation", "schema_version", "request_id",
                 "rows"}…]}
    5 + h        zlib stream of: u32 length of each entity, u32 length of each row, the entities, the rows,
                 part after part
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from neuralstream_core.errors import Unavailable
from neuralstream_core.features.writes import FORGOTTEN
from neuralstream_core.time import Micros

__all__ = ["FORGOTTEN", "Entry", "Part"]

_FORMAT: Final = 1
_HEAD: Final = struct.Struct("<BI")
_COMPRESSED: Final = 32 * 1024
"""Bytes of a body up to which it is compressed: about a millisecond's work. Items are paid by the kilobyte,
so many small ones are worth it; compressing 2 MB would take longer than the write that they belong to."""


class Part(NamedTuple):
    """Rows of one view that one request or message brought, in their order.

    Attributes:
        view: name of the feature view.
        generation: of the view, see `FeatureView.generation`.
        schema_version: with which the rows are packed.
        request_id: of the request or message. With the position of a row it identifies the row: a message
            that is delivered twice brings the same ones.
        entities: `entity_bytes` of each row.
        rows: each packed, with one event time (`neuralstream_core.features`), or `FORGOTTEN`.
    """

    view: str
    generation: str
    schema_version: int
    request_id: str
    entities: Sequence[bytes]
    rows: Sequence[bytes]


class _PartHead(TypedDict):
    view: str
    generation: str
    schema_version: int
    request_id: str
    rows: int


class _Head(TypedDict):
    write_time: Micros
    parts: list[_PartHead]


_HEADS: Final = TypeAdapter(_Head)


class Entry(NamedTuple):
    """What one append adds to the log.

    Attributes:
        write_time: microseconds, by the clock of the process that wrote.
        parts: at least one.
    """

    write_time: Micros
    parts: Sequence[Part]

    def pack(self) -> bytes:
        """The bytes of this entry."""
        head: _Head = {
            "write_time": self.write_time,
            "parts": [
                {
                    "view": part.view,
                    "generation": part.generation,
                    "schema_version": part.schema_version,
                    "request_id": part.request_id,
                    "rows": len(part.rows),
                }
                for part in self.parts
            ],
        }
        text = _HEADS.dump_json(head)
        body = b"".join(map(_pack_part, self.parts))
        return (
            _HEAD.pack(_FORMAT, len(text))
            + text
            + zlib.compress(body, 1 if len(body) <= _COMPRESSED else 0)
        )

    @classmethod
    def unpack(cls, data: bytes) -> Entry:
        """The entry of ``data``.

        Raises:
            Unavailable: a newer release's format, or damaged bytes.
        """
        try:
            form, length = _HEAD.unpack_from(data)
            if form != _FORMAT:
                raise ValueError(form)
            at = _HEAD.size + length
            head = _HEADS.validate_json(data[_HEAD.size : at])
            body = memoryview(zlib.decompress(data[at:]))
            parts: list[Part] = []
            for part in head["parts"]:
                entities, rows, body = _unpack_part(body, part["rows"])
                parts.append(
                    Part(
                        part["view"],
                        part["generation"],
                        part["schema_version"],
                        part["request_id"],
                        entities,
                        rows,
                    )
                )
        except (struct.error, zlib.error, ValidationError, ValueError):
            raise Unavailable(
                "an entry of the history log has an unknown format or is damaged",
                dependency="history",
                retry_after=60,
            ) from None
        return cls(head["write_time"], parts)


def _pack_part(part: Part) -> bytes:
    lengths = [*map(len, part.entities), *map(len, part.rows)]
    return b"".join([struct.pack(f"<{len(lengths)}I", *lengths), *part.entities, *part.rows])


def _unpack_part(body: memoryview, count: int) -> tuple[list[bytes], list[bytes], memoryview]:
    lengths = struct.unpack_from(f"<{2 * count}I", body)
    ends = list(accumulate(lengths, initial=8 * count))
    if ends[-1] > len(body):
        raise ValueError("too short")
    pieces = [bytes(body[a:b]) for a, b in pairwise(ends)]
    return pieces[:count], pieces[count:], body[ends[-1] :]
