"""Everything fails at once while eight writers write: what was acknowledged is in the history once, and
Redis is rebuilt from it as if it had never been killed."""

from __future__ import annotations

import io
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from neuralstream_core.backfill.rebuild_records import RebuildJob, RebuildJobs
from neuralstream_core.backfill.rebuild_work import RebuildWork
from neuralstream_core.backfill.view_jobs import ViewJobs
from neuralstream_core.errors import Conflict, Unavailable
from neuralstream_core.features import Catalog, Feature, GivenColumns, OnlineStore, Row, ViewSpec
from neuralstream_core.features.upkeep import Upkeep
from neuralstream_core.history.log import SEAL, SLOT, HistoryLog
from neuralstream_core.history.schema import ORDER
from neuralstream_core.jobs.records import JobKind, JobStatus
from neuralstream_core.jobs.store import Jobs
from neuralstream_core.objects import Location, Objects
from neuralstream_core.redis import RedisPort, connect
from neuralstream_core.table import Table
from neuralstream_core.time import iso, system_clock
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.aws import Aws
from tests.support.history import HistoryHouse
from tests.support.interposed import Died, Interposed
from tests.support.redis import settings_for

WRITERS = 8
ROWS = 1000
"""Of one write."""
WRITES = 200
ENTITIES = 5_000
KILLS = 10
Cells = dict[str, tuple[int, int]]
FEATURES = ("a", "b", "c", "d")


class FastClock:
    """Sixty times as fast as the wall's, so that a minute of the log is over in a second."""

    def __init__(self) -> None:
        self._start = system_clock()
        self.ahead = 0

    def __call__(self) -> int:
        return self._start + 60 * (system_clock() - self._start) + self.ahead


def failing(share: float, seed: int) -> Callable[[str], None]:
    """A hook that refuses a share of the calls, as AWS does or as the network does."""
    draw = random.Random(seed)

    def hook(operation: str) -> None:
        if draw.random() < share:
            if draw.random() < 0.5:
                raise EndpointConnectionError(endpoint_url="http://somewhere")
            raise ClientError({"Error": {"Code": "InternalServerError"}}, operation)

    return hook


class Weather:
    """Kills and flushes Redis, and kills the compactor, until all of it has happened."""

    def __init__(self, redis: EmbeddedRedis, compact: Callable[[bool], None]) -> None:
        self._redis, self._compact = redis, compact
        self._over = threading.Event()
        self._errors: list[BaseException] = []
        self.killed = self.flushed = self.died = 0
        self._threads = [threading.Thread(target=run) for run in (self._redis_dies, self._compacts)]

    def __enter__(self) -> Weather:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert not self._errors

    def _redis_dies(self) -> None:
        try:
            while not self._over.is_set() or self.flushed < KILLS:
                if self.killed < KILLS:
                    self._redis.kill()
                    time.sleep(0.05)
                    self._redis.start()
                    self.killed += 1
                if self.flushed < KILLS:
                    self._redis.flush()
                    self.flushed += 1
                self._over.wait(0.3)
        except BaseException as error:  # noqa: BLE001 - the test reports it
            self._errors.append(error)

    def _compacts(self) -> None:
        try:
            while not self._over.is_set() or self.died < KILLS:
                try:
                    self._compact(self.died < KILLS)
                except Died:
                    self.died += 1
                except (Unavailable, Conflict):
                    pass
                self._over.wait(0.1)
        except BaseException as error:  # noqa: BLE001 - the test reports it
            self._errors.append(error)


def rebuild(house: HistoryHouse, store: OnlineStore, port: RedisPort) -> None:
    """Fill Redis from the history, as the state machine would."""
    jobs: RebuildJobs = Jobs(house.registry, "test", house.clock, {JobKind.REBUILD: RebuildJob})
    upkeep = Upkeep(store, port, house.log, house.clock, "test")
    work = RebuildWork(jobs, house.history, upkeep, house.objects, house.bucket, house.clock)
    job = ViewJobs(jobs, house.catalog, JobKind.REBUILD).submit("load", "tests")
    planned = work.plan(job.job_id)
    for chunk in json.loads(house.objects.read(Location(planned.bucket, planned.key))):
        work.chunk(job.job_id, chunk)
    assert work.finish(job.job_id).status == JobStatus.SUCCEEDED


def newest(history: pa.Table, entities: list[str]) -> list[Cells]:
    """What a Redis that was never killed would hold, feature by feature."""
    found: dict[str, Cells] = {entity: {} for entity in entities}
    order = [(name, "ascending") for name in ORDER]
    for row in history.sort_by(order).to_pylist():
        for i, feature in enumerate(FEATURES):
            if row["_written_0"] & (1 << i):
                found[row["_entity"]][feature] = (row[feature], row["_event_time"])
    return list(found.values())


def cells(row: Row | None) -> Cells:
    """Value and event time of every cell that was ever written."""
    if row is None:
        return {}
    return {
        name: (value, moment)
        for name, value, moment in zip(row.names, row.values, row.event_times, strict=True)
        if moment is not None
    }


@pytest.fixture
def fast() -> FastClock:
    return FastClock()


def test_acknowledged_rows_are_kept_once_and_rebuilt_whatever_dies(
    aws: Aws, table_name: str, history_table: str, bucket: str, fast: FastClock
) -> None:
    dynamodb, s3 = aws.client("dynamodb"), aws.client("s3")
    weak_dynamodb = Interposed(dynamodb, before=failing(0.05, 1), after=failing(0.05, 2))
    weak_s3 = Interposed(s3, before=failing(0.05, 3), after=failing(0.05, 4))
    catalog = Catalog(Table(dynamodb, table_name), "test", fast)
    view, _ = catalog.put(
        "load",
        ViewSpec(entity="id", features=[Feature(name=f, dtype="int64") for f in FEATURES]),
    )
    log = HistoryLog(
        Table(weak_dynamodb, history_table, dependency="history"),
        lambda: Objects(weak_s3),
        bucket,
        "test",
        fast,
    )
    deaths = random.Random(5)

    def compact(may_die: bool) -> None:
        dies_at = deaths.randrange(1, 12) if may_die else -1
        calls = Counter[str]()

        def die(_: str) -> None:
            calls["all"] += 1
            if calls["all"] == dies_at:
                raise Died

        clients = (
            Interposed(Interposed(client, before=hook, after=hook), **{moment: die})
            for client, hook, moment in (
                (dynamodb, failing(0.02, 6), "before"),
                (s3, failing(0.02, 7), "after"),
            )
        )
        HistoryHouse(*clients, table_name, history_table, bucket, fast).compactor().run()

    with EmbeddedRedis() as server:
        port = connect(settings_for(server))
        store = OnlineStore(port, catalog, fast, "test", log=log)
        began = fast()

        def write(number: int) -> set[tuple[str, int]]:
            draw = random.Random(number)
            ids = [f"e{draw.randrange(ENTITIES)}" for _ in range(ROWS)]
            written = draw.sample(FEATURES, draw.randint(1, len(FEATURES)))
            columns = {f: [draw.randrange(1000) for _ in ids] for f in written}
            moments = [iso(began - draw.randrange(3 * 86_400) * 1_000_000) for _ in ids]
            tries = 0
            while True:
                tries += 1
                request = f"{number}-{tries}"
                batch = store.prepare("load", GivenColumns(ids, columns, moments), request)
                try:
                    store.commit([batch])
                except Unavailable:
                    time.sleep(0.01)
                    continue
                return {(request, row) for row in range(ROWS)}

        with Weather(server, compact) as weather, ThreadPoolExecutor(WRITERS) as pool:
            acknowledged = set[tuple[str, int]]().union(*pool.map(write, range(WRITES)))
        assert (weather.killed, weather.flushed, weather.died) == (KILLS, KILLS, KILLS)
        assert len(acknowledged) == WRITES * ROWS

        house = HistoryHouse(dynamodb, s3, table_name, history_table, bucket, fast)
        fast.ahead += SLOT + SEAL
        house.compactor().run()
        snapshot = house.history.snapshot(view)
        history = pa.concat_tables(
            pq.read_table(
                io.BytesIO(house.objects.read(house.history.location(f))), partitioning=None
            )
            for f in snapshot.files
        )
        requests, places = (history[name].to_pylist() for name in ("_request_id", "_row"))
        found = Counter(zip(requests, places, strict=True))
        assert set(found.values()) == {1}
        assert acknowledged <= found.keys()
        assert list(house.history.tail(snapshot)) == []

        server.flush()
        rebuild(house, store, port)
        entities = [f"e{i}" for i in range(ENTITIES)]
        online = store.read_many("load", entities).rows
        assert [cells(row) for row in online] == newest(history, entities)
        port.close()
