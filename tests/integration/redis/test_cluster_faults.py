"""Nodes of a cluster die, move and lie: callers hear of it soon and never get a wrong value."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import hiredis
import pytest

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis import RedisPort, ReplyError, connect
from neuralstream_core.settings import RedisSettings
from neuralstream_local.embedded_redis import talk
from tests.support.poll import eventually
from tests.support.redis import settings_for
from tests.support.redis_cluster import EmbeddedCluster
from tests.support.redis_load import HANG, Load, answers, took
from tests.support.tcp import Server


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    """Three primaries without replicas, to be killed."""
    with EmbeddedCluster() as own:
        yield own


def test_killing_and_restarting_a_node_of_a_cluster_under_load(cluster):
    port = connect(settings_for(cluster))
    load = Load(port)
    try:
        eventually(load.progress())
        cluster.nodes[1].kill()
        eventually(load.refusals())
        cluster.nodes[1].start()
        eventually(load.progress())
        cluster.nodes[0].kill()  # the one whose address is configured
        eventually(load.refusals())
        cluster.nodes[0].start()
        eventually(load.progress())
        for node in cluster.nodes:
            node.pause()
        eventually(load.refusals())
        for node in cluster.nodes:
            node.resume()
        eventually(load.progress())
    finally:
        load.stop()
        port.close()
    assert not load.wrong
    assert load.slowest < HANG


def test_a_replica_takes_over_and_writes_go_on_without_a_restart():
    with EmbeddedCluster(primaries=3, replicas=1) as own:
        port = connect(settings_for(own))
        load = Load(port, threads=2)
        try:
            eventually(load.progress())
            own.nodes[2].kill()
            eventually(load.refusals())
            eventually(load.progress())
            port.ping()
        finally:
            load.stop()
            port.close()
        assert not load.wrong
        assert load.slowest < HANG


def test_slots_that_move_under_load_are_followed(cluster):
    """Resharding as redis-cli does it: MIGRATING, keys one by one (ASK), then the owner (MOVED)."""
    port = connect(settings_for(cluster))
    source, target = cluster.nodes[0], cluster.nodes[1]
    (source_id,) = talk(source.port, ("CLUSTER", "MYID"))
    (target_id,) = talk(target.port, ("CLUSTER", "MYID"))
    load = Load(port)
    try:
        eventually(load.progress())
        slots = {
            talk(source.port, ("CLUSTER", "KEYSLOT", f"load:{i}:{j}"))[0]
            for i in range(4)
            for j in range(30)
        }
        for slot in sorted(slot for slot in slots if slot < 16384 // 3):
            talk(target.port, ("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id))
            talk(source.port, ("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id))
            (keys,) = talk(source.port, ("CLUSTER", "GETKEYSINSLOT", slot, 100))
            for key in keys:
                talk(source.port, ("MIGRATE", target.host, target.port, key, 0, 1000))
            for node in (target, source, cluster.nodes[2]):
                talk(node.port, ("CLUSTER", "SETSLOT", slot, "NODE", target_id))
        eventually(load.progress())
    finally:
        load.stop()
        port.close()
    assert not load.wrong
    assert sum(load.refused) == 0, "a resharding is no outage"
    assert not isinstance(port.mget([b"load:0:0"])[0], ReplyError)


def test_what_is_left_of_a_cluster_still_serves_its_own_keys(cluster):
    """A node is dead and has no replica; elsewhere a slot has no owner at all."""
    port = connect(settings_for(cluster))
    keys = [b"k%d" % i for i in range(300)]
    port.flight([("SET", key, key) for key in keys])
    owners = {key: owner(cluster, key) for key in keys}
    orphan = next(key for key in keys if owners[key] is cluster.nodes[1])
    (slot,) = talk(cluster.port, ("CLUSTER", "KEYSLOT", orphan.decode()))
    for node in cluster.nodes:
        talk(node.port, ("CLUSTER", "DELSLOTS", slot))
    eventually(lambda: answers(port, orphan) is None)
    with pytest.raises(Unavailable):
        port.mget([keys[0], orphan])
    with pytest.raises(Unavailable):
        port.ping()

    cluster.nodes[2].kill()
    alive = [key for key in keys if owners[key] is not cluster.nodes[2] and key != orphan]
    dead = next(key for key in keys if owners[key] is cluster.nodes[2])
    assert eventually(lambda: values(port, alive)) == alive
    with pytest.raises(Unavailable):
        port.mget([alive[0], dead])
    cursor, _ = port.scan(None, b"*", 10)
    while (following := step(port, cursor)) is not None:
        cursor = following
    assert cursor is not None, "the scan stands before the dead node and can go on later"
    port.close()


def owner(cluster, key):
    """The node that answers for ``key`` itself."""
    return next(
        node
        for node in cluster.nodes
        if "MOVED" not in str(talk(node.port, ("GET", key.decode()))[0])
    )


def step(port, cursor):
    try:
        return port.scan(cursor, b"*", 10)[0]
    except Unavailable:
        return None


def values(port, keys):
    try:
        return port.mget(keys)
    except Unavailable:
        return None


class Node(Server):
    """A node of a scripted cluster: says who owns all slots, and answers GET as it is told.

    Attributes:
        owner: the port that CLUSTER SLOTS names; ``None``: the node refuses that too, as one that loads.
        get: the reply to every other command, in wire form.
    """

    def __init__(self, get: bytes) -> None:
        self.get = get
        self.owner: int | None = None
        self.asked = 0
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        reader = hiredis.Reader(notEnoughData=...)
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                reader.feed(data)
                while (command := reader.gets()) is not ...:
                    client.sendall(self._reply(command[0].upper()))

    def _reply(self, name: bytes) -> bytes:
        if name != b"CLUSTER":
            self.asked += 1
            return self.get
        if self.owner is None:
            return b"-LOADING Redis is loading the dataset in memory\r\n"
        return b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n" % self.owner


VALUE = b"$1\r\nv\r\n"
STATES = [
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
    b"-CLUSTERDOWN The cluster is down\r\n",
    b"-READONLY You can't write against a read only replica.\r\n",
]


@pytest.fixture
def scripted() -> Iterator[tuple[Node, Node, Node, RedisPort]]:
    """The configured node, the owner of all slots, who will own them next, and a port that has the map."""
    seed, old, new = Node(VALUE), Node(VALUE), Node(VALUE)
    seed.owner = old.owner = old.port
    new.owner = new.port
    port = connect(RedisSettings(redis_port=seed.port, redis_cluster=True))
    assert port.mget([b"k"]) == [b"v"]
    assert (old.asked, new.asked) == (1, 0)
    yield seed, old, new, port
    port.close()
    for node in (seed, old, new):
        with contextlib.suppress(OSError):
            node.close()


@pytest.mark.parametrize("state", STATES, ids=lambda state: state[1:].split()[0].decode())
@pytest.mark.parametrize("call", ["read", "write"])
def test_a_node_that_cannot_answer_makes_the_map_new_at_once(scripted, state, call):
    """Another node owns its slots by now; it answers within the same call."""
    seed, old, new, port = scripted
    old.get, old.owner, seed.owner = state, None, new.port
    if call == "read":
        assert port.mget([b"k"]) == [b"v"]
    else:
        assert port.flight([("SET", "k", "v")]) == [b"v"]
    assert new.asked == 1
    asked = old.asked
    assert port.mget([b"k"]) == [b"v"]
    assert old.asked == asked, "it is not asked again"


def test_a_node_that_moved_away_and_refuses_connections_makes_the_map_new(scripted):
    seed, old, new, port = scripted
    seed.owner = new.port
    old.close()
    assert port.mget([b"k"]) == [b"v"]
    assert new.asked == 1


@pytest.mark.parametrize("state", STATES[:3], ids=lambda state: state[1:].split()[0].decode())
def test_a_node_that_loads_and_still_owns_its_slots_is_an_outage_until_it_is_done(scripted, state):
    seed, old, _, port = scripted
    old.get, old.owner = state, None
    for _ in range(3):
        assert took(lambda: port.mget([b"k"])) < HANG
    old.get, old.owner = VALUE, old.port
    assert port.mget([b"k"]) == [b"v"]
    assert seed.owner == old.port
