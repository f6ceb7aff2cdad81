"""Which code a result was measured on.

    python benchmarks/measured.py

Names the results that were measured on other code than this checkout has; its exit code is how many they are.
A release has none: `.github/workflows/release.yml` asks.
"""

from __future__ import annotations

import json
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Final

__all__ = ["code", "others"]

ROOT: Final = Path(__file__).resolve().parent.parent
PRODUCT: Final = (
    "functions",
    "layers",
    "neuralstream_client",
    "neuralstream_core",
    "neuralstream_local",
)


def code() -> str:
    """Names the committed content of the product's folders, whatever the history; ends with ``+`` if a file
    of them differs from what is committed, and is empty outside of a git checkout.
    """
    listed = _git("ls-tree", "HEAD", *PRODUCT)
    if listed is None:
        return ""
    changed = _git("status", "--porcelain", "--", *PRODUCT)
    return sha256(listed).hexdigest()[:12] + ("+" if changed else "")


def others(results: Path, present: str) -> list[str]:
    """The results that name other code than ``present``, each with what it names."""
    found = []
    for path in sorted(results.glob("*.json")):
        measured = json.loads(path.read_text())["machine"].get("code", "none")
        if measured != present:
            found.append(f"{path.stem} was measured on {measured}, not on {present}")
    return found


def _git(*arguments: str) -> bytes | None:
    try:
        ran = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return ran.stdout


def main() -> int:
    found = others(ROOT / "benchmarks" / "results", code())
    for line in found:
        print(line)
    return len(found)


if __name__ == "__main__":
    raise SystemExit(main())
