"""Stored bytes that no release wrote: an error that says so or a row in form, never anything else.

Another client of the same Redis, a half-finished migration or a broken machine may leave any bytes
under a row's key; who reads them gets 503, not a stack trace.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from neuralstream_core.errors import Unavailable
from neuralstream_core.features import CellStatus, Dtype, Feature
from neuralstream_core.features._codec import Codec
from neuralstream_core.features._layout import HEAD
from neuralstream_core.features.block import build_block
from neuralstream_core.time import to_micros
from tests.support.strategies import DAY, any_schema, features, rows_of, view_of

NOW = to_micros(DAY)
MIXED = [
    Feature(name="a", dtype="float64"),
    Feature(name="b", dtype="string"),
    Feature(name="c", dtype="bool"),
    Feature(name="d", dtype="float32", shape=[3]),
    Feature(name="e", dtype="timestamp"),
    Feature(name="f", dtype="string"),
]
SCALARS = [f for f in MIXED if f.dtype is not Dtype.STRING and not f.shape]


def codec_of(chosen: list[Feature], ttl_seconds: int | None) -> Codec:
    return Codec(view_of(chosen, ttl_seconds=ttl_seconds), "test", 1000)


def read_one(codec: Codec, names: tuple[str, ...] | None, raw: bytes) -> None:
    """A row in form, or the designed error."""
    with suppress(Unavailable):
        row = codec.decoder(names).decode(raw, NOW)
        count = len(row.names)
        assert len(row.values) == len(row.status) == len(row.event_times) == count
        for value, status in zip(row.values, row.status, strict=True):
            assert isinstance(status, CellStatus)
            assert (value is None) == (status is not CellStatus.PRESENT)


def read_block(codec: Codec, names: tuple[str, ...] | None, raws: list[bytes | None]) -> None:
    """A block in form, or the designed error, whatever of it is read."""
    with suppress(Unavailable):
        block = build_block(codec.decoder(names).selection, raws, NOW)
        shape = (len(raws), len(block.names))
        assert block.status.shape == shape
        assert block.status.max(initial=0) <= max(CellStatus)
        assert all(len(column) == len(raws) for column in block.columns.values())


headed = st.builds(
    lambda head, rest: HEAD.pack(*head) + rest,
    st.tuples(
        st.just(1),
        st.integers(0, 1),
        st.integers(0, 2),
        st.integers(0, 9) | st.integers(0, 0xFFFF),
        st.integers(0, 5) | st.integers(0, 0xFFFF),
        st.integers(0, 60) | st.integers(0, 0xFFFFFFFF),
    ),
    st.binary(max_size=200),
)
"""A well-formed head that promises anything, before any bytes."""


@any_schema
@given(
    raw=st.binary(max_size=200) | headed,
    chosen=st.sampled_from([MIXED, SCALARS]),
    ttl=st.none() | st.just(60),
    backwards=st.booleans(),
)
@example(raw=b"", chosen=MIXED, ttl=None, backwards=False)
@example(raw=b"\x01", chosen=SCALARS, ttl=None, backwards=False)
@example(raw=bytes(HEAD.pack(1, 0, 1, 0, 0, 0)), chosen=MIXED, ttl=60, backwards=False)
def test_any_bytes_are_a_row_or_an_error(
    raw: bytes, chosen: list[Feature], ttl: int | None, backwards: bool
) -> None:
    codec = codec_of(chosen, ttl)
    names = tuple(f.name for f in reversed(chosen)) if backwards else None
    (good,) = codec.encoder.encode([{"entity_id": "u", "features": {"a": 1.0}}], NOW).rows
    read_one(codec, names, raw)
    read_block(codec, names, [raw])
    read_block(codec, names, [good, None, raw])


def merged(data: st.DataObject, codec: Codec, raw: bytes) -> bytes:
    """``raw`` as the merge of two writes leaves it: each cell points at one of two event times."""
    form, flags, version, cells, _, width = HEAD.unpack_from(raw)
    stride = codec.layout.values_at + codec.layout.width
    index = bytes(data.draw(st.integers(0, 1)) for _ in range(cells))
    times = (NOW - 100_000_000).to_bytes(8, "little") + NOW.to_bytes(8, "little")
    head = HEAD.pack(form, flags, version, cells, 2, width)
    return head + raw[HEAD.size : stride] + index + times + raw[stride:]


def damaged(data: st.DataObject, raw: bytes) -> bytes:
    """``raw`` with some bytes changed, and cut or grown."""
    bad = bytearray(raw)
    for _ in range(data.draw(st.integers(0, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    match data.draw(st.sampled_from(["whole", "cut", "grown"])):
        case "cut":
            return bytes(bad[: data.draw(st.integers(0, len(bad)))])
        case "grown":
            return bytes(bad) + data.draw(st.binary(max_size=20))
        case _:
            return bytes(bad)


@any_schema
@given(st.data())
def test_a_damaged_row_of_any_schema_is_a_row_or_an_error(data: st.DataObject) -> None:
    chosen = data.draw(features(max_size=12))
    codec = codec_of(chosen, data.draw(st.none() | st.just(60)))
    raws: list[bytes] = []
    for _ in range(data.draw(st.integers(1, 3))):
        row: dict[str, Any] = data.draw(rows_of(chosen))
        (packed,) = codec.encoder.encode([{"entity_id": "u", "features": row}], NOW).rows
        raws.append(merged(data, codec, packed) if data.draw(st.booleans()) else packed)
    read_one(codec, None, raws[0])
    raws[0] = damaged(data, raws[0])
    subset = data.draw(st.lists(st.sampled_from(chosen), min_size=1, unique_by=lambda f: f.name))
    for names in (None, tuple(f.name for f in subset)):
        read_one(codec, names, raws[0])
        read_block(codec, names, list(raws))
        read_block(codec, names, [None, *reversed(raws)])
