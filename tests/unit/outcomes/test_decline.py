"""A decline is found when it matters, and no undrifted window raises one."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.outcome_simulation import classified, regressed
from neuralstream_core.monitoring.decision import DriftStatus
from neuralstream_core.outcomes.decline import TESTED, declines
from neuralstream_core.outcomes.scored import Scored

BUDGET = 1 / (720 * 40)
"""The level of a model with about forty tests in each of a month's windows."""


def shares(right, n):
    """``n`` rows of a classifier without probabilities, of which ``right`` are right."""
    labels = np.array(["no", "yes"], object)
    truth = labels[(np.arange(n) < right).astype(int)]
    return Scored(
        "classifier", truth, np.full(n, "yes", object), None, (), np.ones(n), np.arange(n)
    )


def test_a_fall_of_five_points_is_drift_and_of_three_a_warning():
    reference = shares(9000, 10_000)
    (same,) = declines(reference, shares(1795, 2000), BUDGET)
    (warning,) = declines(reference, shares(8600, 10_000), BUDGET)
    (drift,) = declines(reference, shares(1660, 2000), BUDGET)
    assert [d.status.value for d in (same, warning, drift)] == ["ok", "warning", "drift"]
    assert drift.sentence == "accuracy fell from 90 % to 83 % over 2,000 outcomes"
    assert same.sentence == "accuracy: no notable decline, 89.8 % after 90.0 %, over 2,000 outcomes"
    assert (drift.reference, drift.current) == (0.9, 0.83)
    assert (drift.n_reference, drift.n_current, drift.p < BUDGET) == (10_000, 2000, True)


def test_a_large_fall_of_few_rows_is_left_to_chance_and_a_rise_is_none():
    (few,) = declines(shares(190, 200), shares(178, 200), BUDGET)
    assert (few.status, few.p > BUDGET) == (DriftStatus.OK, True)
    (better,) = declines(shares(9000, 10_000), shares(1999, 2000), BUDGET)
    assert (better.status, better.p) == (DriftStatus.OK, pytest.approx(1.0))


def test_too_few_outcomes_on_either_side_are_not_judged():
    for reference, current in (
        (shares(100, 199), shares(1, 900)),
        (shares(900, 900), shares(0, 50)),
    ):
        (found,) = declines(reference, current, BUDGET)
        assert (found.status, found.p) == (DriftStatus.INSUFFICIENT_DATA, None)
        assert "outcomes are too few to judge, 200 needed" in found.sentence
    (none,) = declines(shares(0, 0), shares(1, 2), BUDGET)
    assert none.reference is None


def test_probabilities_and_errors_are_tested_by_their_means():
    rng = np.random.default_rng(3)
    good, _ = classified(rng, 4000)
    bad, _ = classified(rng, 2000, off=-1.0)
    accuracy, log_loss = declines(good, bad, BUDGET)
    assert (accuracy.metric, log_loss.metric) == TESTED["classifier"]
    assert log_loss.status is DriftStatus.DRIFT
    assert log_loss.sentence.startswith("log loss rose from 0.5")
    usual, _ = regressed(rng, 3000)
    (same,) = declines(usual, regressed(rng, 1000)[0], BUDGET)
    (wide,) = declines(usual, regressed(rng, 1000, heavy=True)[0], BUDGET)
    assert (same.metric, same.status) == ("mae", DriftStatus.OK)
    assert wide.status is DriftStatus.DRIFT
    with pytest.raises(ValueError, match="cannot be compared"):
        declines(good, usual, BUDGET)


def test_weighted_rows_do_not_count_for_more_than_they_are():
    rng = np.random.default_rng(4)
    heavy, _ = classified(rng, 300, sampled=True)
    light, _ = classified(rng, 3000)
    (accuracy, _) = declines(light, heavy, BUDGET)
    assert accuracy.n_current == 300
    assert accuracy.p > 0.001


def test_undrifted_windows_stay_within_their_level():
    """At 1 %, as the budget's own level would show nothing in so few windows."""
    rng = np.random.default_rng(6)
    windows, alarms = 400, dict.fromkeys(("accuracy", "log_loss", "mae"), 0)
    for number in range(windows):
        if number % 40 == 0:
            references = (classified(rng, 600)[0], regressed(rng, 600, heavy=True)[0])
        currents = (classified(rng, 1200)[0], regressed(rng, 1200, heavy=True)[0])
        for reference, current in zip(references, currents, strict=True):
            for found in declines(reference, current, 0.01):
                alarms[found.metric] += found.status.alarming
    assert max(alarms.values()) <= 0.02 * windows
