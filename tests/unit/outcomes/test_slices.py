"""Slices: the worst first, with rows enough, and called worse only where they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralstream_core.outcomes.metrics import measure
from neuralstream_core.outcomes.scored import Scored
from neuralstream_core.outcomes.slices import MIN_ROWS, slices_of


def right_or_wrong(right, weight=None):
    labels = np.array(["no", "yes"], object)
    n = len(right)
    weight = np.ones(n) if weight is None else weight
    predicted = np.full(n, "yes", object)
    return Scored(
        "classifier", labels[np.asarray(right, int)], predicted, None, (), weight, np.arange(n)
    )


def test_the_worst_category_comes_first_and_is_called_worse():
    airports = ["EWR"] * 400 + ["JFK"] * 400 + ["LGA"] * 29 + [None] * 40
    right = [1] * 360 + [0] * 40 + [1] * 280 + [0] * 120 + [0] * 29 + [1] * 40
    found = slices_of(right_or_wrong(right), airports, "accuracy")
    assert [(s.values, s.n, s.measured.value) for s in found] == [
        ("JFK", 400, 0.7),
        ("EWR", 400, 0.9),
        ("no value", 40, 1.0),
    ]
    assert [s.worse for s in found] == [True, False, False]
    assert found[0].measured.low < 0.7 < found[0].measured.high
    assert slices_of(right_or_wrong(right), airports, "accuracy", least=1)[0].values == "LGA"


def test_numbers_are_cut_into_tenths_and_few_distinct_ones_are_not():
    rng = np.random.default_rng(2)
    hours = rng.integers(0, 4, 1000).tolist()
    assert {
        s.values for s in slices_of(right_or_wrong(rng.random(1000) < 0.8), hours, "accuracy")
    } == {*"0123"}
    distance = rng.normal(500, 100, 1000)
    right = rng.random(1000) < np.where(distance > 600, 0.4, 0.9)
    found = slices_of(right_or_wrong(right), distance.tolist(), "accuracy")
    assert len(found) == 10
    assert found[0].values.endswith("or more")
    assert found[0].worse
    assert sum(s.share for s in found) == pytest.approx(1)


def test_rare_texts_are_one_slice():
    texts = [f"city{i}" for i in range(60) for _ in range(10)] + ["town"] * 50
    found = slices_of(right_or_wrong([1] * len(texts)), texts, "accuracy")
    assert {s.values for s in found} == {"town", "any other value"}
    assert not any(s.worse for s in found)


def test_a_bias_to_either_side_is_worse():
    truth = np.zeros(300)
    predicted = np.r_[np.full(100, -5.0), np.full(100, 0.5), np.full(100, 4.0)]
    predicted += np.random.default_rng(1).normal(0, 1, 300)
    scored = Scored("regressor", truth, predicted, None, (), np.ones(300), np.arange(300))
    found = slices_of(scored, [True] * 100 + [False] * 200, "bias")
    assert [(s.values, s.worse) for s in found] == [("true", True), ("false", False)]
    by_kind = slices_of(scored, ["low"] * 100 + ["mid"] * 100 + ["high"] * 100, "mae")
    assert [s.values for s in by_kind] == ["low", "high", "mid"]


def test_equal_slices_are_rarely_called_worse():
    rng = np.random.default_rng(5)
    wrongly = 0
    for _ in range(200):
        right = rng.random(1000) < 0.93
        found = slices_of(right_or_wrong(right), rng.integers(0, 10, 1000).tolist(), "accuracy")
        wrongly += any(s.worse for s in found)
    assert wrongly <= 0.08 * 200


value = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 50),
    st.floats(allow_infinity=False),
    st.text(max_size=3),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(value, max_size=60), st.integers(0, 2**32 - 1))
def test_every_row_is_in_one_slice_whatever_the_values(values, seed):
    rng = np.random.default_rng(seed)
    n = len(values)
    scored = right_or_wrong(rng.random(n) < 0.7, rng.choice([1.0, 5.0], n))
    found = slices_of(scored, values, "accuracy", least=1)
    assert sum(s.n for s in found) == n
    assert len({s.values for s in found}) == len(found)
    if n:
        whole = sum(s.share * s.measured.value for s in found)
        assert whole == pytest.approx(measure(scored)["accuracy"].value)
    best = [s.measured.value for s in found]
    assert best == sorted(best)


def test_what_is_no_measure_of_the_model_is_refused():
    scored = right_or_wrong([1] * MIN_ROWS)
    with pytest.raises(ValueError, match="mae is no measure of a classifier"):
        slices_of(scored, ["a"] * MIN_ROWS, "mae")
    with pytest.raises(ValueError, match="as many values"):
        slices_of(scored, ["a"], "accuracy")
    assert slices_of(scored, ["a"] * MIN_ROWS, "log_loss") == []
