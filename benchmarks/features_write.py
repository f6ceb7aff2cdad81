"""Writing features: ours beside bare SETs of the same bytes, on one node and on a cluster of three.

python benchmarks/features_write.py [--seconds 2] [--quick]
"""

from __future__ import annotations

from datetime import UTC, datetime

import redis
from _harness import BareRedis, Group, Report, arguments
from _stores import Keep, entities, registry, rows, store, view

from neuralstream_core.redis import connect
from neuralstream_core.settings import RedisSettings
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.redis_cluster import EmbeddedCluster

SIZES = ((1, 20), (100, 20), (1000, 20), (1000, 100), (10_000, 20))
LIMIT = "bare pipelined SETs, one node"
WORKLOAD = (
    "Rows of float64 features, each call with a newer event time, so that every cell replaces a stored "
    "one. The limit sends the same packed bytes with plain SETs: no schema, no checks, no comparison of "
    "event times. `partial` writes half of the features, whose merge with the stored other half is the "
    "script's long way."
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
            cases = {
                LIMIT: lambda s=sets: bare.pipeline(s),
                "redis-py pipelined SETs, one node": lambda s=sets: by_redis_py(s),
                "NeuralStream, one node": lambda n=name, w=written: single.write(n, now(w)),
                "NeuralStream, cluster": lambda n=name, w=written: three.write(n, now(w)),
                "NeuralStream partial, one node": lambda n=name, h=half: single.write(n, now(h)),
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
        report.add(_bytes_of_fifty(single, bare, keep))
        bare.close()
        usual.close()
    return report.save(quick=given.quick)


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
