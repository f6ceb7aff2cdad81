"""Redis refuses, hangs or dies: predictions go on, and what was not counted is known."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from neuralstream_core.monitoring.layout import HOUR, Window
from neuralstream_core.monitoring.profile import bare_profile
from neuralstream_core.monitoring.reader import CounterReader
from neuralstream_core.monitoring.recorder import RedisRecorder
from neuralstream_core.redis import connect
from neuralstream_local.embedded_redis import EmbeddedRedis, talk
from tests.support.monitoring import NAMESPACE, Clockwork, Watched
from tests.support.poll import eventually
from tests.support.redis import settings_for

WATCHED = Watched()


def hours(clock):
    return Window(clock.now // HOUR * HOUR, clock.now + 1, minutes=False)


@pytest.fixture
def own_server():
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def own_port(own_server):
    port = connect(settings_for(own_server))
    yield port
    port.close()


class Counting:
    """A port that counts the flights that really leave."""

    def __init__(self, port):
        self.port = port
        self.flights = 0

    def flight(self, commands, *, patient=True):
        self.flights += 1
        return self.port.flight(commands, patient=patient)


def record_until(recorder, rng, condition):
    def attempt():
        recorder.record(WATCHED.row(rng))
        return condition()

    return eventually(attempt, 10)


def test_a_full_server_costs_counts_not_predictions(own_server, own_port, caplog):
    rng, clock = np.random.default_rng(1), Clockwork()
    recorder = WATCHED.recorder(own_port, clock)
    recorder.record(WATCHED.row(rng))
    talk(own_server.port, ("CONFIG", "SET", "maxmemory-policy", "noeviction"))
    talk(own_server.port, ("CONFIG", "SET", "maxmemory", "1"))
    with caplog.at_level(logging.WARNING, "neuralstream.monitoring"):
        for _ in range(20):
            recorder.record(WATCHED.row(rng))
            recorder.failure("m", "v1", "invalid")
    assert recorder.lost == 40
    assert len(caplog.records) == 1  # once a minute, not once a request
    talk(own_server.port, ("CONFIG", "SET", "maxmemory", "0"))
    before = recorder.lost
    record_until(recorder, rng, lambda: not recorder.pending)
    counts = WATCHED.counts(own_port, hours(clock))
    assert counts.service.counters["lost"] == recorder.lost >= before
    assert counts.rows() == 2


def test_a_refused_row_that_cannot_be_counted_is_a_loss_and_no_error(own_server, own_port):
    rng, clock = np.random.default_rng(12), Clockwork()
    recorder = WATCHED.recorder(own_port, clock)
    own_server.kill()
    recorder.failure("m", "v1", "not_finite", refused=WATCHED.refused(rng))
    recorder.failure("m", "v1", "not_finite", refused=WATCHED.refused(rng, values=(1.0,)))
    assert recorder.lost == 2


def test_what_failed_because_redis_was_down_is_counted_when_it_is_back(own_server, own_port):
    rng, clock = np.random.default_rng(13), Clockwork()
    port = Counting(own_port)
    recorder = WATCHED.recorder(port, clock)
    own_server.kill()
    for _ in range(3):
        recorder.failure("m", "v1", "redis_unavailable")
    recorder.failure("m", "v1", "redis_unavailable", rows=500)
    recorder.failure("m", "v2", "redis_unavailable")
    assert port.flights == 0  # nobody waits for the timeout of a second flight
    recorder.record(WATCHED.row(rng))
    own_server.start()
    record_until(recorder, rng, lambda: not recorder.pending)
    counts = WATCHED.counts(own_port, hours(clock))
    assert counts.service.failed_rows() == {"redis_unavailable": 503}
    assert counts.service.request_errors == {"redis_unavailable": 4}
    assert counts.service.counters["failed"] == 4
    assert counts.service.counters["requests"] == 4 + counts.rows()
    recorder.record(WATCHED.row(rng))
    assert WATCHED.counts(own_port, hours(clock)).service.counters["failed"] == 4


def test_after_a_failed_flight_nobody_waits_for_the_next(own_server, own_port):
    rng = np.random.default_rng(2)
    port = Counting(own_port)
    recorder = WATCHED.recorder(port)
    recorder.record(WATCHED.row(rng))
    own_server.pause()
    try:
        for _ in range(100):
            recorder.record(WATCHED.row(rng))
    finally:
        own_server.resume()
    # One waited for its timeout; the others were spared, however long the machine took for them.
    assert recorder.lost == 100
    assert port.flights < 10


def test_a_flight_that_timed_out_is_not_sent_again(own_server, own_port):
    rng, clock = np.random.default_rng(3), Clockwork()
    recorder = WATCHED.recorder(own_port, clock)
    recorder.record(WATCHED.row(rng))
    own_server.pause()
    recorder.record(WATCHED.row(rng))
    own_server.resume()
    record_until(recorder, rng, lambda: not recorder.pending)
    # The server may have applied the one it was too slow to answer, but never twice.
    assert WATCHED.counts(own_port, hours(clock)).rows() in (2, 3)


def test_a_killed_server_is_used_again_when_it_is_back(own_server, own_port):
    rng, clock = np.random.default_rng(4), Clockwork()
    recorder = WATCHED.recorder(own_port, clock)
    recorder.record(WATCHED.row(rng))
    own_server.kill()
    for _ in range(5):
        recorder.record(WATCHED.row(rng))
    lost = recorder.lost
    assert lost == 5
    own_server.start()
    record_until(recorder, rng, lambda: not recorder.pending)
    counts = WATCHED.counts(own_port, hours(clock))
    assert counts.service.counters["lost"] == recorder.lost
    assert counts.rows() == counts.service.counters["requests"] == 1


def test_a_key_of_another_type_is_a_loss_and_no_error(redis_port, caplog):
    rng, clock = np.random.default_rng(5), Clockwork()
    recorder = WATCHED.recorder(redis_port, clock)
    recorder.record(WATCHED.row(rng))
    cursor, keys = redis_port.scan(None, b"*", 100)
    while cursor is not None:
        cursor, more = redis_port.scan(cursor, b"*", 100)
        keys += more
    redis_port.flight([(b"DEL", key) for key in keys])
    redis_port.flight([(b"LPUSH", key, 1) for key in keys])
    recorder.record(WATCHED.row(rng))
    assert recorder.lost == 1
    assert "WRONGTYPE" in caplog.text


@pytest.mark.parametrize("profiles", ["raises", "has none"])
def test_a_profile_that_cannot_be_had_is_replaced_by_plain_counts(redis_port, profiles):
    def source(_digest):
        if profiles == "raises":
            raise RuntimeError("S3 is away")

    rng, clock = np.random.default_rng(6), Clockwork()
    recorder = RedisRecorder(redis_port, source, NAMESPACE, clock)
    recorder.record(WATCHED.row(rng, classes=[0, 1]))
    bare = bare_profile(WATCHED.features, [0, 1])
    counts = CounterReader(redis_port, NAMESPACE).read("m", "v1", [bare], hours(clock))
    assert counts.rows() == 1
    assert recorder.lost == 0


@pytest.mark.parametrize(
    "broken",
    [{"values": (1.0,)}, {"values": object()}, {"timings": None}, {"status": [0]}],
    ids=lambda broken: next(iter(broken)),
)
def test_an_observation_that_makes_no_sense_is_a_loss_and_no_error(redis_port, broken):
    recorder = WATCHED.recorder(redis_port)
    recorder.record(WATCHED.row(np.random.default_rng(7), **broken))
    assert recorder.lost <= 1
    recorder.record(WATCHED.row(np.random.default_rng(7)))
    assert WATCHED.counts(redis_port).rows() >= 1
