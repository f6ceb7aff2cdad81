"""The prediction log from the flight that counts into the history: every row once, or counted as lacking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from neuralstream_core.errors import Unavailable
from neuralstream_core.history.log import HistoryLog
from neuralstream_core.monitoring import prediction_log
from neuralstream_core.monitoring.layout import HOUR, MINUTE, Window, log_bytes_key, log_key
from neuralstream_core.monitoring.recorder import RedisRecorder
from neuralstream_core.outcomes.drain import Drain
from neuralstream_core.redis import connect
from neuralstream_core.redis.port import RedisPort
from neuralstream_core.table import Table
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.aws import Aws
from tests.support.features import Clock
from tests.support.history import HistoryHouse
from tests.support.interposed import Died, Interposed
from tests.support.monitoring import NAMESPACE, keys_of
from tests.support.predictions import WATCHED, logged, predict_one, predict_rows
from tests.support.redis import settings_for


@pytest.fixture
def recorder(any_port: RedisPort, clock: Clock) -> RedisRecorder:
    """A recorder on the plain server, and on the cluster of three."""
    return WATCHED.recorder(any_port, clock)


def drain(port: Any, house: HistoryHouse, log: HistoryLog | None = None) -> Drain:
    return Drain(port, log or house.log, NAMESPACE, house.clock)


def counters(port: RedisPort, clock: Clock) -> tuple[int, int]:
    """Rows that were logged, and that overflowed."""
    window = Window(clock.now // HOUR * HOUR, clock.now + 1, minutes=False)
    found = WATCHED.counts(port, window).service.counters
    return found["logged"], found["overflowed"]


def test_a_prediction_is_a_row_of_the_history_with_all_that_was_answered(
    any_port: RedisPort, recorder: RedisRecorder, house: HistoryHouse
) -> None:
    predicted_at = house.clock()
    names, values = ["user:age", "user:near"], [[41, [0.5, float("nan")]]]
    one = predict_one(recorder, house.clock(), names=names, inputs=values, weight=4.0)
    shares = [[0.1, 0.2, 0.7]] * 2
    shadows = predict_rows(recorder, house.clock(), 2, by_class=shares, of=["v2", "v2"])
    done = drain(any_port, house).run()
    assert (done.entries, done.rows, done.damaged, done.streams) == (2, 3, 0, 1)
    house.compact()
    rows = {row["_entity"]: row for row in logged(house)}
    assert set(rows) == {one, *shadows}
    first, shadow = rows[one], rows[shadows[1]]
    assert first["_event_time"] == predicted_at // 1000 * 1000
    expected = {
        "model": "m",
        "version": "v1",
        "label": "1",
        "value": 1.0,
        "probability": 0.75,
        "probabilities": None,
        "entity": "u1",
        "inputs": '{"user:age":41,"user:near":[0.5,null]}',
        "weight": 4.0,
        "shadow": False,
        "of": None,
    }
    assert {name: first[name] for name in expected} == expected
    assert shadow["probabilities"] == "[0.1,0.2,0.7]"
    served = shadows[1].replace(":v1:", ":v2:")
    assert (shadow["shadow"], shadow["of"], shadow["entity"]) == (True, served, None)


def test_what_is_drained_is_gone_and_its_bytes_are_counted_down(
    any_port: RedisPort, recorder: RedisRecorder, house: HistoryHouse
) -> None:
    hour = house.clock() // HOUR
    house.clock.now = hour * HOUR
    where = (NAMESPACE, "m", "v1", hour)
    for _ in range(3):
        predict_one(recorder, house.clock())
    look = [(b"XLEN", log_key(*where)), (b"GET", log_bytes_key(*where)), (b"TTL", log_key(*where))]
    length, waiting, seconds = any_port.flight(look)
    assert length == 3
    assert isinstance(waiting, bytes)
    assert int(waiting) > 0
    assert isinstance(seconds, int)
    assert 6 * 3600 < seconds <= prediction_log.LOG_SECONDS
    assert drain(any_port, house).run().rows == 3
    assert any_port.flight(look)[0] == 0
    clock = house.clock
    clock.now += MINUTE  # a process says at the latest now what it has added
    predict_one(recorder, clock())
    drain(any_port, house).run()
    assert any_port.flight(look)[:2] == [0, b"0"]
    assert drain(any_port, house).run().streams == 0
    assert counters(any_port, clock) == (4, 0)


def keys_that_never_expire(port: RedisPort) -> list[bytes]:
    keys = keys_of(port)
    lives = port.flight([(b"TTL", key) for key in keys])
    return [key for key, life in zip(keys, lives, strict=True) if life == -1]


class Dies:
    """A hook that ends the process at the ``at``-th of the calls that change something."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, operation: str) -> None:
        if operation in ("flight", "put_item"):
            self.left -= 1
            if self.left == 0:
                raise Died


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_drain_ended_at_any_call_leaves_every_row_once(
    moment: str,
    aws: Aws,
    redis_port: RedisPort,
    house: HistoryHouse,
    clock: Clock,
    history_table: str,
) -> None:
    recorder = WATCHED.recorder(redis_port, clock)
    expected: set[str] = set()
    died = True
    cut = 0
    while died:
        cut += 1
        expected.add(predict_one(recorder, clock()))
        expected.update(predict_rows(recorder, clock(), 3))
        hook: dict[str, Callable[[str], None]] = {moment: Dies(cut)}
        table = Table(
            Interposed(aws.client("dynamodb"), **hook), history_table, dependency="history"
        )
        log = HistoryLog(table, lambda: house.objects, house.bucket, "test", clock)
        try:
            drain(Interposed(redis_port, **hook), house, log).run()
            died = False
        except Died:
            pass
    assert cut > 4  # look, read, append, trim
    drain(redis_port, house).run()
    house.compact()
    assert [row["_entity"] for row in logged(house)] == sorted(expected)


def test_streams_of_past_hours_are_drained_too(
    redis_port: RedisPort, house: HistoryHouse, clock: Clock
) -> None:
    recorder = WATCHED.recorder(redis_port, clock)
    ids = [predict_one(recorder, clock())]
    clock.now += 5 * HOUR
    ids.append(predict_one(recorder, clock()))
    done = drain(redis_port, house).run()
    assert (done.streams, done.rows) == (2, 2)
    house.compact()
    assert [row["_entity"] for row in logged(house)] == sorted(ids)


def test_what_has_no_room_is_counted_row_by_row(
    redis_port: RedisPort, house: HistoryHouse, clock: Clock
) -> None:
    where = (NAMESPACE, "m", "v1", clock() // HOUR)
    recorder = WATCHED.recorder(redis_port, clock)
    kept = [predict_one(recorder, clock())]
    redis_port.flight([(b"INCRBY", log_bytes_key(*where), prediction_log.MAX_WAITING)])
    kept.append(predict_one(recorder, clock()))  # hears of it
    predict_one(recorder, clock())
    predict_rows(recorder, clock(), 300)
    assert counters(redis_port, clock) == (2, 301)
    done = drain(redis_port, house).run()
    assert (done.rows, done.overflowed) == (2, 301)
    assert drain(redis_port, house).run().overflowed == 0  # told of once
    redis_port.flight([(b"DECRBY", log_bytes_key(*where), prediction_log.MAX_WAITING)])
    predict_one(recorder, clock())  # hears that there is room again
    kept.append(predict_one(recorder, clock()))
    drain(redis_port, house).run()
    assert counters(redis_port, clock) == (3, 302)
    house.compact()
    assert [row["_entity"] for row in logged(house)] == sorted(kept)


def test_a_request_of_more_than_a_megabyte_is_logged_as_far_as_that(
    redis_port: RedisPort, house: HistoryHouse, clock: Clock
) -> None:
    recorder = WATCHED.recorder(redis_port, clock)
    ids = predict_rows(recorder, clock(), 500, names=["f"], inputs=[["x" * 4000]] * 500)
    rows, overflowed = counters(redis_port, clock)
    assert rows + overflowed == 500
    assert 200 < rows < 300
    drain(redis_port, house).run()
    house.compact()
    assert [row["_entity"] for row in logged(house)] == sorted(ids[:rows])


def test_the_one_prediction_after_redis_lost_everything_is_found(
    any_port: RedisPort, recorder: RedisRecorder, house: HistoryHouse
) -> None:
    predict_one(recorder, house.clock())
    any_port.flight([(b"DEL", key) for key in keys_of(any_port)])
    kept = predict_one(recorder, house.clock())  # nothing follows in its hour
    assert keys_that_never_expire(any_port) == []
    done = drain(any_port, house).run()
    assert (done.streams, done.rows) == (1, 1)
    house.compact()
    assert [row["_entity"] for row in logged(house)] == [kept]
    assert keys_that_never_expire(any_port) == []
    assert counters(any_port, house.clock) == (1, 0)


def test_what_redis_lost_is_told_of_once(
    redis_port: RedisPort, house: HistoryHouse, clock: Clock
) -> None:
    recorder = WATCHED.recorder(redis_port, clock)
    predict_one(recorder, clock())
    redis_port.flight([(b"DEL", log_key(NAMESPACE, "m", "v1", clock() // HOUR))])
    assert drain(redis_port, house).run().lost_bytes == 0  # a flight may be under way
    clock.now += 2 * HOUR
    assert drain(redis_port, house).run().lost_bytes > 100
    assert drain(redis_port, house).run().lost_bytes == 0


def test_an_entry_that_cannot_be_read_does_not_stop_the_others(
    redis_port: RedisPort, house: HistoryHouse, clock: Clock
) -> None:
    recorder = WATCHED.recorder(redis_port, clock)
    key = log_key(NAMESPACE, "m", "v1", clock() // HOUR)
    good = predict_one(recorder, clock())
    request = '"id":"m:v1:01ARYZ6S41TSV4RRFFQ69G5FAV"'
    for data in (
        "{",
        '{"id":"m","p":[1]}',
        f'{{{request},"p":[1],"q":[0.5,0.5]}}',
        f'{{{request},"p":["\\ud800"]}}',
    ):
        redis_port.flight([(b"XADD", key, b"*", b"d", data)])
    redis_port.flight([(b"XADD", key, b"*", b"other", b"field")])
    done = drain(redis_port, house).run()
    assert (done.rows, done.damaged) == (1, 5)
    house.compact()
    assert [row["_entity"] for row in logged(house)] == [good]


def test_with_redis_gone_nothing_raises_and_the_loss_is_counted(clock: Clock) -> None:
    with EmbeddedRedis() as server:
        port = connect(settings_for(server))
        recorder = WATCHED.recorder(port, clock)
        predict_one(recorder, clock())
        server.kill()
        predict_one(recorder, clock())
        assert recorder.lost == 1
        port.close()


def test_with_redis_gone_a_drain_says_so(house: HistoryHouse) -> None:
    with EmbeddedRedis() as server:
        port = connect(settings_for(server))
        server.kill()
        with pytest.raises(Unavailable):
            drain(port, house).run()
        port.close()
