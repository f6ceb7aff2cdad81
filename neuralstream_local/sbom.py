"""The bill of materials: every package that the lock files and the console's pins name, as CycloneDX 1.6.

    python -m neuralstream_local.sbom dist/neuralstream.cdx.json

Made from the files of the checkout alone, so it needs no network and is the same on every machine. What it
says of a package is what is pinned: name, version and the digests of the files that may be installed.
Format: https://cyclonedx.org/docs/1.6/json/. Standard library only.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from neuralstream_local.children import ROOT

__all__ = ["main", "materials"]

_SCOPES: Final = ("required", "optional", "excluded")
"""CycloneDX's, strongest first: deployed or needed by the client, the laptop's, what builds and tests."""
_REQUIRED: Final = frozenset({"requirements/client.txt"})
"""Beside the layers' own: what the client's wheel depends on."""
_OPTIONAL: Final = frozenset(
    {"requirements/local.txt", "requirements/redis-6.txt", "requirements/redis-8.txt"}
)
_PIN: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAMESPACE: Final = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
"""RFC 9562's namespace of URLs, for a serial number that follows from the content."""


@dataclass(slots=True)
class _Package:
    """A package in one version, however many files name it."""

    name: str
    version: str
    purl: str
    scope: str
    licence: str | None = None
    sha512: str | None = None
    sha256: set[str] = field(default_factory=set)
    named_in: set[str] = field(default_factory=set)

    def component(self) -> dict[str, Any]:
        """The package as CycloneDX writes it."""
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": self.purl,
            "name": self.name,
            "version": self.version,
            "scope": self.scope,
        }
        if self.sha512:
            component["hashes"] = [{"alg": "SHA-512", "content": self.sha512}]
        if self.licence:
            component["licenses"] = [{"license": {"id": self.licence}}]
        component["purl"] = self.purl
        if self.sha256:
            # One digest for each file that may be installed; which one it is depends on the platform.
            hashes = [{"alg": "SHA-256", "content": digest} for digest in sorted(self.sha256)]
            component["externalReferences"] = [
                {"type": "distribution", "url": self.purl, "hashes": hashes}
            ]
        component["properties"] = [
            {"name": "neuralstream:pinned-in", "value": name} for name in sorted(self.named_in)
        ]
        return component


def materials(root: Path = ROOT) -> dict[str, Any]:
    """The bill of materials of a checkout.

    Args:
        root: of the checkout.

    Returns:
        A CycloneDX 1.6 document. Equal content gives an equal document, its serial number included; it has
        no time. A package that several files pin to one version is one component with the strongest scope.

    Raises:
        ValueError: a line of a lock file pins no version.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    packages: dict[str, _Package] = {}
    for found in [*_locked(root), *_vendored(root)]:
        known = packages.setdefault(found.purl, found)
        known.scope = min(known.scope, found.scope, key=_SCOPES.index)
        known.sha256 |= found.sha256
        known.named_in |= found.named_in
    this = f"pkg:pypi/{project['name']}@{project['version']}"
    components = [packages[purl].component() for purl in sorted(packages)]
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": this,
                "name": project["name"],
                "version": project["version"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": this,
            }
        },
        "components": components,
        "dependencies": [{"ref": this, "dependsOn": sorted(packages)}],
    }
    content = json.dumps(document, sort_keys=True)
    return document | {"serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, content)}"}


def _locked(root: Path) -> Iterator[_Package]:
    """What the lock files pin: each compiled from the ``.in`` file beside it."""
    for source in sorted([*root.glob("layers/*/*.in"), *root.glob("requirements/*.in")]):
        lock_file = source.with_suffix(".txt")
        named_in = lock_file.relative_to(root).as_posix()
        if named_in.startswith("layers/") or named_in in _REQUIRED:
            scope = "required"
        else:
            scope = "optional" if named_in in _OPTIONAL else "excluded"
        for line in lock_file.read_text().replace("\\\n", " ").splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            pin = _PIN.match(line)
            if pin is None:
                raise ValueError(f"{named_in} has a line that pins no version: {line[:80]}")
            name = re.sub(r"[-_.]+", "-", pin[1]).lower()
            yield _Package(
                name=name,
                version=pin[2],
                purl=f"pkg:pypi/{name}@{quote(pin[2], safe='.')}",
                scope=scope,
                sha256=set(_HASH.findall(line)),
                named_in={named_in},
            )


def _vendored(root: Path) -> Iterator[_Package]:
    """What the console's page loads and what its tests load, as ``console/vendor.json`` pins them."""
    pins = "console/vendor.json"
    for package in json.loads((root / pins).read_text())["packages"]:
        served = any(taken["to"].startswith("console/") for taken in package["files"].values())
        digest = base64.b64decode(package["integrity"].removeprefix("sha512-")).hex()
        yield _Package(
            name=package["name"],
            version=package["version"],
            purl=f"pkg:npm/{quote(package['name'], safe='/')}@{package['version']}",
            scope="required" if served else "excluded",
            licence=package["licence"],
            sha512=digest,
            named_in={pins},
        )


def main(argv: list[str] | None = None) -> int:
    """Write the document to the file named by the only argument."""
    parser = argparse.ArgumentParser(prog="python -m neuralstream_local.sbom")
    parser.add_argument("file", type=Path)
    file: Path = parser.parse_args(argv).file
    document = materials()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    sys.stdout.write(f"{file}: {len(document['components'])} packages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
