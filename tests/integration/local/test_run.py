"""``make run`` as a person meets it: it starts, answers, refuses clearly, and leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from neuralstream_local.children import ROOT
from tests.support.poll import eventually
from tests.support.run import all_gone, free_pair, running
from tests.support.stack import request


def _files():
    """Everything under the checkout but what .gitignore names, and temporary Redis folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],  # noqa: S607 - git, wherever it is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(listed.stdout.splitlines())


def test_it_starts_with_keys_answers_and_leaves_nothing_after_ctrl_c():
    port, before = free_pair(), _files()
    with running(PORT=str(port), EXAMPLE="none", AUTH="on") as run:
        run.ready()
        url = f"http://127.0.0.1:{port}"
        assert (
            f"ready in {re.search(r'ready in ([0-9.]+) s', run.output)[1]} s at {url}" in run.output
        )
        key = re.search(r"API key\s+(\S+)", run.output)[1]
        assert request(url, "GET", "/models").status == 401
        assert request(url, "GET", "/models", headers={"x-api-key": key}).json()["models"] == []
        assert request(url, "GET", "/health").json()["status"] == "ok"
        console = re.search(r"console\s+(\S+)", run.output)[1]
        assert request(url, "GET", console.removeprefix(url)).status == 200
        for line in re.findall(r"^  (curl .+)$", run.output, re.MULTILINE):
            answer = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True)
            assert "status" not in json.loads(answer.stdout) or b'"ok"' in answer.stdout
        children = run.descendants()
        folders = [a for p in children for a in p.cmdline() if "neuralstream-redis-" in a]

        with running(PORT=str(port), EXAMPLE="none") as second:
            assert second.process.wait(timeout=30) == 1
            second.close()
            assert f"port {port} (for the API) is taken; try PORT=" in second.output
            assert "Traceback" not in second.output

        assert run.end(signal.SIGINT) == 0
        assert "Traceback" not in run.output

    assert len(children) >= 4
    assert eventually(lambda: all_gone(children))
    assert not [f for f in folders if Path(f).is_dir() and "neuralstream-redis-" in Path(f).name]
    assert _files() <= before


def test_no_process_survives_the_end_of_its_aws_emulation():
    """Nor that of the run itself, which `test_kept` ends as often as it starts another."""
    with running(PORT=str(free_pair()), EXAMPLE="none") as run:
        run.ready()
        children = run.descendants()
        run.child("neuralstream_local.aws_server").kill()
        assert run.process.wait(timeout=30) == 1
        run.close()
        assert "the AWS emulation ended" in run.output
        assert "Start again: make run" in run.output
        assert "Traceback" not in run.output

        assert eventually(lambda: all_gone(children))


def test_a_port_that_the_emulation_needs_is_refused_by_its_number():
    port = free_pair()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 1))
        taken.listen()
        with running(PORT=str(port), EXAMPLE="none") as run:
            assert run.process.wait(timeout=30) == 1
            run.close()
    assert run.output.count("\n") == 1
    assert f"port {port + 1} (for the AWS emulation) is taken; try PORT={port + 1000}" in run.output


def test_without_a_redis_server_one_sentence_says_what_to_install():
    with running(
        PORT=str(free_pair()), EXAMPLE="none", REDIS_SERVER="/nowhere/redis-server"
    ) as run:
        assert run.process.wait(timeout=30) == 1
        run.close()
    assert run.output.count("\n") == 1
    assert "REDIS_SERVER=/nowhere/redis-server does not run as Redis 6.2 or newer" in run.output


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"PORT": "banana"}, "PORT=banana is not a port number"),
        ({"PORT": "65535"}, "PORT=65535 is not a port number"),
        ({"EXAMPLE": "nothing"}, "EXAMPLE=nothing is not one of flights, none"),
        ({"AUTH": "maybe"}, "AUTH=maybe is neither on nor off"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(environ, says):
    with running(**environ) as run:
        assert run.process.wait(timeout=30) == 1
        run.close()
        assert says in run.output
        assert "Traceback" not in run.output
