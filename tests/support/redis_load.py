"""Callers of a Redis that is about to fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis import RedisPort, Script, connect
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.redis import settings_for

__all__ = ["HANG", "RAISE", "Load", "answers", "port", "server", "took"]

HANG = 1.0
"""Seconds; what issue and design call a hang. The timeouts add up to 0.65."""
RAISE = Script(  # keeps the larger number, as the store keeps the later time
    "local old = tonumber(redis.call('GET', KEYS[1]) or '-1')"
    " if tonumber(ARGV[1]) > old then redis.call('SET', KEYS[1], ARGV[1]) end return 1"
)


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    """A server of the test's own, to be killed."""
    with EmbeddedRedis() as own:
        yield own


@pytest.fixture
def port(server: EmbeddedRedis) -> Iterator[RedisPort]:
    own = connect(settings_for(server))
    yield own
    own.close()


class Load:
    """Threads that write rising numbers and read them back; remember what broke a promise."""

    def __init__(self, port: RedisPort, threads: int = 4) -> None:
        self._port = port
        self._stop = threading.Event()
        self.wrong: list[object] = []
        self.slowest = 0.0
        self.done = [0] * threads
        self.refused = [0] * threads
        self._threads = [threading.Thread(target=self._work, args=(i,)) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def _work(self, me: int) -> None:
        keys = [b"load:%d:%d" % (me, i) for i in range(30)]
        number = 0
        while not self._stop.is_set():
            number += 1
            start = time.monotonic()
            try:
                replies = self._port.run(RAISE, [(key, number) for key in keys])
                if replies != [1] * len(keys):
                    self.wrong.append(replies)
                values = self._port.mget(keys)
            except Unavailable:
                self.refused[me] += 1
            else:
                # A restarted server is empty; what it has can only be this thread's own numbers.
                if any(value is not None and int(value) != number for value in values):
                    self.wrong.append((number, values))
                self.done[me] += 1
            self.slowest = max(self.slowest, time.monotonic() - start)

    def progress(self) -> Callable[[], bool]:
        """True once every thread has done something more."""
        before = list(self.done)
        return lambda: all(now > then for now, then in zip(self.done, before, strict=True))

    def refusals(self) -> Callable[[], bool]:
        before = list(self.refused)
        return lambda: all(now > then for now, then in zip(self.refused, before, strict=True))

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def took(call: Callable[[], object]) -> float:
    start = time.monotonic()
    with pytest.raises(Unavailable):
        call()
    return time.monotonic() - start


def answers(port, key):
    try:
        return port.mget([key])[0]
    except Unavailable:
        return None
