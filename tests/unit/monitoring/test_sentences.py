"""What a report says in words, held against the raw samples behind the counters."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralstream_core.monitoring.binning import build_profile
from neuralstream_core.monitoring.counting import count_series, read_column
from neuralstream_core.monitoring.decision import DriftStatus, Rate, judge
from neuralstream_core.monitoring.failures import ALL_CODES, FailureTest, Traffic
from neuralstream_core.monitoring.profile import Profile, Series
from neuralstream_core.monitoring.sentences import (
    distinct_values,
    edges_of,
    failure_sentence,
    median,
    names_of,
    number_pair,
    percent,
    percent_pair,
    series_sentence,
    summary_sentence,
)
from neuralstream_core.registry.records import FeatureRef

ALPHA = 1e-4
MEDIAN = re.compile(r"median (rose|fell) from (\S+) to (above |below |)(\S+) \(PSI")
SHARE = re.compile(r"the share of (.+) (rose|fell) from (.+ %) to (.+ %) \(PSI")


def series_of(baseline, dtype="float64") -> Series:
    feature = FeatureRef(view="v", feature="x", dtype=dtype)
    return build_profile([feature], {"x": baseline}).series[0]


def told(baseline, current, dtype="float64", *, moments=False):
    series = series_of(baseline, dtype)
    counts = count_series(series, read_column(current, type_=series.type))
    verdict = judge(series, counts, alpha=ALPHA)
    return series_sentence(series, "x", verdict, counts.tolist(), moments=moments), verdict, series


def number_of(text: str) -> float:
    return float(text.replace(",", ""))


def place_of(series: Series, value: float) -> int:
    """The bin of a raw value: -1 below the baseline's range, the number of bins above it."""
    if value < series.low:
        return -1
    if value > series.high:
        return len(series.cuts) + 1
    return sum(value > cut for cut in series.cuts)


def share_said(text: str, share: float) -> bool:
    """Whether a percentage in words is right for a share, to half of its last digit."""
    number = re.fullmatch(r"(under |over |)([\d.]+) %", text)
    assert number, text
    said = float(number[2])
    if number[1] == "under ":
        return 0 < 100 * share < said
    if number[1] == "over ":
        return said < 100 * share < 100
    unit = 10.0 ** -len(number[2].partition(".")[2])
    return abs(100 * share - said) <= unit / 2 + 1e-9


FAMILIES = ("normal", "skewed", "whole", "few", "two")


def drawn(rng: np.random.Generator, family: str, n: int, shift: float, spread: float):
    match family:
        case "normal":
            return rng.normal(100 + 30 * shift, 20 * spread, n)
        case "skewed":
            return rng.lognormal(3 + shift, 0.8 * spread, n)
        case "whole":
            return np.round(rng.normal(900 + 300 * shift, 200 * spread, n))
        case "few":
            return rng.binomial(6, min(max(0.5 + shift / 4, 0.02), 0.98), n).astype(float)
        case _:
            return (rng.random(n) < min(max(0.5 + shift / 3, 0.0), 1.0)) * 7.0


samples = st.tuples(
    st.integers(0, 2**32 - 1),
    st.sampled_from(FAMILIES),
    st.integers(250, 700),
    st.floats(-1.5, 1.5),
    st.sampled_from((0.5, 1.0, 1.0, 2.5)),
    st.sampled_from((0.0, 0.0, 0.02, 0.4)),
    st.sampled_from((0.0, 0.0, 0.02, 0.4)),
)


@settings(max_examples=150, deadline=None)
@given(samples)
def test_a_sentence_says_what_the_raw_values_say(sample):
    seed, family, n, shift, spread, nulls_before, nulls_now = sample
    rng = np.random.default_rng(seed)
    before, now = drawn(rng, family, 1000, 0.0, 1.0), drawn(rng, family, n, shift, spread)
    before[rng.random(1000) < nulls_before] = np.nan
    now[rng.random(n) < nulls_now] = np.nan
    sentence, verdict, series = told(before, now)
    old, new = np.sort(before[~np.isnan(before)]), np.sort(now[~np.isnan(now)])
    assert sentence.startswith("x: ")
    said = MEDIAN.search(sentence)
    if said:
        was, is_ = old[(len(old) - 1) // 2], new[(len(new) - 1) // 2]
        assert said[1] == ("rose" if is_ > was else "fell")
        for text, raw, side in ((said[2], was, ""), (said[4], is_, said[3])):
            value, place = number_of(text), place_of(series, raw)
            if side:
                assert place == (-1 if side == "below " else len(series.cuts) + 1)
                assert (raw < value) == (side == "below ") or math.isclose(raw, value, rel_tol=0.01)
            else:
                lower, upper = edges_of(series, place)
                rounding = abs(number_of(said[4]) - number_of(said[2])) / 2 + 1e-9
                assert lower - rounding <= value <= upper + rounding
        assert (number_of(said[4]) > number_of(said[2])) == (said[1] == "rose")
    shares = SHARE.search(sentence)
    if shares:
        slots = set(verdict.groups[0].slots)
        tails = {-1: len(series.cuts) + 1, len(series.cuts) + 1: len(series.cuts) + 2}

        def share(values):
            places = [place_of(series, value) for value in values]
            return sum(tails.get(place, place) in slots for place in places) / len(values)

        assert share_said(shares[3], share(old))
        assert share_said(shares[4], share(new))
        assert shares[2] == ("rose" if share(new) > share(old) else "fell")
    assert ("distribution" in verdict.reasons) == bool(said or shares)
    missing = re.search(r"; (.+ %) of rows have no value \((.+ %) in the baseline\)", sentence)
    if np.isnan(now).any() and missing:
        assert share_said(missing[1], float(np.isnan(now).mean()))
        assert share_said(missing[2], float(np.isnan(before).mean()))
    assert np.isnan(now).any() == ("of rows have no value" in sentence)
    outside = re.search(r"; ([^;]+ %) of values are outside", sentence)
    assert bool(outside) == ("unknown" in verdict.reasons)
    if outside:
        assert share_said(outside[1], float(((new < old[0]) | (new > old[-1])).mean()))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(FAMILIES), st.floats(-1.5, 1.5))
def test_a_median_lies_in_the_bin_of_the_raw_one(seed, family, shift):
    rng = np.random.default_rng(seed)
    series = series_of(drawn(rng, family, 800, 0.0, 1.0))
    values = drawn(rng, family, 301, shift, 1.0)
    found = median(series, count_series(series, read_column(values, type_="numeric")).tolist())
    raw = float(np.median(values))
    place = place_of(series, raw)
    lower, upper = edges_of(series, place)
    assert found.bin == place
    if 0 <= place <= len(series.cuts):
        assert lower - 1e-9 <= found.value <= upper + 1e-9
    else:
        assert found.value in (series.low, series.high)


@pytest.mark.parametrize("values", [[0, 1, 2], [-5, 0, 3, 4, 1000], [7], [0.25, 0.5], range(20)])
def test_few_values_are_told_as_they_are(values):
    series = series_of(list(values) * 30, "float64")
    assert distinct_values(series) == pytest.approx(list(values))


def test_a_continuous_series_has_no_distinct_values():
    assert distinct_values(series_of(np.random.default_rng(1).normal(size=1000))) is None


RNG = np.random.default_rng(3)
BASE = RNG.normal(872, 100, 4000)


@pytest.mark.parametrize(
    ("baseline", "current", "dtype", "expected"),
    [
        pytest.param(
            BASE,
            BASE[:1000] + 200,
            "float64",
            r"x: median rose from 87\d to 1,0\d\d \(PSI \d\.\d\d, above 0\.2\)",
            id="higher",
        ),
        pytest.param(
            BASE,
            BASE[:1000] + 5000,
            "float64",
            r"median rose from 87\d to above 1,2\d\d",
            id="above",
        ),
        pytest.param(
            BASE, BASE[:1000] - 5000, "float64", r"median fell from 87\d to below 5\d\d", id="below"
        ),
        pytest.param(
            BASE,
            872 + 3 * (BASE[:1000] - 872),
            "float64",
            r"the share of values (below 7\d\d|above 1,0\d\d|between .*) (rose|fell) from 10 % to",
            id="wider",
        ),
        pytest.param(
            BASE,
            [None if i % 10 < 3 else v for i, v in enumerate(BASE[:1000])],
            "float64",
            r"x: 30 % of rows have no value \(0 % in the baseline\)$",
            id="nulls",
        ),
        pytest.param(
            [None if i % 10 < 3 else v for i, v in enumerate(BASE)],
            BASE[:1000],
            "float64",
            r"x: every row has a value \(30 % had none in the baseline\)$",
            id="no nulls any more",
        ),
        pytest.param(
            ["a", "b"] * 500,
            ["a"] * 250 + ["b"] * 750,
            "string",
            r'the share of "[ab]" (rose from 50 % to 75 %|fell from 50 % to 25 %) \(PSI',
            id="categories",
        ),
        pytest.param(
            ["a", "b"] * 500,
            ["a", "b"] * 200 + ["new"] * 100,
            "string",
            r"20 % of values are categories that the baseline does not have \(0 % expected\)",
            id="new categories",
        ),
        pytest.param(
            [True] * 300 + [False] * 700,
            [True] * 400 + [False] * 100,
            "bool",
            r"x: the share of true rose from 30 % to 80 % \(PSI 1\.\d\d, above 0\.2\)",
            id="booleans",
        ),
        pytest.param(
            [0] * 600 + [1] * 300 + [2] * 100,
            [0] * 100 + [1] * 300 + [2] * 600,
            "int64",
            r"x: median rose from 0 to 2 \(PSI",
            id="few whole numbers",
        ),
        pytest.param(
            BASE,
            BASE[:1000],
            "float64",
            r"x: no notable change, median 87\d .*below 0\.1\)",
            id="calm",
        ),
        pytest.param(
            BASE,
            BASE[:50],
            "float64",
            r"x: 50 values are too few to judge, 200 needed",
            id="few rows",
        ),
    ],
)
def test_each_kind_of_series_has_its_words(baseline, current, dtype, expected):
    sentence, _, _ = told(baseline, current, dtype)
    assert re.search(expected, sentence), sentence


def test_times_are_told_as_times():
    day = 86_400_000_000
    baseline = 1_700_000_000_000_000 + np.arange(1000) * (day // 100)
    sentence, _, _ = told(baseline, baseline + 5 * day, "timestamp", moments=True)
    assert "median rose from 2023-11-19 21:58 UTC to 2023-11-24 21:58 UTC" in sentence


def test_kinds_of_missing_cells_are_told_apart():
    series = series_of(BASE)
    status = np.zeros(1000, np.uint8)
    status[:200], status[200:250], status[250:350] = 2, 3, 4
    column = read_column(BASE[:1000], type_="numeric", status=status)
    counts = count_series(series, column)
    sentence = series_sentence(series, "x", judge(series, counts, alpha=ALPHA), counts.tolist())
    assert sentence == (
        "x: 35 % of rows have no value (0 % in the baseline): 5 % NULL or not found, 20 % expired, "
        "10 % of a wrong type"
    )


def test_a_series_without_a_baseline_still_says_what_is_missing():
    series = Series(name="v:x", kind="feature", type="numeric", source=0)
    counts = count_series(series, read_column([1.0, None], type_="numeric"))
    verdict = judge(series, counts, alpha=ALPHA)
    assert series_sentence(series, "x", verdict, counts.tolist()) == (
        "x: no baseline to compare with; 50 % of rows have no value"
    )


def test_failed_rows_are_told_with_their_code_and_what_was_expected():
    def sentence(code, codes, failed, reference):
        test = Rate(reference=reference, current=failed / 1200, p=0.0, status=DriftStatus.DRIFT)
        return failure_sentence(FailureTest(code, codes, failed, 1200, 0, test))

    assert sentence("missing_features", 1, 400, 0.0) == (
        "errors: 33 % of 1,200 rows failed with missing_features (0 % expected)"
    )
    assert sentence("missing_features", 1, 400, 0.05).endswith("(at most 5 % expected)")
    assert "failed with 9 codes other than missing_features" in sentence(ALL_CODES, 9, 60, 0.0)


def test_a_summary_names_the_worst_and_never_hides_failures():
    traffic = Traffic(800, {"not_finite": 400}, lost=2)
    alarming = ["a: 1", "b: 2", "c: 3", "d: 4"]
    assert summary_sentence(DriftStatus.DRIFT, alarming, 9, 200, traffic) == (
        "Drift in 4 of 9 series over 1,200 rows; 33 % of them failed. "
        "a: 1. b: 2. c: 3. And 1 more; 2 more calls could not be recorded."
    )
    for status in (DriftStatus.OK, DriftStatus.INSUFFICIENT_DATA, DriftStatus.NO_REFERENCE):
        text = summary_sentence(status, [], 9, 200, Traffic(800, {"not_finite": 3}))
        assert "803 rows" in text
        assert "; 0.4 % of them failed" in text
        assert "no row failed" in summary_sentence(status, [], 9, 200, Traffic(800))


def test_names_are_short_only_where_they_are_unambiguous():
    features = [
        FeatureRef(view="a", feature="x"),
        FeatureRef(view="b", feature="x"),
        FeatureRef(view="b", feature="y"),
        FeatureRef(view="b", feature="prediction"),
        FeatureRef(view=None, feature="z"),
    ]
    profile: Profile = build_profile(features, {"y": BASE})
    assert names_of(profile) == ["a:x", "b:x", "y", "b:prediction", "z", "prediction"]


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_percentages_are_right_and_differ_when_the_shares_do(before, now):
    for share in (before, now):
        assert share_said(percent(share), share)
    was, said = percent_pair(before, now)
    assert share_said(was, before)
    assert share_said(said, now)
    if abs(before - now) > 1e-6:
        assert was != said


finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@settings(max_examples=500, deadline=None)
@given(finite, finite)
def test_two_numbers_keep_their_order_when_they_are_rounded(before, now):
    was, said = (number_of(text) for text in number_pair(before, now))
    if abs(now - before) > 1e-9 * max(abs(before), abs(now), 1e-6):
        assert (was < said) == (before < now)
        assert was != said
    for raw, rounded in ((before, was), (now, said)):
        assert math.isclose(raw, rounded, rel_tol=0.006, abs_tol=1e-9)
