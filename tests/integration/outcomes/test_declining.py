"""A version that predicts worse than it did: judged by closed hours, announced once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuralstream_core.monitoring.decision import DriftStatus
from neuralstream_core.monitoring.layout import HOUR
from neuralstream_core.monitoring.profile import ProfileCache
from neuralstream_core.outcomes.declining import DeclineEvaluation, DeclineStates
from neuralstream_core.outcomes.intake import Intake, outcome_of
from neuralstream_core.outcomes.reading import OutcomeReader
from neuralstream_core.registry.registry import Registry
from tests.integration.outcomes.conftest import Outcomes
from tests.support.outcomes import NAMESPACE, LoggedPrediction, named
from tests.unit.outcomes.test_joining import SPACE


class Declining:
    """Model ``m`` with one version, whose outcomes are observed hour by hour."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes, self.house = outcomes, outcomes.house
        outcomes.version("m", "v1", classes=("a", "b"))
        self.clock = self.house.clock
        # the hours of the test lie in the past, so that the function may be asked as well
        self.hour = self.clock() // HOUR - 12
        registry = Registry(self.house.registry, NAMESPACE, self.clock)
        self.states = DeclineStates(self.house.registry, NAMESPACE)
        self.metrics: list[Any] = []
        self.at = 0
        self.evaluation = DeclineEvaluation(
            registry,
            OutcomeReader(self.house.history, NAMESPACE, SPACE),
            ProfileCache(lambda _: b""),
            self.states,
            emit=lambda *metrics: self.metrics.append(metrics),
            clock=lambda: self.at,
        )
        self.intake = Intake(self.house.log, self.house.history_table, NAMESPACE, self.clock)

    def hours(self, right: Sequence[bool]) -> dict[str, int]:
        """An hour in which these predictions were made and their outcomes observed, and its evaluation."""
        start = self.hour * HOUR
        made = [
            LoggedPrediction(named("m", "v1", start + i, str(i)), start + i, "v1", label="a")
            for i in range(len(right))
        ]
        self.outcomes.log("m", f"p{self.hour}", made)
        found = [
            outcome_of(
                "m",
                self.clock(),
                prediction_id=p.id,
                label="a" if ok else "b",
                observed_at=p.at + 1000,
            )
            for p, ok in zip(made, right, strict=True)
        ]
        self.intake.record("m", [(f"o{self.hour}", found)])
        self.hour += 1
        self.at = self.hour * HOUR + 5 * 60 * 1_000_000
        return dict(self.evaluation.run())

    def item(self) -> dict[str, Any]:
        found = self.house.registry.get(f"DRIFT#{NAMESPACE}#m", "PERFORMANCE#v1")
        assert found is not None
        return found


def share(n: int, right: float) -> list[bool]:
    return [bool(int((i + 1) * right) > int(i * right)) for i in range(n)]


def test_a_decline_is_judged_against_the_first_outcomes_and_announced_once(
    outcomes: Outcomes,
) -> None:
    declining = Declining(outcomes)
    nothing = {"versions": 1, "windows": 0, "changes": 0}
    assert declining.hours(share(600, 0.9)) == nothing  # too few for a baseline
    assert declining.states.alarm("m", "v1") is None
    assert declining.hours(share(600, 0.9)) == nothing  # with these it is complete
    assert declining.hours(share(100, 0.9)) == nothing  # too few for a window
    assert declining.hours(share(200, 0.9)) == nothing | {"windows": 1}
    assert declining.hours(share(300, 0.6)) == nothing | {"windows": 1}  # one is no alarm
    alarm = declining.states.alarm("m", "v1")
    assert alarm is not None
    assert (alarm.status, alarm.series[0].status) == (DriftStatus.OK, DriftStatus.DRIFT)
    assert "outbox" not in declining.item()
    assert declining.hours(share(300, 0.6)) == nothing | {"windows": 1, "changes": 1}
    outbox = declining.item()["outbox"]
    assert (outbox["kind"], outbox["status"], outbox["previous"]) == (
        "drift_changed",
        "drift",
        "ok",
    )
    assert outbox["series"] == [
        {
            "feature": "accuracy",
            "kind": "performance",
            "status": "drift",
            "sentence": "accuracy fell from 90 % to 60 % over 300 outcomes",
        }
    ]
    assert dict(declining.evaluation.run()) == nothing  # the same hour again
    assert len(declining.metrics) == 3
    (version,) = outcomes.performance("m", window="24h")["versions"]
    assert version["decline"]["status"] == "drift"
    assert version["decline"]["series"][0]["n_current"] == 300
    assert declining.hours(share(300, 0.9)) == nothing | {"windows": 1}
    assert declining.hours(share(300, 0.9)) == nothing | {"windows": 1, "changes": 1}
    assert declining.item()["outbox"]["status"] == "ok"
