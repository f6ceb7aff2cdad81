"""``make run`` as a child process, watched and ended as a person at a terminal would."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager

import boto3
import psutil

from neuralstream_local.aws import REGION
from neuralstream_local.children import ROOT
from neuralstream_local.ports import free_port
from tests.support.poll import eventually
from tests.support.stack import request

__all__ = ["Run", "all_gone", "free_pair", "running"]


def free_pair():
    """A port that is free together with the next one, which the AWS emulation takes."""
    return free_port(1)


def _remove_data(port):
    shutil.rmtree(ROOT / ".run" / f"data-{port}", ignore_errors=True)


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
        atexit.register(_remove_data, environ.get("PORT"))
        self.url = f"http://127.0.0.1:{environ.get('PORT')}"
        self._clients = {}
        self.lines = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self._reader.start()

    @property
    def aws_endpoint(self):
        host, _, port = self.url.rpartition(":")
        return f"{host}:{int(port) + 1}"

    @property
    def output(self):
        return "".join(self.lines)

    def request(self, method, path, body=None, headers=None):
        return request(self.url, method, path, body, headers)

    def client(self, service):
        """A boto3 client of the run's AWS emulation; built once a service."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.aws_endpoint,
                region_name=REGION,
                aws_access_key_id="local",
                aws_secret_access_key="local",  # noqa: S106 - what the emulation takes
            )
        return self._clients[service]

    def ready(self):
        def seen():
            assert self.process.poll() is None, self.output
            return "Ctrl-C stops everything" in self.output

        eventually(seen)

    def descendants(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, what):
        """The running process that has ``what`` in its command."""

        def found():
            for process in self.descendants():
                try:
                    if what in process.cmdline()[0] or what in process.cmdline():
                        return process
                except (psutil.NoSuchProcess, psutil.ZombieProcess, IndexError):
                    continue
            return None

        return eventually(found)

    def end(self, number):
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        self._reader.join()
        return code

    def close(self):
        for client in self._clients.values():
            client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        self._log.unlink(missing_ok=True)


@contextmanager
def running(**environ):
    run = Run(**environ)
    try:
        yield run
    finally:
        run.close()


def all_gone(processes):
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
