"""What callers rely on, on one node and on a cluster alike."""

import random
import subprocess
import sys
import threading

import pytest

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis import ReplyError, Script, connect
from tests.support.redis import settings_for

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
APPEND = Script("redis.call('APPEND', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])")
ODD_KEYS = [
    b"plain",
    b"",
    b"a b",
    b"a\r\nb",
    b"{tag}",
    b"{}",
    b"a{b}c",
    b"*?[x]",
    b"\x00\xff",
    "é世".encode(),
]


def numbered(n):
    return [b"key:%d" % i for i in range(n)]


def store(port, keys):
    assert port.flight([(b"SET", key, b"of " + key) for key in keys]) == [b"OK"] * len(keys)


def scan_all(port, match):
    cursor, found = port.scan(None, match, 50)
    while cursor is not None:
        cursor, more = port.scan(cursor, match, 50)
        found += more
    return found


@pytest.mark.parametrize("n", [1, 2, 999, 1000, 1001, 3500])
def test_many_keys_come_back_in_the_order_asked_with_gaps_and_duplicates(any_port, n):
    keys = numbered(n)
    store(any_port, keys)
    asked = [*keys, b"never written", keys[0], keys[-1]]
    random.Random(n).shuffle(asked)
    expected = [None if key == b"never written" else b"of " + key for key in asked]
    assert any_port.mget(asked) == expected


def test_a_key_may_hold_any_bytes(any_port):
    store(any_port, ODD_KEYS)
    assert any_port.mget(ODD_KEYS) == [b"of " + key for key in ODD_KEYS]
    assert sorted(scan_all(any_port, b"*")) == sorted(ODD_KEYS)


@pytest.mark.parametrize("n", [1, 2, 999, 1000, 1001, 3500])
def test_keys_that_begin_alike_are_read_by_what_follows(any_port, n):
    names = ["a b", "a\r\nb", "\0", "{tag}", "", *map(str, range(n))][:n]
    keys = [b"ns:f:0:" + name.encode() for name in names]
    assert any_port.mget(keys) == [None] * n
    store(any_port, keys[::2])
    found = [b"of " + key for key in keys]
    assert any_port.mget(keys) == [value if i % 2 == 0 else None for i, value in enumerate(found)]


def test_nothing_asked_is_nothing_answered(any_port):
    assert (any_port.mget([]), any_port.flight([]), any_port.run(ADD, [])) == ([], [], [])


def test_big_values_survive_a_flight(any_port):
    keys = numbered(30)
    values = [random.Random(i).randbytes(300_000) for i in range(30)]
    any_port.flight([(b"SET", *pair) for pair in zip(keys, values, strict=True)])
    assert any_port.mget(keys) == values


def test_a_refused_command_harms_none_of_its_flight(any_port):
    first, refused, last = any_port.flight([("SET", "k", "v"), ("LPUSH", "k", 1), ("GET", "k")])
    assert (first, last) == (b"OK", b"v")
    assert isinstance(refused, ReplyError)
    assert refused.code == "WRONGTYPE"
    assert any_port.mget([b"k"]) == [b"v"]


def test_a_key_of_another_type_reads_as_missing(any_port):
    any_port.flight([("SET", "a", "1"), ("LPUSH", "list", "x"), ("SET", "b", "2")])
    assert any_port.mget([b"a", b"list", b"b"]) == [b"1", None, b"2"]


def test_a_script_runs_once_for_each_call_in_order(any_port):
    calls = [(b"k%d" % (i % 3), f"{i},") for i in range(30)]
    replies = any_port.run(APPEND, calls)
    assert replies[-3:] == [",".join(map(str, range(i, 30, 3))).encode() + b"," for i in range(3)]


@pytest.mark.parametrize("flight", [1, 7, 29, 30, 31])
def test_calls_are_read_as_flights_of_them_are_answered(any_port, flight):
    read = 0

    def calls():
        nonlocal read
        for i in range(30):
            read += 1
            yield b"k%d" % (i % 3), f"{i},"

    replies = any_port.run(APPEND, calls(), flight=flight)
    assert read == 30
    assert replies == [
        ",".join(map(str, range(i % 3, i + 1, 3))).encode() + b"," for i in range(30)
    ]


def test_a_script_forgotten_between_two_flights_keeps_the_order_of_a_key(any_port, request):
    """While the calls of one flight run, another client empties the servers' script cache."""

    def calls():
        for i in range(30):
            if i % 7 == 0:
                forget_scripts(request)
            yield b"k", f"{i},"

    replies = any_port.run(APPEND, calls(), flight=5)
    assert replies[-1] == ",".join(map(str, range(30))).encode() + b","


def forget_scripts(request):
    servers = (
        request.getfixturevalue("redis_cluster").nodes
        if "cluster" in request.node.name
        else [request.getfixturevalue("redis_server")]
    )
    for server in servers:
        connect(settings_for(server)).flight([("SCRIPT", "FLUSH")])


def test_a_script_the_server_has_forgotten_is_brought_again(any_port, request):
    assert any_port.run(ADD, [(b"k", 2)]) == [2]
    forget_scripts(request)
    assert any_port.run(ADD, [(key, 5) for key in (b"k", b"x", b"y", b"z")]) == [7, 5, 5, 5]
    assert any_port.run(ADD, [(b"k", 1)]) == [8]


def test_an_error_inside_a_script_is_the_reply_of_its_call_alone(any_port):
    any_port.flight([("LPUSH", "list", 1)])
    bad, good = any_port.run(ADD, [(b"list", 1), (b"n", 1)])
    assert isinstance(bad, ReplyError)
    assert good == 1


def test_a_scan_sees_every_key_and_goes_on_in_another_process(any_port, request):
    keys = [b"view:%d" % i for i in range(700)]
    store(any_port, [*keys, b"other"])
    cursor, found = any_port.scan(None, b"view:*", 20)
    steps = 1
    while cursor is not None:
        name = "redis_cluster" if "cluster" in request.node.name else "redis_server"
        other = connect(settings_for(request.getfixturevalue(name)))
        cursor, more = other.scan(cursor, b"view:*", 20)
        other.close()
        found += more
        steps += 1
    assert set(found) == set(keys)
    assert steps > 10, "each step is bounded"


def test_threads_share_a_port_and_each_gets_its_own_answers(any_port):
    keys = numbered(400)
    store(any_port, keys)
    wrong = []

    def read(seed):
        draw = random.Random(seed)
        for _ in range(100):
            asked = draw.sample(keys, draw.randint(1, 60))
            if any_port.mget(asked) != [b"of " + key for key in asked]:
                wrong.append(asked)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


FORKS = """
import os, sys
from neuralstream_core.redis import connect
from neuralstream_core.settings import RedisSettings
host, number, cluster = sys.argv[1:]
port = connect(RedisSettings(redis_host=host, redis_port=number, redis_cluster=cluster == "1"))
port.flight([("SET", f"k{i}", i) for i in range(50)])
children = []
for child in range(4):
    if (pid := os.fork()) == 0:
        right = all(port.mget([b"k%d" % i]) == [b"%d" % i] for i in range(50))
        os._exit(0 if right else 1)
    children.append(pid)
right = all(port.mget([b"k%d" % i]) == [b"%d" % i] for i in range(50))
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
sys.exit(0 if right and codes == [0] * 4 else 1)
"""


@pytest.mark.parametrize("cluster", [False, True])
def test_a_forked_child_does_not_read_its_parents_replies(request, cluster):
    server = request.getfixturevalue("redis_cluster" if cluster else "redis_server")
    command = [sys.executable, "-c", FORKS, server.host, str(server.port), str(int(cluster))]
    assert subprocess.run(command, timeout=30, check=False).returncode == 0


def test_every_node_answers_a_ping(any_port):
    any_port.ping()


def test_a_closed_port_opens_again(any_port):
    any_port.flight([("SET", "k", "v")])
    any_port.close()
    assert any_port.mget([b"k"]) == [b"v"]


def test_a_port_that_nobody_listens_on_is_unavailable(redis_settings):
    nowhere = connect(redis_settings.model_copy(update={"redis_port": 1}))
    with pytest.raises(Unavailable) as caught:
        nowhere.mget([b"k"])
    assert caught.value.dependency == "redis"
    assert "127.0.0.1" not in caught.value.detail
