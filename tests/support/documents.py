"""The code of the documentation: its fenced blocks, and its shell commands as a shell understands them.

The ``sh`` blocks of a page are run as one script by the real ``/bin/sh``, in an empty folder, with
recorders in place of the programs they call. So quoting, variables and substitutions are the shell's own.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.template import ROOT

FOLDERS = (
    ".",
    "docs",
    "docs/decisions",
    "docs/howto",
    "docs/reference",
    "benchmarks",
    "examples",
)
"""Where pages are."""

ALL_PAGES = sorted(
    str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).glob("*.md")
)

PAGES = [page for page in ALL_PAGES if "```sh\n" in (ROOT / page).read_text()]
"""Pages with commands."""

PYTHON_PAGES = [page for page in ALL_PAGES if "```python\n" in (ROOT / page).read_text()]
"""Pages with Python."""

PROGRAMS = (
    "aws",
    "bash",
    "curl",
    "gh",
    "make",
    "neuralstream",
    "pip",
    "python",
    "python3",
    "sam",
    "sha256sum",
)

_RECORDER = """#!/bin/sh
{ printf '%s' "${0##*/}"; for word in "$@"; do printf '\\037%s' "$word"; done; printf '\\036'; } >> "$CALLS"
echo value
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One program's call: its name and its words."""

    page: str
    program: str
    words: tuple[str, ...]

    def options(self) -> list[str]:
        """The long options, without their values."""
        return [word.partition("=")[0] for word in self.words if word.startswith("--")]

    def __str__(self) -> str:
        return f"{self.page}: {self.program} {' '.join(self.words)}"


def fenced(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and text."""
    return re.findall(
        r"^```([^\n]*)\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE
    )


def blocks(page: str, language: str = "sh") -> list[str]:
    """The blocks of a page in one language."""
    return [text for name, text in fenced(page) if name == language]


@cache
def calls(page: str) -> tuple[Call, ...]:
    """Every call the page's commands make, in order.

    Raises:
        subprocess.CalledProcessError: a block is not valid, uses a variable that no block before it
            sets, or calls a program that has no recorder.
    """
    with TemporaryDirectory() as folder:
        here = Path(folder)
        (here / ".venv" / "bin").mkdir(parents=True)
        (here / ".venv" / "bin" / "activate").touch()
        (here / "neuralstream" / "bin").mkdir(parents=True)
        (here / "neuralstream" / "bin" / "activate").touch()
        (here / "bin").mkdir()
        for name in (*(f"bin/{program}" for program in PROGRAMS), ".venv/bin/python"):
            (here / name).write_text(_RECORDER)
            (here / name).chmod(0o755)
        # the names of the tests hold the calls, and two workers must collect the same names
        (here / "bin" / "date").write_text("#!/bin/sh\necho 1771668900\n")
        (here / "bin" / "date").chmod(0o755)
        environ = {"PATH": f"{here}/bin:/usr/bin:/bin", "CALLS": f"{here}/calls", "HOME": folder}
        script = "set -eu\n" + "\n".join(blocks(page))
        subprocess.run(
            ["/bin/sh", "-c", script],
            check=True,
            capture_output=True,
            text=True,
            cwd=here,
            env=environ,
            timeout=60,
        )
        return tuple(_read(page, (here / "calls").read_text()))


def _read(page: str, recorded: str) -> Iterator[Call]:
    for line in filter(None, recorded.split("\036")):
        program, *words = line.split("\037")
        yield Call(page, program, tuple(words))


def every_call(program: str) -> list[Call]:
    """The calls of one program on all pages."""
    return [call for page in PAGES for call in calls(page) if call.program == program]
