"""What happens on schedule: alarms, the archive, adopted baselines."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from neuralstream_core.errors import Conflict, Invalid, Unavailable
from neuralstream_core.monitoring.baseline import Adoptions
from neuralstream_core.monitoring.decision import DriftStatus
from neuralstream_core.monitoring.evaluation import State
from neuralstream_core.monitoring.layout import HOUR, Window, last_hours, named_window
from tests.support.monitoring import NAMESPACE, Watched

V1 = Watched()
RNG = np.random.default_rng(9)


@pytest.fixture
def bench(bench):
    """On the hour, with one version in production."""
    bench.clock.now = bench.clock.now // HOUR * HOUR + 60_000_000
    bench.add_model(production_version="v1")
    bench.add_version(V1)
    return bench


def serve(bench, rows, shift=0.0):
    bench.recorder.record(V1.batch(RNG, rows, columns=list(RNG.normal(shift, 1, (20, rows)))))


def hour_of(bench, rows, shift=0.0):
    """An hour of traffic, its evaluation after it closed, and the alarm then."""
    if rows:
        serve(bench, rows, shift)
    bench.clock.forward(hours=1)
    bench.clock.forward(minutes=2)
    done = bench.evaluation.run()
    bench.clock.forward(minutes=-2)
    return done, bench.alarms.states("m").get("v1", State()).status


def outbox(bench):
    item = bench.table.get(f"DRIFT#{NAMESPACE}#m", "VERSION#v1")
    return (item or {}).get("outbox")


def metrics(bench):
    found: dict[str, list[float]] = {}
    for _, dimensions, values in bench.emitted:
        assert list(dimensions) == ["model", "version"]
        for name, (value, _) in values.items():
            found.setdefault(name, []).append(value)
    return found


# -- alarms --------------------------------------------------------------------------------------


def test_an_alarm_opens_after_two_windows_and_clears_after_two_and_is_told_once_each(bench):
    story = []
    for shift in (0.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0):
        _, status = hour_of(bench, 1000, shift)
        message = outbox(bench)
        story.append((status, message and (message["previous"], message["status"])))
    assert story == [
        (DriftStatus.OK, None),
        (DriftStatus.OK, None),
        (DriftStatus.DRIFT, ("ok", "drift")),
        (DriftStatus.DRIFT, None),
        (DriftStatus.DRIFT, None),
        (DriftStatus.OK, ("drift", "ok")),
        (DriftStatus.OK, None),
    ]


def test_the_announcement_says_what_drifted(bench):
    for _ in range(2):
        hour_of(bench, 1000, 2.0)
    message = outbox(bench)
    assert message["kind"] == "drift_changed"
    assert (message["model"], message["version"], message["rows"]) == ("m", "v1", 1000)
    assert len(message["series"]) == 10
    assert message["series"][0]["psi"] > 0.2


def test_a_report_shows_the_alarm_too(bench):
    for _ in range(2):
        hour_of(bench, 1000, 2.0)
    bench.clock.forward(minutes=30)
    report = bench.reports.drift("m", "v1", named_window("15m", bench.clock.now))
    assert report.status is DriftStatus.INSUFFICIENT_DATA
    assert report.alarm.status is DriftStatus.DRIFT


def test_a_second_run_over_the_same_hour_changes_nothing(bench):
    for _ in range(2):
        hour_of(bench, 1000, 2.0)
    before, emitted = bench.alarms.states("m"), len(bench.emitted)
    bench.clock.forward(minutes=15)
    assert bench.evaluation.run()["windows"] == 0
    assert bench.alarms.states("m") == before
    assert len(bench.emitted) == emitted


def test_thin_traffic_is_put_together_until_it_is_enough(bench):
    judged = [hour_of(bench, 80)[0]["windows"] for _ in range(6)]
    assert judged == [0, 0, 1, 0, 0, 1]


def test_hours_that_were_missed_are_judged_one_by_one(bench):
    for _ in range(4):
        serve(bench, 1000, 2.0)
        bench.clock.forward(hours=1)
    bench.clock.forward(minutes=2)
    assert bench.evaluation.run() == {"versions": 1, "windows": 4, "changes": 1}


def test_cloudwatch_gets_each_hour_once(bench):
    for rows in (1000, 300):
        hour_of(bench, rows)
        bench.evaluation.run()
    found = metrics(bench)
    assert found["Predictions"] == [1000, 300]
    assert found["Requests"] == [1, 1]
    assert found["DriftStatus"] == [0, 0]
    assert found["TotalLatencyP99"] == pytest.approx([20, 20], rel=0.011)


def test_without_a_baseline_there_is_no_alarm_but_traffic_is_still_reported(bench):
    bench.add_version(V1, baseline=False)
    bench.recorder.record(V1.batch(RNG, 1000, profile=None, classes=[0, 1]))
    hour_of(bench, 0)
    assert metrics(bench)["Predictions"] == [1000]
    assert "DriftStatus" not in metrics(bench)


def fail(bench, failed, answered, profile=V1.profile.digest):
    """Rows of which a part is refused for its first feature."""
    n = failed + answered
    status = np.zeros((n, 20), np.uint8)
    status[:failed, 0] = 1
    bench.recorder.record(
        V1.batch(
            RNG,
            n,
            profile=profile,
            classes=[0, 1],
            status=status,
            answered=~status.any(axis=1),
            prediction=RNG.integers(0, 2, answered),
            score=RNG.random(answered),
            errors={"missing_features": failed},
        )
    )


def test_the_announcement_says_in_words_what_failed_and_what_moved(bench):
    for _ in range(2):
        fail(bench, 300, 700)
        hour_of(bench, 0)
    message = outbox(bench)
    assert (message["status"], message["failed"]) == ("drift", 300)
    assert float(message["error_rate"]) == pytest.approx(0.3)
    assert [(s["feature"], s["kind"], s["sentence"]) for s in message["series"]] == [
        (
            "missing_features",
            "errors",
            "errors: 30 % of 1,000 rows failed with missing_features (0 % expected)",
        ),
        ("v:f0", "feature", "f0: 30 % of rows have no value (0 % in the baseline)"),
    ]
    assert message["summary"].startswith("Drift in 2 of 23 series over 1,000 rows; 30 % of them")
    assert metrics(bench)["ErrorRate"] == pytest.approx([30, 30])


def test_an_alarm_for_failed_rows_opens_and_clears_without_a_baseline_too(bench):
    bench.add_version(V1, baseline=False)
    story = []
    for failed in (0, 300, 300, 300, 0, 0):
        fail(bench, failed, 1000 - failed, profile=None)
        story.append(hour_of(bench, 0)[1])
    assert story == [DriftStatus.OK, DriftStatus.OK, *[DriftStatus.DRIFT] * 3, DriftStatus.OK]
    assert outbox(bench)["status"] == "ok"


def test_calls_that_never_reach_a_version_open_the_alarm_of_the_one_in_production(bench):
    for _ in range(2):
        for _ in range(250):
            bench.recorder.failure("m", None, "invalid_entity")
        hour_of(bench, 0)
    message = outbox(bench)
    assert message["version"] == "v1"
    assert "100 % of 250 rows failed with invalid_entity" in message["summary"]


# -- archive -------------------------------------------------------------------------------------


def archive(bench):
    return bench.archive.run(bench.reader, bench.clock.now)


def test_reports_go_on_when_redis_has_forgotten(bench, redis_server):
    start = bench.clock.now // HOUR
    for _ in range(3):
        serve(bench, 500)
        bench.recorder.failure("m", "v1", "invalid")
        bench.recorder.failure("m", None, "invalid")
        bench.clock.forward(hours=1)
    bench.clock.forward(minutes=5)
    window = last_hours(start, start + 3)
    before = bench.reports.stats("m", window)
    assert archive(bench)["objects"] >= 2
    redis_server.flush()
    after = bench.reports.stats("m", window)
    assert after.versions == before.versions
    assert after.versions[0].rows == 1500
    assert after.versions[0].errors == {"invalid": 3}
    assert bench.reports.drift("m", "v1", window).rows == 1500


def test_an_hour_in_which_every_row_was_refused_outlives_redis(bench, redis_server):
    """As a job leaves it: no call, no answered row."""
    start = bench.clock.now // HOUR
    status = np.zeros((50, 20), np.uint8)
    status[:, 0] = 1
    bench.recorder.record(
        V1.batch(
            RNG,
            50,
            status=status,
            answered=np.zeros(50, bool),
            prediction=[],
            score=None,
            errors={"missing_features": 50},
            requests=0,
            timings=None,
        )
    )
    bench.clock.forward(hours=1.1)
    assert archive(bench)["objects"] == 1
    redis_server.flush()
    report = bench.reports.drift("m", "v1", last_hours(start, start + 1))
    assert (report.rows, report.failed) == (0, 50)
    (missing,) = [s for s in report.series if s.feature == "v:f0"]
    assert missing.missing.current == 1.0


def test_an_hour_in_both_places_counts_once(bench):
    start = bench.clock.now // HOUR
    serve(bench, 500)
    bench.clock.forward(hours=1)
    archive(bench)
    archive(bench)
    assert bench.reports.drift("m", "v1", last_hours(start, start + 1)).rows == 500


def test_a_cache_that_lost_its_memory_does_not_erase_the_archive(bench, redis_server):
    start = bench.clock.now // HOUR
    serve(bench, 500)
    bench.clock.forward(minutes=30)
    bench.clock.forward(hours=1)
    archive(bench)
    redis_server.flush()
    bench.clock.forward(hours=-1)
    serve(bench, 20)  # a late flight
    bench.clock.forward(hours=1)
    archive(bench)
    redis_server.flush()
    assert bench.reports.drift("m", "v1", last_hours(start, start + 1)).rows == 500


def test_the_hour_under_way_is_not_archived(bench):
    serve(bench, 500)
    assert archive(bench)["objects"] == 0


def test_runs_that_were_missed_are_made_up_for(bench, redis_server):
    start = bench.clock.now // HOUR
    archive(bench)
    for _ in range(50):
        serve(bench, 10)
        bench.clock.forward(hours=1)
    bench.clock.forward(minutes=5)
    archive(bench)
    redis_server.flush()
    assert bench.reports.drift("m", "v1", last_hours(start, start + 50)).rows == 500


def test_a_damaged_archive_is_an_outage_and_not_a_zero(bench):
    start = bench.clock.now // HOUR
    serve(bench, 500)
    bench.clock.forward(hours=1.1)
    archive(bench)
    listed = bench.s3.list_objects_v2(Bucket=bench.bucket, Prefix="monitoring/archive/")
    for entry in listed["Contents"]:
        if entry["Key"].endswith(".gz"):
            bench.s3.put_object(
                Bucket=bench.bucket, Key=entry["Key"], Body=gzip.compress(b"not json")
            )
    with pytest.raises(Unavailable):
        bench.reports.drift("m", "v1", last_hours(start - 1, start + 1))


# -- adoption ------------------------------------------------------------------------------------


@pytest.fixture
def adoptions(bench):
    bench.add_version(V1, baseline=False)
    return Adoptions(bench.table, NAMESPACE, bench.clock)


def advance(bench, adoptions):
    return adoptions.run(["m"], bench.port, bench.registry, bench.artifacts.put_profile)


def serve_bare(bench, rows):
    for _ in range(rows):
        status = [0] * 20
        status[3] = 1
        row = V1.row(RNG, profile=None, classes=[0, 1], status=status)
        bench.recorder.record(row)


def test_a_version_adopts_its_next_rows(bench, adoptions):
    version = bench.registry.version("m", "v1")
    serve_bare(bench, 5)
    adoptions.request(version, 200, "ann")
    adoptions.request(version, 200, "ann")
    assert advance(bench, adoptions) == {"captures_opened": 1, "baselines_adopted": 0}
    bench.clock.forward(minutes=1)
    serve_bare(bench, 100)
    assert advance(bench, adoptions) == {"captures_opened": 0, "baselines_adopted": 0}
    bench.recorder.record(V1.batch(RNG, 150, profile=None, classes=[0, 1]))
    assert advance(bench, adoptions) == {"captures_opened": 0, "baselines_adopted": 1}

    adopted = bench.registry.version("m", "v1")
    profile = bench.profiles(adopted.profile)
    assert [sum(s.reference) for s in profile.series] == [200] * 22
    assert profile.series[3].reference[profile.series[3].missing_slot] >= 99
    serve(bench, 0)
    bench.recorder.record(V1.batch(RNG, 1000, profile=adopted.profile))
    window = Window(bench.clock.now // HOUR * HOUR, bench.clock.now + 1, minutes=False)
    report = bench.reports.drift("m", "v1", window)
    assert report.rows == 1000
    assert [s.feature for s in report.series if s.status.alarming] == ["v:f3"]
    assert bench.reports.stats("m", window).versions[0].rows == 1255


def test_nothing_is_kept_when_no_capture_is_open(bench, adoptions):
    serve_bare(bench, 3)
    cursor, keys = bench.port.scan(None, b"*c", 1000)
    assert (cursor, keys) == (None, [])
    assert adoptions.pending("m") == {}


def test_captured_rows_expire_and_go_away_when_they_have_served(bench, adoptions):
    adoptions.request(bench.registry.version("m", "v1"), 200, "ann")
    advance(bench, adoptions)
    serve_bare(bench, 201)
    (_, (key,)) = bench.port.scan(None, b"*}c", 1000)
    assert 0 < bench.port.flight([(b"TTL", key)])[0] <= 7 * 86400
    advance(bench, adoptions)
    assert bench.port.flight([(b"EXISTS", key)]) == [0]
    assert adoptions.pending("m") == {}


def test_what_cannot_be_adopted_is_refused(bench, adoptions):
    version = bench.registry.version("m", "v1")
    for rows in (10, 1_000_000):
        with pytest.raises(Invalid):
            adoptions.request(version, rows, "ann")
    with pytest.raises(Conflict):
        adoptions.request(version.model_copy(update={"profile": "0" * 64}), 500, "ann")
