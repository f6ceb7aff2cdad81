"""Percentiles out of buckets, against the sorted sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.monitoring.latency import SCALES, mean, quantile

TOTAL, FEATURES, INFERENCE = SCALES
BOUND = 0.011


def histogram(scale, sample):
    return np.bincount([scale.bucket(x) for x in sample], minlength=scale.size)


def exact(sample, q):
    return float(np.sort(sample)[max(0, math.ceil(q * len(sample)) - 1)])


def samples():
    rng = np.random.default_rng(7)
    slow = rng.lognormal(math.log(0.25), 0.2, 3000)
    return {
        "lognormal": rng.lognormal(math.log(0.004), 0.6, 20_000),
        "wide lognormal": rng.lognormal(math.log(0.002), 1.5, 20_000),
        "bimodal": np.concatenate((rng.lognormal(math.log(0.0008), 0.1, 7000), slow)),
        "one value": np.full(10, 0.0123),
        "a single one": np.array([0.7]),
    }


@pytest.mark.parametrize("name", samples())
@pytest.mark.parametrize("q", [0.01, 0.5, 0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("scale", SCALES, ids=["total", "features", "inference"])
def test_percentiles_are_within_their_bound(name, q, scale):
    sample = np.clip(samples()[name], 10e-6, 1.3)
    found = quantile(scale, histogram(scale, sample), q)
    assert found == pytest.approx(exact(sample, q), rel=BOUND)


@given(st.floats(10e-6, 60.0))
def test_a_total_between_10_microseconds_and_a_minute_is_kept_within_its_bound(seconds):
    assert TOTAL.estimate(TOTAL.bucket(seconds)) == pytest.approx(seconds, rel=BOUND)


@given(st.floats(1.32, 80.0))
def test_a_part_that_takes_seconds_is_kept_coarsely(seconds):
    assert INFERENCE.estimate(INFERENCE.bucket(seconds)) == pytest.approx(seconds, rel=0.18)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_buckets_keep_the_order_and_every_duration_has_one(a, b):
    for scale in SCALES:
        x, y = scale.bucket(min(a, b)), scale.bucket(max(a, b))
        assert 0 <= x <= y < scale.size


@pytest.mark.parametrize("scale", SCALES)
def test_buckets_join_without_a_gap(scale):
    for bucket in range(scale.size - 1):
        assert scale.bounds(bucket)[1] == pytest.approx(scale.bounds(bucket + 1)[0], rel=1e-12)


def test_the_scales_share_a_string_without_overlap():
    assert [s.first for s in SCALES] == [0, TOTAL.size, TOTAL.size + FEATURES.size]


def test_means_are_within_the_same_bound_and_nothing_has_no_percentile():
    sample = samples()["lognormal"]
    assert mean(TOTAL, histogram(TOTAL, sample).tolist()) == pytest.approx(sample.mean(), rel=BOUND)
    assert quantile(TOTAL, [0] * TOTAL.size, 0.5) is None
    assert mean(TOTAL, [0] * TOTAL.size) is None
