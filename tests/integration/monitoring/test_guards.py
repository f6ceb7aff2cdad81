"""Guards and ramps on counters in Redis: what is made worse on purpose is undone, what is not stays."""

from __future__ import annotations

from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest

from neuralstream_core.history.entries import Part
from neuralstream_core.outcomes.guarded_performance import GuardedPerformance
from neuralstream_core.outcomes.guarding import GuardEvaluation
from neuralstream_core.outcomes.intake import Intake, Outcome, outcome_of
from neuralstream_core.outcomes.joined import Join, Read
from neuralstream_core.outcomes.reading import OutcomeReader
from neuralstream_core.parquet import Space
from neuralstream_core.registry.events import EventKind
from neuralstream_core.registry.issuer import Issuer, countdown
from neuralstream_core.registry.records import Stage
from neuralstream_core.registry.rollout import GuardRule
from tests.support.guards import ADA, RNG, Guards
from tests.support.monitoring import NAMESPACE
from tests.support.outcomes import LoggedPrediction, Rows, logged, named
from tests.support.registry import race


def test_a_version_made_worse_is_rolled_back_after_two_windows(guards: Guards) -> None:
    guards.guard()
    for _ in range(3):
        assert guards.five_minutes(("v2", 100, 1))["broken"] == 0
    assert guards.five_minutes(("v2", 60, 40))["trips"] == 0
    assert guards.model.production_version == "v2"

    assert guards.five_minutes(("v2", 60, 40))["trips"] == 1

    assert guards.model.production_version == "v1"
    (event,) = guards.events(EventKind.ROLLED_BACK)
    assert event.actor == "neuralstream-guard"
    told = "guard: v2: 40 % of 100 rows failed, at most 5 % allowed, for 10 minutes"
    assert event.reason == told
    (announced,) = guards.outboxes()
    assert (announced["kind"], announced["status"]) == ("guard_tripped", "rolled_back")
    evaluated = guards.rollouts.findings("m")
    assert evaluated is not None
    assert [(f.version, f.status, f.broken_windows) for f in evaluated.findings] == [
        ("v2", "broken", 2)
    ]


def test_after_a_rollback_the_guard_waits_for_a_person(guards: Guards) -> None:
    guards.guard(GuardRule(metric="error_rate", max=0.05, windows=1))
    assert guards.five_minutes(("v2", 60, 40))["trips"] == 1
    for _ in range(2):
        assert guards.five_minutes(("v1", 60, 40))["trips"] == 0
    assert guards.model.production_version == "v1"
    assert guards.model.guard.armed is False
    guards.bench.registry.promote("m", "v3", ADA)
    assert guards.five_minutes(("v3", 60, 40))["trips"] == 1
    assert guards.model.production_version == "v1"
    assert len(guards.outboxes()) == 2


def test_a_bad_version_in_a_split_ends_the_split_and_production_stays_guarded(
    guards: Guards,
) -> None:
    guards.guard(GuardRule(metric="error_rate", worse_than_baseline=0.02))
    guards.bench.registry.set_split("m", {"v2": 0.9, "v3": 0.1}, ADA)
    for _ in range(2):
        done = guards.five_minutes(("v2", 900, 3), ("v3", 80, 20))
    assert done["trips"] == 1
    assert (guards.model.production_version, guards.model.ab_split) == ("v2", None)
    assert guards.model.guard.armed
    (event,) = guards.events(EventKind.SPLIT_ENDED)
    assert "v3: 20 % of 100 rows failed, 0.3 % of the baseline's" in event.reason


def test_an_outage_that_hits_both_versions_does_not_end_the_split(guards: Guards) -> None:
    guards.guard(GuardRule(metric="error_rate", worse_than_baseline=0.02))
    guards.bench.registry.set_split("m", {"v2": 0.9, "v3": 0.1}, ADA)
    for _ in range(3):
        done = guards.five_minutes(("v2", 540, 360), ("v3", 60, 40))
        assert (done["broken"], done["trips"]) == (0, 0)


def test_a_new_production_version_is_compared_with_the_one_before(guards: Guards) -> None:
    guards.guard(GuardRule(metric="p99_ms", worse_than_baseline=20, windows=1))
    for _ in range(200):
        guards.serve("v2", 1, timings=(0.01, 0.001, 0.001))
    guards.bench.registry.promote("m", "v3", ADA)
    guards.bench.clock.forward(minutes=1)
    for _ in range(60):
        guards.serve("v3", 1, timings=(0.09, 0.001, 0.001))
    assert guards.five_minutes()["trips"] == 1
    assert guards.model.production_version == "v2"


def test_drifted_values_break_the_bound_of_drift(guards: Guards) -> None:
    guards.guard(GuardRule(metric="drift", max=0.2), action="announce")
    columns = list(RNG.normal(size=(20, 400)))
    assert guards.five_minutes(("v2", 400, 0), columns=columns)["broken"] == 0
    columns[7] = columns[7] + 2
    for _ in range(2):
        done = guards.five_minutes(("v2", 400, 0), columns=columns)
    assert done["trips"] == 1
    assert guards.model.production_version == "v2"
    (event,) = guards.events(EventKind.GUARD_TRIPPED)
    assert "f7 has a PSI of" in event.reason
    assert guards.five_minutes(("v2", 400, 0), columns=columns)["trips"] == 0
    assert len(guards.outboxes()) == 1


def test_what_was_counted_before_the_guard_or_the_promotion_is_not_held_against_anyone(
    guards: Guards,
) -> None:
    for _ in range(3):
        guards.serve("v2", 10, 90)
        guards.bench.clock.forward(minutes=5)
    guards.guard()
    assert guards.five_minutes()["broken"] == 0
    assert guards.five_minutes()["trips"] == 0


def test_a_run_that_comes_again_changes_nothing(guards: Guards) -> None:
    guards.guard()
    guards.five_minutes(("v2", 60, 40))
    revision = guards.model.revision
    for _ in range(2):
        assert guards.evaluation.run()["trips"] == 0
    assert guards.model.revision == revision


def test_evaluations_and_people_at_once_leave_one_production_and_a_true_trail(
    guards: Guards,
) -> None:
    guards.guard(GuardRule(metric="error_rate", max=0.05, windows=1))
    guards.bench.clock.forward(minutes=2)
    guards.serve("v2", 60, 40)
    guards.bench.clock.forward(minutes=3.2)

    def act(number: int) -> Any:
        if number % 2:
            return guards.evaluation.run()
        by = Issuer("ada", None, countdown(60))
        return guards.bench.registry.promote("m", "v3", by, expected_production="v2")

    outcomes = race(6, act)

    refused = [one for one in outcomes if isinstance(one, Exception)]
    assert {getattr(one, "code", one) for one in refused} <= {"production_changed"}
    rolled_back = guards.events(EventKind.ROLLED_BACK)
    promoted = guards.events(EventKind.PROMOTED)
    assert len(rolled_back) + len(promoted) == 1
    assert len(guards.outboxes()) == len(rolled_back)
    assert guards.model.production_version == ("v1" if rolled_back else "v3")
    stages = [v.stage for v in guards.bench.registry.versions("m").records]
    assert stages.count(Stage.PRODUCTION) == 1


class Known:
    """Predictions of the last minutes with their outcomes, as the history holds them."""

    def __init__(self, guards: Guards) -> None:
        self.guards = guards
        self.predictions: list[LoggedPrediction] = []
        self.outcomes: list[Outcome] = []
        guards.evaluation = GuardEvaluation(
            guards.bench.registry,
            guards.rollouts,
            guards.bench.reader,
            guards.bench.profiles,
            guards.bench.clock,
            GuardedPerformance(guards.bench.registry, self, guards.bench.clock),  # type: ignore[arg-type]
        )

    def read(self, join: Join) -> Read:
        rows: Any = Rows(
            [
                (self.guards.bench.clock.now, logged("m", "p", self.predictions)),
                (self.guards.bench.clock.now, self.sent()),
            ]
        )
        return OutcomeReader(rows, NAMESPACE, Space(500, 1, Path(gettempdir()))).read(join)

    def sent(self) -> Part:
        intake: Any = Intake(None, None, NAMESPACE, self.guards.bench.clock)  # type: ignore[arg-type]
        part: Part = intake.part("m", "o", self.outcomes)
        return part

    def happened(self, version: str, right: int, wrong: int, entities: int | None = None) -> None:
        """Predictions with outcomes, each of an entity of its own or of a few."""
        at = self.guards.bench.clock.now
        for number in range(right + wrong):
            own = named("m", version, at + number, f"{version} {at} {number}")
            self.predictions.append(
                LoggedPrediction(
                    own,
                    at + number,
                    version,
                    "1",
                    1.0,
                    probability=0.9,
                    entity=own if entities is None else f"e{number % entities}",
                )
            )
            label = float(number < right)
            self.outcomes.append(outcome_of("m", at + 60_000_000, prediction_id=own, label=label))


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (
            GuardRule(metric="performance.accuracy", worse_than_baseline=0.05),
            "accuracy is 0.6 over 500 entities, 0.9 of the baseline's 1000",
        ),
        (
            GuardRule(metric="performance.accuracy", min=0.8),
            "accuracy is 0.6 over 500 outcomes, at least 0.8 allowed",
        ),
    ],
)
def test_a_version_that_is_wrong_more_often_loses_its_share(
    guards: Guards, rule: GuardRule, found: str
) -> None:
    known = Known(guards)
    guards.guard(rule)
    guards.bench.registry.set_split("m", {"v2": 0.7, "v3": 0.3}, ADA)
    guards.bench.clock.forward(minutes=2)
    known.happened("v2", 180, 20)
    known.happened("v3", 36, 4)
    assert guards.five_minutes()["trips"] == 0
    known.happened("v2", 720, 80)
    known.happened("v3", 264, 196)
    assert guards.five_minutes()["trips"] == 1
    assert (guards.model.production_version, guards.model.ab_split) == ("v2", None)
    (event,) = guards.events(EventKind.SPLIT_ENDED)
    assert found in event.reason


def test_many_outcomes_of_a_few_entities_are_not_many_in_a_split(guards: Guards) -> None:
    known = Known(guards)
    guards.guard(GuardRule(metric="performance.accuracy", worse_than_baseline=0.05))
    guards.bench.registry.set_split("m", {"v2": 0.7, "v3": 0.3}, ADA)
    guards.bench.clock.forward(minutes=2)
    known.happened("v2", 720, 80, entities=20)
    known.happened("v3", 264, 196, entities=10)
    assert guards.five_minutes()["trips"] == 0
    evaluated = guards.rollouts.findings("m")
    assert evaluated is not None
    assert [(f.status, f.n) for f in evaluated.findings] == [("insufficient_data", 10)]


def test_a_version_as_good_as_the_baseline_keeps_its_share(guards: Guards) -> None:
    known = Known(guards)
    guards.guard(GuardRule(metric="performance.accuracy", worse_than_baseline=0.0))
    guards.bench.registry.set_split("m", {"v2": 0.5, "v3": 0.5}, ADA)
    guards.bench.clock.forward(minutes=2)
    for _ in range(4):
        for version in ("v2", "v3"):
            right = int(RNG.binomial(300, 0.9))
            known.happened(version, right, 300 - right)
        assert guards.five_minutes()["trips"] == 0
    evaluated = guards.rollouts.findings("m")
    assert evaluated is not None
    assert [(f.version, f.status) for f in evaluated.findings] == [("v3", "holds")]
