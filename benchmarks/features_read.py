"""Reading features: ours beside a bare MGET, on one node and on a cluster of three, and over HTTP.

python benchmarks/features_read.py [--seconds 2] [--quick]
"""

from __future__ import annotations

import json

import numpy as np
import redis
from _harness import BareRedis, Group, Report, arguments
from _http import laptop
from _stores import Keep, entities, registry, rows, store, view
from pydantic_core import from_json

from neuralstream_core.features import BlockRead, ViewRead
from neuralstream_core.redis import connect
from neuralstream_core.settings import RedisSettings
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.redis_cluster import EmbeddedCluster

COUNTS = (1, 10, 100, 1000)
WIDTHS = (20, 100)
LIMIT = "bare MGET, one node"
ROUTE = "POST /features/batch"
WORKLOAD = (
    "Rows of float64 features, every one written once with one event time and a TTL of a day. "
    "`bare` is one blocking socket with hiredis and nothing else; it leaves the values packed. "
    "NeuralStream answers what the engine predicts from: a column per feature and a status per cell (`rows`: "
    "an event time per cell too). Over HTTP: the laptop stack on one keep-alive connection, all on the same "
    "cores; the answer is received whole, and parsed where it says so."
)


def main() -> int:
    given = arguments(str(__doc__))
    report = Report("features_read", WORKLOAD)
    with EmbeddedRedis() as server, EmbeddedCluster() as cluster, registry() as table:
        single = store(keep := Keep(connect(RedisSettings(redis_port=server.port))), table)
        three = store(
            keep_three := Keep(connect(RedisSettings(redis_port=cluster.port, redis_cluster=True))),
            table,
        )
        bare = BareRedis(server.host, server.port)
        usual = redis.Redis(port=server.port)
        usual_cluster = redis.RedisCluster(host=cluster.host, port=cluster.port)
        for width in WIDTHS:
            name = view(single, width)
            for count in COUNTS:
                ids = entities(count)
                written = rows(ids, width)
                for online in (single, three):
                    online.write(name, written)
                read = [BlockRead(name, ids, None)]
                expected = np.array([list(row["features"].values()) for row in written])
                for online in (single, three):
                    columns = online.read_blocks(read)[0].columns.values()
                    np.testing.assert_array_equal(np.column_stack([*columns]), expected)
                keys, cluster_keys = keep.keys, keep_three.keys
                mget = (b"MGET", *keys)
                gets = [(b"GET", key) for key in keys]

                def pipelined(client, keys):
                    pipe = client.pipeline(transaction=False)
                    for key in keys:
                        pipe.get(key)
                    return pipe.execute()

                cases = {
                    LIMIT: lambda m=mget: bare.call(*m),
                    "bare pipelined GETs, one node": lambda g=gets: bare.pipeline(g),
                    "redis-py MGET, one node": lambda k=keys: usual.mget(k),
                    "redis-py pipelined GETs, one node": lambda k=keys: pipelined(usual, k),
                    "redis-py pipelined GETs, cluster": lambda k=cluster_keys: pipelined(
                        usual_cluster, k
                    ),
                    "NeuralStream to columns, one node": lambda r=read: single.read_blocks(r),
                    "NeuralStream to columns, cluster": lambda r=read: three.read_blocks(r),
                }
                if count <= 10:
                    each = [ViewRead(name, entity, None) for entity in ids]
                    cases["NeuralStream to rows, one node"] = lambda e=each: single.read_rows(e)
                    cases["NeuralStream to rows, cluster"] = lambda e=each: three.read_rows(e)
                budgets = {}
                if (count, width) == (1000, 20):
                    budgets = {
                        "NeuralStream to columns, one node": 1.5,
                        "NeuralStream to columns, cluster": 5.0,
                    }
                group = Group(f"read {count} × {width} float64", LIMIT, rows=count, budgets=budgets)
                packed = sum(len(value) for value in bare.call(*mget)) / count
                group.notes["bytes of a packed row"] = round(packed)
                group.notes["bytes of an entity in Redis, key and overhead included"] = round(
                    sum(bare.call(b"MEMORY", b"USAGE", key) for key in keys) / count
                )
                group.measure(cases, given.seconds)
                report.add(group)
        bare.close()
        usual.close()
        usual_cluster.close()
    report.add(_over_http(given.seconds))
    return report.save(quick=given.quick)


def _over_http(seconds: float) -> Group:
    """1000 × 20 over HTTP in both layouts, beside a bare MGET of the same keys."""
    count, width = 1000, 20
    ids = entities(count)
    values = {f"f{i}": [row["features"][f"f{i}"] for row in rows(ids, width)] for i in range(width)}
    with laptop() as api:
        api.put_view("wide", width)
        given = {"feature_view": "wide", "entity_ids": ids}
        api.call("POST", "/features/write", {**given, "columns": values})
        in_rows = json.dumps(given).encode()
        in_columns = json.dumps({**given, "layout": "columns"}).encode()

        def read(body: bytes) -> bytes:
            return api.http.request("POST", "/features/batch", body)

        answer = from_json(read(in_columns))
        assert (answer["columns"], answer["status"]) == (values, {})  # noqa: S101
        usual = redis.Redis(port=api.stack.redis.port)
        stored = {key.split(b":", 3)[3].decode(): key for key in usual.scan_iter("default:f:*")}
        usual.close()
        bare = BareRedis("127.0.0.1", api.stack.redis.port)
        mget = (b"MGET", *[stored[entity] for entity in ids])
        cases = {
            LIMIT: lambda: bare.call(*mget),
            "HTTP, columns": lambda: read(in_columns),
            "HTTP, columns, parsed by pydantic_core": lambda: from_json(read(in_columns)),
            "HTTP, columns, parsed by json": lambda: json.loads(read(in_columns)),
            "HTTP, rows": lambda: read(in_rows),
            "HTTP, rows, parsed by json": lambda: json.loads(read(in_rows)),
            "the handler alone, columns": api.handler("FeatureReadFunction", ROUTE, in_columns),
            "the handler alone, rows": api.handler("FeatureReadFunction", ROUTE, in_rows),
        }
        group = Group(
            f"read {count} × {width} float64 over HTTP",
            LIMIT,
            rows=count,
            budgets={"HTTP, columns": 6.0},
        )
        group.notes["bytes of the answer in columns"] = len(read(in_columns))
        group.notes["bytes of the answer in rows"] = len(read(in_rows))
        group.measure(cases, seconds)
        bare.close()
    return group


if __name__ == "__main__":
    raise SystemExit(main())
