"""Bins and counts: a value is counted where its equal in the baseline was."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid
from neuralstream_core.monitoring.binning import build_profile, quantile_cuts
from neuralstream_core.monitoring.counting import RowCounter, count
from neuralstream_core.monitoring.profile import Profile, bare_profile
from neuralstream_core.registry.records import FeatureRef


def ref(name="x", dtype="float64", size=1, view="v"):
    return FeatureRef(view=view, feature=name, dtype=dtype, size=size)


def series_of(values, dtype="float64"):
    return build_profile([ref(dtype=dtype)], {"x": values}).series[0]


def labelled(series):
    return {label: k for label, k in zip(series.labels(), series.reference, strict=True) if k}


# -- whose column it is --------------------------------------------------------------------------


def test_a_name_that_several_roles_share_is_refused_with_all_that_have_it():
    roles = [
        FeatureRef(view="weather", feature="temp", role=role) for role in ("origin", "destination")
    ]
    with pytest.raises(Invalid) as raised:
        build_profile(roles, {"temp": [1.0]})
    (place,) = raised.value.errors
    assert place.loc == "baseline.columns.temp"
    assert place.msg == "ambiguous: weather@origin:temp, weather@destination:temp"


def test_each_role_has_its_own_series():
    roles = [
        FeatureRef(view="weather", feature="temp", role=role)
        for role in ("origin", "destination", None)
    ]
    columns = {
        "weather@origin:temp": [1.0] * 5,
        "weather@destination:temp": [2.0] * 6,
        "weather:temp": [3.0] * 7,
    }
    profile = build_profile(roles, columns)
    assert [(one.name, sum(one.reference)) for one in profile.series[:3]] == [
        ("weather@origin:temp", 5),
        ("weather@destination:temp", 6),
        ("weather:temp", 7),
    ]


# -- where bins lie ------------------------------------------------------------------------------


def test_a_continuous_baseline_is_cut_into_twentieths():
    series = series_of(np.random.default_rng(1).normal(size=10_000))
    assert len(series.cuts) == 19
    assert series.reference[:20] == (500,) * 20
    assert sum(series.reference[20:]) == 0


def test_one_huge_outlier_does_not_stretch_the_bins():
    plain = np.random.default_rng(1).normal(size=1000)
    with_outlier = series_of([*plain, 1e12])
    assert with_outlier.cuts == pytest.approx(series_of(plain).cuts, abs=0.05)


def test_a_constant_has_one_bin_and_everything_else_is_outside():
    profile = build_profile([ref()], {"x": [7.0] * 50})
    series = profile.series[0]
    assert series.cuts == ()
    assert series.reference == (50, 0, 0, 0, 0, 0)
    slots = count(profile, [[6.9, 7.0, 7.1]], [1], None, [0.0] * 3, None, 3)
    assert slots[:3].tolist() == [1, 1, 1]


def test_few_distinct_integers_get_a_bin_each():
    series = series_of([1] * 5 + [2] * 90 + [9] * 5, "int64")
    assert series.cuts == (1.5, 5.5)
    assert series.reference[:3] == (5, 90, 5)


def test_ties_are_never_split():
    values = [0.0] * 700 + list(np.linspace(1, 2, 300))
    series = series_of(values)
    assert series.reference[0] == 700
    assert min(series.reference[: len(series.cuts) + 1]) > 0


@given(st.lists(st.floats(-1e300, 1e300) | st.integers(-5, 5).map(float), min_size=1, max_size=200))
def test_every_bin_of_a_baseline_holds_some_of_it(values):
    cuts = quantile_cuts(np.array(values), 20)
    assert all(a < b for a, b in pairwise(cuts))
    bins = np.bincount(np.searchsorted(cuts, values, side="left"), minlength=len(cuts) + 1)
    assert len(bins) <= 20
    assert bins.min() > 0


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=100))
def test_a_value_that_went_through_float32_and_back_stays_in_its_bin(values):
    baseline = [float(repr(v)) for v in values]  # as JSON brings it
    profile = build_profile([ref(dtype="float32")], {"x": baseline})
    stored = np.array(values, np.float32)
    slots = count(profile, [stored], [1], None, [0.0] * len(values), None, len(values))
    assert tuple(slots[: profile.series[0].size]) == profile.series[0].reference


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        ([None, None, float("nan")], {"missing": 3}),
        ([], {}),
        ([True, False, None], {"missing": 1, "false": 1, "true": 1}),
        ([1, 0, True], {"false": 1, "true": 2}),
    ],
)
def test_baselines_of_hardly_anything(values, counted):
    dtype = "bool" if "true" in counted else "float64"
    assert labelled(series_of(values, dtype)) == counted


def test_numpy_columns_and_lists_count_alike():
    rng = np.random.default_rng(3)
    column = rng.normal(size=500)
    column[::7] = np.nan
    assert series_of(column) == series_of([None if math.isnan(v) else v for v in column])


def test_timestamps_are_counted_as_times():
    moments = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 29)]
    series = series_of(moments, "timestamp")
    assert sum(series.reference[: series.values]) == 28


def test_categories_are_ranked_and_the_rest_is_known_or_unknown():
    texts = [f"c{i:02d}" for i in range(30) for _ in range(30 - i)]
    profile = build_profile([ref(dtype="string")], {"x": texts})
    series = profile.series[0]
    assert series.categories == tuple(f"c{i:02d}" for i in range(20))
    assert series.novel == 1  # c29 was seen once
    column = ["c00", "c29", "never seen", None]
    slots = count(profile, [column], [1], None, [0.0] * 4, None, 4)
    names = dict(zip(series.labels(), slots.tolist(), strict=False))
    assert {n: k for n, k in names.items() if k} == {
        "c00": 1,
        "(other)": 1,
        "(unknown)": 1,
        "missing": 1,
    }


def test_a_baseline_of_a_great_many_categories_knows_no_unknown():
    profile = build_profile([ref(dtype="string")], {"x": [f"user{i}" for i in range(5000)]})
    slots = count(profile, [["somebody else"]], [1], None, [0.0], None, 1)
    names = dict(zip(profile.series[0].labels(), slots.tolist(), strict=False))
    assert (names["(other)"], names["(unknown)"]) == (1, 0)
    assert len(profile.to_json()) < 64_000


def test_a_vector_is_its_norm_and_a_summary_of_its_dimensions():
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(400, 64))
    profile = build_profile([ref(dtype="float32", size=64)], {"x": vectors.tolist()})
    names = [s.name for s in profile.series]
    assert names[0] == "v:x"
    assert len([n for n in names if n.startswith("v:x[")]) == 16
    assert profile.series[0].component == -1
    assert sum(profile.series[5].reference) == 400


def test_a_histogram_is_a_baseline_too():
    edges, counts = [0.0, 1.0, 2.0], [30, 70]
    profile = build_profile(
        [ref("a"), ref("b", "string"), ref("c", "bool")],
        {
            "a": {"edges": edges, "counts": counts, "missing": 5},
            "b": {"categories": {"x": 9, "y": 1}},
            "c": {"categories": {"true": 4, "false": 6}},
        },
    )
    assert [labelled(s) for s in profile.series[:3]] == [
        {"(0, 1]": 30, "(1, 2]": 70, "missing": 5},
        {"x": 9, "y": 1},
        {"false": 6, "true": 4},
    ]


@pytest.mark.parametrize(
    ("features", "columns", "loc"),
    [
        ([ref()], {"y": [1.0]}, "baseline.columns.y"),
        ([ref(view="a"), ref(view="b")], {"x": [1.0]}, "baseline.columns.x"),
        ([ref()], {"x": [1.0], "v:x": [2.0]}, "baseline.columns.v:x"),
        ([ref()], {"x": "text"}, "baseline.columns.x"),
        ([ref()], {"x": ["a", "b"]}, "baseline.columns.x"),
        ([ref()], {"x": {"edges": [0, 1], "counts": [1, 2]}}, "baseline.columns.x"),
        ([ref()], {"x": {"edges": [1, 0], "counts": [1]}}, "baseline.columns.x.edges"),
        ([ref()], {"x": {"edges": [0, 1], "counts": [-1]}}, "baseline.columns.x.counts"),
        ([ref()], {"x": {"bins": [0, 1]}}, "baseline.columns.x"),
        ([ref(size=3)], {"x": {"edges": [0, 1], "counts": [1]}}, "baseline.columns.x"),
    ],
)
def test_a_baseline_that_cannot_be_is_refused_by_place(features, columns, loc):
    with pytest.raises(Invalid) as refused:
        build_profile(features, columns)
    assert refused.value.errors[0].loc == loc


# -- storage -------------------------------------------------------------------------------------


def mixed(seed=0):
    n, rng = 300, np.random.default_rng(seed)
    features = [
        ref("f64"),
        ref("f32", "float32"),
        ref("i", "int64"),
        ref("s", "string"),
        ref("b", "bool"),
        ref("e", "float32", 5),
        ref("none"),
    ]
    columns = {
        "f64": rng.normal(size=n).tolist(),
        "f32": rng.normal(size=n).tolist(),
        "i": rng.integers(-3, 40, n).tolist(),
        "s": rng.choice(list("abcdefghijklmnopqrstuvwxyz"), n).tolist(),
        "b": (rng.random(n) < 0.3).tolist(),
        "e": rng.normal(size=(n, 5)).tolist(),
    }
    profile = build_profile(
        features,
        columns,
        prediction=rng.choice(["no", "yes"], n).tolist(),
        score=rng.random(n).tolist(),
        classes=["no", "yes"],
    )
    return features, profile


def test_a_profile_is_its_bytes():
    _, profile = mixed()
    again = Profile.from_json(profile.to_json())
    assert again == profile
    assert again.digest == profile.digest
    assert mixed()[1].digest == profile.digest != mixed(seed=1)[1].digest


@pytest.mark.parametrize("data", [b"", b"[]", b'{"series": 1}', b'{"series":[{"name":"x"}]}'])
def test_what_is_no_profile_is_refused(data):
    with pytest.raises(Invalid):
        Profile.from_json(data)


def test_a_profile_whose_counts_do_not_fit_is_refused():
    _, profile = mixed()
    body = json.loads(profile.to_json())
    body["series"][0]["reference"] = [1, 2]
    with pytest.raises(Invalid):
        Profile.from_json(json.dumps(body).encode())


# -- one row and many rows are counted alike -----------------------------------------------------

numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**70), 2**70)
anything = st.none() | numbers | st.booleans() | st.text(max_size=3)
values = st.tuples(
    anything,
    anything,
    anything,
    st.none() | st.sampled_from("abcdefghijklmnopqrstuvwxyz?") | st.integers(0, 3),
    st.none() | st.booleans() | st.integers(0, 2),
    st.none() | st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=5),
    anything,
)
rows = st.lists(
    st.tuples(values, st.none() | st.lists(st.integers(0, 3), min_size=7, max_size=7)),
    min_size=1,
    max_size=8,
)


@given(rows, st.booleans())
def test_a_row_is_counted_as_the_same_row_in_a_batch(rows, referenced):
    features, profile = mixed()
    if not referenced:
        profile = bare_profile(features, ["no", "yes"])
    row_counter = RowCounter(profile, len(features))
    alone = np.zeros(profile.size, np.int64)
    for row, status in rows:
        np.add.at(alone, row_counter.answered(row, status, "yes", 0.25), 1)
    alone[profile.rows_slot] += len(rows)
    n = len(rows)
    status = np.array([s or [0] * 7 for _, s in rows], np.uint8)
    columns = [[row[i] for row, _ in rows] for i in range(7)]
    together = count(
        profile, columns, [f.size for f in features], status, ["yes"] * n, [0.25] * n, n
    )
    assert together.tolist() == alone.tolist()


@given(rows)
def test_every_row_is_in_exactly_one_slot_of_each_series(rows):
    features, profile = mixed()
    columns = [[row[i] for row, _ in rows] for i in range(7)]
    slots = count(
        profile, columns, [f.size for f in features], None, ["no"] * len(rows), None, len(rows)
    )
    for series, start in zip(profile.series, profile.offsets, strict=False):
        total = slots[start : start + series.size].sum()
        assert total == (0 if series.name == "probability" else len(rows)) or (
            series.kind == "dimension" and total <= len(rows)
        )
    assert slots[-1] == len(rows)


@given(
    st.lists(st.floats() | st.sampled_from([-1.0, 0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=30),
    st.lists(st.floats(-1e300, 1e300) | st.integers(-5, 5).map(float), min_size=1, max_size=60),
)
def test_many_numbers_at_once_fall_into_the_bins_of_their_parts(values, baseline):
    profile = build_profile([ref()], {"x": baseline})
    whole = np.resize(values, 2400)

    def counted(numbers):
        return count(profile, [numbers], [1], None, [0.0] * len(numbers), None, len(numbers))

    assert counted(whole).tolist() == sum(map(counted, np.split(whole, 6))).tolist()
