"""When a difference is drift: edge cases, and a small fixed part of the simulation."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.drift_simulation import NOMINAL, SCENARIOS, alarm_rate
from neuralstream_core.monitoring.binning import build_profile
from neuralstream_core.monitoring.counting import count_series, read_column
from neuralstream_core.monitoring.decision import DriftStatus, alpha_for, judge, overall
from neuralstream_core.monitoring.profile import bare_profile
from neuralstream_core.monitoring.statistics import groups_of
from neuralstream_core.registry.records import FeatureRef

ALPHA = 1e-4
RNG = np.random.default_rng(11)


def compare(baseline, current, dtype="float64", alpha=ALPHA):
    feature = FeatureRef(view="v", feature="x", dtype=dtype)
    series = build_profile([feature], {"x": baseline}).series[0]
    return judge(series, count_series(series, read_column(current, type_=series.type)), alpha=alpha)


NORMAL = RNG.normal(size=5000)


@pytest.mark.parametrize(
    ("baseline", "current", "dtype", "status", "reasons"),
    [
        pytest.param(NORMAL, NORMAL[:1000], "float64", DriftStatus.OK, [], id="the same"),
        pytest.param(
            NORMAL, NORMAL[:1000] + 1, "float64", DriftStatus.DRIFT, ["distribution"], id="shifted"
        ),
        pytest.param(
            NORMAL,
            NORMAL[:150] + 5,
            "float64",
            DriftStatus.INSUFFICIENT_DATA,
            [],
            id="too few rows",
        ),
        pytest.param(
            NORMAL, [], "float64", DriftStatus.INSUFFICIENT_DATA, [], id="an empty window"
        ),
        pytest.param(
            NORMAL, [None] * 1000, "float64", DriftStatus.DRIFT, ["missing"], id="all null now"
        ),
        pytest.param(
            [None] * 1000,
            NORMAL[:1000],
            "float64",
            DriftStatus.DRIFT,
            ["missing"],
            id="all null then",
        ),
        pytest.param([7.0] * 500, [7.0] * 500, "float64", DriftStatus.OK, [], id="constant"),
        pytest.param(
            [7.0] * 500,
            [7.0] * 400 + [8.0] * 100,
            "float64",
            DriftStatus.DRIFT,
            ["distribution", "unknown"],
            id="no longer constant",
        ),
        pytest.param(
            NORMAL, [*NORMAL[:999], 1e300], "float64", DriftStatus.OK, [], id="one huge outlier"
        ),
        pytest.param(
            [*NORMAL, 1e300],
            NORMAL[:1000],
            "float64",
            DriftStatus.OK,
            [],
            id="outlier in the baseline",
        ),
        pytest.param(
            [0] * 3000 + [1] * 1500 + [2] * 500,
            [0] * 300 + [1] * 150 + [2] * 50,
            "int64",
            DriftStatus.OK,
            [],
            id="integers with ties",
        ),
        pytest.param(
            [0] * 3000 + [1] * 1500 + [2] * 500,
            [0] * 150 + [1] * 150 + [2] * 200,
            "int64",
            DriftStatus.DRIFT,
            ["distribution"],
            id="integers moved",
        ),
        pytest.param(
            ["a", "b"] * 500,
            ["a", "b"] * 200 + ["new"] * 100,
            "string",
            DriftStatus.DRIFT,
            ["distribution", "unknown"],
            id="an unseen category",
        ),
        pytest.param(
            [True] * 300 + [False] * 700,
            [True] * 150 + [False] * 350,
            "bool",
            DriftStatus.OK,
            [],
            id="booleans",
        ),
        pytest.param(
            [True] * 300 + [False] * 700,
            [True] * 400 + [False] * 100,
            "bool",
            DriftStatus.DRIFT,
            ["distribution"],
            id="booleans moved",
        ),
        pytest.param(
            NORMAL,
            [None if i % 10 == 0 else x for i, x in enumerate(NORMAL[:500])],
            "float64",
            DriftStatus.DRIFT,
            ["missing"],
            id="a tenth missing",
        ),
    ],
)
def test_a_window_is_judged(baseline, current, dtype, status, reasons):
    verdict = compare(baseline, current, dtype)
    assert (verdict.status, list(verdict.reasons)) == (status, reasons)


def test_forty_per_cent_of_nulls_are_not_dropped_before_comparing():
    verdict = compare(NORMAL, [None if i % 5 < 2 else x for i, x in enumerate(NORMAL[:1000])])
    assert verdict.status is DriftStatus.DRIFT
    assert verdict.missing.current == pytest.approx(0.4)
    assert verdict.n_current == 600


def test_a_rare_category_of_the_tail_is_no_alarm():
    """A zipf-like column always shows a few categories its baseline had not met."""
    baseline = [f"c{k}" for k in RNG.zipf(1.6, 3000)]
    current = [f"c{k}" for k in RNG.zipf(1.6, 1000)]
    assert compare(baseline, current, "string").unknown.status is DriftStatus.OK


def test_the_term_that_set_the_threshold_is_named():
    small, large = compare(NORMAL, NORMAL[:210]), compare(NORMAL, NORMAL[:4000])
    assert (small.threshold_set_by, large.threshold_set_by) == ("sample_size", "practical")
    assert small.threshold > 0.1 == large.threshold
    assert small.alert_threshold == 0.2


def test_the_bins_that_moved_come_first():
    verdict = compare(NORMAL, np.concatenate((NORMAL[:800], np.full(200, 0.0))))
    assert verdict.groups[0].label.startswith("(")
    contributions = [group.psi for group in verdict.groups]
    assert contributions == sorted(contributions, reverse=True)
    assert sum(contributions) == pytest.approx(verdict.psi)
    low, high = verdict.groups[0].label.strip("(])").split(", ")
    assert float(low) <= 0.0 <= float(high)


@pytest.mark.parametrize("distinct", [1, 2, 5, 10, 11, 15, 20, 21, 1000])
def test_groups_cover_every_bin_once(distinct):
    values = RNG.integers(0, distinct, 4000)
    feature = FeatureRef(view="v", feature="x", dtype="int64")
    series = build_profile([feature], {"x": values}).series[0]
    groups = groups_of(series, np.ones(series.size, np.int64))
    slots = sorted(slot for group in groups for slot in group)
    assert slots == list(range(series.values))
    assert len(groups) <= 14


def test_the_budget_is_shared_by_all_tests():
    features = [FeatureRef(view="v", feature=f"f{i}", dtype="float64") for i in range(20)]
    profile = build_profile(features, {f"f{i}": NORMAL for i in range(20)})
    assert alpha_for(profile) == pytest.approx(1 / (720 * 64))
    assert alpha_for(bare_profile(features, None)) <= 0.05


def test_a_series_without_a_baseline_says_so_and_still_counts_what_is_missing():
    series = bare_profile([FeatureRef(view="v", feature="x", dtype="float64")], None).series[0]
    verdict = judge(
        series, count_series(series, read_column([1.0, None], type_="numeric")), alpha=ALPHA
    )
    assert verdict.status is DriftStatus.NO_REFERENCE
    assert verdict.missing.current == 0.5


@pytest.mark.parametrize(
    ("statuses", "whole"),
    [
        ([], DriftStatus.NO_REFERENCE),
        ([DriftStatus.NO_REFERENCE, DriftStatus.INSUFFICIENT_DATA], DriftStatus.INSUFFICIENT_DATA),
        ([DriftStatus.OK, DriftStatus.INSUFFICIENT_DATA, DriftStatus.NO_REFERENCE], DriftStatus.OK),
        ([DriftStatus.OK, DriftStatus.WARNING], DriftStatus.WARNING),
        ([DriftStatus.DRIFT, DriftStatus.WARNING], DriftStatus.DRIFT),
    ],
)
def test_many_statuses_become_one(statuses, whole):
    assert overall(statuses) is whole


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_the_simulation_in_small(scenario):
    """200 windows of each: the bounds are those of the full run, widened for the smaller sample."""
    rate = alarm_rate(scenario, windows=200, seed=5)
    if scenario.at_most is not None:
        assert rate <= 2 * NOMINAL + 0.01
    else:
        assert rate >= scenario.at_least - 0.03
