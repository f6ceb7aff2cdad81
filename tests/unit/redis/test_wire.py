"""Our own packing of many commands says what hiredis says of each."""

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.redis.connection import pack_keys, pack_names
from neuralstream_core.redis.port import Keys
from neuralstream_core.redis.scripts import Runs

KEY = st.binary(max_size=12) | st.binary(min_size=98, max_size=101)
NAME = st.text(st.characters(max_codepoint=127), max_size=12)
PREFIX = st.sampled_from(["", "ns:f:0a1b:", "{", "a{b}c:"])
ARGUMENT = st.binary(max_size=8) | st.binary(min_size=9, max_size=11)


@given(names=st.lists(KEY, min_size=1), prefix=PREFIX.map(str.encode))
def test_keys_of_any_bytes(names: list[bytes], prefix: bytes) -> None:
    gets = pack_keys(b"*2\r\n$3\r\nGET\r\n", names, prefix)
    assert gets[2:] == b"".join(hiredis.pack_command((b"GET", prefix + n)) for n in names)  # type: ignore[arg-type]


@given(names=st.lists(NAME, min_size=1), prefix=PREFIX)
def test_keys_that_begin_alike(names: list[str], prefix: str) -> None:
    keys = Keys(prefix, names)
    each = [(prefix + name).encode() for name in names]
    mget = b"*%d\r\n$4\r\nMGET%b" % (len(names) + 1, pack_names(keys))
    assert mget == hiredis.pack_command((b"MGET", *each))  # type: ignore[arg-type]
    assert keys.each() == each
    assert keys.encoded() == [name.encode() for name in names]


def test_no_keys() -> None:
    assert Keys("ns:", []).each() == Keys("ns:", []).encoded() == []


@given(data=st.data(), arguments=st.integers(0, 4), start=st.tuples(ARGUMENT, KEY))
def test_runs_of_a_script(data: st.DataObject, arguments: int, start: tuple[bytes, bytes]) -> None:
    """Of one shape, of several, and with numbers and texts among their arguments."""
    shape = st.tuples(KEY, *[ARGUMENT] * arguments)
    odd = st.tuples(KEY, ARGUMENT | st.integers() | NAME)
    calls = data.draw(st.lists(shape) | st.lists(shape | odd))
    expected = [hiredis.pack_command((*start, 1, *call)) for call in calls]  # type: ignore[arg-type]
    assert Runs(start, calls).wire(calls) == b"".join(expected)
