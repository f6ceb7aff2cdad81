"""Lock files installed by pip, once each, with failures in one sentence. Standard library only."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["NothingFits", "PipFailed", "install", "once"]


class PipFailed(RuntimeError):
    """pip could not install what it was asked to; the message is one sentence."""


class NothingFits(PipFailed):
    """The index has no file for this machine or this Python."""


def install(python: str, arguments: Sequence[str]) -> None:
    """``pip install --require-hashes`` of that Python.

    Raises:
        NothingFits: see there.
        PipFailed: any other reason, such as an index that does not answer.
    """
    command = [
        *(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "3"),
        *("--require-hashes", *arguments),
    ]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our own pip
    if done.returncode == 0:
        return
    if "Retrying (" in done.stderr:  # pip ends with "No matching distribution" then too
        raise PipFailed("the package index cannot be reached; is there a network?")
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    first = (errors or done.stderr.splitlines() or ["it said nothing"])[0].removeprefix("ERROR: ")
    failed = NothingFits if "No matching distribution" in done.stderr else PipFailed
    raise failed(f"pip: {first}")


def once(
    lock_file: Path,
    stamp: Path,
    work: Callable[[], None],
    *,
    guard: Path,
    usable: Callable[[], bool] = lambda: True,
) -> None:
    """Do ``work`` unless ``stamp`` says that it was done for this content of ``lock_file``.

    Args:
        guard: a file to lock, so that of two processes that come here at once the second waits.
        usable: whether what was done before is still good.
    """
    wanted = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    with guard.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == wanted and usable()):
            work()
            stamp.write_text(wanted)
