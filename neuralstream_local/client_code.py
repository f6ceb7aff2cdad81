"""Write the generated code of the Python client, or compare it: ``make client``.

``neuralstream_client/answers.py`` is made from ``functions/console/openapi.json``, each module of
``neuralstream_client/_sync`` from its namesake in ``_async``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

from neuralstream_local.client_answers import render_answers
from neuralstream_local.client_sync import render_sync

__all__ = ["build", "main"]

ROOT: Final = Path(__file__).resolve().parent.parent
CLIENT: Final = ROOT / "neuralstream_client"


def build() -> dict[Path, str]:
    """The text of each generated file, by its path.

    Raises:
        subprocess.CalledProcessError: ruff refuses what was generated.
    """
    files = {CLIENT / "answers.py": render_answers()}
    for source in sorted((CLIENT / "_async").glob("*.py")):
        files[CLIENT / "_sync" / source.name] = render_sync(source)
    return {path: _formatted(path, text) for path, text in files.items()}


def _formatted(path: Path, text: str) -> str:
    """As ruff leaves it: imports and names sorted, remarks that no longer apply removed."""
    name = f"--stdin-filename={path}"
    for arguments in (["format"], ["check", "--fix-only", "--quiet"], ["format"]):
        text = subprocess.run(  # noqa: S603 - ruff, from this environment
            [sys.executable, "-m", "ruff", *arguments, name, "-"],
            input=text,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
    return text


def main(argv: list[str] | None = None) -> int:
    """Write or check the files; 1 when one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args(argv).check
    files = build()
    existing = {CLIENT / "answers.py", *(CLIENT / "_sync").glob("*.py")}
    stale = [p for p, text in files.items() if not p.exists() or p.read_text() != text]
    left_over = sorted(existing - files.keys())
    if check:
        for path in [*stale, *left_over]:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not what make client writes\n")
        return int(bool(stale or left_over))
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path])
    for path in left_over:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
