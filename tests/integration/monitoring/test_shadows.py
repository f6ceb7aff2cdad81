"""What a shadow predicted is counted beside the answers, in their flight and in none of their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neuralstream_core.errors import Unavailable
from neuralstream_core.monitoring.layout import (
    HOUR,
    last_hours,
    log_key,
    named_window,
    window_between,
)
from neuralstream_core.monitoring.observation import Failed, LogEntry
from neuralstream_core.redis import connect
from neuralstream_core.registry.records import Stage
from neuralstream_core.time import system_clock
from tests.support.monitoring import NAMESPACE, Watched
from tests.support.redis import settings_for

RNG = np.random.default_rng(4)
SERVED, SHADOW = Watched(version="v1"), Watched(version="v2~")


class Flights:
    """The cache, which counts the round trips and can be down."""

    def __init__(self, port: Any) -> None:
        self.port, self.flights, self.down = port, 0, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.port, name)

    def flight(self, *args: Any, **more: Any) -> Any:
        self.flights += 1
        if self.down:
            raise Unavailable("down", dependency="redis")
        return self.port.flight(*args, **more)


@pytest.fixture
def bench(bench: Any) -> Any:
    bench.clock.now = bench.clock.now // HOUR * HOUR + 90_000_000
    bench.add_model(production_version="v1")
    bench.add_version(SERVED)
    bench.add_version(Watched(version="v2"), stage=Stage.STAGING)
    return bench


def stats(bench: Any) -> Any:
    return bench.reports.stats("m", named_window("15m", bench.clock.now))


def test_a_shadow_is_counted_in_the_same_flight_and_by_itself(bench: Any) -> None:
    flights = Flights(bench.port)
    recorder = SERVED.recorder(flights, bench.clock)
    logged = [LogEntry(b"{}", 1)]
    recorder.record(SERVED.row(RNG, shadow=SHADOW.row(RNG, log=logged)))
    recorder.record(SERVED.batch(RNG, 50, shadow=SHADOW.batch(RNG, 50)))
    recorder.record(SERVED.row(RNG, shadow=Failed("m", "v2~", "inference_failed", 1)))
    assert flights.flights == 3

    found = stats(bench)

    (served,), (shadow,) = found.versions, found.shadows
    assert (served.version, served.requests, served.rows, served.error_rate) == ("v1", 3, 52, 0)
    assert (shadow.version, shadow.requests, shadow.rows) == ("v2", 3, 51)
    assert shadow.errors == {"inference_failed": 1}
    assert served.traffic_share == 1
    assert (shadow.traffic_share, shadow.configured_share) == (None, None)
    assert sum(p.n for p in shadow.predictions if p.series == "prediction") == 51
    assert [m.shadows for m in bench.reports.all_stats(named_window("1h", bench.clock.now)).models]
    stream = log_key(NAMESPACE, "m", "v2~", bench.clock.now // HOUR)
    assert bench.port.flight([(b"XLEN", stream)]) == [1]


def test_a_shadow_is_neither_judged_for_drift_nor_told_to_prometheus(bench: Any) -> None:
    for _ in range(3):
        bench.recorder.record(SERVED.batch(RNG, 300, shadow=SHADOW.batch(RNG, 300)))
        bench.clock.forward(hours=1)
    bench.clock.forward(minutes=3)
    assert bench.evaluation.run()["versions"] == 1
    assert "v2" not in bench.reports.metrics()
    assert [
        s.version for s in bench.reports.drifts(named_window("24h", bench.clock.now)).models
    ] == ["v1"]


def test_what_a_shadow_did_is_archived_too(bench: Any) -> None:
    bench.recorder.record(SERVED.batch(RNG, 300, shadow=SHADOW.batch(RNG, 300)))
    hour = bench.clock.now // HOUR
    bench.clock.forward(hours=2)
    assert bench.archive.run(bench.reader, bench.clock.now)["objects"] == 2
    hours = bench.archive.hours("m", "v2~", {*last_hours(hour, hour + 1).hours})
    assert list(hours) == [hour]


def test_a_shadow_that_cannot_be_counted_leaves_the_answer_counted(bench: Any) -> None:
    broken = SHADOW.row(RNG, values=("no number",) * 3)
    bench.recorder.record(SERVED.row(RNG, shadow=broken))
    assert [v.rows for v in stats(bench).versions] == [1]


def test_of_a_flight_that_fails_both_are_known_as_lost(bench: Any) -> None:
    flights = Flights(bench.port)
    flights.down = True
    recorder = SERVED.recorder(flights, bench.clock)
    recorder.record(SERVED.row(RNG, shadow=SHADOW.row(RNG)))
    assert recorder.pending == 2


def test_the_nodes_of_a_cluster_each_get_their_part_of_the_flight(redis_cluster: Any) -> None:
    redis_cluster.flush()
    port = connect(settings_for(redis_cluster))
    now = system_clock()
    counted = {}
    try:
        for number in range(6):  # names whose counters lie on several nodes
            served, shadow = (Watched(f"m{number}", name) for name in ("v1", "v2~"))
            recorder = served.recorder(port, lambda: now)
            recorder.record(served.row(RNG, shadow=shadow.row(RNG)))
            recorder.record(served.batch(RNG, 5, shadow=shadow.batch(RNG, 4)))
            window = window_between(now - 60_000_000, now + 60_000_000, now + 60_000_000)
            counted[number] = tuple(one.counts(port, window).rows() for one in (served, shadow))
    finally:
        port.close()
    assert set(counted.values()) == {(6, 5)}
