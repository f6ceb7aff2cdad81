"""The servers that the laptop and the tests start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from neuralstream_local.embedded_redis import EmbeddedRedis, find_binary, talk
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


FINDS = "from neuralstream_local.embedded_redis import find_binary; print(find_binary())"


def found_with(path: Path) -> str:
    """What a fresh process finds whose PATH begins with ``path``."""
    environ = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", FINDS], env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def binary_that(directory: Path, does: str) -> Path:
    binary = directory / "redis-server"
    binary.write_text(f"#!/bin/sh\n{does}\n")
    binary.chmod(0o755)
    return binary


@pytest.mark.parametrize(
    "does", ["echo 'Redis server v=6.0.16 sha=0'", "echo 'command not installed' >&2; exit 127"]
)
def test_a_server_on_the_path_that_is_too_old_or_does_not_run_is_passed_over(does, tmp_path):
    binary = binary_that(tmp_path, does)
    assert found_with(tmp_path) != str(binary)


def test_a_good_server_on_the_path_comes_first(tmp_path):
    binary = binary_that(tmp_path, f'exec {find_binary()} "$@"')
    assert found_with(tmp_path) == str(binary)
