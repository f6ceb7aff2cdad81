"""Redis dies, hangs, lies down mid-sentence: callers hear of it soon and never get a wrong value."""

from __future__ import annotations

import random
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis import RedisPort, connect
from neuralstream_core.settings import RedisSettings
from neuralstream_local.embedded_redis import EmbeddedRedis, talk
from tests.support.poll import eventually
from tests.support.redis import settings_for
from tests.support.redis_load import HANG, RAISE, Load, answers, took
from tests.support.tcp import Proxy


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
