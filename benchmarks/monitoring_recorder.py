"""What recording a prediction costs: against one redis-py round trip, and in memory.

    python -m benchmarks.monitoring_recorder

Rounds are interleaved, a GET and a record in turn, so that both meet the same machine. The budgets are
1.3 round trips and 8,192 bytes for 20 features.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import redis

from neuralstream_core.monitoring import layout
from neuralstream_core.monitoring.baseline import build_profile
from neuralstream_core.monitoring.layout import HOUR
from neuralstream_core.monitoring.observation import RowObservation
from neuralstream_core.monitoring.recorder import RedisRecorder
from neuralstream_core.redis import connect
from neuralstream_core.registry.records import FeatureRef
from neuralstream_core.settings import RedisSettings
from neuralstream_core.time import system_clock
from neuralstream_local.embedded_redis import EmbeddedRedis

FEATURES = 20
ROUNDS = 5000
BUDGET = 1.3
BYTES = 8192


def main() -> int:
    """0 when both budgets hold."""
    rng = np.random.default_rng(1)
    features = [FeatureRef(view="v", feature=f"f{i}", dtype="float64") for i in range(FEATURES)]
    profile = build_profile(
        features,
        {ref.feature: rng.normal(size=5000) for ref in features},
        prediction=rng.integers(0, 2, 5000).tolist(),
        score=rng.random(5000),
        classes=[0, 1],
    )
    rows = [
        RowObservation(
            "m",
            "v1",
            profile.digest,
            features,
            tuple(rng.normal(size=FEATURES).tolist()),
            None,
            int(rng.integers(0, 2)),
            float(rng.random()),
            tuple(rng.lognormal(-6, 0.5, 3).tolist()),
        )
        for _ in range(500)
    ]
    with EmbeddedRedis() as server:
        port = connect(
            RedisSettings(namespace="bench", redis_host=server.host, redis_port=server.port)
        )
        recorder = RedisRecorder(port, lambda _digest: profile, "bench")
        peer = redis.Redis(server.host, server.port)
        peer.set("key", b"x" * 200)
        gets, records = [], []
        clock = time.perf_counter
        for i in range(ROUNDS):
            started = clock()
            peer.get("key")
            between = clock()
            recorder.record(rows[i % 500])
            ended = clock()
            gets.append(between - started)
            records.append(ended - between)
        hour = system_clock() // HOUR
        where = ("bench", "m", "v1", hour, None)
        keys = [
            layout.service_key(*where),
            layout.series_key(*where, profile.digest),
            layout.index_key("bench", hour),
        ]
        size = sum(int(peer.memory_usage(key) or 0) for key in keys)
        port.close()
        peer.close()
    get, record = statistics.median(gets) * 1e6, statistics.median(records) * 1e6
    print(f"| redis-py GET | {get:.1f} µs |")
    print(
        f"| record, {FEATURES} features | {record:.1f} µs | {record / get:.2f} × | ≤ {BUDGET} × |"
    )
    print(f"| memory of a version and hour | {size:,} bytes | ≤ {BYTES:,} |")
    return 0 if record <= BUDGET * get and size <= BYTES and not recorder.lost else 1


if __name__ == "__main__":
    sys.exit(main())
