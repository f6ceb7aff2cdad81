"""What `FlightConnection` takes from the inside of redis-py, held against the installed version."""

# ruff: noqa: SLF001 - private attributes are the subject of this file

import inspect
import ssl
import threading

import hiredis
import pytest
from redis._parsers.hiredis import NOT_ENOUGH_DATA, _HiredisParser
from redis.connection import AbstractConnection, Connection
from redis.exceptions import InvalidResponse

from neuralstream_core.redis import ReplyError
from neuralstream_core.redis.connection import FlightConnection, pack
from neuralstream_local.embedded_redis import EmbeddedRedis


@pytest.fixture
def connection(redis_server: EmbeddedRedis):
    redis_server.flush()
    made = FlightConnection(host=redis_server.host, port=redis_server.port, protocol=2)
    yield made
    made.disconnect()


def send(connection, *commands):
    connection.send_packed_command([b"".join(map(pack, commands))], check_health=False)
    return connection.read_flight(len(commands))


def test_the_parser_is_that_of_hiredis_and_its_reader_is_where_it_is_looked_for(connection):
    connection.connect()
    assert type(connection._parser) is _HiredisParser
    assert isinstance(connection._parser._reader, hiredis.Reader)
    assert connection._parser._reader.gets() is NOT_ENOUGH_DATA


def test_the_methods_that_are_replaced_are_those_that_redis_py_calls():
    assert list(inspect.signature(Connection._connect).parameters) == ["self"]
    assert "self._connect" in inspect.getsource(AbstractConnection.connect_check_health)
    for method in (AbstractConnection.connect, AbstractConnection.send_packed_command):
        assert "self.connect_check_health(" in inspect.getsource(method)


def test_every_kind_of_reply_keeps_its_place(connection):
    replies = send(connection, ("SET", "k", "v"), ("GET", "k"), ("GET", "none"), ("MGET", "k", "-"))
    assert replies == [b"OK", b"v", None, [b"v", None]]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("LPUSH", "k", 1), "WRONGTYPE Operation against a key holding the wrong kind of value"),
        (("EVALSHA", "0" * 40, 0), "NOSCRIPT No matching script. Please use EVAL."),
        (("NONSENSE",), "ERR unknown command `NONSENSE`, with args beginning with: "),
    ],
)
def test_an_error_reply_says_what_the_server_said(connection, command, message):
    _, refused, last = send(connection, ("SET", "k", "v"), command, ("GET", "k"))
    assert isinstance(refused, ReplyError)
    assert str(refused).replace("'", "`").startswith(message.strip().replace("'", "`"))
    assert last == b"v"


def test_a_reply_too_many_is_an_error(connection):
    connection.send_packed_command([pack(("PING",)) * 3])
    with pytest.raises(InvalidResponse):
        connection.read_flight(1)


def test_a_login_that_fails_leaves_no_open_connection(redis_server):
    def refuse() -> ssl.SSLContext:
        raise threading.BrokenBarrierError

    made = FlightConnection(host=redis_server.host, port=redis_server.port, tls=refuse)
    with pytest.raises(threading.BrokenBarrierError):
        made.connect()
    assert not made.is_connected
