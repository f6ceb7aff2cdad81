"""What a person and Prometheus read, on real storage."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from neuralstream_core.errors import NotFound
from neuralstream_core.monitoring.decision import DriftStatus
from neuralstream_core.monitoring.layout import HOUR, MINUTE, Window, named_window
from neuralstream_core.monitoring.observation import LogEntry
from neuralstream_core.monitoring.prediction_log import MAX_FLIGHT
from neuralstream_core.time import from_micros
from tests.support.monitoring import Clockwork, Watched

ROOT = Path(__file__).resolve().parents[3]
V1, V2 = Watched(), Watched(version="v2")


def last(bench, name="1h"):
    return named_window(name, bench.clock.now)


@pytest.fixture
def served(bench):
    """Production v1 with ordinary traffic."""
    bench.add_model(production_version="v1", latest_version="v1")
    bench.add_version(V1)
    rng = np.random.default_rng(1)
    bench.recorder.record(V1.batch(rng, 1000))
    return bench


def test_ordinary_traffic_is_no_drift(served):
    report = served.reports.drift("m", None, last(served))
    assert (report.version, report.status, report.rows) == ("v1", DriftStatus.OK, 1000)
    assert {s.kind for s in report.series} == {"feature", "prediction"}
    assert len(report.series) == 22
    assert all(s.ks[0] <= s.ks[1] and 0 <= s.js < 0.2 for s in report.series if s.ks)
    assert report.alarm is None


def test_drift_names_the_feature_that_moved_first(served):
    rng = np.random.default_rng(2)
    columns = list(rng.normal(size=(20, 2000)))
    columns[7] = columns[7] + 1.5
    columns[3][:400] = np.nan
    served.recorder.record(V1.batch(rng, 2000, columns=columns))
    report = served.reports.drift("m", "v1", last(served))
    assert report.status is DriftStatus.DRIFT
    assert [s.feature for s in report.series if s.status.alarming] == ["v:f7", "v:f3"]
    first, second = report.series[:2]
    assert first.bins[0].current > first.bins[0].reference
    whole = served.reports.drift("m", "v1", last(served), all_bins=True).series[0].bins
    assert whole[: len(first.bins)] == first.bins
    assert len(whole) > len(first.bins)
    for share in ("reference", "current"):
        assert sum(getattr(each, share) for each in whole) == pytest.approx(1)
    assert "distribution" in first.reasons
    assert second.reasons == ["missing"]
    assert second.missing.current == pytest.approx(400 / 3000)


def test_drift_of_a_prediction_is_one_more_series(served):
    rng = np.random.default_rng(3)
    batch = V1.batch(rng, 3000, prediction=np.ones(3000, int), score=rng.random(3000) / 2 + 0.5)
    served.recorder.record(batch)
    report = served.reports.drift("m", "v1", last(served))
    assert [s.feature for s in report.series if s.status.alarming] == ["probability", "prediction"]


def test_rows_that_fail_are_a_status_and_never_ok(served):
    """A third of the rows refused, with and without their cells, and nothing else unusual."""
    rng = np.random.default_rng(11)
    for i in range(500):
        refused = V1.refused(rng) if i % 2 else None
        served.recorder.failure("m", "v1", "not_finite", refused=refused)
    report = served.reports.drift("m", None, last(served))
    assert (report.status, report.rows, report.failed) == (DriftStatus.DRIFT, 1000, 500)
    assert report.error_rate == pytest.approx(1 / 3)
    first = report.series[0]
    assert (first.feature, first.kind, first.reasons) == ("not_finite", "errors", ["errors"])
    assert first.sentence == "errors: 33 % of 1,500 rows failed with not_finite (0 % expected)"
    assert (
        report.summary
        == f"Drift in 1 of 23 series over 1,500 rows; 33 % of them failed. {first.sentence}."
    )
    assert all(s.status is DriftStatus.OK for s in report.series[1:])
    assert {s.n_current for s in report.series if s.kind == "feature"} == {1250}
    (listed,) = served.reports.drifts(last(served)).models
    assert (listed.status, listed.drifted) == (DriftStatus.DRIFT, ["not_finite"])
    assert listed.error_rate == report.error_rate


def test_a_calm_report_still_says_how_many_rows_failed(served):
    served.recorder.failure("m", "v1", "not_finite")
    report = served.reports.drift("m", None, last(served))
    assert report.status is DriftStatus.OK
    assert report.summary == ("No drift in 23 series over 1,001 rows; 0.1 % of them failed.")


def test_every_named_window_reads_the_same_traffic(served):
    for name in ("15m", "1h", "24h", "7d"):
        assert served.reports.drift("m", "v1", last(served, name)).rows == 1000


def test_a_window_of_before_is_empty(served):
    start = served.clock.now // HOUR * HOUR - 5 * HOUR
    report = served.reports.drift("m", "v1", Window(start, start + HOUR, minutes=False))
    assert (report.status, report.rows) == (DriftStatus.INSUFFICIENT_DATA, 0)


def test_unknown_names_are_not_found(bench):
    bench.add_model()
    for model, version in (("nope", None), ("m", "v9"), ("m", None)):
        with pytest.raises(NotFound):
            bench.reports.drift(model, version, last(bench))
    with pytest.raises(NotFound):
        bench.reports.stats("nope", last(bench))


def test_the_list_of_all_puts_the_worst_first(served):
    served.add_model("other", production_version="v1")
    other = Watched(model="other")
    served.add_version(other)
    rng = np.random.default_rng(4)
    served.recorder.record(other.batch(rng, 1000, columns=list(rng.normal(2, 1, (20, 1000)))))
    served.recorder.failure("m", None, "invalid")
    listed = served.reports.drifts(last(served)).models
    assert [(s.model, s.status) for s in listed] == [
        ("other", DriftStatus.DRIFT),
        ("m", DriftStatus.OK),
    ]
    assert len(listed[0].drifted) == 20


def test_statistics_of_a_version(served):
    rng = np.random.default_rng(5)
    status = [0] * 20
    status[0], status[1] = 1, 2
    for i in range(10):
        served.recorder.record(V1.row(rng, status=status, cold=i == 0, stale_routing=i < 2))
    served.recorder.failure("m", "v1", "missing_features")
    served.recorder.failure("m", None, "no_production_version")
    report = served.reports.stats("m", last(served))
    (version,) = report.versions
    assert (version.requests, version.rows, version.failed) == (12, 1010, 1)
    assert version.errors == {"missing_features": 1}
    assert report.unrouted == {"no_production_version": 1}
    assert (version.cold_starts, version.stale_routing, version.lost) == (1, 2, 0)
    assert version.features["v:f0"].missing == pytest.approx(10 / 1010)
    assert version.features["v:f1"].expired == pytest.approx(10 / 1010)
    assert version.latency_ms["total"].p50 == pytest.approx(4, rel=0.011)
    assert version.latency_ms["inference"].p50 == pytest.approx(0.02, rel=0.011)
    assert version.latency_ms["total"].p99 == pytest.approx(20, rel=0.011)
    assert sum(k for _, k in version.predictions[0].bins) == 1010
    assert (version.traffic_share, version.configured_share) == (1.0, 1.0)
    assert report.split is None


def split_of(bench, first, second, **model):
    bench.add_model(ab_split={"v1": 0.9, "v2": 0.1}, production_version="v1", **model)
    bench.add_version(V1)
    bench.add_version(V2)
    rng = np.random.default_rng(6)
    bench.recorder.record(V1.batch(rng, first))
    bench.recorder.record(V2.batch(rng, second))
    bench.recorder.record(V2.batch(rng, 5000, pinned=True))
    return bench.reports.stats("m", last(bench))


def test_a_split_that_holds_is_no_mismatch(bench):
    report = split_of(bench, 9020, 980)
    assert report.split.n == 10_000
    assert not report.split.mismatch
    assert [v.traffic_share for v in report.versions] == pytest.approx([0.902, 0.098])
    assert [v.configured_share for v in report.versions] == [0.9, 0.1]


def test_a_split_that_does_not_hold_is_flagged(bench):
    report = split_of(bench, 8500, 1500)
    assert report.split.mismatch
    assert report.split.p < 1e-6


def test_traffic_of_before_a_split_is_not_held_against_it(bench):
    bench.clock = Clockwork(bench.clock.now // MINUTE * MINUTE)
    bench.__post_init__()
    split_of(bench, 5000, 0)
    changed = from_micros(bench.clock.now + 1)
    bench.clock.forward(minutes=10.5)
    report = split_of(bench, 900, 100, updated_at=changed)
    assert report.split.n == 1000
    assert not report.split.mismatch


def test_prometheus_can_read_the_metrics_and_they_are_the_same_numbers(served):
    served.add_model("quoted", production_version="v1")
    rng = np.random.default_rng(7)
    for _ in range(20):
        served.recorder.record(V1.row(rng))
    served.recorder.failure("m", "v1", "missing_features")
    served.recorder.failure("m", None, "invalid")
    served.recorder.record(V1.row(rng, log=[LogEntry(b"{}", 1)]))
    served.recorder.record(V1.row(rng, log=[LogEntry(b"{}", 3), LogEntry(bytes(MAX_FLIGHT), 7)]))
    text = served.reports.metrics()
    families = {f.name: f for f in text_string_to_metric_families(text)}

    def value(family, sample, **labels):
        found = [
            s.value
            for s in families[family].samples
            if s.name == sample and labels.items() <= s.labels.items()
        ]
        assert len(found) == 1, (sample, labels, found)
        return found[0]

    name = "neuralstream_requests"
    assert value(name, name + "_total", model="m", version="v1") == 24
    assert value("neuralstream_predictions", "neuralstream_predictions_total") == 1022
    (version,) = served.reports.stats("m", named_window("1h", served.clock.now)).versions
    assert (version.logged, version.overflowed) == (4, 7)
    for log, rows in (("logged_predictions", 4), ("log_overflow", 7)):
        assert value(f"neuralstream_{log}", f"neuralstream_{log}_total", version="v1") == rows
    errors = "neuralstream_errors"
    assert value(errors, errors + "_total", code="missing_features") == 1
    assert value(errors, errors + "_total", version="", code="invalid") == 1
    latency = "neuralstream_latency_seconds"
    assert value(latency, latency + "_count", part="total") == 23
    assert value(latency, latency + "_bucket", part="total", le="+Inf") == 23
    assert value(latency, latency + "_bucket", part="total", le="0.01") == 22
    assert value(latency, latency + "_sum", part="total") == pytest.approx(0.108, rel=0.011)
    assert value("neuralstream_drift_status", "neuralstream_drift_status") == 0
    served.recorder.failure("m", "v1", "not_finite", rows=400)
    families = {f.name: f for f in text_string_to_metric_families(served.reports.metrics())}
    rows, ratio = "neuralstream_row_errors", "neuralstream_failed_rows_ratio"
    assert value(rows, rows + "_total", version="v1", code="not_finite") == 400
    of = 1022 + 400 + 2  # with the one refused and the one that found no version
    assert value(ratio, ratio, code="not_finite") == pytest.approx(400 / of)
    assert value(ratio, ratio, code="invalid") == pytest.approx(1 / of)
    status = "neuralstream_failed_rows_status"
    assert value(status, status, code="not_finite") == 2
    assert value("neuralstream_drift_status", "neuralstream_drift_status") == 2
    psi = [s.labels["feature"] for s in families["neuralstream_feature_psi"].samples]
    assert sorted(psi) == sorted([*(f"v:f{i}" for i in range(20)), "prediction", "probability"])
    buckets = [
        s.value
        for s in families[latency].samples
        if s.name.endswith("_bucket") and s.labels["part"] == "total"
    ]
    assert buckets == sorted(buckets)


def test_metrics_of_nothing_are_still_valid(bench):
    assert list(text_string_to_metric_families(bench.reports.metrics()))


def test_the_dashboard_asks_only_for_metrics_that_exist(served):
    served.recorder.failure("m", "v1", "invalid")
    samples = {
        (sample.name, label)
        for family in text_string_to_metric_families(served.reports.metrics())
        for sample in family.samples
        for label in ("", *sample.labels)
    }
    dashboard = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text())
    queries = [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", ())]
    assert len(queries) > 15
    for query in queries:
        for name, selector in re.findall(r"(neuralstream_\w+)\{([^}]*)\}", query):
            for label in re.findall(r"(\w+)(?:=~|!=|=)", selector):
                assert (name, label) in samples, query


def test_rows_of_a_former_baseline_are_still_counted(served):
    other = Watched()
    other.profile = other.profile.model_copy(update={"series": other.profile.series[:21]})
    other.profile.__dict__.pop("digest", None)
    other.profile.__dict__.pop("encoded", None)
    other.profile.__dict__.pop("offsets", None)
    served.add_version(other)
    served.recorder.record(other.batch(np.random.default_rng(8), 50))
    (version,) = served.reports.stats("m", last(served)).versions
    assert version.rows == 1050
    assert served.reports.drift("m", "v1", last(served)).rows == 50
