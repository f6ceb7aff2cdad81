"""The gate's decisions when the table answers and when it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import Unavailable
from neuralstream_core.keys import Gate, KeyRecord, Verdict, well_formed
from neuralstream_core.keys.secret import generate

NOW = 1_800_000_000_000_000
GRACE = 300_000_000


class Table:
    """A table of keys one can switch off."""

    def __init__(self):
        self.records = {}
        self.up = True

    def find(self, key):
        if not self.up:
            raise Unavailable("down", dependency="registry")
        return self.records.get(key)


@pytest.fixture
def table():
    return Table()


def record(**changes):
    return KeyRecord(
        **{
            "key_id": "abcdefgh",
            "principal": "alice",
            "scopes": frozenset({"predict"}),
            "created_at": 0,
        }
        | changes
    )


def test_a_known_key_works_through_an_outage_but_not_for_ever(table):
    now = [NOW]
    gate = Gate(table.find, grace=GRACE, clock=lambda: now[0])
    table.records["key"] = record()
    assert gate.decide("key").verdict is Verdict.ACTIVE
    table.up = False
    now[0] += GRACE
    assert gate.decide("key").record == record()
    now[0] += 1
    assert gate.decide("key").verdict is Verdict.UNAVAILABLE


def test_an_outage_never_revives_an_ended_key(table):
    gate = Gate(table.find, grace=GRACE, clock=lambda: NOW)
    table.records["key"] = record()
    gate.decide("key")
    table.records["key"] = record(revoked_at=NOW - 1)
    assert gate.decide("key").verdict is Verdict.ENDED
    table.up = False
    assert gate.decide("key").verdict is Verdict.ENDED


def test_a_deleted_key_is_forgotten(table):
    gate = Gate(table.find, grace=GRACE, clock=lambda: NOW)
    table.records["key"] = record()
    gate.decide("key")
    del table.records["key"]
    assert gate.decide("key").verdict is Verdict.UNKNOWN
    table.up = False
    assert gate.decide("key").verdict is Verdict.UNAVAILABLE


def test_memory_is_bounded(table):
    gate = Gate(table.find, grace=GRACE, clock=lambda: NOW)
    for i in range(3000):
        table.records[f"key{i}"] = record()
        gate.decide(f"key{i}")
    table.up = False
    kept = sum(gate.decide(f"key{i}").verdict is Verdict.ACTIVE for i in range(3000))
    assert kept == 1024
    assert gate.decide("key2999").verdict is Verdict.ACTIVE


@given(st.text(max_size=200))
def test_only_our_form_is_well_formed(text):
    assert not well_formed(text) or text.startswith("nsk_")


def test_generated_keys_have_the_form_and_never_repeat():
    keys = {generate()[1] for _ in range(500)}
    assert len(keys) == 500
    assert all(well_formed(key) for key in keys)
    assert all(key.split("_")[1] == key_id for key_id, key in (generate() for _ in range(10)))
