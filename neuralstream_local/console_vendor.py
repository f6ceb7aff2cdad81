"""The libraries of the console, and axe for its tests, from pinned npm packages: ``make console``.

``console/vendor.json`` names each package with its version and the integrity of its tarball, which files of
it are taken, where they are kept, and their SHA-256. Files are taken unchanged. npm fetches the tarballs from
the registry that it is configured for; the files are committed, so only who changes a version needs npm.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

from neuralstream_local.children import ROOT

__all__ = ["VendorError", "fetch", "main", "mismatches"]

PINS: Final = "console/vendor.json"
_FOLDERS: Final = ("console/vendor", "tests/browser/vendor")
"""These hold nothing but what the pins name."""


class VendorError(RuntimeError):
    """A package could not be fetched, or is not the one that is pinned; the message says which and why."""


def mismatches(root: Path = ROOT) -> list[str]:
    """A sentence for each file that is missing, changed or pinned by nothing; needs no network.

    Args:
        root: of the checkout.
    """
    pinned = {
        taken["to"]: taken.get("sha256")
        for package in _pins(root)["packages"]
        for taken in package["files"].values()
    }
    said = []
    for name, digest in pinned.items():
        path = root / name
        if not path.is_file():
            said.append(f"{name} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            said.append(f"{name} is not the file of the pinned package")
    there = {
        path.relative_to(root).as_posix()
        for folder in _FOLDERS
        for path in (root / folder).rglob("*")
        if path.is_file()
    }
    return said + [f"{name} belongs to no pinned package" for name in sorted(there - set(pinned))]


def fetch(root: Path = ROOT) -> list[str]:
    """Fetch every pinned package, put its files in place and their SHA-256 into the pins.

    Returns:
        The files that changed.

    Raises:
        VendorError: npm is not here or failed, a tarball has another integrity, or a file is not in it.
    """
    pins = _pins(root)
    contents = {
        taken["to"]: (taken, data)
        for package in pins["packages"]
        for taken, data in _files_of(package)
    }
    changed = []
    for name, (taken, data) in contents.items():
        path = root / name
        taken["sha256"] = hashlib.sha256(data).hexdigest()
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            changed.append(name)
    (root / PINS).write_text(json.dumps(pins, indent=2) + "\n")
    return changed


def _pins(root: Path) -> dict[str, Any]:
    pins: dict[str, Any] = json.loads((root / PINS).read_text())
    return pins


def _files_of(package: dict[str, Any]) -> list[tuple[dict[str, Any], bytes]]:
    """Each file that is taken of a package, as its pin and its content."""
    with tempfile.TemporaryDirectory() as scratch:
        tarball = _packed(package, Path(scratch))
        with tarfile.open(tarball) as opened:
            return [
                (taken, _member(opened, package, name)) for name, taken in package["files"].items()
            ]


def _packed(package: dict[str, Any], into: Path) -> Path:
    """The package's tarball, of the integrity that is pinned."""
    label = f"{package['name']}@{package['version']}"
    npm = shutil.which("npm")
    if npm is None:
        raise VendorError("npm fetches the packages: install Node.js with npm")
    try:
        subprocess.run(  # noqa: S603 - npm from PATH, packages from the pins
            [npm, "pack", "--silent", "--ignore-scripts", label],
            cwd=into,
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        raise VendorError(f"npm could not fetch {label}: {error.stderr.strip()}") from error
    (tarball,) = into.glob("*.tgz")
    found = "sha512-" + base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if found != package["integrity"]:
        raise VendorError(
            f"{label} has the integrity {found}, {PINS} pins {package['integrity']}: "
            "put it there if this version is meant"
        )
    return tarball


def _member(opened: tarfile.TarFile, package: dict[str, Any], name: str) -> bytes:
    try:
        file = opened.extractfile(f"package/{name}")
    except KeyError:
        file = None
    if file is None:
        raise VendorError(f"{package['name']}@{package['version']} has no file {name}")
    return file.read()


def main(argv: list[str] | None = None) -> int:
    """Fetch the files, or with ``--check`` compare them with the pins; 1 when one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args(argv).check:
        said = mismatches()
    else:
        try:
            for name in fetch():
                sys.stdout.write(f"{name}\n")
        except VendorError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        said = mismatches()
    sys.stderr.writelines(f"{sentence}\n" for sentence in said)
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main())
