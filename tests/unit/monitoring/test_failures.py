"""When failing rows are more than the usual few."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from neuralstream_core.monitoring.binning import build_profile
from neuralstream_core.monitoring.decision import DriftStatus, Severity
from neuralstream_core.monitoring.drift import drift_report
from neuralstream_core.monitoring.failures import (
    ALL_CODES,
    Refusals,
    Traffic,
    expected_refusals,
    judge_failures,
)
from neuralstream_core.monitoring.layout import last_hours
from neuralstream_core.monitoring.profile import bare_profile
from neuralstream_core.monitoring.statistics import binomial_greater
from neuralstream_core.registry.records import (
    FeatureRef,
    Format,
    MissingPolicy,
    Signature,
    Stage,
    Tensor,
    VersionRecord,
    VersionStatus,
)

ALPHA = 1 / (720 * 62)


def judged(failed, answered=1000, refusals=None, alpha=ALPHA):
    traffic = Traffic(answered, dict(failed))
    found = judge_failures(traffic, refusals or Refusals(), alpha=alpha)
    return {failure.code: failure for failure in found}


def statuses(failed, answered=1000, refusals=None):
    found = judged(failed, answered, refusals)
    return {code: failure.test.status for code, failure in found.items()}


@pytest.mark.parametrize("n", [1, 200, 1000, 100_000, 3_000_000])
@pytest.mark.parametrize("rate", [1e-4, 0.001, 0.3, 0.9])
def test_binomial_tails_are_scipys(n, rate):
    for k in {0, 1, 2, n // 1000, int(n * rate), int(n * rate * 1.1) + 3, n // 2, n, n + 1}:
        expected = stats.binom.sf(k - 1, n, rate)
        assert binomial_greater(k, n, rate) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5000), st.floats(0.0001, 0.9999), st.data())
def test_binomial_tails_fall_with_the_count(n, rate, data):
    k = data.draw(st.integers(0, n))
    p = binomial_greater(k, n, rate)
    assert 0.0 <= binomial_greater(k + 1, n, rate) <= p + 1e-12
    assert p == pytest.approx(stats.binom.sf(k - 1, n, rate), rel=1e-6, abs=1e-11)


@pytest.mark.parametrize(
    ("failed", "answered", "status"),
    [
        pytest.param(500, 1000, DriftStatus.DRIFT, id="a third"),
        pytest.param(60, 1000, DriftStatus.DRIFT, id="above 5 %"),
        pytest.param(20, 1000, DriftStatus.WARNING, id="2 %"),
        pytest.param(1, 1000, DriftStatus.OK, id="one"),
        pytest.param(9, 1000, DriftStatus.OK, id="certain, and too few to matter"),
        pytest.param(2, 198, DriftStatus.OK, id="1 %, and no more than chance"),
        pytest.param(100, 50, DriftStatus.INSUFFICIENT_DATA, id="too few rows"),
        pytest.param(1000, 0, DriftStatus.DRIFT, id="all of them"),
    ],
)
def test_a_code_is_judged(failed, answered, status):
    assert statuses({"not_finite": failed}, answered) == {"not_finite": status}


def test_many_small_codes_do_not_hide_behind_each_other():
    found = statuses({f"code_{i}": 9 for i in range(9)}, 919)
    assert found.pop(ALL_CODES) is DriftStatus.DRIFT
    assert set(found.values()) == {DriftStatus.OK}


def test_missing_features_are_expected_where_the_baseline_has_gaps():
    gaps = Refusals(500, 5000)
    assert statuses({"missing_features": 110}, 890, gaps) == {"missing_features": DriftStatus.OK}
    assert statuses({"missing_features": 200}, 800, gaps) == {"missing_features": DriftStatus.DRIFT}
    assert statuses({"missing_features": 110}, 890) == {"missing_features": DriftStatus.DRIFT}
    both = statuses({"missing_features": 110, "not_finite": 100}, 790, gaps)
    assert both == {"missing_features": DriftStatus.OK, "not_finite": DriftStatus.DRIFT}


def test_fisher_and_the_binomial_must_both_be_sure():
    expected, failed, rows = Refusals(20, 400), 90, 1000
    p = judged({"missing_features": failed}, rows - failed, expected)["missing_features"].test.p
    table = [[failed, rows - failed], [expected.refused, expected.rows - expected.refused]]
    fisher = stats.fisher_exact(table, alternative="greater").pvalue
    assert p == pytest.approx(max(fisher, stats.binom.sf(failed - 1, rows, 0.001)), rel=1e-6)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["missing_features", "not_finite", "invalid", "timeout"]),
        st.integers(1, 400),
        min_size=1,
    ),
    st.integers(0, 3000),
)
def test_what_alarms_alone_alarms_together_and_shares_are_of_all_rows(failed, answered):
    found = judged(failed, answered)
    rows = answered + sum(failed.values())
    for code, k in failed.items():
        assert found[code].test.current == pytest.approx(k / rows)
    others = [c for c in failed if c != "missing_features"]
    if len(others) > 1 and any(found[code].test.status.alarming for code in others):
        together = found[ALL_CODES].test
        assert together.status.rank >= max(found[code].test.status.rank for code in others)


def test_false_alarms_stay_within_the_level_that_was_asked():
    """20,000 windows whose rows fail at the usual rate, spread over five codes: the family of all codes
    may raise an alarm in at most α of them."""
    rng = np.random.default_rng(7)
    alpha, alarms, windows = 0.05, 0, 20_000
    for n in (200, 1000):
        counts = rng.multinomial(n, [0.001 / 5] * 5 + [0.999], windows // 2)
        for row in np.unique(counts, axis=0, return_counts=True)[0]:
            times = int((counts == row).all(axis=1).sum())
            failed = {f"c{i}": int(k) for i, k in enumerate(row[:5]) if k}
            found = judged(failed, int(row[5]), alpha=alpha)
            alarms += times * any(f.test.status.alarming for f in found.values())
    assert alarms / windows <= alpha


def test_refusals_that_follow_the_baseline_raise_no_alarms():
    """Windows and baseline drawn from one population with 4 % of gaps, however they fall together."""
    rng = np.random.default_rng(8)
    alarms = 0
    for _ in range(2000):
        reference = int(rng.binomial(2000, 0.04))
        k = int(rng.binomial(500, 0.04))
        if k:
            found = judged({"missing_features": k}, 500 - k, Refusals(reference, 2000), alpha=0.01)
            alarms += found["missing_features"].test.status.alarming
    assert alarms / 2000 <= 0.01


@pytest.mark.parametrize("rate", [0.03, 0.1, 0.33])
def test_a_rate_that_matters_is_seen(rate):
    rng = np.random.default_rng(9)
    seen = 0
    for k in rng.binomial(1000, rate, 500).tolist():
        seen += statuses({"not_finite": k}, 1000 - k)["not_finite"].alarming
    assert seen / 500 >= 0.97


def version(missing=MissingPolicy.ERROR, datatype="FP32", default=None) -> VersionRecord:
    return VersionRecord(
        model="m",
        version="v1",
        status=VersionStatus.READY,
        stage=Stage.PRODUCTION,
        format=Format.ONNX,
        digest="0" * 64,
        size=1,
        features=(
            FeatureRef(view="v", feature="a", default=default),
            FeatureRef(view="v", feature="b"),
        ),
        missing=missing,
        signature=Signature(
            kind="regressor",
            inputs=(Tensor(name="x", datatype=datatype, shape=(-1, 2)),),
            outputs=(),
        ),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        created_by="t",
    )


def gaps(n, k):
    return [None] * k + [1.0] * (n - k)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(version(), Refusals(45, 500), id="every gap is refused"),
        pytest.param(version(MissingPolicy.NULL), Refusals(0, 0), id="nulls go into the model"),
        pytest.param(
            version(MissingPolicy.NULL, "INT64"), Refusals(45, 500), id="an integer has no null"
        ),
        pytest.param(
            version(MissingPolicy.DEFAULT, default=0.0), Refusals(20, 500), id="one has a default"
        ),
    ],
)
def test_what_the_baseline_lets_expect_follows_the_policy(record, expected):
    profile = build_profile(record.features, {"a": gaps(1000, 50), "b": gaps(500, 20)})
    assert expected_refusals(record, profile) == expected


def test_a_version_without_a_baseline_is_judged_by_its_failures_all_the_same():
    features = version().features
    profile = bare_profile(features, None)
    slots = np.zeros(profile.size, np.int64)
    slots[profile.rows_slot] = 800

    def report(**failed):
        window = last_hours(1, 2)
        return drift_report("m", "v1", window, profile, slots, traffic=Traffic(800, failed))

    assert report().status is DriftStatus.NO_REFERENCE
    assert report(not_finite=1).status is DriftStatus.NO_REFERENCE
    bad = report(not_finite=400)
    assert bad.status is DriftStatus.DRIFT
    assert bad.error_rate == pytest.approx(1 / 3)
    first = bad.series[0]
    assert (first.feature, first.kind, first.severity) == ("not_finite", "errors", Severity.MAJOR)
    assert first.errors.current == pytest.approx(1 / 3)
    assert first.reasons == ["errors"]
    assert bad.summary == (
        "Drift in 1 of 4 series over 1,200 rows; 33 % of them failed. "
        "errors: 33 % of 1,200 rows failed with not_finite (0 % expected)."
    )
