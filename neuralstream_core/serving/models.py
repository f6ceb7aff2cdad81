"""Loaded models: in memory by digest, and their bytes on the function's ephemeral disk.

A model is loaded once per process however many requests ask for it at the same moment. What failed to
load is asked for again by the next request: nothing about a failure is kept. Memory and disk are bounded
in bytes, the least recently used goes first; a model that nobody asked for in a quarter of an hour goes
when another arrives. An evicted model lives on only in the requests that are using it.

A model counts with the memory it was measured to take when it was validated. One that was validated
before this was measured counts with the estimate from its file, or with what this process grew by when it
was loaded if that is clearly more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Final

from neuralstream_core.errors import ArtifactRejected, NeuralStreamError, Unavailable
from neuralstream_core.memory import resident
from neuralstream_core.registry.records import VersionRecord
from neuralstream_core.runtimes import Runtime, load
from neuralstream_core.serving.inference import CACHE, Limits
from neuralstream_core.serving.servable import Servable, make_servable

__all__ = ["DiskCache", "Models"]

DISK_BYTES: Final = 400 * 1024 * 1024
IDLE_SECONDS: Final = 900.0
NOISE_BYTES: Final = 16 * 1024 * 1024
"""By how much a process may grow for other reasons while a model is loaded."""


class DiskCache:
    """Artifacts as files named by their SHA-256, which is verified each time one is read.

    Any failure of the disk is a miss: the artifact then comes from the artifact store.

    Args:
        folder: made when first needed; may be shared by processes.
        max_bytes: of all files together.
    """

    def __init__(self, folder: Path, max_bytes: int = DISK_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def get(self, digest: str) -> bytes | None:
        """The artifact, or ``None``; a damaged file is removed."""
        path = self.folder / digest
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == digest:
                os.utime(path)
                return data
            path.unlink(missing_ok=True)
        except OSError:
            pass
        return None

    def put(self, digest: str, data: bytes) -> None:
        """Keep an artifact, removing the least recently used ones until it fits."""
        if len(data) > self.max_bytes:
            return
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._make_room(len(data))
            handle, name = tempfile.mkstemp(dir=self.folder, prefix="part-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(name).replace(self.folder / digest)
            except OSError:
                Path(name).unlink(missing_ok=True)

    def _make_room(self, needed: int) -> None:
        files = sorted(
            (entry.stat().st_mtime, entry.stat().st_size, entry.name)
            for entry in os.scandir(self.folder)
        )
        total = sum(size for _, size, _ in files)
        for _, size, name in files:
            if total + needed <= self.max_bytes:
                break
            (self.folder / name).unlink(missing_ok=True)
            total -= size


@dataclass(slots=True)
class _Loaded:
    runtime: Runtime
    nbytes: int
    used_at: float
    servables: dict[tuple[str, str], Servable] = field(default_factory=dict)


class Models:
    """Servables, ready to serve, by version.

    Args:
        fetch: ``ArtifactStore.get``.
        disk: ``None`` to go without.
        max_bytes: memory of all loaded models; the one in use is never evicted for itself.
        limits: of loading and inference.
        now: a monotonic clock in seconds.
    """

    def __init__(
        self,
        fetch: Callable[[str], bytes],
        disk: DiskCache | None = None,
        *,
        max_bytes: int = CACHE,
        limits: Limits | None = None,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.limits = limits or Limits()
        self._fetch = fetch
        self._disk = disk
        self._max_bytes = max_bytes
        self._now = now
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._loading: dict[str, Future[Runtime]] = {}
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Memory of what is loaded."""
        with self._lock:
            return sum(entry.nbytes for entry in self._loaded.values())

    def get(self, version: VersionRecord) -> Servable:
        """The servable of a version, its model loaded.

        Raises:
            Unavailable: the artifact cannot be fetched, or what was stored can no longer be loaded.
        """
        key = (version.model, version.version)
        with self._lock:
            entry = self._loaded.get(version.digest)
            if entry is not None:
                self._loaded.move_to_end(version.digest)
                entry.used_at = self._now()
                servable = entry.servables.get(key)
                if servable is not None and servable.version is version:
                    return servable
                # A record that was read again is compared once: its identity takes less time.
                if servable is not None and servable.version == version:
                    servable = entry.servables[key] = replace(servable, version=version)
                    return servable
        runtime = entry.runtime if entry is not None else self._load(version)
        try:
            servable = make_servable(version, runtime)
        except ArtifactRejected as error:
            raise _broken(version, error) from None
        with self._lock:
            entry = self._loaded.get(version.digest)
            if entry is not None and entry.runtime is runtime:
                entry.servables[key] = servable
        return servable

    def loaded(self, version: VersionRecord) -> Servable | None:
        """The servable of a version whose model is loaded; ``None`` if it is not.

        Raises:
            Unavailable: its features do not fit what was loaded.
        """
        with self._lock:
            if version.digest not in self._loaded:
                return None
        return self.get(version)

    def fits(self, version: VersionRecord) -> bool:
        """Whether a version can be loaded beside what is loaded now, as far as that is known."""
        footprint = version.signature.footprint if version.signature is not None else None
        needed = version.size if footprint is None else footprint.loaded
        return self.nbytes + needed <= self._max_bytes

    def _load(self, version: VersionRecord) -> Runtime:
        digest = version.digest
        with self._lock:
            entry = self._loaded.get(digest)
            if entry is not None:
                return entry.runtime
            future = self._loading.get(digest)
            mine = future is None
            if future is None:
                future = self._loading[digest] = Future()
        if not mine:
            return future.result()
        try:
            runtime, nbytes = self._fetch_and_load(version)
        except BaseException as error:
            with self._lock:
                del self._loading[digest]
            future.set_exception(error)
            raise
        with self._lock:
            del self._loading[digest]
            self._loaded[digest] = _Loaded(runtime, nbytes, self._now())
            self._evict(keep=digest)
        future.set_result(runtime)
        return runtime

    def _fetch_and_load(self, version: VersionRecord) -> tuple[Runtime, int]:
        """The model and the bytes it counts with."""
        data = self._disk.get(version.digest) if self._disk is not None else None
        if data is None:
            data = self._fetch(version.digest)
            if self._disk is not None:
                self._disk.put(version.digest, data)
        footprint = version.signature.footprint if version.signature is not None else None
        if footprint is not None:  # make room first, so that both are never there at once
            with self._lock:
                self._evict(needed=footprint.loaded)
        before = resident()
        try:
            runtime = load(version.format, data, self.limits.bounds(footprint), version.signature)
        except NeuralStreamError as error:
            raise _broken(version, error) from None
        if footprint is not None:
            return runtime, footprint.loaded
        grown = resident() - before
        return runtime, grown if grown > runtime.nbytes + NOISE_BYTES else runtime.nbytes

    def _evict(self, keep: str | None = None, needed: int = 0) -> None:
        """Free what is idle, and what is over the limit once ``needed`` is added; the lock is held."""
        oldest = self._now() - IDLE_SECONDS
        total = needed + sum(entry.nbytes for entry in self._loaded.values())
        for digest in list(self._loaded):
            entry = self._loaded[digest]
            if digest != keep and (total > self._max_bytes or entry.used_at < oldest):
                total -= entry.nbytes
                del self._loaded[digest]


def _broken(version: VersionRecord, error: NeuralStreamError) -> Unavailable:
    """It was accepted when it was registered, so this is not the caller's doing."""
    return Unavailable(
        f"{version.model} {version.version} cannot be loaded: {error.detail}",
        dependency="model",
        retry_after=30,
    )
