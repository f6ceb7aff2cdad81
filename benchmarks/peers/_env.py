"""A virtual environment for each peer, made from its pinned requirements."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["HERE", "ensure", "installed_mb"]

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def ensure(peer: str) -> Path:
    """The peer's Python, installed on first use and whenever its lock changed."""
    lock = HERE / "requirements" / f"{peer}.txt"
    home = ROOT / ".venv-peers" / peer
    python, stamp = home / "bin" / "python", home / "lock"
    if not (stamp.exists() and stamp.read_bytes() == lock.read_bytes()):
        print(f"installing {peer} into {home.relative_to(ROOT)} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", lock],
            check=True,
        )
        stamp.write_bytes(lock.read_bytes())
    return python


def installed_mb(site_packages: Path) -> float:
    """Megabytes (10⁶ bytes) of the files below ``site_packages``, links not followed."""
    return sum(p.stat().st_size for p in site_packages.rglob("*") if p.is_file()) / 1e6
