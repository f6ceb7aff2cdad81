"""Fill one layer: install its locked requirements, add our packages, trim, compile.

Called by the layers' Makefiles, with the runtime's own Python (3.12): bytecode compiled by another
minor version would be ignored, and ``/opt`` is read-only, so what is not compiled here is compiled
again in every cold start.

    python3.12 layers/build.py core --output DIR --architecture arm64 --source neuralstream_core
"""

from __future__ import annotations

import argparse
import compileall
import importlib.util
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LAYERS = Path(__file__).parent
RUNTIME = (3, 12)
PLATFORMS = {"arm64": "aarch64", "x86_64": "x86_64"}
GLIBC = range(34, 16, -1)
"""Minor versions of glibc 2 whose wheels the runtime (Amazon Linux 2023, glibc 2.34) loads, newest first.
pip compares platform tags as text, so every one in between is named."""

DROPPED_FOLDERS = {"tests", "testing", "test", "__pycache__", "include", "bin", "share"}
DROPPED_SUFFIXES = {".pyi", ".pyx", ".pxd", ".h", ".a", ".c", ".lib"}
DROPPED_NAMES = {"RECORD"}
"""pip's list of installed files has digests of scripts that name the building machine's own Python."""
KEPT = {"numpy/testing"}
"""Folders of a dropped name that are imported all the same."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("layer")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--architecture", choices=sorted(PLATFORMS), required=True)
    parser.add_argument("--source", type=Path, action="append", default=[])
    parser.add_argument("--drop", action="append", default=[])
    options = parser.parse_args()
    if sys.version_info[:2] != RUNTIME:
        sys.exit(f"layers are compiled by Python 3.12, this is {sys.version.split()[0]}")
    site = options.output.resolve() / "python"
    site.mkdir(parents=True, exist_ok=True)
    install(LAYERS / options.layer / "requirements.txt", site, options.architecture)
    for source in options.source:
        shutil.copytree(
            source,
            site / source.name,
            ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
            dirs_exist_ok=True,
        )
    trim(site, options.drop)
    compile_all(site)


def install(requirements: Path, site: Path, architecture: str) -> None:
    """Install exactly what the lock names, by hash, as wheels for the target platform."""
    if importlib.util.find_spec("pip") is None:
        command = [shutil.which("uv") or sys.exit("neither pip nor uv to install with")]
        command += [
            "pip",
            "install",
            "--quiet",
            "--python-version",
            "3.12",
            "--no-compile-bytecode",
        ]
        command += ["--python-platform", f"{PLATFORMS[architecture]}-manylinux_2_{GLIBC[0]}"]
    else:
        command = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        command += ["--root-user-action", "ignore"]
        command += ["--python-version", "3.12", "--implementation", "cp", "--no-compile"]
        for tag in [*(f"manylinux_2_{minor}" for minor in GLIBC), "manylinux2014"]:
            command += ["--platform", f"{tag}_{PLATFORMS[architecture]}"]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", str(site)]
    subprocess.run([*command, "--requirement", str(requirements)], check=True)  # noqa: S603 - our own arguments


def trim(site: Path, dropped: list[str]) -> None:
    """Remove what no function imports: tests, headers, stubs, scripts and the named folders."""
    for path in dropped:
        shutil.rmtree(site / path)
    for folder, names, files in os.walk(site, topdown=True):
        for name in sorted(names):
            path = Path(folder, name)
            if name in DROPPED_FOLDERS and path.relative_to(site).as_posix() not in KEPT:
                shutil.rmtree(path)
                names.remove(name)
        for name in files:
            if Path(name).suffix in DROPPED_SUFFIXES or name in DROPPED_NAMES:
                Path(folder, name).unlink()


def compile_all(site: Path) -> None:
    """Compile every module, with paths as they will be in ``/opt`` and no time stamps to compare."""
    done = compileall.compile_dir(
        site,
        quiet=1,
        stripdir=str(site),
        prependdir="/opt/python",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        workers=1,
    )
    if not done:
        sys.exit("some modules could not be compiled")


if __name__ == "__main__":
    # A private cache folder: sam build runs several of these at once and its HOME may be read-only.
    os.environ.setdefault("PIP_CACHE_DIR", str(Path(tempfile.gettempdir()) / "neuralstream-pip"))
    main()
