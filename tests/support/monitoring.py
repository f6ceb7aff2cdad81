"""A version under observation: its profile, rows to record, and the counters they end in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuralstream_core.monitoring.binning import build_profile
from neuralstream_core.monitoring.layout import HOUR, Window, named_window
from neuralstream_core.monitoring.observation import Observation, Refused, RowObservation
from neuralstream_core.monitoring.profile import Profile
from neuralstream_core.monitoring.reader import CounterReader, Counts
from neuralstream_core.monitoring.recorder import RedisRecorder
from neuralstream_core.registry.records import FeatureRef
from neuralstream_core.time import Clock, Micros, system_clock

__all__ = ["Clockwork", "Watched", "hours", "keys_of"]

NAMESPACE = "test"


class Clockwork:
    """A clock that stands still until it is moved."""

    def __init__(self, now: Micros | None = None) -> None:
        self.now = system_clock() if now is None else now

    def __call__(self) -> Micros:
        return self.now

    def forward(self, *, minutes: float = 0, hours: float = 0) -> None:
        self.now += int((minutes + 60 * hours) * 60_000_000)


def _twenty() -> tuple[FeatureRef, ...]:
    return tuple(FeatureRef(view="v", feature=f"f{i}", dtype="float64") for i in range(20))


@dataclass
class Watched:
    """Version ``v1`` of ``model`` with 20 features and a baseline of 5,000 normal rows."""

    model: str = "m"
    version: str = "v1"
    features: tuple[FeatureRef, ...] = field(default_factory=_twenty)
    profile: Profile = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(1)
        n = 5000
        self.profile = build_profile(
            self.features,
            {ref.feature: rng.normal(size=n) for ref in self.features},
            prediction=rng.integers(0, 2, n).tolist(),
            score=rng.random(n),
            classes=[0, 1],
        )

    def profiles(self, digest: str) -> Profile | None:
        """A profile source that knows this one."""
        return self.profile if digest == self.profile.digest else None

    def recorder(self, port: Any, clock: Clock = system_clock) -> RedisRecorder:
        return RedisRecorder(port, self.profiles, NAMESPACE, clock)

    def row(self, rng: np.random.Generator, **changes: Any) -> RowObservation:
        """One answered prediction."""
        fields: dict[str, Any] = {
            **self._looked_up(rng),
            "prediction": int(rng.integers(0, 2)),
            "score": float(rng.random()),
            "timings": (0.004, 0.001, 0.00002),
        }
        return RowObservation(**{**fields, **changes})

    def refused(self, rng: np.random.Generator, **changes: Any) -> Refused:
        """A row that was looked up and got no answer."""
        return Refused(**{**self._looked_up(rng), **changes})

    def _looked_up(self, rng: np.random.Generator) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "profile": self.profile.digest,
            "features": self.features,
            "values": tuple(rng.normal(size=len(self.features)).tolist()),
            "status": None,
        }

    def batch(self, rng: np.random.Generator, rows: int, **changes: Any) -> Observation:
        """One answered batch."""
        fields: dict[str, Any] = {
            "model": self.model,
            "version": self.version,
            "profile": self.profile.digest,
            "features": self.features,
            "columns": list(rng.normal(size=(len(self.features), rows))),
            "status": None,
            "prediction": rng.integers(0, 2, rows),
            "score": rng.random(rows),
            "timings": (0.02, 0.005, 0.001),
        }
        return Observation(**{**fields, **changes})

    def counts(self, port: Any, window: Window | None = None) -> Counts:
        """What is counted in the last hour, by minutes unless another window is given."""
        window = window or named_window("1h", system_clock())
        reader = CounterReader(port, NAMESPACE)
        return reader.read(self.model, self.version, [self.profile], window)


def hours(clock: Clockwork) -> Window:
    """From the beginning of the hour until now, in hours."""
    return Window(clock.now // HOUR * HOUR, clock.now + 1, minutes=False)


def keys_of(port: Any, pattern: bytes = b"*") -> list[bytes]:
    """All keys of a server or of a cluster."""
    cursor: Any = None
    found: list[bytes] = []
    while True:
        cursor, keys = port.scan(cursor, pattern, 100)
        found += keys
        if cursor is None:
            return found
