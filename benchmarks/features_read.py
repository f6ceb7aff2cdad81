"""Reading features: ours beside a bare MGET, on one node and on a cluster of three.

python benchmarks/features_read.py [--seconds 2] [--quick]
"""

from __future__ import annotations

import numpy as np
import redis
from _harness import BareRedis, Group, Report, arguments
from _stores import Keep, entities, registry, rows, store, view

from neuralstream_core.features import BlockRead, ViewRead
from neuralstream_core.redis import connect
from neuralstream_core.settings import RedisSettings
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.redis_cluster import EmbeddedCluster

COUNTS = (1, 10, 100, 1000)
WIDTHS = (20, 100)
LIMIT = "bare MGET, one node"
WORKLOAD = (
    "Rows of float64 features, every one written once with one event time and a TTL of a day. "
    "`bare` is one blocking socket with hiredis and nothing else; it leaves the values packed. "
    "NeuralStream answers what the engine predicts from: a column per feature and a status per cell (`rows`: "
    "an event time per cell too)."
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
    return report.save(quick=given.quick)


if __name__ == "__main__":
    raise SystemExit(main())
