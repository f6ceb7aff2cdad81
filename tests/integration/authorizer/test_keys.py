"""Keys against a real table: what they open, and when they stop."""

import json
import os
import subprocess
import sys
import threading

import pytest

from neuralstream_core.errors import Invalid, NotFound
from neuralstream_core.keys import Gate, KeyStore, Scope, Verdict

NOW = 1_800_000_000_000_000


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(table, clock):
    return KeyStore(table, clock)


def test_a_minted_key_is_found_with_its_scopes(store):
    minted = store.mint("alice", [Scope.PREDICT, Scope.MONITORING], description="dashboards")
    found = store.find(minted.key)
    assert found == minted.record
    assert found.principal == "alice"
    assert found.scopes == {"predict", "monitoring"}


def test_the_key_itself_is_nowhere_in_the_table(store, aws, table_name):
    minted = store.mint("alice", [Scope.PREDICT])
    items = json.dumps(aws.client("dynamodb").scan(TableName=table_name)["Items"])
    secret = minted.key.rpartition("_")[2]
    assert secret not in items
    assert secret not in repr(minted)


def test_a_changed_secret_is_unknown(store):
    key = store.mint("alice", [Scope.PREDICT]).key
    other = key[:-1] + ("a" if key[-1] != "a" else "b")
    assert store.find(other) is None
    assert store.find(key.upper()) is None
    assert store.find("") is None
    assert store.find("nsk_" + "a" * 4000) is None


def test_a_revoked_key_ends_at_once_and_stays_ended(store, clock):
    minted = store.mint("alice", [Scope.PREDICT])
    gate = Gate(store.find, clock=clock)
    assert gate.decide(minted.key).verdict is Verdict.ACTIVE
    revoked = store.revoke(minted.record.key_id)
    assert gate.decide(minted.key).verdict is Verdict.ENDED
    clock.now += 1_000_000
    assert store.revoke(minted.record.key_id) == revoked, "the first revocation keeps its time"


def test_an_expired_key_ends_by_itself(store, clock):
    minted = store.mint("alice", [Scope.PREDICT], expires_at=NOW + 1)
    gate = Gate(store.find, clock=clock)
    assert gate.decide(minted.key).verdict is Verdict.ACTIVE
    clock.now += 1
    assert gate.decide(minted.key).verdict is Verdict.ENDED


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"principal": "", "scopes": ["predict"]}, "principal"),
        ({"principal": "a\nb", "scopes": ["predict"]}, "principal"),
        ({"principal": 'a","status":"200', "scopes": ["predict"]}, "principal"),
        ({"principal": "a\\", "scopes": ["predict"]}, "principal"),
        ({"principal": "alice", "scopes": []}, "scopes"),
        ({"principal": "alice", "scopes": ["everything"]}, "scopes"),
        ({"principal": "alice", "scopes": ["predict"], "expires_at": NOW}, "expires_at"),
    ],
)
def test_a_wrong_key_is_not_minted(store, arguments, place):
    with pytest.raises(Invalid) as raised:
        store.mint(**arguments)
    assert raised.value.errors[0].loc == place
    assert store.list_keys() == []


def test_an_unknown_id_cannot_be_revoked(store):
    minted = store.mint("alice", [Scope.PREDICT])
    with pytest.raises(NotFound):
        store.revoke(minted.record.key_id[:-1])
    assert store.find(minted.key).revoked_at is None


def test_racing_revocations_agree(store):
    minted = store.mint("alice", [Scope.PREDICT])
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(store.revoke(minted.record.key_id)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({record.revoked_at for record in results}) == 1
    assert len(results) == 4


def _keys(aws, table_name, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "neuralstream_local.keys", "--table", table_name,
         "--endpoint", aws.endpoint, *arguments],
        capture_output=True, text=True, timeout=60, check=False, env=os.environ | aws.environ,
    )  # fmt: skip


def test_the_command_line_mints_lists_and_revokes(aws, table_name, table):
    minted = _keys(aws, table_name, "mint", "--principal", "bob", "--scope", "predict")
    assert minted.returncode == 0, minted.stderr
    key = minted.stdout.strip()
    record = KeyStore(table).find(key)
    assert record.scopes == {"predict"}

    listed = _keys(aws, table_name, "list").stdout
    assert listed.startswith(f"{record.key_id}\tbob\tpredict\t")
    assert listed.rstrip().endswith("\tactive")
    assert key not in listed

    assert "revoked" in _keys(aws, table_name, "revoke", record.key_id).stdout
    assert KeyStore(table).find(key).revoked_at is not None
    missing = _keys(aws, table_name, "revoke", "nosuchid")
    assert (missing.returncode, missing.stderr) == (1, "no key has the id nosuchid\n")
