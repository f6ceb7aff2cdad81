"""A guarded model: two versions that had traffic, a third one, and five minutes at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neuralstream_core.outcomes.guarding import GuardEvaluation
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.records import Stage
from neuralstream_core.registry.rollout import GuardRule
from neuralstream_core.registry.rollout_commands import Rollouts
from tests.support.monitoring import NAMESPACE, Watched

__all__ = ["ADA", "ERRORS", "RNG", "WATCHED", "Guards", "guards"]

RNG = np.random.default_rng(3)
WATCHED = {name: Watched(version=name) for name in ("v1", "v2", "v3")}
ERRORS = GuardRule(metric="error_rate", max=0.05)
ADA = Issuer("ada")


@pytest.fixture
def guards(bench):
    """v2 in production after v1, and v3; each with a baseline."""
    bench.clock.now = bench.clock.now // 60_000_000 * 60_000_000
    bench.add_model(production_version="v2", history=("v1",))
    stages = (Stage.ARCHIVED, Stage.PRODUCTION, Stage.STAGING)
    for watched, stage in zip(WATCHED.values(), stages, strict=True):
        bench.add_version(watched, stage=stage)
    return Guards(bench)


class Guards:
    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.rollouts = Rollouts(bench.registry)
        self.evaluation = GuardEvaluation(
            bench.registry, self.rollouts, bench.reader, bench.profiles, bench.clock
        )

    def guard(self, *rules: GuardRule, action: Any = "rollback") -> None:
        self.rollouts.set_guard("m", rules or [ERRORS], action, ADA)

    def serve(self, version: str, rows: int = 100, failed: int = 0, **changes: Any) -> None:
        if rows:
            self.bench.recorder.record(WATCHED[version].batch(RNG, rows, **changes))
        if failed:
            self.bench.recorder.failure("m", version, "inference_failed", rows=failed)

    def five_minutes(self, *served: tuple[str, int, int], **changes: Any) -> dict[str, int]:
        """Traffic in the middle of five minutes (version, answered and failed rows), then a run."""
        self.bench.clock.forward(minutes=2)
        for version, rows, failed in served:
            self.serve(version, rows, failed, **changes)
        self.bench.clock.forward(minutes=3.2)
        done = self.evaluation.run()
        self.bench.clock.forward(minutes=-0.2)
        return done

    @property
    def model(self) -> Any:
        return self.bench.registry.model("m")

    def outboxes(self) -> list[dict[str, Any]]:
        items = self.bench.table.query_all(f"MODEL#{NAMESPACE}#m", prefix="EVENT#")
        return [item["outbox"] for item in items if "outbox" in item]

    def events(self, kind: EventKind) -> list[Any]:
        return [e for e in self.bench.registry.events("m").records if e.kind is kind]
