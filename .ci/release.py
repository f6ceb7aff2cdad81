"""Decide whether the checked-out commit is a release, and write its notes.

    python .ci/release.py notes.md

Prints the tag to make, ``v`` and the version of pyproject.toml, and writes the version's section of
CHANGELOG.md to the file named. Prints nothing when there is nothing to release: the tag exists already, or
changes still stand under Unreleased. Exits 1 when the versions disagree or CHANGELOG.md has no section for
the version.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path


def sections(changelog: str) -> dict[str, str]:
    """The text below each ``## [name]`` heading, by name."""
    parts = re.split(r"^## \[([^\]]+)\].*$", changelog, flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def main(notes: Path) -> int:
    version = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
    if f'__version__ = "{version}"' not in Path("neuralstream_core/__init__.py").read_text():
        print(
            f"neuralstream_core has another version than pyproject.toml ({version})",
            file=sys.stderr,
        )
        return 1
    changes = sections(Path("CHANGELOG.md").read_text())
    if not changes.get(version):
        print(f"CHANGELOG.md has no section for {version}", file=sys.stderr)
        return 1
    tag = f"v{version}"
    tags = subprocess.run(["git", "tag", "--list", tag], capture_output=True, text=True, check=True)
    if tags.stdout.strip():
        print(f"{tag} is released already", file=sys.stderr)
    elif changes.get("Unreleased"):
        print(f"{tag} is not released: CHANGELOG.md has changes under Unreleased", file=sys.stderr)
    else:
        notes.write_text(changes[version] + "\n")
        print(tag)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
