"""Writing features by row and by column: ours beside bare SETs, on one node, a cluster and over HTTP.

python benchmarks/features_write.py [--seconds 2] [--quick]
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import redis
from _harness import BareRedis, Group, Report, arguments
from _http import laptop
from _stores import Keep, entities, registry, rows, store, view

from neuralstream_core.features import OnlineStore
from neuralstream_core.features.writes import GivenColumns
from neuralstream_core.history.log import HistoryLog
from neuralstream_core.objects import Objects
from neuralstream_core.redis import connect
from neuralstream_core.settings import RedisSettings
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.redis_cluster import EmbeddedCluster

SIZES = ((1, 20), (100, 20), (1000, 20), (1000, 100), (10_000, 20))
LIMIT = "bare pipelined SETs, one node"
ROUTE = "POST /features/write"
WORKLOAD = (
    "Rows of float64 features, each call with a newer event time, so that every cell replaces a stored "
    "one. The limit sends the same packed bytes with plain SETs: no schema, no checks, no comparison of "
    "event times. `partial` writes half of the features, whose merge with the stored other half is the "
    "script's long way. `lists` and `arrays` are columns of Python floats and of numpy. Over HTTP: the "
    "laptop stack on the same cores."
)


def main() -> int:
    given = arguments(str(__doc__))
    report = Report("features_write", WORKLOAD)
    with EmbeddedRedis() as server, EmbeddedCluster() as cluster, registry() as table:
        single = store(keep := Keep(connect(RedisSettings(redis_port=server.port))), table)
        three = store(connect(RedisSettings(redis_port=cluster.port, redis_cluster=True)), table)
        bare = BareRedis(server.host, server.port)
        usual = redis.Redis(port=server.port)
        for count, width in SIZES:
            name = view(single, width)
            written = rows(entities(count), width)
            half = [
                {**row, "features": dict(list(row["features"].items())[: width // 2])}
                for row in written
            ]

            def now(batch):
                moment = datetime.now(UTC).isoformat()
                for row in batch:
                    row["event_timestamp"] = moment
                return batch

            keep.calls, keep.keeping = [], True
            assert single.write(name, now(written)).written == count  # noqa: S101
            assert three.write(name, now(written)).written == count  # noqa: S101
            sets = [(b"SET", key, row, b"PX", int(life)) for key, row, life, _ in keep.calls]

            def by_redis_py(commands):
                for start in range(0, len(commands), 1000):
                    pipe = usual.pipeline(transaction=False)
                    for _, key, value, _, life in commands[start : start + 1000]:
                        pipe.set(key, value, px=life)
                    pipe.execute()

            keep.keeping = False
            ids, lists = in_columns(written)
            arrays = {feature: np.array(values) for feature, values in lists.items()}

            def by_column(columns, name=name, ids=ids):
                return single.write_columns(name, ids, columns, datetime.now(UTC).isoformat())

            def by_row(store, some, name=name):
                return store.write(name, now(some))

            cases: dict[str, Callable[[], object]] = {
                LIMIT: partial(bare.pipeline, sets),
                "redis-py pipelined SETs, one node": partial(by_redis_py, sets),
                "NeuralStream, one node": partial(by_row, single, written),
                "NeuralStream lists, one node": partial(by_column, lists),
                "NeuralStream arrays, one node": partial(by_column, arrays),
                "NeuralStream, cluster": partial(by_row, three, written),
                "NeuralStream partial, one node": partial(by_row, single, half),
            }
            group = Group(f"write {count} × {width} float64", LIMIT, rows=count)
            group.measure(cases, given.seconds)
            single.write(name, now(written))
            sizes = [bare.call(b"STRLEN", key) for _, key, *_ in sets[:1000]]
            used = [bare.call(b"MEMORY", b"USAGE", key) for _, key, *_ in sets[:1000]]
            group.notes["bytes of a packed row"] = round(sum(sizes) / len(sizes))
            group.notes["bytes of an entity in Redis, key and overhead included"] = round(
                sum(used) / len(used)
            )
            report.add(group)
        for count in (1, 1000, 10_000):
            report.add(_with_history(single, keep, count, given.seconds))
        report.add(_bytes_of_fifty(single, bare, keep))
        bare.close()
        usual.close()
    report.add(_over_http(given.seconds))
    return report.save(quick=given.quick)


def in_columns(written) -> tuple[list[str], dict[str, list[float]]]:
    """Ids and columns of rows; the values are new objects, in the order in which JSON would make them."""
    columns = {f: [r["features"][f] for r in written] for f in written[0]["features"]}
    return [row["entity_id"] for row in written], json.loads(json.dumps(columns))


class FixedAppend:
    """In place of the clients of DynamoDB and S3: takes 5 ms, most of them without the processor."""

    SECONDS = 0.005

    def put_item(self, **_request):
        time.sleep(self.SECONDS)
        return {}

    put_object = put_item


def _with_history(online: OnlineStore, port: Keep, count: int, seconds: float) -> Group:
    """What the history adds to a write: the two run at once, so no more than the slower of both."""
    clients: Any = FixedAppend()
    log = HistoryLog(
        Table(clients, "history"), lambda: Objects(clients), "data", "bench", system_clock
    )
    keeping = OnlineStore(port, online.catalog, system_clock, "bench", log=log)
    name, written = view(online, 20), rows(entities(count), 20)
    ids, columns = in_columns(written)

    def prepared(store):
        return store.prepare(name, GivenColumns(ids, columns, datetime.now(UTC).isoformat()))

    off, alone, on = "without history", "the append alone", "with history"
    cases = {
        off: lambda: online.commit([prepared(online)]),
        alone: lambda: log.record([prepared(online)]),
        on: lambda: keeping.commit([prepared(keeping)]),
    }
    group = Group(f"write {count} × 20 float64, an append of 5 ms", off, rows=count)
    group.measure(cases, seconds)
    slower = max((off, alone), key=lambda case: median(group.samples[case]))
    group.limit, group.budgets = slower, {on: 1.1}
    return group


def _over_http(seconds: float) -> Group:
    """10,000 × 20 over HTTP in columns, and by row as far as a body may have: half of it."""
    count, width = 10_000, 20
    written = rows(entities(count), width)
    for row in written:
        del row["event_timestamp"]
    with laptop() as api:
        api.put_view("wide", width)

        def send(body):
            return lambda: api.http.request("POST", "/features/write", body)

        ids, columns = in_columns(written)
        whole = json.dumps({"feature_view": "wide", "entity_ids": ids, "columns": columns}).encode()
        halves = [
            json.dumps({"feature_view": "wide", "rows": written[at : at + count // 2]}).encode()
            for at in (0, count // 2)
        ]
        bare = BareRedis("127.0.0.1", api.stack.redis.port)
        sets = [(b"SET", f"bench:{i}", b"x" * 200, b"PX", 86_400_000) for i in range(count)]
        cases = {
            LIMIT: lambda: bare.pipeline(sets),
            "HTTP, columns": send(whole),
            "HTTP, rows, two requests": lambda: [send(half)() for half in halves],
            "the handler alone, columns": api.handler("FeatureWriteFunction", ROUTE, whole),
        }
        group = Group(f"write {count} × {width} float64 over HTTP", LIMIT, rows=count)
        group.notes["bytes of the request in columns"] = len(whole)
        group.notes["bytes of the requests in rows"] = sum(map(len, halves))
        group.measure(cases, seconds)
        bare.close()
    return group


def _bytes_of_fifty(online, bare, keep) -> Group:
    """Memory of 50 float64 features: written at once, and by 50 writes of one feature each."""
    name = view(online, 50)
    whole, pieces = rows(["at once"], 50), rows(["piece by piece"], 50)
    group = Group("one entity of 50 float64 features", "at once")

    def at_once():
        whole[0]["event_timestamp"] = datetime.now(UTC).isoformat()
        online.write(name, whole)

    def piece_by_piece():
        for feature, value in pieces[0]["features"].items():
            moment = datetime.now(UTC).isoformat()
            online.write(
                name,
                [
                    {
                        "entity_id": "piece by piece",
                        "features": {feature: value},
                        "event_timestamp": moment,
                    }
                ],
            )

    group.measure({"at once": at_once, "piece by piece": piece_by_piece}, 0.2)
    for label, write in (("at once", at_once), ("piece by piece", piece_by_piece)):
        keep.calls, keep.keeping = [], True
        write()
        key = keep.calls[0][0]
        group.notes[f"bytes {label}, value"] = bare.call(b"STRLEN", key)
        group.notes[f"bytes {label}, key and overhead included"] = bare.call(
            b"MEMORY", b"USAGE", key
        )
    return group


if __name__ == "__main__":
    raise SystemExit(main())
