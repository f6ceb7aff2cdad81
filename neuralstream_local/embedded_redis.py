"""A Redis server as a child process that ends with its parent.

The server runs under a shell script that waits on a pipe held by this process. When the pipe closes, however
this process ended (SIGKILL included), the shell kills the server and removes its folder. Linux's
parent-death signal would depend on the thread that started the server, and macOS has none.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from redis.exceptions import RedisError

from neuralstream_core.redis.connection import FlightConnection, pack
from neuralstream_local.ports import free_port
from neuralstream_local.redis_binary import find_binary

__all__ = ["EmbeddedRedis", "talk"]

_HOST = "127.0.0.1"
_BUS_OFFSET = 10_000
"""Of the port on which the nodes of a cluster talk to each other."""
_START_SECONDS = 60.0
_TALK_SECONDS = 5.0
"""A node of a cluster writes what it knows of the others to the disk, and waits for a busy one."""
_LOGGED = 2000
"""Bytes of the server's log that an error carries."""

_GUARD = r"""
folder=$1; lasting=$2; shift 2
"$@" </dev/null >"$folder/stdout" 2>&1 &
child=$!
echo "$child"
read -r wish
kill -9 "$child" 2>/dev/null
wait "$child" 2>/dev/null
[ "$wish" = keep ] || [ "$lasting" = lasting ] || rm -rf -- "$folder"
"""
"""Prints the server's pid, then waits: ``keep`` ends the server, any other line or the end of file also
removes the folder, unless it is a lasting one."""


def talk(port: int, *commands: Sequence[str | int]) -> list[object]:
    """Replies of ``commands`` over a connection of their own; for starting and testing servers.

    Raises:
        OSError: the server does not answer within some seconds.
    """
    connection = FlightConnection(
        host=_HOST,
        port=port,
        protocol=2,
        driver_info=None,
        decode_responses=True,
        socket_connect_timeout=_TALK_SECONDS,
        socket_timeout=_TALK_SECONDS,
    )
    try:
        connection.connect()
        connection.send_packed_command([pack(tuple(command)) for command in commands])
        return list(connection.read_flight(len(commands)))
    except RedisError as error:
        raise ConnectionError(f"the server does not answer: {error}") from error
    finally:
        connection.disconnect()


class EmbeddedRedis(contextlib.AbstractContextManager["EmbeddedRedis"]):
    """One server on 127.0.0.1. Starts in the constructor; a context manager.

    Args:
        port: the port; a free one when 0. It stays the same through `kill` and `start`.
        args: further options of ``redis-server``, such as ``("--maxmemory", "10mb")``.
        keep: every command is in a file before it is answered, so that a server whose process ended
            comes back with all that it acknowledged. The file is not forced to the disk: it outlives the
            process, not the machine, and is removed by `stop` like everything else.
        folder: where it works, made if it is not there and left as it is by `stop`: with ``keep`` the next
            server on the same folder has all that this one acknowledged. One of its own when ``None``.

    Raises:
        NoRedisServer: there is no binary to start.
        RuntimeError: the server does not start; carries the end of its log.
    """

    host = _HOST

    def __init__(
        self,
        port: int = 0,
        args: Sequence[str] = (),
        *,
        keep: bool = False,
        folder: Path | None = None,
    ) -> None:
        # Without fsync Redis writes its file before each reply; with "everysec" a write may be put off
        # for two seconds while the disk is busy, and the reply is not.
        persistence = ("yes", "--appendfsync", "no") if keep else ("no",)
        self._args = ("--appendonly", *persistence, *args)
        self._guard: subprocess.Popen[str] | None = None
        self._lasting = folder is not None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="neuralstream-redis-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self.pid = 0
        try:
            self._start_on(port)
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Start it on its port unless it runs; raises what the constructor raises."""
        if self._guard is None:
            self._start_on(self.port)

    def _start_on(self, wanted: int) -> None:
        for _ in range(1 if wanted else 5):  # another process may take a free port in between
            self.port = wanted or free_port(_BUS_OFFSET)
            if self._launch():
                return
        log = (self._folder / "stdout").read_text(errors="replace")[-_LOGGED:]
        raise RuntimeError(f"the Redis server did not start on port {self.port}:\n{log}")

    def _launch(self) -> bool:
        command = [
            *(find_binary(), "--port", str(self.port), "--bind", _HOST, "--dir", str(self._folder)),
            *("--save", "", "--daemonize", "no", "--loglevel", "notice", *self._args),
        ]
        self._guard = subprocess.Popen(  # noqa: S603 - our own script and the binary found above
            [
                "/bin/sh",
                "-c",
                _GUARD,
                "guard",
                str(self._folder),
                "lasting" if self._lasting else "",
                *command,
            ],
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
                pong, info = talk(self.port, ("PING",), ("INFO", "server"))
                # Another server on the same port would answer too.
                if f"process_id:{self.pid}\r" in str(info):
                    if "LOADING" not in str(pong):
                        return True
                    deadline = time.monotonic() + _START_SECONDS  # it has more to read
            if not self.alive():
                break
            time.sleep(0.005)
        self._end("keep\n")
        return False

    def alive(self) -> bool:
        """Whether the server's process runs, frozen or not."""
        if self._guard is None or self._guard.poll() is not None:
            return False
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
        if self._guard.returncode < 0:  # the guard was killed, and its server runs on
            with contextlib.suppress(OSError):
                if f"process_id:{self.pid}\r" in str(talk(self.port, ("INFO", "server"))[0]):
                    os.kill(self.pid, signal.SIGKILL)
        self._guard = None

    def kill(self) -> None:
        """SIGKILL; `start` brings the server back on the same port, empty unless it was told to keep."""
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
        if not self._lasting:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __exit__(self, *_: object) -> None:
        self.stop()
