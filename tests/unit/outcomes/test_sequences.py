"""The always-valid interval keeps its promise at every look, and what power foretells comes true."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.outcome_simulation import Simulated, always_valid, foretold, ordinary, skewed, wrong
from neuralstream_core.outcomes.power import detectable, needed
from neuralstream_core.outcomes.sequences import LEAST, Arm, arm_of, around, compare, radius


@pytest.mark.parametrize(
    ("losses", "share", "looks"),
    [(wrong(0.1), 0.5, 200), (wrong(0.01), 0.1, 200), (skewed(1.0), 0.3, 40)],
    ids=["accuracy", "rare errors in a small arm", "skewed losses"],
)
def test_peeking_at_every_100_outcomes_raises_few_false_alarms(losses, share, looks):
    seen = Simulated.drawn(losses, losses, tests=2000, looks=looks, share=share)
    assert seen.alarms(always_valid) <= 0.05
    # The simulation is able to show them: the ordinary interval is wrong far more often.
    assert seen.alarms(ordinary) > 0.2


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_two_points_of_accuracy_are_found_by_the_time_that_was_foretold(share):
    seen = Simulated.drawn(wrong(0.10), wrong(0.08), tests=1000, looks=450, share=share)
    looks = foretold(seen, 0.02, look=19)
    assert 120 < np.median(looks) < 300
    assert seen.alarms(always_valid, until=looks) >= 0.9


def test_the_interval_is_the_formula_of_its_source():
    arm, base, alpha = Arm(6000, 0.12, 0.1056), Arm(4000, 0.10, 0.1056), 0.05
    spread = 0.1056 / 6000 + 0.1056 / 4000
    t = 4 * 0.1056 / spread
    rho2 = 8.2118 / 10_000  # v = ln(1 + v) - 2 ln 0.05
    half = math.sqrt(spread * (t * rho2 + 1) / (t * rho2) * math.log((t * rho2 + 1) / alpha**2))
    found = compare(arm, base, alpha)
    assert found.value == pytest.approx(0.02)
    assert (found.low, found.high) == pytest.approx((0.02 - half, 0.02 + half), rel=1e-4)
    assert found.information == pytest.approx(t)
    assert found.shown is (half < 0.02)


def test_the_radius_is_least_where_it_is_tuned_for():
    for alpha in (0.05, 0.01, 0.05 / 7):
        at = [radius(10_000, alpha, tuned) for tuned in np.geomspace(1000, 100_000, 41)]
        assert np.argmin(at) == 20
    assert radius(1000) / radius(1000, tuned_for=1000) == pytest.approx(1.26, abs=0.005)
    assert radius(100_000) / radius(100_000, tuned_for=100_000) == pytest.approx(1.07, abs=0.005)


def test_an_arm_without_errors_borrows_its_doubt_from_the_other():
    clean, base = Arm(150, 0.0, 0.0), Arm(1500, 0.02, 0.0196)
    found = compare(clean, base)
    assert not found.shown
    assert found.error > math.sqrt(0.0196 * 0.9 / 150)


def test_too_few_outcomes_or_no_doubt_at_all_give_no_interval():
    few = compare(Arm(LEAST - 1, 0.5, 0.25), Arm(5000, 0.1, 0.09))
    assert (few.low, few.high, few.shown) == (None, None, False)
    same = compare(Arm(500, 0.0, 0.0), Arm(500, 0.0, 0.0))
    assert (same.low, same.error, same.information) == (None, 0.0, 0.0)
    assert detectable(same) is None
    assert needed(same, 0.1) is None
    with pytest.raises(ValueError, match="without outcomes"):
        compare(arm_of(np.array([]), np.array([])), Arm(500, 0.0, 0.0))


def test_an_arm_leaves_out_rows_that_do_not_count_and_weighs_the_others():
    values, weight = np.array([1.0, np.nan, 3.0]), np.array([1.0, 9.0, 3.0])
    arm = arm_of(values, weight)
    assert (arm.n, arm.mean) == (2, 2.5)
    repeated = arm_of(np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    assert (repeated.mean, repeated.variance) == (2.0, 2.0)  # one weight for all is none


def test_what_is_detectable_at_the_needed_size_is_the_effect():
    seen = compare(Arm(300, 0.1, 0.09), Arm(700, 0.12, 0.1056))
    for effect in (0.001, 0.02, 0.2):
        n = needed(seen, effect)
        share = n / seen.n
        later = compare(Arm(round(300 * share), 0.1, 0.09), Arm(round(700 * share), 0.12, 0.1056))
        assert detectable(later) == pytest.approx(effect, rel=0.05)
        assert needed(seen, -effect) == n
    assert needed(seen, 1e-7) is None
    assert needed(seen, 0.0) is None
    assert detectable(seen) > detectable(seen, power=0.5)


def test_one_mean_has_an_interval_too_and_a_floor_for_its_doubt():
    low, high = around(Arm(2500, 0.9, 0.09))
    assert (low + high) / 2 == pytest.approx(0.9)
    assert (high - low) / 2 == pytest.approx(0.3 / 50 * radius(2500))
    assert around(Arm(LEAST - 1, 0.9, 0.09)) is None
    assert around(Arm(150, 0.0, 0.0)) is None
    assert around(Arm(150, 0.0, 0.0), least_variance=0.09)[1] > 0.05
