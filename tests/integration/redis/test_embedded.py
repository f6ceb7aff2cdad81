"""The servers that the laptop and the tests start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from neuralstream_local.embedded_redis import EmbeddedRedis, talk
from tests.support.poll import eventually

STARTS = """
import sys, time
from neuralstream_local.embedded_redis import EmbeddedRedis
servers = [EmbeddedRedis(), EmbeddedRedis(args=("--cluster-enabled", "yes"))]
print(*(server.pid for server in servers), flush=True)
time.sleep(60)
"""


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_servers_and_their_files_go_with_the_process_that_started_them(by, tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", STARTS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with child:
        pids = [int(pid) for pid in child.stdout.readline().split()]
        assert len(pids) == 2
        assert len(list(tmp_path.iterdir())) == 2
        child.send_signal(by)
    eventually(lambda: all(map(gone, pids)))
    eventually(lambda: not list(tmp_path.iterdir()))


def test_a_killed_server_comes_back_empty_on_its_port():
    with EmbeddedRedis() as server:
        port, pid = server.port, server.pid
        talk(port, ("SET", "k", "v"))
        server.kill()
        assert gone(pid)
        server.start()
        assert server.port == port
        assert talk(port, ("GET", "k")) == [None]


def test_a_server_that_keeps_comes_back_with_what_it_had_and_says_whether_it_runs():
    with EmbeddedRedis(keep=True) as server:
        port, pid = server.port, server.pid
        replies = talk(port, *(("SET", f"k{i}", i) for i in range(1000)))
        assert replies == ["OK"] * 1000
        assert server.alive()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not server.alive())
        server.kill()
        server.start()
        assert server.alive()
        assert (server.port, server.pid == pid) == (port, False)
        assert talk(port, ("DBSIZE",), ("GET", "k999")) == [1000, "999"]
        folder = Path(str(talk(port, ("CONFIG", "GET", "dir"))[0][1]))
    assert not server.alive()
    assert not folder.exists()


def test_a_server_that_lost_its_guard_is_ended_and_started_again():
    with EmbeddedRedis(keep=True) as server:
        port, pid = server.port, server.pid
        talk(port, ("SET", "k", "v"))
        os.kill(psutil.Process(pid).ppid(), signal.SIGKILL)
        eventually(lambda: not server.alive())
        server.kill()
        eventually(lambda: gone(pid))
        server.start()
        assert talk(port, ("GET", "k")) == ["v"]


def test_a_server_stays_on_its_port_even_when_somebody_else_took_it():
    with EmbeddedRedis(keep=True) as server:
        talk(server.port, ("SET", "k", "v"))
        server.kill()
        taken = socket.create_server(("127.0.0.1", server.port))
        with taken, pytest.raises(RuntimeError, match=str(server.port)):
            server.start()
        server.start()
        assert talk(server.port, ("GET", "k")) == ["v"]


def test_a_port_that_is_taken_is_said_so():
    with EmbeddedRedis() as first, pytest.raises(RuntimeError, match=str(first.port)):
        EmbeddedRedis(port=first.port)


def test_nothing_is_left_after_an_orderly_stop():
    server = EmbeddedRedis()
    folder = Path(str(talk(server.port, ("CONFIG", "GET", "dir"))[0][1]))
    assert folder.exists()
    server.stop()
    server.stop()
    assert gone(server.pid)
    assert not folder.exists()
