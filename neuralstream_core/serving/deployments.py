"""An in-process cache of what serves each model, so that a prediction does not wait for the registry.

With the default settings an entry is

* under 3 s old: used;
* 3 to 8 s old: used, while one thread refreshes it;
* over 8 s old (an environment that slept): refreshed first, but the caller waits at most 0.3 s.

So a promotion is served everywhere within 10 s. After a refresh that fails or hangs the last known entry
stays in use, marked ``stale``; the registry is asked again a second later. A model that was never read
has no such entry: its first caller waits, and gets the registry's error if there is one. Errors are not
cached.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Final

from cachetools import LRUCache

from neuralstream_core.errors import Conflict, NeuralStreamError, NotFound, Unavailable
from neuralstream_core.registry.allocation import Assigner, allocation_in_force
from neuralstream_core.registry.records import ModelRecord, VersionRecord, VersionStatus
from neuralstream_core.registry.registry import ServedModel

__all__ = ["Deployment", "Deployments"]

SOFT_SECONDS: Final = 3.0
HARD_SECONDS: Final = 8.0
RETRY_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 0.3
FIRST_SECONDS: Final = 9.0
PIN_SECONDS: Final = 60.0
MAX_MODELS: Final = 1000
MAX_PINS: Final = 1000


@dataclass(frozen=True, slots=True)
class Deployment:
    """How one model is served now.

    Attributes:
        versions: those that serve, and the shadow.
        traffic: entity → version; ``None`` while no version serves (neither production nor split).
        shadow: the version that sees the traffic and does not answer.
        stale: the registry could not be asked when it should have been.
    """

    model: ModelRecord
    versions: Mapping[str, VersionRecord]
    traffic: Assigner | None
    stale: bool = False
    shadow: VersionRecord | None = None

    @property
    def assigner(self) -> Assigner:
        """The assigner of traffic.

        Raises:
            Conflict: no version is in production.
        """
        if self.traffic is None:
            raise Conflict(
                f"the model {self.model.name} has no version in production",
                code="not_in_production",
            )
        return self.traffic

    @property
    def serving(self) -> tuple[str, ...]:
        """Names of the versions that serve, oldest first."""
        return self.traffic.versions if self.traffic is not None else ()

    @property
    def any_version(self) -> VersionRecord:
        """The oldest version that serves; all versions of a model name their entity alike.

        Raises:
            Conflict: no version is in production.
        """
        return self.versions[self.assigner.versions[0]]

    @property
    def only_version(self) -> str | None:
        """The version that serves if there is one alone."""
        return self.serving[0] if len(self.serving) == 1 else None


@dataclass(slots=True)
class _Entry:
    deployment: Deployment | None = None
    read_at: float = 0.0
    tried_at: float = float("-inf")
    refreshed: threading.Event | None = None
    """Set when the refresh that runs now ends; ``None`` while none runs."""
    error: NeuralStreamError | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Deployments:
    """Deployments by model name.

    Args:
        read: ``Registry.served``.
        read_version: ``Registry.version``, for callers that pin one.
        now: a monotonic clock in seconds.
        soft, hard: ages in seconds, see the module.
        patience: seconds a caller with a last known deployment waits for a refresh.
    """

    def __init__(
        self,
        read: Callable[[str], ServedModel],
        read_version: Callable[[str, str], VersionRecord],
        *,
        now: Callable[[], float] = monotonic,
        soft: float = SOFT_SECONDS,
        hard: float = HARD_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._read = read
        self._read_version = read_version
        self._now = now
        self._soft = soft
        self._hard = hard
        self._patience = patience
        self._entries: LRUCache[str, _Entry] = LRUCache(MAX_MODELS)
        self._pins: LRUCache[tuple[str, str], tuple[float, VersionRecord]] = LRUCache(MAX_PINS)
        self._lock = threading.Lock()
        """Held for each use of the caches: even a look-up changes their order."""

    def get(self, model: str) -> Deployment:
        """The deployment of ``model``.

        Raises:
            NotFound: no such model.
            Unavailable: the registry cannot be asked and was never asked before.
        """
        with self._lock:
            entry = self._entries.get(model)
            if entry is None:
                entry = self._entries[model] = _Entry()
        if entry.deployment is not None:
            age = self._now() - entry.read_at
            if age < self._soft:
                return entry.deployment
            self._refresh(model, entry, wait=0.0 if age < self._hard else self._patience)
        deployment = entry.deployment
        return self._first(model, entry) if deployment is None else deployment

    def version(self, deployment: Deployment, version: str) -> VersionRecord:
        """A version the caller pinned, whatever its stage.

        Raises:
            NotFound: no such version.
            Conflict: it is not READY.
        """
        record = deployment.versions.get(version) or self._pinned(deployment.model.name, version)
        if record.status is not VersionStatus.READY:
            raise Conflict(f"the version {version} is {record.status}", code="version_not_ready")
        return record

    def _pinned(self, model: str, version: str) -> VersionRecord:
        """A version that is not in the deployment; in an outage the last known record."""
        key = (model, version)
        with self._lock:
            read_at, known = self._pins.get(key, (0.0, None))
        if known is not None and self._now() - read_at <= PIN_SECONDS:
            return known
        try:
            record = self._read_version(model, version)
        except Unavailable:
            if known is None:
                raise
            return known
        if record.status is VersionStatus.READY:
            with self._lock:
                self._pins[key] = (self._now(), record)
        return record

    def _first(self, model: str, entry: _Entry) -> Deployment:
        """Wait for the first refresh of an entry, or for the one after the model was not found."""
        self._refresh(model, entry, wait=FIRST_SECONDS)
        if entry.deployment is not None:
            return entry.deployment
        with self._lock:
            if self._entries.get(model) is entry:
                del self._entries[model]
        error = entry.error
        if error is None:
            raise Unavailable("the registry did not answer in time", dependency="registry")
        # A copy: several waiters raise it, and a traceback belongs to one of them.
        if isinstance(error, Unavailable):
            raise Unavailable(
                error.detail, dependency=error.dependency, retry_after=error.retry_after
            )
        raise type(error)(error.detail, code=error.code)

    def _refresh(self, model: str, entry: _Entry, wait: float) -> None:
        """Start a refresh unless one runs or just failed, and wait for it at most ``wait`` seconds."""
        with entry.lock:
            refreshed = entry.refreshed
            if refreshed is None:
                if entry.deployment is not None and self._now() - entry.read_at < self._soft:
                    return  # another caller's refresh has just ended
                failed = entry.deployment is not None and entry.error is not None
                if failed and self._now() - entry.tried_at < RETRY_SECONDS:
                    return
                entry.tried_at = self._now()
                refreshed = entry.refreshed = threading.Event()
                threading.Thread(
                    target=self._fetch, args=(model, entry, refreshed), daemon=True
                ).start()
            elif entry.deployment is not None and self._now() - entry.tried_at > self._patience:
                wait = 0.0  # the refresh hangs, and one caller has waited for it already
        if wait and not refreshed.wait(wait):
            _mark_stale(entry)

    def _fetch(self, model: str, entry: _Entry, refreshed: threading.Event) -> None:
        try:
            served = self._read(model)
            allocation = allocation_in_force(served.model)
            traffic = (
                None
                if allocation is None
                else Assigner(served.model.name, served.model.salt, allocation)
            )
            versions, shadow = dict(served.versions), served.model.shadow
            entry.deployment = Deployment(
                served.model,
                versions,
                traffic,
                shadow=None if shadow is None else versions.get(shadow.version),
            )
            entry.error = None
            entry.read_at = self._now()
        except NotFound as error:
            entry.deployment, entry.error = None, error
        except NeuralStreamError as error:
            entry.error = error
            _mark_stale(entry)
        except Exception as error:  # noqa: BLE001 - raised in a thread; handed to the callers as an outage
            entry.error = Unavailable(
                f"the registry could not be read ({type(error).__name__})", dependency="registry"
            )
            _mark_stale(entry)
        finally:
            entry.refreshed = None
            refreshed.set()


def _mark_stale(entry: _Entry) -> None:
    if entry.deployment is not None:
        entry.deployment = replace(entry.deployment, stale=True)
