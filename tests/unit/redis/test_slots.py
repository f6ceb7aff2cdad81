"""Slots of keys: against the Redis Cluster specification and redis-py's own arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis.connection import Options
from neuralstream_core.redis.pool import Pool
from neuralstream_core.redis.slots import SlotMap, slot_of


def pool(number: int) -> Pool:
    return Pool(("node", number), Options(0.1, 0.1))


def test_the_specification_s_own_examples():
    assert slot_of(b"123456789") == 0x31C3
    assert slot_of(b"{user1000}.following") == slot_of(b"{user1000}.followers")
    assert slot_of(b"foo{}{bar}") != slot_of(b"bar"), "an empty tag is no tag"
    assert slot_of(b"foo{{bar}}zap") == slot_of(b"{bar")
    assert slot_of(b"foo{bar}{zap}") == slot_of(b"bar")


@given(st.binary(max_size=60) | st.from_regex(rb"[a{}]{0,12}", fullmatch=True))
def test_any_key_has_the_slot_that_redis_py_computes(key):
    assert slot_of(key) == key_slot(key)


PART = st.binary(max_size=20) | st.from_regex(rb"[a{}]{0,8}", fullmatch=True)


@given(st.lists(PART), st.just(b"") | PART)
def test_routing_many_keys_finds_the_owner_of_each_slot(names, prefix):
    slots, low, high = SlotMap(), pool(1), pool(2)
    slots.assign(0, 9999, low)
    slots.assign(10000, 16383, high)
    routed = [slots.nodes[number] for number in slots.route(names, prefix)]
    assert routed == [low if slot_of(prefix + n) < 10000 else high for n in names]


def test_a_redirected_slot_leaves_its_neighbours_alone():
    slots, old, new = SlotMap(), pool(1), pool(2)
    slots.assign(0, 16383, old)
    slots.assign(7, 7, new)
    assert [slots.pool(slot) for slot in (6, 7, 8)] == [old, new, old]


def test_a_slot_nobody_owns_is_an_outage():
    with pytest.raises(Unavailable):
        SlotMap().pool(3)
