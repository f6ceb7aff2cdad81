"""Ramps on counters in Redis: they go on while the guard holds, and end with a bad version."""

from __future__ import annotations

from typing import Any

from neuralstream_core.registry.rollout import GuardRule, RampStep
from neuralstream_core.time import system_clock
from tests.support.features import Context
from tests.support.functions import load_function
from tests.support.guards import ADA, Guards
from tests.support.monitoring import NAMESPACE

STEPS = [
    RampStep(share=0.1, seconds=600),
    RampStep(share=0.5, seconds=600),
    RampStep(share=1.0, seconds=None),
]


def test_a_ramp_goes_on_while_the_guard_holds_and_promotes_at_last(guards: Guards) -> None:
    guards.guard()
    guards.rollouts.start_ramp("m", "v3", STEPS, ADA)
    shares = []
    for _ in range(5):
        guards.five_minutes(("v2", 100, 1), ("v3", 100, 1))
        shares.append((guards.model.ab_split or {}).get("v3"))
    assert shares == [0.1, 0.5, 0.5, None, None]
    assert guards.model.production_version == "v3"
    assert [o["status"] for o in guards.outboxes()] == ["50 %", "promoted"]


def test_a_ramp_stands_still_while_a_rule_is_broken_or_nothing_is_known(guards: Guards) -> None:
    guards.guard(GuardRule(metric="error_rate", max=0.05, windows=4))
    guards.rollouts.start_ramp("m", "v3", STEPS, ADA)
    guards.five_minutes(("v2", 100, 0))
    assert guards.five_minutes(("v2", 100, 0))["held"] == 1
    assert guards.rollouts.findings("m").ramp == "no rule could be judged on v3 yet"
    assert guards.five_minutes(("v3", 60, 40))["held"] == 1
    assert "40 % of 100 rows failed" in guards.rollouts.findings("m").ramp
    assert guards.model.ab_split == {"v2": 0.9, "v3": 0.1}
    assert guards.five_minutes(("v3", 100, 0))["steps"] == 1
    assert guards.model.ab_split == {"v2": 0.5, "v3": 0.5}


def test_a_ramp_of_a_bad_version_ends_with_its_split(guards: Guards) -> None:
    guards.guard()
    guards.rollouts.start_ramp("m", "v3", STEPS, ADA)
    for _ in range(2):
        done = guards.five_minutes(("v2", 100, 0), ("v3", 60, 40))
    assert (done["trips"], done["steps"]) == (1, 0)
    assert (guards.model.ab_split, guards.model.ramp) == (None, None)
    assert guards.model.production_version == "v2"


def test_a_ramp_without_a_guard_goes_by_time(guards: Guards) -> None:
    guards.rollouts.start_ramp("m", "v3", [STEPS[0], RampStep(share=0.4, seconds=None)], ADA)
    assert guards.five_minutes()["steps"] == 0
    assert guards.five_minutes()["steps"] == 1
    assert guards.model.ab_split == {"v2": 0.6, "v3": 0.4}
    assert guards.model.ramp is None


def test_the_scheduled_task_does_it_on_the_settings_of_the_template(
    guards: Guards, redis_server: Any, aws: Any
) -> None:
    assert aws.endpoint
    guards.bench.clock.forward(minutes=-30)
    guards.guard()
    for _ in range(4):
        guards.serve("v2", 60, 40)
        guards.bench.clock.forward(minutes=5)
    function = load_function(
        "outcomes",
        {
            "NEURALSTREAM_NAMESPACE": NAMESPACE,
            "NEURALSTREAM_TABLE": guards.bench.table.name,
            "NEURALSTREAM_DATA_BUCKET": guards.bench.bucket,
            "NEURALSTREAM_HISTORY_TABLE": "not-used",
            "NEURALSTREAM_REDIS_HOST": redis_server.host,
            "NEURALSTREAM_REDIS_PORT": str(redis_server.port),
        },
    )
    while guards.bench.clock.now < system_clock() - 120_000_000:
        guards.serve("v2", 60, 40)
        guards.bench.clock.forward(minutes=1)
    done = function.scheduled_handler({"task": "evaluate"}, Context())
    assert (done["models"], done["trips"]) == (1, 1)
    assert guards.model.production_version == "v1"
