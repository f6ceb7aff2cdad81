"""What a row looked like that got no answer: counted like any other, whichever way it came."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from onnx import helper

from neuralstream_core.errors import Invalid
from neuralstream_core.features import ViewSpec
from neuralstream_core.monitoring.baseline import BaselineProfiler
from neuralstream_core.monitoring.decision import DriftStatus
from neuralstream_core.monitoring.evaluation import Alarms
from neuralstream_core.monitoring.layout import named_window
from neuralstream_core.monitoring.profile import ProfileCache
from neuralstream_core.monitoring.reader import CounterReader
from neuralstream_core.monitoring.reports import Reports
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.registrar import Registrar
from neuralstream_core.time import system_clock
from neuralstream_lambda.serving import engine, recorder
from tests.support.artifacts import double_sum, onnx_bytes
from tests.support.functions import load_function
from tests.support.jobs import NAMESPACE
from tests.support.registering import InProcess

ROWS = 300
FEATURES = ["user:a", "user:b"]
WAYS = ("single", "batch", "v2", "job")


def tolerant() -> bytes:
    """A model that takes NaN for 0."""
    nodes = [
        helper.make_node("IsNaN", ["x"], ["gap"]),
        helper.make_node("Where", ["gap", "zero", "x"], ["filled"]),
        helper.make_node("MatMul", ["filled", "w"], ["y"]),
    ]
    constants = {"zero": np.zeros(1, np.float32), "w": np.ones((2, 1), np.float32)}
    return onnx_bytes(nodes, constants)


@pytest.fixture
def house(job_house):
    """Users of whom three in ten have no ``a``, and registration with baselines."""
    artifacts = ArtifactStore(job_house.s3, job_house.settings.data_bucket)
    job_house.registrar = Registrar(
        job_house.registry,
        artifacts,
        job_house.catalog,
        job_house.services,
        InProcess(),
        BaselineProfiler(artifacts),
    )
    features = [{"name": name, "dtype": "float64"} for name in "ab"]
    spec = {"entity": "user_id", "features": features, "ttl_seconds": 3600}
    job_house.catalog.put("user", ViewSpec.model_validate(spec))
    rng = np.random.default_rng(4)
    job_house.write(
        "user",
        {
            f"u{i}": {"a": None if i % 10 < 3 else rng.normal(), "b": rng.normal()}
            for i in range(ROWS)
        },
    )
    return job_house


def register(house, policy: str, data: bytes, gaps: float = 0.0) -> None:
    rng = np.random.default_rng(5)
    a = [None if rng.random() < gaps else float(v) for v in rng.normal(size=2000)]
    columns = {"a": a, "b": rng.normal(size=2000).tolist()}
    features: list[Any] = FEATURES
    if policy == "default":
        features = [{"feature": name, "default": 0.0} for name in FEATURES]
    house.serve("m", data, features, format="onnx", missing=policy, baseline={"columns": columns})


def serve(house, way: str, ids: list[str]) -> None:
    """Ask for every entity, one way or another."""
    serving = engine(house.settings)
    if way == "single":
        for entity in ids:
            with suppress(Invalid):
                serving.predict("m", entity)
    elif way == "batch":
        serving.predict_columns("m", ids)
    elif way == "job":
        lines = "\n".join(json.dumps({"entity_id": entity}) for entity in ids)
        house.run(house.put("in/rows.jsonl", lines), "m")
    else:
        function = load_function(
            "predict",
            {
                "NEURALSTREAM_NAMESPACE": NAMESPACE,
                "NEURALSTREAM_REDIS_HOST": house.settings.redis_host,
                "NEURALSTREAM_REDIS_PORT": str(house.settings.redis_port),
                "NEURALSTREAM_TABLE": house.settings.table,
                "NEURALSTREAM_DATA_BUCKET": house.settings.data_bucket,
            },
        )
        for entity in ids:
            function.lambda_handler(v2_event(entity), Context())
    assert recorder(house.settings).lost == 0


class Context:
    aws_request_id = "request"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 10_000


def v2_event(entity: str) -> dict[str, Any]:
    return {
        "version": "2.0",
        "routeKey": "POST /v2/models/{model}/infer",
        "pathParameters": {"model": "m"},
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "requestId": "r-1",
            "authorizer": {"lambda": {"principal": "tests", "scopes": "predict"}},
        },
        "body": json.dumps({"parameters": {"entity_id": entity}}),
        "isBase64Encoded": False,
    }


def reports(house) -> Reports:
    artifacts = ArtifactStore(house.s3, house.settings.data_bucket)
    return Reports(
        house.registry,
        CounterReader(house.port, NAMESPACE),
        ProfileCache(artifacts.get_profile),
        Alarms(house.table, NAMESPACE),
    )


def report_of(house, name="1h"):
    return reports(house).drift("m", None, named_window(name, system_clock()))


def series_of(report, name):
    return next(series for series in report.series if series.feature == name)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("policy", ["error", "null", "default"])
def test_thirty_per_cent_of_nulls_are_in_the_status_the_rate_and_the_sentence(house, policy, way):
    register(house, policy, tolerant())
    serve(house, way, [f"u{i}" for i in range(ROWS)])
    for window in ("1h", "24h"):
        report = report_of(house, window)
        assert report.status is DriftStatus.DRIFT
        missing = series_of(report, "user:a")
        assert missing.status is DriftStatus.DRIFT
        assert missing.reasons == ["missing"]
        assert missing.missing.current == pytest.approx(0.3)
        assert missing.sentence == "a: 30 % of rows have no value (0 % in the baseline)"
        assert missing.sentence in report.summary
        assert series_of(report, "user:b").status is DriftStatus.OK
        failures = [series for series in report.series if series.kind == "errors"]
        if policy == "error":
            (failed,) = failures
            assert report.series[0] == failed
            assert (failed.feature, failed.status) == ("missing_features", DriftStatus.DRIFT)
            assert failed.errors.current == report.error_rate == pytest.approx(0.3)
            assert failed.sentence == (
                "errors: 30 % of 300 rows failed with missing_features (0 % expected)"
            )
            assert report.summary.startswith(
                f"Drift in 2 of 4 series over 300 rows; 30 % of them failed. {failed.sentence}"
            )
        else:
            assert failures == []
            assert (report.failed, report.error_rate) == (0, 0.0)
        (stats,) = reports(house).stats("m", named_window(window, system_clock())).versions
        assert stats.missing_rate == pytest.approx(0.15)
        assert stats.features["user:a"].missing == pytest.approx(0.3)
        assert stats.error_rate == report.error_rate
        assert stats.rows == ROWS - report.failed


@pytest.mark.parametrize("way", WAYS)
def test_rows_that_the_model_cannot_answer_are_counted_with_their_cells(house, way):
    register(house, "null", double_sum())
    serve(house, way, [f"u{i}" for i in range(ROWS)])
    report = report_of(house)
    failed = series_of(report, "not_finite")
    assert (failed.status, failed.errors.current) == (DriftStatus.DRIFT, pytest.approx(0.3))
    assert series_of(report, "user:a").missing.current == pytest.approx(0.3)
    assert series_of(report, "user:b").n_current == ROWS


@pytest.mark.parametrize("way", WAYS)
def test_gaps_that_the_baseline_has_too_are_no_alarm(house, way):
    register(house, "error", tolerant(), gaps=0.3)
    serve(house, way, [f"u{i}" for i in range(ROWS)])
    report = report_of(house)
    assert report.status is DriftStatus.OK
    assert "over 300 rows; 30 % of them failed" in report.summary
    assert "at most 3" in series_of(report, "missing_features").sentence


@pytest.mark.parametrize("policy", ["error", "null", "default"])
def test_one_by_one_and_all_at_once_end_in_the_same_counters(house, policy):
    """Present, NULL, expired and never written, alone and together."""
    old = datetime.now(UTC) - timedelta(hours=2)
    rng = np.random.default_rng(6)
    cells = {"a": 0.5, "b": None}
    house.store.write(
        "user",
        [
            {"entity_id": f"e{i}", "features": {"a": rng.normal()}, "event_timestamp": old}
            for i in range(5)
        ]
        + [{"entity_id": f"e{i}", "features": {"b": 1.0}} for i in range(3)]
        + [{"entity_id": f"h{i}", "features": cells} for i in range(4)],
    )
    ids = [f"u{i}" for i in range(40)] + [f"e{i}" for i in range(5)]
    ids += [f"h{i}" for i in range(4)] + ["nobody", "nobody"]
    register(house, policy, tolerant())
    profile = ProfileCache(ArtifactStore(house.s3, house.settings.data_bucket).get_profile)(
        house.registry.version("m", "v1").profile
    )
    counted = []
    for way in ("single", "batch"):
        before = slots(house, profile)
        serve(house, way, ids)
        counted.append((slots(house, profile) - before).tolist())
    assert counted[0] == counted[1]
    a, b = profile.series[0], profile.series[1]
    states = counted[0][a.missing_slot : a.size]
    assert states == [12 + 2, 5, 0]
    assert sum(counted[0][: a.size]) == sum(counted[0][a.size : a.size + b.size]) == len(ids)
    answered = counted[0][profile.rows_slot]
    assert answered == (len(ids) if policy != "error" else 28)


def slots(house, profile):
    reader = CounterReader(house.port, NAMESPACE)
    counts = reader.read("m", "v1", [profile], named_window("24h", system_clock()))
    return counts.series[profile.digest]


def test_values_of_a_wrong_type_are_counted_as_such(house):
    register(house, "error", tolerant())
    serving = engine(house.settings)
    ids = [f"u{i}" for i in range(10)]
    wrong = ["many" if i < 4 else 1.0 for i in range(10)]
    serving.predict_columns("m", ids, overrides={"b": wrong})
    with pytest.raises(Invalid):
        serving.predict("m", "u1", features={"b": "many", "a": 0.5})
    with pytest.raises(Invalid):
        serving.predict("m", "u1", features={"b": "many"})
    with pytest.raises(Invalid):
        serving.predict("m", "u1", features={"nonsense": 1.0})
    (stats,) = reports(house).stats("m", named_window("1h", system_clock())).versions
    assert stats.features["user:b"].invalid == pytest.approx(6 / 12)
    assert stats.features["user:a"].missing == pytest.approx(3 / 11)
    assert stats.row_errors == {"invalid": 4}
    assert stats.errors == {"invalid": 2, "unknown_feature": 1}


def test_a_batch_that_fails_as_a_whole_counts_all_of_its_rows(house):
    register(house, "error", tolerant())
    ids = [f"u{i}" for i in range(3, 10)] * 40
    engine(house.settings).predict_columns("m", ids)
    with pytest.raises(Invalid):
        engine(house.settings).predict_columns("m", ids, overrides={"nonsense": [1.0] * len(ids)})
    report = report_of(house)
    failed = series_of(report, "unknown_feature")
    assert failed.sentence == (
        "errors: 50 % of 560 rows failed with unknown_feature (0 % expected)"
    )
    assert report.status is DriftStatus.DRIFT
    (stats,) = reports(house).stats("m", named_window("1h", system_clock())).versions
    assert (stats.errors, stats.requests) == ({"unknown_feature": 1}, 2)


def test_calls_that_fail_before_a_version_is_chosen_count_with_the_one_in_production(house):
    register(house, "error", tolerant())
    serving = engine(house.settings)
    serving.predict_columns("m", [f"u{i}" for i in range(3, 10)] * 40)
    for _ in range(20):
        with pytest.raises(Invalid):
            serving.predict("m", "")
    report = report_of(house)
    assert report.status is DriftStatus.DRIFT
    (failed,) = [series for series in report.series if series.kind == "errors"]
    assert failed.errors.current == pytest.approx(20 / 300)
    (listed,) = reports(house).drifts(named_window("1h", system_clock())).models
    assert (listed.status, listed.summary) == (DriftStatus.DRIFT, report.summary)


def test_every_key_of_a_refused_row_expires(house):
    register(house, "error", tolerant())
    serving = engine(house.settings)
    for entity in ("u0", "u0", "u5", "u0"):
        with suppress(Invalid):
            serving.predict("m", entity)
    cursor, keys = None, []
    while True:
        cursor, found = house.port.scan(cursor, b"*:m:*", 1000)
        keys += found
        if cursor is None:
            break
    lives = house.port.flight([(b"TTL", key) for key in keys])
    assert len(keys) == 9
    assert min(lives) > 0
