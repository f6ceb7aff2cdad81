"""Redis dies, hangs, lies down mid-sentence: callers hear of it soon and never get a wrong value."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import hiredis
import pytest

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis import RedisPort, ReplyError, Script, connect
from neuralstream_core.settings import RedisSettings
from neuralstream_local.embedded_redis import EmbeddedRedis, talk
from tests.support.poll import eventually
from tests.support.redis import settings_for
from tests.support.redis_cluster import EmbeddedCluster
from tests.support.tcp import Proxy, Server

HANG = 1.0
"""Seconds; what issue and design call a hang. The timeouts add up to 0.65."""

RAISE = Script(  # keeps the larger number, as the store keeps the later time
    "local old = tonumber(redis.call('GET', KEYS[1]) or '-1')"
    " if tonumber(ARGV[1]) > old then redis.call('SET', KEYS[1], ARGV[1]) end return 1"
)


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    """A server of the test's own, to be killed."""
    with EmbeddedRedis() as own:
        yield own


@pytest.fixture
def port(server: EmbeddedRedis) -> Iterator[RedisPort]:
    own = connect(settings_for(server))
    yield own
    own.close()


@pytest.fixture
def proxy(redis_server: EmbeddedRedis) -> Iterator[Proxy]:
    with Proxy(redis_server.port) as own:
        yield own


@pytest.fixture
def through(proxy: Proxy, redis_server: EmbeddedRedis) -> Iterator[RedisPort]:
    """A port whose connections go through ``proxy``."""
    redis_server.flush()
    own = connect(RedisSettings(redis_host="127.0.0.1", redis_port=proxy.port))
    yield own
    own.close()


class Load:
    """Threads that write rising numbers and read them back; remember what broke a promise."""

    def __init__(self, port: RedisPort, threads: int = 4) -> None:
        self._port = port
        self._stop = threading.Event()
        self.wrong: list[object] = []
        self.slowest = 0.0
        self.done = [0] * threads
        self.refused = [0] * threads
        self._threads = [threading.Thread(target=self._work, args=(i,)) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def _work(self, me: int) -> None:
        keys = [b"load:%d:%d" % (me, i) for i in range(30)]
        number = 0
        while not self._stop.is_set():
            number += 1
            start = time.monotonic()
            try:
                replies = self._port.run(RAISE, [(key, number) for key in keys])
                if replies != [1] * len(keys):
                    self.wrong.append(replies)
                values = self._port.mget(keys)
            except Unavailable:
                self.refused[me] += 1
            else:
                # A restarted server is empty; what it has can only be this thread's own numbers.
                if any(value is not None and int(value) != number for value in values):
                    self.wrong.append((number, values))
                self.done[me] += 1
            self.slowest = max(self.slowest, time.monotonic() - start)

    def progress(self) -> Callable[[], bool]:
        """True once every thread has done something more."""
        before = list(self.done)
        return lambda: all(now > then for now, then in zip(self.done, before, strict=True))

    def refusals(self) -> Callable[[], bool]:
        before = list(self.refused)
        return lambda: all(now > then for now, then in zip(self.refused, before, strict=True))

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def took(call: Callable[[], object]) -> float:
    start = time.monotonic()
    with pytest.raises(Unavailable):
        call()
    return time.monotonic() - start


def test_killing_and_restarting_redis_under_load(server, port):
    load = Load(port)
    try:
        for _ in range(3):
            eventually(load.progress())
            server.kill()
            eventually(load.refusals())
            server.start()
        eventually(load.progress())
    finally:
        load.stop()
    assert not load.wrong
    assert load.slowest < HANG


def test_a_server_that_freezes_is_given_up_soon_and_taken_back(server, port):
    port.flight([("SET", "k", "v")])
    server.pause()
    assert took(lambda: port.mget([b"k"])) < HANG, "over a connection it had answered on"
    assert took(lambda: port.mget([b"k"])) < HANG, "over a new connection"
    server.resume()
    assert eventually(lambda: answers(port, b"k")) == b"v"


def answers(port, key):
    try:
        return port.mget([key])[0]
    except Unavailable:
        return None


def test_a_server_that_accepts_and_never_answers(proxy, through):
    proxy.silent = True
    assert took(lambda: through.mget([b"k"])) < HANG
    proxy.silent = False
    through.flight([("SET", "k", "v")])
    assert through.mget([b"k"]) == [b"v"]


def test_a_server_that_drips_its_reply_is_given_up_too():
    """Every byte arrives within the read timeout, the whole never does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    connection.sendall(b"*1\r\n$1000000\r\n")
                    while not over.wait(0.02):
                        connection.sendall(b"x")
                except OSError:
                    return

        over = threading.Event()
        thread = threading.Thread(target=drip)
        thread.start()
        settings = RedisSettings(redis_port=listener.getsockname()[1])
        assert took(lambda: connect(settings).mget([b"k"])) < HANG
        over.set()
        thread.join()


def test_something_that_is_not_redis_is_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        port = connect(RedisSettings(redis_port=listener.getsockname()[1]))
        with pytest.raises(Unavailable):
            port.mget([b"k"])
        thread.join()


def test_connections_that_died_in_idleness_go_unnoticed(proxy, through):
    """As after a frozen function wakes up: one flight, several dead connections, no error."""
    keys = [b"k%d" % i for i in range(8)]
    through.flight([("SET", key, key) for key in keys])
    gate = threading.Barrier(8)

    def hold() -> None:
        gate.wait()
        through.mget(keys)

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    proxy.drop_all()
    for _ in range(8):
        assert through.mget(keys) == keys


@pytest.mark.parametrize("cut", [1, 5, 700, 5000])
def test_a_connection_cut_in_the_middle_of_replies_never_hands_them_to_another_caller(
    proxy, through, cut
):
    names = [b"k%d" % i for i in range(60)]
    through.flight([("SET", name, name * 40) for name in names])
    through.close()
    proxy.cut_after = cut
    wrong, right = [], []

    def read(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(40):
            asked = draw.sample(names, draw.randint(1, 60))
            try:
                values = through.mget(asked)
            except Unavailable:
                continue
            (right if values == [name * 40 for name in asked] else wrong).append(asked)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    proxy.cut_after = None
    assert through.mget(names) == [name * 40 for name in names]


class Interrupted(Exception):
    pass


def test_a_caller_that_is_interrupted_leaves_no_reply_behind(server):
    """A signal handler raises while a reply is awaited, as a function's own timeout would."""
    port = connect(settings_for(server).model_copy(update={"redis_read_timeout_ms": 2000}))
    port.flight([("SET", "mine", "1"), ("SET", "yours", "2")])

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    server.pause()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interrupted):
            port.mget([b"mine"])
    finally:
        server.resume()
        signal.signal(signal.SIGALRM, before)
    assert port.mget([b"yours"]) == [b"2"]
    port.close()


def test_a_full_server_refuses_writes_as_unavailable_and_still_reads(server, port):
    port.flight([("SET", "k", "v")])
    talk(server.port, ("CONFIG", "SET", "maxmemory", 1))
    with pytest.raises(Unavailable, match="OOM"):
        port.flight([("SET", "more", "v")])
    with pytest.raises(Unavailable, match="OOM"):
        port.run(RAISE, [(b"n", 1)])
    assert port.mget([b"k", b"n"]) == [b"v", None]


def test_a_replica_refuses_writes_as_unavailable(server, redis_server):
    talk(server.port, ("REPLICAOF", redis_server.host, redis_server.port))
    port = connect(settings_for(server))
    with pytest.raises(Unavailable, match="READONLY"):
        port.flight([("SET", "k", "v")])
    talk(server.port, ("REPLICAOF", "NO", "ONE"))
    assert port.flight([("SET", "k", "v")]) == [b"OK"], "the same port, once it is the primary"
    port.close()


# ---------------------------------------------------------------------------------- clusters


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
            eventually(load.progress(), seconds=20)
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


# ------------------------------------------------------------------ a slot map that is out of date


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
