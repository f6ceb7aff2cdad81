"""Print one digest of everything the layers are built from: the core's sources, ours and the locks.

``functions/Makefile`` puts it into every function's artifact. SAM publishes a new version of a function,
and so moves its alias and its traffic, only when the function's own artifact changes; a change in a layer
alone would be deployed and never called.

    python3.12 layers/digest.py
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("neuralstream_core", "layers")


def sources(root: Path) -> Iterator[Path]:
    """Every file that can change what a layer contains, in a fixed order."""
    for folder in SOURCES:
        yield from sorted(
            path
            for path in (root / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        )


def digest(root: Path) -> str:
    """SHA-256 over the names and bytes of all sources, in hexadecimal."""
    found = hashlib.sha256()
    for path in sources(root):
        name, content = path.relative_to(root).as_posix().encode(), path.read_bytes()
        found.update(b"%d %s %d " % (len(name), name, len(content)))
        found.update(content)
    return found.hexdigest()


if __name__ == "__main__":
    print(digest(ROOT))
