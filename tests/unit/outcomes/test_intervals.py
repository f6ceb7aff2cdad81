"""Intervals of one look: against SciPy, and whether they cover what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.outcome_simulation import ROWS, coverage
from neuralstream_core.outcomes.auc import area_interval, area_under_roc
from neuralstream_core.outcomes.calibration import calibration_error
from neuralstream_core.outcomes.intervals import (
    effective_rows,
    logit_interval,
    mean_interval,
    normal_quantile,
    normal_tail,
    share_interval,
    t_quantile,
)
from neuralstream_core.outcomes.scored import Scored


@given(st.floats(1e-9, 1 - 1e-9))
def test_normal_quantiles_are_scipys(p):
    assert normal_quantile(p) == pytest.approx(stats.norm.ppf(p), rel=1e-9, abs=1e-9)


@given(st.floats(-8, 35))
def test_normal_tails_are_scipys(z):
    assert normal_tail(z) == pytest.approx(stats.norm.sf(z), rel=1e-9)


@pytest.mark.parametrize("p", [0.001, 0.025, 0.05, 0.5, 0.9, 0.975, 0.999])
@pytest.mark.parametrize("df", [10, 29, 200, 10**6])
def test_t_quantiles_are_nearly_scipys(p, df):
    assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-3, abs=1e-9)


@settings(max_examples=50)
@given(st.integers(1, 5000), st.data())
def test_the_interval_of_a_share_is_wilsons(n, data):
    k = data.draw(st.integers(0, n))
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    found = share_interval(k / n, n)
    assert found == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)
    assert found[0] <= k / n <= found[1]


def test_without_skewness_the_interval_of_a_mean_is_students():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0] * 6)
    expected = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert mean_interval(values, np.ones(30)) == pytest.approx(expected, rel=1e-4)
    low, high = mean_interval(np.exp(values), np.ones(30))
    assert high - np.exp(values).mean() > np.exp(values).mean() - low  # skewed as the values are


def test_weights_of_one_size_change_nothing_and_unequal_ones_widen():
    values = np.random.default_rng(1).exponential(1.0, 400)
    one = mean_interval(values, np.ones(400))
    assert mean_interval(values, np.full(400, 7.0)) == pytest.approx(one)
    low, high = mean_interval(values, np.r_[np.ones(200), np.full(200, 20.0)])
    assert high - low > 1.2 * (one[1] - one[0])
    right = (values > 1).astype(float)
    assert effective_rows(right, np.full(400, 3.0)) == pytest.approx(400)
    assert effective_rows(right, np.r_[np.ones(200), np.full(200, 20.0)]) < 300
    assert effective_rows(np.ones(4), np.array([1.0, 1, 1, 3])) == pytest.approx(3)


def test_a_single_row_and_equal_rows_tell_no_more_than_they_know():
    assert mean_interval(np.array([1.0]), np.ones(1)) is None
    assert mean_interval(np.full(9, 2.5), np.ones(9)) == (2.5, 2.5)
    assert share_interval(0.5, 0) is None


@pytest.mark.parametrize(("value", "error"), [(0.5, 0.01), (0.999, 0.01), (0.02, 0.3)])
def test_a_logit_interval_stays_between_0_and_1_around_its_value(value, error):
    low, high = logit_interval(value, error)
    assert 0 <= low < value < high <= 1


def test_the_error_of_an_area_is_delongs():
    rng = np.random.default_rng(7)
    positive = rng.random(300) < 0.4
    score = (rng.normal(0, 1, 300) + positive).round(1)
    area = area_under_roc(score, positive, np.ones(300))
    x, y = score[positive], score[~positive]
    ahead = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    expected = ahead.mean(axis=1).var() / len(x) + ahead.mean(axis=0).var() / len(y)
    assert area.value == pytest.approx(ahead.mean(), rel=1e-12)
    assert area.influence @ area.influence == pytest.approx(expected, rel=1e-9)


def test_a_perfect_order_is_bounded_by_its_rows():
    score, positive = np.r_[np.zeros(50), np.ones(20)], np.r_[np.zeros(50), np.ones(20)] > 0
    low, high = area_interval(area_under_roc(score, positive, np.ones(70)))
    assert (low, high) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    low, high = area_interval(area_under_roc(1 - score, positive, np.ones(70)))
    assert (low, high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))
    one = area_under_roc(score[:51], positive[:51], np.ones(51))
    assert area_interval(one) is None


def test_a_calibrated_models_error_may_be_nothing_and_a_wrong_ones_may_not():
    rng = np.random.default_rng(3)
    p = rng.random(2000)
    names = np.array(["no", "yes"], object)

    def errors_of(true):
        truth = names[(rng.random(2000) < true).astype(int)]
        both = np.stack([1 - p, p], axis=1)
        return calibration_error(
            Scored("classifier", truth, truth, both, ("no", "yes"), np.ones(2000), np.arange(2000))
        )

    value, (low, high) = errors_of(p)
    assert low == 0.0 < value <= high < 0.05
    value, (low, high) = errors_of(0.5 * p)
    assert 0.15 < low < 0.25 < high < 0.35
    assert low < value <= high


@pytest.mark.parametrize(("rows", "windows"), [("slightly off", 300), ("normal errors", 1000)])
def test_every_interval_covers_what_it_says(rows, windows):
    """Within what chance allows in so few windows; docs/decisions/0024 has the shares of many."""
    slack = 3.3 * (0.95 * 0.05 / windows) ** 0.5
    for name, share in coverage(ROWS[rows], 800, windows, size=200_000).items():
        assert abs(share - 0.95) < slack, name
