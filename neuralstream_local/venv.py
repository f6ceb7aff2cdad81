"""The virtual environment of this checkout, made on first use from a lock file with hashes.

    python3 -m neuralstream_local.venv requirements/local.txt

Standard library only: it runs under whatever Python ≥ 3.11 the machine has. Does nothing when the lock
file is already installed; two calls at once wait for each other.
"""

from __future__ import annotations

import subprocess
import sys
import time
import venv
from functools import partial
from pathlib import Path
from typing import Final

from neuralstream_local.pip import PipFailed, install, once

__all__ = ["main"]

_VENV: Final = Path(".venv")
_PYTHON: Final = str(_VENV / "bin" / "python")
_MINIMUM: Final = (3, 11)


def main(argv: list[str]) -> int:
    """Install the lock file named by the only argument; 0 when it is installed."""
    lock_file = Path(argv[0])
    stamp = _VENV / f".installed-{lock_file.stem}"
    try:
        once(lock_file, stamp, partial(_make, lock_file), guard=Path(".venv.lock"), usable=_works)
    except PipFailed as error:
        _say(f"{lock_file} could not be installed: {error}")
        return 1
    return 0


def _make(lock_file: Path) -> None:
    started = time.monotonic()
    if not _works():
        _say(f"making {_VENV} with Python {sys.version.split()[0]}")
        venv.create(_VENV, clear=True, with_pip=True)
    _say(f"installing {lock_file} (once; a minute or two)")
    install(_PYTHON, ["--prefer-binary", "-r", str(lock_file)])
    _say(f"installed in {time.monotonic() - started:.0f} s")


def _works() -> bool:
    """Whether the environment is there, answers and is new enough."""
    check = f"import sys; sys.exit(sys.version_info < {_MINIMUM})"
    try:
        return subprocess.run([_PYTHON, "-c", check], check=False).returncode == 0  # noqa: S603 - our own Python
    except OSError:
        return False


def _say(text: str) -> None:
    print(f"· {text}", file=sys.stderr, flush=True)  # noqa: T201 - for the person at the terminal


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
