"""Redis killed, restarted and stopped under load: fast failures, no wrong value, and recovery of the
same process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from neuralstream_core.errors import NotFound, Unavailable
from neuralstream_core.features import BlockRead, Catalog, Feature, OnlineStore, ViewSpec
from neuralstream_core.redis import connect
from neuralstream_core.table import Table
from neuralstream_core.time import iso, system_clock
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.poll import eventually
from tests.support.redis import settings_for
from tests.support.redis_cluster import EmbeddedCluster

HANG = 1.0
"""Seconds that no call may take, whatever Redis does."""


class Load:
    """A thread that calls one thing over and over and keeps account of how it went."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.done = 0
        self.failed = 0
        self.longest = 0.0
        self.wrong: BaseException | None = None

    def _run(self) -> None:
        while not self._stop.is_set() and self.wrong is None:
            begin = time.monotonic()
            try:
                self._call()
                self.done += 1
            except Unavailable:
                self.failed += 1
                self._stop.wait(0.005)
            except BaseException as error:  # noqa: BLE001 - handed to the test
                self.wrong = error
            self.longest = max(self.longest, time.monotonic() - begin)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


class Truth:
    """Writes growing numbers to a few entities and knows which ones were acknowledged."""

    def __init__(self, store: OnlineStore) -> None:
        self.store = store
        self.sent = 0
        self.acknowledged = 0
        self.lost = False
        """Whether a server came back empty, so that acknowledged values may be gone."""

    def write(self) -> None:
        self.sent += 1
        number = self.sent
        rows = [
            {
                "entity_id": f"e{i}",
                "features": {"a": number, "b": number * i},
                "event_timestamp": iso(self.epoch + number),
            }
            for i in range(12)
        ]
        result = self.store.write("load", rows)
        assert result.written == 12
        self.acknowledged = number

    epoch = system_clock() - 3_600_000_000

    def read(self) -> None:
        known = self.acknowledged
        try:
            row = self.store.read_one("load", "e3")
        except NotFound:
            assert self.lost or known == 0
            return
        number, product = row.values
        assert product == 3 * number
        assert number <= self.sent
        assert self.lost or number >= known
        (block,) = self.store.read_blocks([BlockRead("load", [f"e{i}" for i in range(12)])])
        number, product = block.columns.values()
        here = block.status[:, 0] == 0
        assert (product[here] == number[here] * here.nonzero()[0]).all()


@pytest.fixture(params=["one node", "cluster"])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedRedis | EmbeddedCluster]:
    with EmbeddedRedis() if request.param == "one node" else EmbeddedCluster() as started:
        yield started


def nodes(server: EmbeddedRedis | EmbeddedCluster) -> list[EmbeddedRedis]:
    return [server] if isinstance(server, EmbeddedRedis) else list(server.nodes)


@pytest.fixture
def truth(server: Any, table: Table) -> Iterator[Truth]:
    port = connect(settings_for(server))
    store = OnlineStore(port, Catalog(table, "test", system_clock), system_clock, "test")
    features = [Feature(name=name, dtype="int64") for name in "ab"]
    store.catalog.put("load", ViewSpec(entity="id", features=features))
    yield Truth(store)
    port.close()


def under_load(truth: Truth, disturb: Callable[[Load], None]) -> None:
    with Load(truth.write) as writer, Load(truth.read) as reader:
        eventually(lambda: min(writer.done, reader.done) > 20)
        disturb(writer)
        before = writer.done, reader.done
        eventually(lambda: writer.done > before[0] + 20 and reader.done > before[1] + 20)
    for load in (writer, reader):
        if load.wrong is not None:
            raise load.wrong
        assert load.longest < HANG
    truth.write()
    row = truth.store.read_one("load", "e3")
    assert row.values == (truth.sent, 3 * truth.sent)


def test_a_server_killed_and_started_again(server: Any, truth: Truth) -> None:
    def kill(writer: Load) -> None:
        truth.lost = True
        victim = nodes(server)[0]
        victim.kill()
        eventually(lambda: writer.failed > 3)
        victim.start()

    under_load(truth, kill)


def test_a_server_that_stands_still_and_goes_on(server: Any, truth: Truth) -> None:
    def pause(writer: Load) -> None:
        victim = nodes(server)[0]
        victim.pause()
        eventually(lambda: writer.failed > 1)
        victim.resume()

    under_load(truth, pause)
