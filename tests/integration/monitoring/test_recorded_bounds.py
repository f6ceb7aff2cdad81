"""What was recorded stays in bounded memory, adds up to hours, and is gone in time."""

from __future__ import annotations

import numpy as np

from neuralstream_core.monitoring import layout
from neuralstream_core.monitoring.layout import HOUR, MINUTE, Window
from neuralstream_core.monitoring.observation import LogEntry
from neuralstream_core.time import system_clock
from tests.support.monitoring import NAMESPACE, Clockwork, Watched, hours, keys_of

WATCHED = Watched()


def test_an_hour_of_a_version_takes_less_than_8_kilobytes(redis_port):
    clock = Clockwork()
    rng = np.random.default_rng(5)
    recorder = WATCHED.recorder(redis_port, clock)
    recorder.failure("m", "v1", "invalid")
    for _ in range(300):
        timings = tuple(rng.lognormal(-6, 1.5, 3))
        recorder.record(WATCHED.row(rng, timings=timings))
    recorder.record(WATCHED.row(rng, log=[LogEntry(b"{}", 1)]))
    recorder.record(WATCHED.batch(rng, 5000))
    hour = [key for key in keys_of(redis_port) if key.endswith(b"s") or b"}d:" in key]
    hour.append(layout.index_key(NAMESPACE, clock.now // HOUR))
    sizes = redis_port.flight([(b"MEMORY", b"USAGE", key) for key in hour])
    assert len(hour) == 3
    assert sum(sizes) <= 8192


def test_every_key_expires(any_port):
    clock = Clockwork()
    recorder = WATCHED.recorder(any_port, clock)
    rng = np.random.default_rng(6)
    recorder.failure("m", "v1", "invalid")
    recorder.failure("m", None, "invalid")
    recorder.record(WATCHED.row(rng))
    recorder.record(WATCHED.batch(rng, 3, errors={"invalid": 1}))
    keys = keys_of(any_port)
    lives = any_port.flight([(b"TTL", key) for key in keys])
    assert len(keys) == 11
    assert all(0 < life <= layout.HOUR_SECONDS for life in lives)


def test_a_string_that_was_evicted_expires_again(redis_port):
    clock = Clockwork()
    recorder = WATCHED.recorder(redis_port, clock)
    rng = np.random.default_rng(6)
    recorder.record(WATCHED.row(rng))
    redis_port.flight([(b"DEL", key) for key in keys_of(redis_port)])
    recorder.record(WATCHED.row(rng))
    lives = redis_port.flight([(b"TTL", key) for key in keys_of(redis_port)])
    assert min(lives) > 0
    assert WATCHED.counts(redis_port, hours(clock)).rows() == 1  # so it is in the index again


def test_a_full_counter_stays_full_and_says_so(redis_port):
    clock = Clockwork()
    recorder = WATCHED.recorder(redis_port, clock)
    rng = np.random.default_rng(7)
    recorder.record(WATCHED.row(rng))
    where = (NAMESPACE, "m", "v1", clock.now // HOUR, None)
    rows = layout.series_key(*where, WATCHED.profile.digest)
    requests = layout.service_key(*where)
    redis_port.flight(
        [
            (b"SETRANGE", rows, 4 * WATCHED.profile.rows_slot, b"\xff\xff\xff\xff"),
            (b"SETRANGE", requests, layout.REQUESTS_AT, b"\xff\xff\xff\xff"),
        ]
    )
    recorder.record(WATCHED.row(rng))
    counts = WATCHED.counts(redis_port, hours(clock))
    assert counts.rows() == layout.U32_MAX
    assert counts.saturated == {WATCHED.profile.digest, "service"}


def test_minutes_add_up_to_their_hour(redis_port):
    clock = Clockwork(system_clock() // HOUR * HOUR)
    recorder = WATCHED.recorder(redis_port, clock)
    rng = np.random.default_rng(8)
    for _ in range(5):
        recorder.record(WATCHED.row(rng))
        clock.forward(minutes=7)
    start = clock.now // HOUR * HOUR
    window = Window(start, start + HOUR, minutes=True)
    counts = WATCHED.counts(redis_port, window)
    assert counts.rows() == 5
    assert WATCHED.counts(redis_port, Window(start, start + HOUR, minutes=False)).rows() == 5
    assert (
        WATCHED.counts(redis_port, Window(start, start + 8 * 60_000_000, minutes=True)).rows() == 2
    )


def test_minutes_keep_what_several_processes_counted(any_port):
    clock = Clockwork(system_clock() // HOUR * HOUR)
    start = clock.now
    rng = np.random.default_rng(9)
    clock.forward(minutes=20)
    for _ in range(3):  # a new process each time
        WATCHED.recorder(any_port, clock).record(WATCHED.row(rng))
    clock.forward(minutes=3)
    late = Clockwork(clock.now - 60_000_000)
    WATCHED.recorder(any_port, clock).record(WATCHED.row(rng))
    WATCHED.recorder(any_port, late).record(WATCHED.row(rng))
    clock.forward(minutes=37)
    WATCHED.recorder(any_port, clock).record(WATCHED.row(rng))

    def rows(first: int, after: int) -> tuple[int, int]:
        window = Window(start + first * MINUTE, start + after * MINUTE, minutes=True)
        counts = WATCHED.counts(any_port, window)
        return counts.rows(), counts.service.counters["requests"]

    assert rows(0, 120) == rows(20, 61) == rows(5, 61) == (6, 6)
    assert rows(0, 20) == rows(24, 60) == rows(61, 70) == (0, 0)
    assert rows(20, 21) == (3, 3)
    assert rows(21, 60) == (2, 2)
    assert rows(20, 60) == (5, 5)
    assert rows(22, 61) == (3, 3)  # by the clock of the process that counted
    assert rows(23, 61) == (2, 2)


def test_an_evicted_hour_takes_nothing_from_its_minutes(redis_port):
    clock = Clockwork(system_clock() // HOUR * HOUR)
    start = clock.now
    recorder = WATCHED.recorder(redis_port, clock)
    rng = np.random.default_rng(10)
    clock.forward(minutes=1)
    for _ in range(20):
        recorder.record(WATCHED.row(rng))
    clock.forward(minutes=1)
    recorder.record(WATCHED.row(rng))
    where = (NAMESPACE, "m", "v1", clock.now // HOUR, None)
    lost = (layout.service_key(*where), layout.series_key(*where, WATCHED.profile.digest))
    redis_port.flight([(b"DEL", key) for key in lost])
    clock.forward(minutes=1)
    for _ in range(4):
        recorder.record(WATCHED.row(rng))
    since = WATCHED.counts(redis_port, Window(start + 2 * MINUTE, start + HOUR, minutes=True))
    assert (since.rows(), since.service.counters["requests"]) == (5, 5)
    assert since.service.latency.sum() == 15
