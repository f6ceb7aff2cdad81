"""Every series of every profile has a sentence, whatever was counted."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralstream_core.monitoring.binning import build_profile
from neuralstream_core.monitoring.drift import drift_report
from neuralstream_core.monitoring.failures import Traffic
from neuralstream_core.monitoring.layout import last_hours
from neuralstream_core.registry.records import FeatureRef

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
counts_of = st.integers(0, 5000)


def anything(draw) -> tuple[FeatureRef, object]:
    """A feature and a baseline of it, in any form that registration takes."""
    counts = st.integers(0, 10**6)
    match draw(st.sampled_from(["histogram", "values", "category", "boolean", "time", "vector"])):
        case "histogram":
            edges = sorted(draw(st.sets(finite, min_size=2, max_size=30)))
            filled = [draw(counts) for _ in edges[1:]]
            given_ = {"edges": edges, "counts": filled, "missing": draw(counts)}
            return FeatureRef(view="v", feature="x", dtype="float64"), given_
        case "values":
            values = draw(st.lists(st.one_of(st.none(), finite), min_size=1, max_size=60))
            return FeatureRef(view="v", feature="x", dtype="float64"), values
        case "category":
            texts = st.dictionaries(st.text(max_size=200), counts, min_size=1, max_size=30)
            given_ = {"categories": draw(texts)}
            return FeatureRef(view="v", feature="x", dtype="string"), given_
        case "boolean":
            given_ = {"categories": {"true": draw(counts), "false": draw(counts)}}
            return FeatureRef(view="v", feature="x", dtype="bool"), given_
        case "time":
            moments = st.integers(-(2**62), 2**62)
            values = draw(st.lists(moments, min_size=1, max_size=60))
            return FeatureRef(view="v", feature="x", dtype="timestamp"), values
        case _:
            rows = st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3)
            values = draw(st.lists(rows, min_size=1, max_size=30))
            return FeatureRef(view="v", feature="x", dtype="float32", size=3), values


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_window_of_every_series_has_a_sentence(data):
    feature, baseline = anything(data.draw)
    profile = build_profile([feature], {"x": baseline})
    slots = np.zeros(profile.size, np.int64)
    for place in range(profile.size):
        slots[place] = data.draw(st.sampled_from([0, 0, 1, 30, 500, 10**6, 2**32 - 1]))
    failed = data.draw(st.dictionaries(st.sampled_from(["a", "b", "missing_features"]), counts_of))
    traffic = Traffic(int(slots[-1]), failed)
    window = last_hours(1, 2)
    report = drift_report("m", "v1", window, profile, slots, traffic=traffic, features=[feature])
    for series in report.series:
        assert series.sentence
        assert "nan" not in series.sentence
    assert report.summary.endswith(".")
    if any(series.status.alarming for series in report.series):
        assert report.status.alarming
