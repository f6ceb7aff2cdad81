"""Static files of a page, read once and served from memory by their exact names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

from neuralstream_core.errors import NotFound

__all__ = ["Asset", "Assets"]

_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)
"""Media types by suffix; a file of another kind is not served."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its media type and its text."""

    media_type: str
    text: str


class Assets:
    """The files of a folder that a browser may ask for.

    A page refers to its files below a folder named by `digest`, which changes with any of them: a browser may
    then keep each file for good, and never uses files of two releases together.

    Args:
        folder: read at the first request.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _files(self) -> Mapping[str, Asset]:
        return {
            path.relative_to(self._folder).as_posix(): Asset(_TYPES[path.suffix], path.read_text())
            for path in sorted(self._folder.rglob("*"))
            if path.suffix in _TYPES
        }

    @cached_property
    def digest(self) -> str:
        """12 hexadecimal digits of the SHA-256 of every name and content."""
        hashed = hashlib.sha256()
        for name, asset in self._files.items():
            for part in (name, asset.text):
                hashed.update(len(part).to_bytes(8, "big") + part.encode())
        return hashed.hexdigest()[:12]

    def page(self) -> str:
        """The text of ``index.html``, with the digest in place of ``{digest}``.

        Raises:
            NotFound: the folder has none.
        """
        return self._named("index.html").text.replace("{digest}", self.digest)

    def file(self, path: str) -> tuple[Asset, bool]:
        """The file of ``<digest>/<name>``, which stays what it is, or of ``<name>``, which may change.

        Returns:
            The file, and whether a browser may keep it for good.

        Raises:
            NotFound: no file has that name, or the digest is that of another release.
        """
        name = path.removeprefix(f"{self.digest}/")
        return self._named(name), name != path

    def _named(self, name: str) -> Asset:
        asset = self._files.get(name)
        if asset is None:
            raise NotFound("no such file of this release", code="file_not_found")
        return asset
