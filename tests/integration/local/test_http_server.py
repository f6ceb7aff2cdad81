"""The HTTP server over real sockets: keep-alive, pipelining, chunks, limits, and bytes that are not HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuralstream_local.http_server import MAX_BODY, HttpServer, Response
from tests.support.poll import eventually


def _echo(request):
    seen = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": request.headers,
        "size": len(request.body),
        "body": request.body.decode("latin-1")[:1000],
    }
    return Response(200, json.dumps(seen).encode(), [("content-type", "application/json")])


@contextlib.contextmanager
def _serving(**limits):
    server = HttpServer(_echo, 0, **limits)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server.port
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="module")
def port():
    with _serving() as port:
        yield port


def _raw(port, data, end=True):
    """Everything the server says to ``data`` until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return _rest(connection)


def _rest(connection):
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer


def test_one_connection_serves_many_requests(port):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for i in range(5):
        connection.request("POST", f"/p/{i}?q=%20", b"x" * i, {"X-One": "1"})
        seen = json.loads(connection.getresponse().read())
        assert (seen["path"], seen["query"], seen["size"]) == (f"/p/{i}", "q=%20", i)
        assert ["x-one", "1"] in seen["headers"]
    connection.close()


def test_pipelined_requests_are_answered_in_order(port):
    answer = _raw(port, b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % i for i in range(3)))

    assert [answer.index(b'"path": "/%d"' % i) for i in range(3)] == sorted(
        answer.index(b'"path": "/%d"' % i) for i in range(3)
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 3


def test_a_request_in_single_bytes_is_the_same_request(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST /slow HTTP/1.1\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc":
            connection.sendall(bytes([byte]))
        answer = _rest(connection)

    assert b'"body": "abc"' in answer


def test_chunks_are_joined(port):
    answer = _raw(
        port,
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )

    assert b'"body": "abcde"' in answer


def test_a_waiting_client_is_told_to_continue(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"ok")
        connection.shutdown(socket.SHUT_WR)
        assert b'"body": "ok"' in _rest(connection)


def test_head_gets_the_length_without_the_body(port):
    answer = _raw(port, b"HEAD / HTTP/1.1\r\nconnection: close\r\n\r\n")

    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length: " in head
    assert body == b""


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_beyond_ten_megabytes_is_refused(port, announced):
    body = b"x" * (MAX_BODY + 1)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/", body if announced else iter([body]), encode_chunked=True)
    answer = connection.getresponse()

    assert answer.status == 413
    told = json.loads(answer.read())["message"]
    assert told.startswith("Request Entity Too Large")
    assert str(MAX_BODY) in told
    assert "/models/{name}/versions" in told
    connection.close()


def test_headers_beyond_ten_kilobytes_are_refused(port):
    assert b" 431 " in _raw(port, b"GET / HTTP/1.1\r\nx: " + b"y" * 11_000 + b"\r\n\r\n")


ENDLESS = {
    "request line": (b"GET /", b"x"),
    "header": (b"GET / HTTP/1.1\r\nx: ", b"y"),
    "header name": (b"GET / HTTP/1.1\r\n", b"x"),
    "headers": (b"GET / HTTP/1.1\r\n", b"x: y\r\n"),
    "header after a request": (b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\nx: ", b"y"),
    "chunk extension": (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;a=", b"y"),
    "trailer": (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", b"y"),
}


@pytest.mark.parametrize(("start", "more"), ENDLESS.values(), ids=ENDLESS.keys())
@pytest.mark.parametrize("step", [300, 3000, 70_000])
def test_a_head_that_never_ends_is_refused_and_not_read_for_ever(port, start, more, step):
    """The client never stops by itself: it sends until the server closes."""
    answer = b""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(start)
        with contextlib.suppress(ConnectionError):
            while b" 431 " not in answer:
                connection.sendall(more * (step // len(more)))
                sent += step
                assert sent < 4_000_000, "the server reads on"
                if select.select([connection], [], [], 0)[0]:
                    part = connection.recv(65536)
                    if not part:
                        break
                    answer += part

    assert b" 431 " in answer
    assert b"10240 bytes" in answer


def test_a_line_under_way_is_bounded_without_another_byte(port):
    """10 KB of a header that has not ended are refused at once, not when more of it comes."""
    answer = _raw(port, b"GET / HTTP/1.1\r\nx: " + b"y" * 10_300, end=False)

    assert b" 431 " in answer


def test_a_long_request_line_in_pieces_is_within_the_limit(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"GET /" + b"x" * 4_000, b"x" * 4_000, b" HTTP/1.1\r\nx: ", b"y\r\n\r\n"):
            connection.sendall(piece)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("size", [1, 9_000, 60_000, 200_000])
def test_a_body_without_line_breaks_is_not_taken_for_a_head(port, size):
    body = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % size + b"z" * size
    answer = _raw(port, body * 3 + b"GET /last HTTP/1.1\r\nconnection: close\r\n\r\n")

    assert answer.count(b"HTTP/1.1 200") == 4


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.binary(min_size=1, max_size=200))
def test_bytes_that_are_not_http_never_break_the_server(port, data):
    answer = _raw(port, data)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert _raw(port, b"GET /ok HTTP/1.1\r\nconnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nab"]
)
def test_a_request_that_does_not_arrive_in_time_ends_its_connection(sent):
    with _serving(arrival_seconds=1) as port:
        assert _raw(port, sent, end=False) == b""


def test_more_connections_than_the_limit_are_told_so_until_there_are_fewer():
    get = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n"
    with _serving(connections=10) as port:
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        assert b" 503 " in _raw(port, get)
        for connection in held:
            connection.close()
        assert eventually(lambda: b" 200 " in _raw(port, get))
