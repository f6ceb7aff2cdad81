"""pip as a child process, with its failures in one sentence. Standard library only."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

__all__ = ["NothingFits", "PipFailed", "install"]


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
