"""Every measure against scikit-learn on the same rows and weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from neuralstream_core.outcomes.auc import area_under_roc
from neuralstream_core.outcomes.calibration import calibration
from neuralstream_core.outcomes.metrics import METRICS, losses, measure
from neuralstream_core.outcomes.scored import Scored

CLOSE = {"rel": 1e-9, "abs": 1e-9}
PROBABILISTIC = ("log_loss", "brier", "auc", "ece")


def classified(truth, probability, weight=None, classes=None):
    """Of places of classes; the labels are letters."""
    truth = np.asarray(truth, int)
    n, k = probability.shape
    classes = classes or tuple("abcdefgh"[:k])
    names = np.array([*classes, "?"], object)
    return Scored(
        kind="classifier",
        truth=names[truth],
        predicted=names[np.argmax(probability, axis=1)],
        probability=probability,
        classes=classes,
        weight=np.ones(n) if weight is None else weight,
        at=np.arange(n),
    )


def regressed(truth, predicted, weight=None):
    n = len(truth)
    return Scored(
        kind="regressor",
        truth=np.asarray(truth, float),
        predicted=np.asarray(predicted, float),
        probability=None,
        classes=(),
        weight=np.ones(n) if weight is None else weight,
        at=np.arange(n),
    )


@st.composite
def classifications(draw):
    """Two to four classes, probabilities with many ties and with 0 and 1, classes that no row has."""
    k, n = draw(st.integers(2, 4)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = draw(st.sampled_from([2, 8, 1000]))
    raw = rng.integers(0, steps, (n, k)) + (rng.random((n, k)) < 0.05)
    raw[raw.sum(axis=1) == 0, -1] = 1
    weight = rng.choice([1.0, 2.5, 10.0], n) if draw(st.booleans()) else np.ones(n)
    truth = rng.integers(0, draw(st.integers(1, k)), n)
    return classified(truth, raw / raw.sum(axis=1, keepdims=True), weight)


@settings(max_examples=80, deadline=None)
@given(classifications())
def test_classifiers_measure_as_scikit_learn_does(scored):
    found = measure(scored)
    codes = np.searchsorted(scored.classes, scored.truth.astype(str))
    k, w, p = len(scored.classes), scored.weight, scored.probability
    assert found["accuracy"].value == pytest.approx(
        sk.accuracy_score(scored.truth.astype(str), scored.predicted.astype(str), sample_weight=w),
        **CLOSE,
    )
    every = list(range(k))
    assert found["log_loss"].value == pytest.approx(
        sk.log_loss(codes, y_proba=p, labels=every, sample_weight=w), **CLOSE
    )
    assert found["brier"].value == pytest.approx(
        sk.brier_score_loss(codes, y_proba=p, labels=every, sample_weight=w), **CLOSE
    )
    present = [c for c in (every if k > 2 else [1]) if 0 < (codes == c).sum() < len(codes)]
    if not present:
        assert found["auc"].value is None
        assert found["auc"].low is None
    elif k > 2 and len(present) == k:
        expected = sk.roc_auc_score(codes, p, multi_class="ovr", sample_weight=w)
        assert found["auc"].value == pytest.approx(expected, **CLOSE)
    else:
        each = [sk.roc_auc_score(codes == c, p[:, c], sample_weight=w) for c in present]
        assert found["auc"].value == pytest.approx(np.mean(each), **CLOSE)
    for measured in found.values():
        assert measured.n == len(scored)
        if measured.low is not None:
            assert measured.low - 1e-12 <= measured.value <= measured.high + 1e-12


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 60),
    st.sampled_from([0.0, 1e-3, 1.0, 1e6]),
    st.booleans(),
)
def test_regressors_measure_as_scikit_learn_does(seed, n, spread, weighted):
    rng = np.random.default_rng(seed)
    truth = rng.normal(100, spread, n)
    predicted = truth + rng.normal(0, spread / 2, n).round(3)
    weight = rng.choice([1.0, 4.0], n) if weighted else np.ones(n)
    found = measure(regressed(truth, predicted, weight))
    mae = sk.mean_absolute_error(truth, predicted, sample_weight=weight)
    rmse = sk.root_mean_squared_error(truth, predicted, sample_weight=weight)
    assert found["mae"].value == pytest.approx(mae, **CLOSE)
    assert found["rmse"].value == pytest.approx(rmse, **CLOSE)
    bias = np.average(predicted - truth, weights=weight)
    assert found["bias"].value == pytest.approx(bias, **CLOSE)
    if n < 2 or np.ptp(truth) == 0:
        assert found["r2"].value is None
    else:
        expected = sk.r2_score(truth, predicted, sample_weight=weight)
        assert found["r2"].value == pytest.approx(expected, **CLOSE)


@settings(max_examples=50, deadline=None)
@given(classifications())
def test_a_measure_that_is_a_mean_is_the_mean_of_its_losses(scored):
    found = measure(scored)
    for name in ("accuracy", "log_loss", "brier"):
        mean = np.average(losses(scored, name), weights=scored.weight)
        assert found[name].value == pytest.approx(mean, **CLOSE)


def test_the_losses_of_a_regressor_and_what_has_none():
    scored = regressed([1.0, 4.0], [3.0, 3.0])
    assert losses(scored, "mae").tolist() == [2.0, 1.0]
    assert losses(scored, "rmse").tolist() == [4.0, 1.0]
    assert losses(scored, "bias").tolist() == [2.0, -1.0]
    for name in ("r2", "accuracy", "nonsense"):
        with pytest.raises(ValueError, match=f"{name} is not the mean"):
            losses(scored, name)


def test_an_outcome_of_an_unknown_class_is_wrong_and_has_no_log_loss():
    probability = np.array([[0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])
    scored = classified([1, 0, 2], probability)
    found = measure(scored)
    assert (found["accuracy"].value, found["accuracy"].n) == (pytest.approx(2 / 3), 3)
    assert found["log_loss"].n == found["brier"].n == found["auc"].n == found["ece"].n == 2
    assert found["log_loss"].value == pytest.approx(-np.log([0.8, 0.7]).mean())
    assert np.isnan(losses(scored, "log_loss")).tolist() == [False, False, True]
    all_unknown = measure(scored.take(np.array([2])))
    assert [all_unknown[name].value for name in PROBABILISTIC] == [None] * 4


def test_without_probabilities_there_is_accuracy_alone_and_without_rows_nothing():
    labels = np.array(["x", "y"], object)
    bare = Scored("classifier", labels, labels[::-1], None, (), np.ones(2), np.arange(2))
    assert list(measure(bare)) == ["accuracy"]
    with pytest.raises(ValueError, match="log_loss needs probabilities"):
        losses(bare, "log_loss")
    for empty in (bare.take(np.arange(0)), regressed([], []), classified([], np.zeros((0, 2)))):
        assert {(m.value, m.low, m.n) for m in measure(empty).values()} == {(None, None, 0)}


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="different lengths"):
        regressed([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="a column for each"):
        classified([0], np.array([[0.5, 0.5]]), classes=("a", "b", "c"))


def test_calibration_bins_are_those_of_scikit_learn():
    rng = np.random.default_rng(4)
    p = np.append(rng.random(500).round(2), [0.0, 1.0])
    came = (rng.random(502) < p).astype(int)
    bins = calibration(classified(came, np.stack([1 - p, p], axis=1)))
    observed, predicted = calibration_curve(came, p, n_bins=10)
    assert [b.observed for b in bins] == pytest.approx(observed.tolist(), **CLOSE)
    assert [b.predicted for b in bins] == pytest.approx(predicted.tolist(), **CLOSE)
    assert sum(b.n for b in bins) == 502
    assert all(b.observed_low <= b.observed <= b.observed_high for b in bins)
    error = sum(b.n / 502 * abs(b.observed - b.predicted) for b in bins)
    assert measure(classified(came, np.stack([1 - p, p], axis=1)))["ece"].value == pytest.approx(
        error
    )


def test_of_three_classes_the_highest_probability_is_judged():
    probability = np.array([[0.95, 0.02, 0.03], [0.05, 0.91, 0.04], [0.06, 0.02, 0.92]])
    (only,) = calibration(classified([0, 1, 0], probability))
    assert (only.n, only.observed) == (3, pytest.approx(2 / 3))
    assert only.predicted == pytest.approx(2.78 / 3)


def test_the_area_from_bins_stays_within_its_stated_bound():
    rng = np.random.default_rng(8)
    positive = rng.random(200_000) < 0.3
    score = np.clip(rng.normal(0.5 + 0.05 * positive, 0.001 + 0.1 * positive), 0, 1)
    weight = rng.choice([1.0, 3.0], 200_000)
    exact = area_under_roc(score, positive, weight)
    binned = area_under_roc(score, positive, weight, exact_rows=1000)
    assert exact.within == 0.0 < binned.within < 1e-3
    assert abs(exact.value - binned.value) <= binned.within
    assert exact.value == pytest.approx(
        sk.roc_auc_score(positive, score, sample_weight=weight), **CLOSE
    )


def test_each_kind_of_model_has_its_own_measures():
    probability = np.array([[0.2, 0.8], [0.7, 0.3]])
    for scored in (classified([1, 0], probability), regressed([1.0, 2.0], [1.5, 1.5])):
        assert list(measure(scored)) == [m.name for m in METRICS.values() if m.kind == scored.kind]
