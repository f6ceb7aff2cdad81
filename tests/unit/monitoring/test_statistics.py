"""Every statistic against SciPy or a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from neuralstream_core.monitoring.statistics import (
    chi2_quantile,
    chi2_sf,
    fisher_greater,
    goodness_of_fit,
    js_distance,
    ks_bracket,
    psi_terms,
)

CLOSE = {"rel": 1e-6, "abs": 1e-12}


@pytest.mark.parametrize("df", [1, 2, 3, 5, 9, 12, 19, 24, 50, 200])
@pytest.mark.parametrize("tail", [0.99, 0.9, 0.5, 0.05, 0.01, 1e-3, 1e-5, 1e-8, 1e-12])
def test_chi2_quantiles_are_scipys(df, tail):
    assert chi2_quantile(tail, df) == pytest.approx(stats.chi2.isf(tail, df), rel=1e-6)


@pytest.mark.parametrize("df", [1, 2, 3, 9, 24, 100])
@pytest.mark.parametrize("x", [0.0, 1e-6, 0.3, 1.0, 8.0, 21.7, 60.0, 300.0])
def test_chi2_tails_are_scipys(df, x):
    assert chi2_sf(x, df) == pytest.approx(stats.chi2.sf(x, df), **CLOSE)


@pytest.mark.parametrize(("tail", "df"), [(0.0, 3), (1.0, 3), (0.5, 0), (-0.1, 2)])
def test_a_quantile_of_nothing_is_refused(tail, df):
    with pytest.raises(ValueError, match="needs"):
        chi2_quantile(tail, df)


def test_psi_is_its_closed_form():
    reference, current = np.array([50, 30, 20]), np.array([10, 10, 20])
    p = np.array([50.5, 30.5, 20.5]) / 101.5
    q = np.array([10.5, 10.5, 20.5]) / 41.5
    expected = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert psi_terms(reference, current).sum() == pytest.approx(expected, rel=1e-12)


def test_psi_of_equal_shares_is_nothing_and_of_empty_windows_is_finite():
    assert psi_terms(np.array([10, 10]), np.array([10, 10])).sum() == 0.0
    assert psi_terms(np.array([5]), np.array([9])).sum() == 0.0
    assert math.isfinite(psi_terms(np.array([100, 0]), np.array([0, 0])).sum())


counts = st.lists(st.integers(0, 10_000), min_size=2, max_size=25)


@given(counts, counts)
def test_js_is_scipys(a, b):
    size = min(len(a), len(b))
    p, q = np.array(a[:size]), np.array(b[:size])
    if not p.sum() or not q.sum():
        assert js_distance(p, q) is None
        return
    expected = jensenshannon(p / p.sum(), q / q.sum(), base=2)
    # SciPy takes the root of a difference of entropies, which is noise where the sides are equal.
    assert js_distance(p, q) == pytest.approx(np.nan_to_num(expected), abs=1e-6)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(5, 300), st.integers(5, 300))
def test_the_ks_bracket_holds_the_statistic_of_the_raw_values(seed, cuts, n, m):
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=m).round(1)
    current = rng.normal(rng.normal(), 1.5, size=n).round(1)
    edges = np.sort(rng.normal(size=cuts))
    bins = [
        np.bincount(np.searchsorted(edges, side, side="left"), minlength=cuts + 1)
        for side in (reference, current)
    ]
    low, high = ks_bracket(*bins)
    exact = stats.ks_2samp(reference, current, method="asymp").statistic
    assert low - 1e-12 <= exact <= high + 1e-12


def test_the_ks_bracket_closes_where_bins_are_single_values():
    reference, current = np.array([10, 0, 30]), np.array([0, 0, 20])
    low, high = ks_bracket(reference, current)
    assert low == pytest.approx(0.25)
    assert high == 1.0  # inside the last bin nothing is known
    assert ks_bracket(reference, np.zeros(3, int)) is None


@settings(max_examples=200)
@given(st.data())
def test_fishers_test_is_scipys(data):
    n, m = data.draw(st.integers(1, 400)), data.draw(st.integers(1, 4000))
    k, reference = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    table = [[k, n - k], [reference, m - reference]]
    expected = stats.fisher_exact(table, alternative="greater").pvalue
    assert fisher_greater(k, n, reference, m) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_fishers_test_keeps_its_precision_far_out():
    expected = stats.hypergeom.sf(119, 500 + 10_000, 120 + 500, 500)
    assert fisher_greater(120, 500, 500, 10_000) == pytest.approx(expected, rel=1e-6)
    assert expected < 1e-30


@pytest.mark.parametrize(
    ("observed", "shares"),
    [([90, 10], [0.9, 0.1]), ([480, 520], [0.5, 0.5]), ([700, 200, 100], [0.6, 0.3, 0.1])],
)
def test_goodness_of_fit_is_scipys(observed, shares):
    n = sum(observed)
    expected = stats.chisquare(observed, [n * share for share in shares])
    statistic, p = goodness_of_fit(np.array(observed), np.array(shares))
    assert statistic == pytest.approx(expected.statistic, **CLOSE)
    assert p == pytest.approx(expected.pvalue, **CLOSE)


def test_traffic_where_none_is_allowed_never_fits():
    assert goodness_of_fit(np.array([5, 1]), np.array([1.0, 0.0])) == (math.inf, 0.0)
    assert goodness_of_fit(np.array([5, 0]), np.array([1.0, 0.0])) == (0.0, 1.0)
    assert goodness_of_fit(np.array([0, 0]), np.array([0.5, 0.5])) == (0.0, 1.0)
