"""Comparing versions by entities and phases: equal versions are not told apart more often than promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from neuralstream_core.outcomes.experiment import COMPARABLE, Compared, Routed, compared
from neuralstream_core.outcomes.scored import Scored
from neuralstream_core.registry.trail import Phase

if TYPE_CHECKING:
    from numpy.typing import NDArray

TESTS = 200
LOOKS = 8
STEP = 250
"""Predictions of a version between two looks."""


def routed(right: NDArray[np.bool_], entity: NDArray[np.int64], at: NDArray[np.int64]) -> Routed:
    """Predictions of ``a`` that are right or wrong."""
    n = len(right)
    scored = Scored(
        kind="classifier",
        truth=np.where(right, "a", "b").astype(object),
        predicted=np.full(n, "a", object),
        probability=None,
        classes=("a", "b"),
        weight=np.ones(n),
        at=at,
    )
    return Routed(scored, entity.astype(np.uint64))


def one(found: Compared | None) -> Compared:
    assert found is not None
    return found


def test_entities_with_many_predictions_raise_no_more_false_alarms() -> None:
    """Each entity is right or wrong as a whole, ten times: as tries by themselves these would tell much."""
    deal = np.random.default_rng(3)
    forever = [Phase(0, None, {"v1": 0.5, "v2": 0.5}, "v1")]
    alarms = naive = 0
    for _ in range(TESTS):
        n = LOOKS * STEP
        arms: list[tuple[NDArray[np.bool_], NDArray[np.int64]]] = []
        for _ in range(2):
            entity = np.repeat(np.arange(n // 10), 10)
            arms.append((deal.random(n // 10)[entity] < 0.8, entity))
        shown = shown_naive = False
        for look in range(1, LOOKS + 1):
            k = look * STEP
            at = np.arange(k)
            both = [routed(right[:k], entity[:k], at) for right, entity in arms]
            shown |= one(compared(both[0], both[1], forever, "accuracy", 0.05)).seen.shown
            alone = [routed(right[:k], at, at) for right, _ in arms]
            shown_naive |= one(compared(alone[0], alone[1], forever, "accuracy", 0.05)).seen.shown
        alarms += shown
        naive += shown_naive
    assert alarms <= 0.05 * TESTS
    assert naive > 0.2 * TESTS


def test_phases_have_the_same_part_in_both_means() -> None:
    """In the first phase v2 has a tenth of the traffic and 90 % are right, in the second nine and 60 %."""
    deal = np.random.default_rng(4)
    phases = [
        Phase(0, 100, {"v1": 0.9, "v2": 0.1}, "v1"),
        Phase(100, None, {"v1": 0.1, "v2": 0.9}, "v1"),
    ]
    alarms = 0
    for _ in range(TESTS):
        sides: list[Routed] = []
        for first, second in ((300, 2700), (2700, 300)):
            right = np.concatenate([deal.random(first) < 0.9, deal.random(second) < 0.6])
            at = np.repeat([50, 150], [first, second])
            sides.append(routed(right, np.arange(len(right)), at))
        found = one(compared(sides[0], sides[1], phases, "accuracy", 0.05))
        alarms += found.seen.shown
        assert abs(found.seen.value) < 0.15
    assert alarms <= 0.05 * TESTS
    # without phases it is a difference of 24 points that nobody has made
    whole = [Phase(0, None, {"v1": 0.5, "v2": 0.5}, "v1")]
    assert one(compared(sides[0], sides[1], whole, "accuracy", 0.05)).seen.value < -0.15


def test_what_only_one_side_has_is_left_out() -> None:
    at = np.concatenate([np.full(200, 50), np.full(200, 150)])
    right = np.concatenate([np.ones(200, np.bool_), np.arange(200) % 2 == 0])
    own, base = routed(right, np.arange(400), at), routed(right[200:], np.arange(200), at[200:])
    phases = [
        Phase(0, 100, {"v1": 0.5, "v2": 0.5}, "v1"),
        Phase(100, 200, {"v1": 0.5, "v2": 0.5}, "v1"),
    ]
    found = one(compared(own, base, phases, "accuracy", 0.05))
    assert (found.arm.n, found.arm.mean, found.seen.value) == (200, 0.5, 0.0)
    nowhere = [Phase(500, 600, {"v1": 0.5, "v2": 0.5}, "v1")]
    assert compared(own, base, nowhere, "accuracy", 0.05) is None
    assert compared(own, base, phases, "log_loss", 0.05) is None  # no probabilities
    assert compared(own, base, phases, "mae", 0.05) is None


def test_a_bias_is_no_measure_to_compare_by() -> None:
    assert COMPARABLE == ("accuracy", "log_loss", "brier", "mae", "rmse")


@pytest.mark.parametrize("effect", [0.05, 0.2])
def test_the_plan_is_for_the_effect_that_is_asked_for(effect: float) -> None:
    deal = np.random.default_rng(6)
    sides = [routed(deal.random(500) < 0.8, np.arange(500), np.arange(500)) for _ in range(2)]
    forever = [Phase(0, None, {"v1": 0.5, "v2": 0.5}, "v1")]
    found = one(compared(sides[0], sides[1], forever, "accuracy", 0.05, effect))
    assert found.effect == effect
    assert found.detectable is not None
    assert found.needed is not None
    assert (found.needed > 1000) == (effect < found.detectable)
