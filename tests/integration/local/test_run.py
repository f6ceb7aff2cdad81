"""``make run`` as a person meets it: it starts, answers, refuses clearly, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from neuralstream_local.children import ROOT
from tests.support.poll import eventually
from tests.support.stack import request


def _free_pair():
    """A port that is free together with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


class Run:
    """A started run; its output is read as it comes."""

    def __init__(self, **environ):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "neuralstream_local.run"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers/core'}", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._log = ROOT / ".run" / f"server-{environ.get('PORT')}.log"
        self.lines = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self._reader.start()

    @property
    def output(self):
        return "".join(self.lines)

    def ready(self):
        def seen():
            assert self.process.poll() is None, self.output
            return "Ctrl-C stops everything" in self.output

        eventually(seen, seconds=90)

    def descendants(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number):
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        self._reader.join()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        self._log.unlink(missing_ok=True)


@contextmanager
def _running(**environ):
    run = Run(**environ)
    try:
        yield run
    finally:
        run.close()


def _all_gone(processes):
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


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
    port, before = _free_pair(), _files()
    with _running(PORT=str(port), EXAMPLE="none", AUTH="on") as run:
        run.ready()
        url = f"http://127.0.0.1:{port}"
        assert (
            f"ready in {re.search(r'ready in ([0-9.]+) s', run.output)[1]} s at {url}" in run.output
        )
        key = re.search(r"API key\s+(\S+)", run.output)[1]
        assert request(url, "GET", "/models").status == 401
        assert request(url, "GET", "/models", headers={"x-api-key": key}).json()["models"] == []
        assert request(url, "GET", "/health").json()["status"] == "ok"
        for line in re.findall(r"^  (curl .+)$", run.output, re.MULTILINE):
            answer = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True)
            assert "status" not in json.loads(answer.stdout) or b'"ok"' in answer.stdout
        children = run.descendants()
        folders = [a for p in children for a in p.cmdline() if "neuralstream-redis-" in a]

        with _running(PORT=str(port), EXAMPLE="none") as second:
            assert second.process.wait(timeout=30) == 1
            second.close()
            assert f"port {port} (for the API) is taken; try PORT=" in second.output
            assert "Traceback" not in second.output

        assert run.end(signal.SIGINT) == 0
        assert "Traceback" not in run.output

    assert len(children) >= 4
    assert eventually(lambda: _all_gone(children))
    assert not [f for f in folders if Path(f).is_dir() and "neuralstream-redis-" in Path(f).name]
    assert _files() <= before


@pytest.mark.parametrize("victim", ["itself", "its gateway"])
def test_no_process_survives_a_violent_end(victim):
    with _running(PORT=str(_free_pair()), EXAMPLE="none") as run:
        run.ready()
        children = run.descendants()
        if victim == "itself":
            run.process.kill()
        else:
            next(p for p in children if "neuralstream_local.gateway" in p.cmdline()).kill()
            assert run.process.wait(timeout=30) == 1
            run.close()
            assert "gateway ended unexpectedly" in run.output

        assert eventually(lambda: _all_gone(children), seconds=20)


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
    with _running(**environ) as run:
        assert run.process.wait(timeout=30) == 1
        run.close()
        assert says in run.output
        assert "Traceback" not in run.output
