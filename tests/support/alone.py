"""Python in a process of its own, for what this one has imported or other tests of it would change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["printed"]

ROOT = Path(__file__).parents[2]


def printed(script: str) -> str:
    """What ``script`` prints; it imports the product and the tests."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "layers" / "core")])
    command = [sys.executable, "-c", script]
    environ = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        command, env=environ, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
