"""DuckDB over Parquet: databases bounded in memory and without access to the network, and objects as files.

DuckDB fetches only the footer and the column pages that a query needs, through an fsspec file system over
`Objects`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cachetools import LRUCache
from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile

from neuralstream_core.objects import Location, Objects

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["ObjectFiles", "Space", "database", "quoted"]

_BLOCK: Final = 2 << 20
_BLOCKS: Final = 32
"""Blocks of `_BLOCK` bytes kept, over all files of one file system."""


class Space(NamedTuple):
    """What queries may take.

    Attributes:
        memory_mb: megabytes of memory of DuckDB, beyond which it spills.
        threads: of DuckDB.
        folder: where temporary files are made.
    """

    memory_mb: int
    threads: int
    folder: Path


def database(
    *files: AbstractFileSystem, memory: str = "1GiB", threads: int = 1, spill: Path | None = None
) -> DuckDBPyConnection:
    """A database in memory.

    Args:
        files: file systems that it may read besides the local one.
        memory: most memory it takes, as DuckDB writes sizes.
        threads: on which a query runs.
        spill: folder for what does not fit into memory; without one such a query fails.
    """
    import duckdb

    found = duckdb.connect(
        config={
            "threads": threads,
            "memory_limit": memory,
            "temp_directory": "" if spill is None else str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    for system in files:
        found.register_filesystem(system)
    return found


def quoted(name: str) -> str:
    """``name`` as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


class ObjectFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A read-only file system of pinned objects.

    Attributes:
        failure: why a read failed, which DuckDB reports only as text.
    """

    protocol = "pinned"
    cachable = False

    def __init__(self, objects: Objects) -> None:
        super().__init__()
        self.failure: BaseException | None = None
        self._objects = objects
        self._pinned: dict[str, tuple[Location, int, str]] = {}
        self._blocks: LRUCache[tuple[str, int], bytes] = LRUCache(_BLOCKS)
        self._lock = threading.Lock()

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Raise what made a read fail, where DuckDB raises its text."""
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            if self.failure is None:
                raise
            raise self.failure from error

    def add(self, at: Location, size: int, etag: str) -> str:
        """Make an object of ``size`` bytes a file; returns the path under which DuckDB finds it."""
        path = f"{at.bucket}/{at.key}"
        self._pinned[path] = (at, size, etag)
        return f"{self.protocol}://{path}"

    def read(self, path: str, start: int, end: int) -> bytes:
        """Bytes ``[start, end)`` of a file.

        Raises:
            NeuralStreamError: as `Objects.stream`.
        """
        first = start // _BLOCK
        blocks = [self._block(path, i) for i in range(first, (max(start, end - 1)) // _BLOCK + 1)]
        return b"".join(blocks)[start - first * _BLOCK : end - first * _BLOCK]

    def _block(self, path: str, number: int) -> bytes:
        with self._lock:
            if (found := self._blocks.get((path, number))) is not None:
                return found
        at, size, etag = self._pinned[path]
        start = number * _BLOCK
        try:
            found = b"".join(self._objects.stream(at, start, min(start + _BLOCK, size), etag))
        except BaseException as error:
            self.failure = error
            raise
        with self._lock:
            self._blocks[path, number] = found
        return found

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Size and type of one file."""
        path = self._strip_protocol(path)
        return {"name": path, "size": self._pinned[path][1], "type": "file"}

    def glob(self, path: str, **_: Any) -> list[str]:
        """The file itself: no path is a pattern."""
        return [path]

    def modified(self, _: str) -> datetime:
        """The same for every file: objects are pinned by their entity tags."""
        return datetime.fromtimestamp(0, UTC)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> AbstractBufferedFile:
        return _PinnedFile(self, path, mode, cache_type="none", size=self._pinned[path][1])


class _PinnedFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file that DuckDB's threads read at once: each has its own position."""

    def __init__(self, fs: ObjectFiles, path: str, mode: str, **options: Any) -> None:
        self._at = threading.local()
        super().__init__(fs, path, mode, **options)

    @property
    def loc(self) -> int:
        return getattr(self._at, "value", 0)

    @loc.setter
    def loc(self, value: int) -> None:
        self._at.value = value

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = self.fs.read(self.path, start, end)
        return data
