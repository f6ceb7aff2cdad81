"""A few seconds of memory over `Registry.served`, so that a prediction never waits for the registry.

Age of an entry, with the default settings:

* under 3 s: used as it is;
* 3 to 8 s: used as it is, while one thread refreshes it;
* over 8 s (an environment that slept): the caller waits for the refresh, but not longer than 0.3 s.

So a promotion is served everywhere within 10 s. A refresh that fails or hangs leaves the last known
routing in use, marked ``stale``; it is tried again a second later. A model that was never read before
has no last known routing: its first caller waits, and gets the registry's error if there is one. Errors
are not kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from neuralstream_core.errors import Conflict, NeuralStreamError, NotFound, Unavailable
from neuralstream_core.registry.allocation import Assigner, allocation_in_force
from neuralstream_core.registry.records import ModelRecord, VersionRecord, VersionStatus
from neuralstream_core.registry.registry import ServedModel

__all__ = ["Route", "Router"]

SOFT_SECONDS: Final = 3.0
HARD_SECONDS: Final = 8.0
RETRY_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 0.3
FIRST_SECONDS: Final = 9.0
PIN_SECONDS: Final = 60.0
MAX_MODELS: Final = 1000
MAX_PINS: Final = 1000


@dataclass(frozen=True, slots=True)
class Route:
    """How one model is served right now.

    Attributes:
        assigner: entity → version; ``None`` while no version serves (neither production nor split).
        stale: the registry could not be asked when it should have been.
    """

    model: ModelRecord
    versions: Mapping[str, VersionRecord]
    assigner: Assigner | None
    stale: bool = False

    @property
    def serving(self) -> Assigner:
        """The assigner.

        Raises:
            Conflict: no version is in production.
        """
        if self.assigner is None:
            raise Conflict(
                f"the model {self.model.name} has no version in production",
                code="not_in_production",
            )
        return self.assigner


@dataclass(slots=True)
class _Entry:
    route: Route | None = None
    read_at: float = 0.0
    tried_at: float = 0.0
    pending: threading.Event | None = None
    error: NeuralStreamError | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Router:
    """Routes by model name.

    Args:
        read: ``Registry.served``.
        read_version: ``Registry.version``, for callers that pin one.
        now: a monotonic clock in seconds.
        soft, hard: ages in seconds, see the module.
        patience: seconds a caller with a last known routing waits for a refresh.
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
        self._entries: dict[str, _Entry] = {}
        self._pins: dict[tuple[str, str], tuple[float, VersionRecord]] = {}
        self._lock = threading.Lock()

    def get(self, model: str) -> Route:
        """The route of ``model``.

        Raises:
            NotFound: no such model.
            Unavailable: the registry cannot be asked and was never asked before.
        """
        entry = self._entries.get(model)
        if entry is not None and entry.route is not None:
            age = self._now() - entry.read_at
            if age < self._soft:
                return entry.route
            self._refresh(model, entry, wait=0.0 if age < self._hard else self._patience)
            route = entry.route
            if route is not None:
                return route
        return self._first(model)

    def version(self, route: Route, version: str) -> VersionRecord:
        """A version the caller pinned, whatever its stage.

        Raises:
            NotFound: no such version.
            Conflict: it is not READY.
        """
        record = route.versions.get(version)
        if record is None:
            key = (route.model.name, version)
            read_at, record = self._pins.get(key, (0.0, None))
            if record is None or self._now() - read_at > PIN_SECONDS:
                record = self._pinned(key, record)
        if record.status is not VersionStatus.READY:
            raise Conflict(f"the version {version} is {record.status}", code="version_not_ready")
        return record

    def _pinned(self, key: tuple[str, str], known: VersionRecord | None) -> VersionRecord:
        try:
            record = self._read_version(*key)
        except Unavailable:
            if known is None:
                raise
            return known
        if record.status is VersionStatus.READY:
            with self._lock:
                if len(self._pins) >= MAX_PINS:
                    self._pins.clear()
                self._pins[key] = (self._now(), record)
        return record

    def _first(self, model: str) -> Route:
        with self._lock:
            entry = self._entries.get(model)
            if entry is None:
                if len(self._entries) >= MAX_MODELS:
                    self._entries.pop(next(iter(self._entries)))
                entry = self._entries[model] = _Entry(tried_at=float("-inf"))
        self._refresh(model, entry, wait=FIRST_SECONDS)
        if entry.route is not None:
            return entry.route
        error = entry.error
        with self._lock:
            if self._entries.get(model) is entry:
                del self._entries[model]
        if error is None:
            error = Unavailable("the registry did not answer in time", dependency="registry")
        raise _again(error)

    def _refresh(self, model: str, entry: _Entry, wait: float) -> None:
        """Start a refresh unless one runs or just failed, and wait for it at most ``wait`` seconds."""
        with entry.lock:
            pending = entry.pending
            if pending is None:
                if entry.route is not None and self._now() - entry.read_at < self._soft:
                    return  # another caller's refresh ended between the look and the lock
                failed = entry.route is not None and entry.error is not None
                if failed and self._now() - entry.tried_at < RETRY_SECONDS:
                    return
                entry.tried_at = self._now()
                pending = entry.pending = threading.Event()
                threading.Thread(
                    target=self._fetch, args=(model, entry, pending), daemon=True
                ).start()
            elif entry.route is not None and self._now() - entry.tried_at > self._patience:
                wait = 0.0  # it hangs; who came first has waited already
        if wait and not pending.wait(wait) and entry.route is not None:
            entry.route = _stale(entry.route)

    def _fetch(self, model: str, entry: _Entry, pending: threading.Event) -> None:
        try:
            routing = self._read(model)
            entry.route, entry.error = _route(routing), None
            entry.read_at = self._now()
        except NotFound as error:
            entry.route, entry.error = None, error
        except NeuralStreamError as error:
            entry.error = error
            if entry.route is not None:
                entry.route = _stale(entry.route)
        except Exception as error:  # noqa: BLE001 - a thread has nobody above it; the caller is told
            entry.error = Unavailable(
                f"the registry could not be read ({type(error).__name__})", dependency="registry"
            )
            if entry.route is not None:
                entry.route = _stale(entry.route)
        finally:
            entry.pending = None
            pending.set()


def _route(routing: ServedModel) -> Route:
    model = routing.model
    allocation = allocation_in_force(model)
    assigner = None if allocation is None else Assigner(model.name, model.salt, allocation)
    return Route(model, dict(routing.versions), assigner)


def _stale(route: Route) -> Route:
    return route if route.stale else Route(route.model, route.versions, route.assigner, stale=True)


def _again(error: NeuralStreamError) -> NeuralStreamError:
    """A fresh copy: several waiters raise it, and a traceback belongs to one of them."""
    if isinstance(error, Unavailable):
        return Unavailable(error.detail, dependency=error.dependency, retry_after=error.retry_after)
    return type(error)(error.detail, code=error.code)
