"""Recording on real servers: exact, in bounded memory, and gone in time."""

from __future__ import annotations

import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from neuralstream_core.monitoring import layout
from neuralstream_core.monitoring.counting import count
from neuralstream_core.monitoring.layout import HOUR, MINUTE, Window, named_window
from neuralstream_core.monitoring.observation import UNREAD, WRONG_TYPE
from neuralstream_core.monitoring.profile import bare_profile
from neuralstream_core.monitoring.reader import CounterReader
from neuralstream_core.monitoring.recorder import RedisRecorder
from neuralstream_core.redis import connect
from neuralstream_core.time import system_clock
from tests.support.monitoring import NAMESPACE, Clockwork, Watched, hours, keys_of
from tests.support.redis import settings_for

WATCHED = Watched()


def test_every_row_is_found_again_in_minutes_and_in_hours(any_port):
    clock = Clockwork()
    rng = np.random.default_rng(2)
    recorder = WATCHED.recorder(any_port, clock)
    rows = [WATCHED.row(rng) for _ in range(50)]
    for i, row in enumerate(rows):
        row.cold = i == 0
        row.pinned = i % 10 == 0
        recorder.record(row)
    expected = count(
        WATCHED.profile,
        list(np.array([row.values for row in rows]).T),
        [1] * 20,
        None,
        [row.prediction for row in rows],
        [row.score for row in rows],
        50,
    )
    for window in (named_window("1h", clock.now), hours(clock)):
        counts = WATCHED.counts(any_port, window)
        assert counts.series[WATCHED.profile.digest].tolist() == expected.tolist()
        assert counts.rows() == 50
        counters = counts.service.counters
        assert (counters["requests"], counters["cold"], counters["pinned"]) == (50, 1, 5)
        assert counts.service.latency.sum() == 150
        assert not counts.saturated


def test_a_batch_counts_as_its_rows_and_one_request(any_port):
    rng = np.random.default_rng(3)
    clock = Clockwork()
    recorder = WATCHED.recorder(any_port, clock)
    status = np.zeros((1000, 20), np.uint8)
    status[:100, 0], status[:10, 1], status[:5, 2] = 1, 2, 3
    batch = WATCHED.batch(rng, 1000, status=status, errors={"missing_features": 7})
    recorder.record(batch)
    recorder.record(WATCHED.batch(rng, 10, requests=0, timings=None))
    counts = WATCHED.counts(any_port, hours(clock))
    assert counts.rows() == 1010
    assert counts.service.counters["requests"] == 1
    assert counts.service.counters["failed_rows"] == 7
    assert counts.service.row_errors == {"missing_features": 7}
    assert counts.service.latency.sum() == 3
    slots = counts.series[WATCHED.profile.digest]
    states = []
    for series, start in list(zip(WATCHED.profile.series, WATCHED.profile.offsets, strict=False))[
        :3
    ]:
        first = start + series.missing_slot
        states.append(slots[first : first + 3].tolist())
    assert states == [[100, 0, 0], [0, 10, 0], [5, 0, 0]]


def test_a_batch_in_which_every_row_failed_is_counted(any_port):
    clock = Clockwork()
    empty = WATCHED.batch(
        np.random.default_rng(0), 0, errors={"invalid": 3}, columns=[[] for _ in range(20)]
    )
    WATCHED.recorder(any_port, clock).record(empty)
    counts = WATCHED.counts(any_port, hours(clock))
    assert (counts.rows(), counts.service.counters["failed_rows"]) == (0, 3)
    assert counts.service.counters["requests"] == 1


def test_failures_are_counted_by_code_with_and_without_a_version(any_port):
    clock = Clockwork()
    recorder = WATCHED.recorder(any_port, clock)
    # what failed because Redis was down goes with the version's next flight
    for code in ("redis_unavailable", "missing_features", "missing_features"):
        recorder.failure("m", "v1", code)
    recorder.failure("m", None, "no_production_version")
    counts = WATCHED.counts(any_port, hours(clock))
    assert counts.service.request_errors == {"missing_features": 2, "redis_unavailable": 1}
    assert counts.service.counters["failed"] == counts.service.counters["requests"] == 3
    reader = CounterReader(any_port, NAMESPACE)
    nameless = reader.read("m", layout.NO_VERSION, [], hours(clock))
    assert nameless.service.request_errors == {"no_production_version": 1}
    assert reader.active(hours(clock)) == {("m", "v1"): set(), ("m", "-"): set()}


def test_a_version_without_a_baseline_is_counted_all_the_same(any_port):
    clock = Clockwork()
    recorder = RedisRecorder(any_port, WATCHED.profiles, NAMESPACE, clock)
    rng = np.random.default_rng(4)
    for label in ("no", "yes", "yes"):
        recorder.record(WATCHED.row(rng, profile=None, prediction=label, classes=["no", "yes"]))
    bare = bare_profile(WATCHED.features, ["no", "yes"])
    counts = CounterReader(any_port, NAMESPACE).read("m", "v1", [bare], hours(clock))
    prediction = next(i for i, s in enumerate(bare.series) if s.name == "prediction")
    start = bare.offsets[prediction]
    assert counts.series[bare.digest][start : start + 2].tolist() == [1, 2]


class Flights:
    """A port that remembers how many flights went through it."""

    def __init__(self, port):
        self._port = port
        self.flights = 0

    def flight(self, commands, **options):
        self.flights += 1
        return self._port.flight(commands, **options)


def test_a_refused_row_counts_its_cells_in_the_flight_of_its_failure(any_port):
    clock = Clockwork()
    rng = np.random.default_rng(11)
    port = Flights(any_port)
    recorder = WATCHED.recorder(port, clock)
    recorder.record(WATCHED.row(rng))
    status = [1, 2, 3, WRONG_TYPE, UNREAD] + [0] * 15
    for _ in range(3):
        recorder.failure("m", "v1", "missing_features", refused=WATCHED.refused(rng, status=status))
    assert port.flights == 4
    for window in (named_window("1h", clock.now), hours(clock)):
        counts = WATCHED.counts(any_port, window)
        assert counts.rows() == 1
        assert counts.service.counters["requests"] == 4
        assert counts.service.request_errors == {"missing_features": 3}
        slots = counts.series[WATCHED.profile.digest]
        found = []
        for series, start in zip(WATCHED.profile.series, WATCHED.profile.offsets, strict=False):
            states = slots[start + series.missing_slot : start + series.size].tolist()
            found.append((int(slots[start : start + series.values].sum()), states))
        assert found[:5] == [
            (1, [3, 0, 0]),
            (1, [0, 3, 0]),
            (1, [3, 0, 0]),
            (1, [0, 0, 3]),
            (1, [0, 0, 0]),
        ]
        assert found[5:20] == [(4, [0, 0, 0])] * 15
        assert found[20:] == [(1, [0, 0, 0])] * 2  # a refused row predicts nothing


def test_a_batch_counts_the_cells_of_its_refused_rows(any_port):
    clock = Clockwork()
    rng = np.random.default_rng(12)
    status = np.zeros((100, 20), np.uint8)
    status[:30, 0] = 1
    batch = WATCHED.batch(
        rng,
        100,
        status=status,
        answered=~status.any(axis=1),
        prediction=rng.integers(0, 2, 70),
        score=rng.random(70),
        errors={"missing_features": 30},
    )
    WATCHED.recorder(any_port, clock).record(batch)
    counts = WATCHED.counts(any_port, hours(clock))
    slots = counts.series[WATCHED.profile.digest]
    first, prediction = WATCHED.profile.series[0], WATCHED.profile.offsets[20]
    assert counts.rows() == 70
    assert slots[first.missing_slot] == 30
    assert slots[: first.size].sum() == 100
    assert slots[prediction : prediction + WATCHED.profile.series[20].size].sum() == 70


def test_rows_of_a_failed_call_are_kept_beside_it(any_port):
    clock = Clockwork()
    recorder = WATCHED.recorder(any_port, clock)
    recorder.failure("m", "v1", "invalid", rows=1000)
    recorder.failure("m", "v1", "invalid")
    recorder.record(WATCHED.batch(np.random.default_rng(0), 5, errors={"not_finite": 2}))
    service = WATCHED.counts(any_port, hours(clock)).service
    assert (service.request_errors, service.counters["failed"]) == ({"invalid": 2}, 2)
    assert service.failed_rows() == {"invalid": 1001, "not_finite": 2}


def test_minutes_in_which_every_row_was_refused_add_up(redis_port):
    clock = Clockwork(system_clock() // HOUR * HOUR)
    start = clock.now
    rng = np.random.default_rng(13)
    status = [1] + [0] * 19
    for _ in range(4):  # a new process each time: none of them has ever seen an answered row
        recorder = WATCHED.recorder(redis_port, clock)
        for _ in range(5):
            refused = WATCHED.refused(rng, status=status)
            recorder.failure("m", "v1", "missing_features", refused=refused)
        clock.forward(minutes=10)

    def missing(first, after):
        window = Window(start + first * MINUTE, start + after * MINUTE, minutes=True)
        counts = WATCHED.counts(redis_port, window)
        slots = counts.series[WATCHED.profile.digest]
        assert counts.rows() == 0
        return int(slots[WATCHED.profile.series[0].missing_slot])

    assert [missing(at, at + 1) for at in (0, 10, 20, 30)] == [5, 5, 5, 5]
    assert (missing(0, 60), missing(5, 25), missing(31, 60)) == (20, 10, 0)


def test_a_string_of_refused_rows_that_was_evicted_expires_again(redis_port):
    recorder = WATCHED.recorder(redis_port, Clockwork())
    rng = np.random.default_rng(14)
    for _ in range(5):
        recorder.record(WATCHED.row(rng))
    redis_port.flight([(b"DEL", key) for key in keys_of(redis_port)])
    for _ in range(3):
        recorder.failure("m", "v1", "not_finite", refused=WATCHED.refused(rng))
    lives = redis_port.flight([(b"TTL", key) for key in keys_of(redis_port)])
    assert len(lives) >= 3
    assert min(lives) > 0


def test_counters_that_an_older_process_wrote_are_read_and_added_to(redis_port):
    """A string that ends with its last answered row, as every one did before refused rows counted."""
    clock = Clockwork()
    rng = np.random.default_rng(15)
    where = (NAMESPACE, "m", "v1", clock.now // HOUR, None)
    slots = np.zeros(WATCHED.profile.size, ">u4")
    slots[0], slots[WATCHED.profile.rows_slot] = 40, 40
    redis_port.flight(
        [
            (b"SET", layout.series_key(*where, WATCHED.profile.digest), slots.tobytes()),
            (b"HSET", layout.errors_key(*where), b"r:invalid", b"7", b"w:invalid", b"2"),
        ]
    )
    recorder = WATCHED.recorder(redis_port, clock)
    recorder.failure("m", "v1", "invalid", refused=WATCHED.refused(rng, status=[1] * 20), rows=1)
    counts = WATCHED.counts(redis_port, hours(clock))
    found = counts.series[WATCHED.profile.digest]
    assert (found[0], counts.rows()) == (40, 40)
    assert found[WATCHED.profile.series[0].missing_slot] == 1
    assert counts.service.failed_rows() == {"invalid": 10}


def _record_many(args):
    settings, seed, rows = args
    port = connect(settings)
    watched = Watched()
    recorder = watched.recorder(port)
    rng = np.random.default_rng(seed)
    for _ in range(rows):
        recorder.record(watched.row(rng))
        recorder.record(watched.batch(rng, 20))
    recorder.failure("m", "v1", "invalid")
    port.close()
    return recorder.lost


@pytest.mark.parametrize("where", ["redis_server", "redis_cluster"])
def test_four_processes_at_once_lose_and_double_nothing(where, request):
    server = request.getfixturevalue(where)
    server.flush()
    settings = settings_for(server)
    rows = 60
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        lost = list(pool.map(_record_many, [(settings, seed, rows) for seed in range(4)]))
    assert lost == [0] * 4
    port = connect(settings)
    counts = WATCHED.counts(port)
    port.close()
    assert counts.rows() == 4 * rows * 21
    assert counts.service.counters["requests"] == 4 * (2 * rows + 1)
    slots = counts.series[WATCHED.profile.digest]
    for series, start in zip(WATCHED.profile.series, WATCHED.profile.offsets, strict=False):
        assert slots[start : start + series.size].sum() == 4 * rows * 21


def test_threads_of_one_process_share_a_recorder(redis_port):
    recorder = WATCHED.recorder(redis_port)
    ready = threading.Barrier(8)

    def work(seed):
        rng = np.random.default_rng(seed)
        ready.wait()
        for _ in range(50):
            recorder.record(WATCHED.row(rng))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.lost == 0
    assert WATCHED.counts(redis_port).rows() == 400
