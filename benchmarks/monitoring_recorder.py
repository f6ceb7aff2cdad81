"""What recording a prediction costs: against one redis-py round trip, and in memory.

    python benchmarks/monitoring_recorder.py

The budgets are 1.3 round trips, 1.4 with an entry of the prediction log, which is packed anew for each
prediction, and 8,192 bytes per version and hour at 20 features.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import cycle

import numpy as np
import redis
from _harness import Group, Report, arguments

from neuralstream_core.monitoring import layout
from neuralstream_core.monitoring.binning import build_profile
from neuralstream_core.monitoring.layout import HOUR
from neuralstream_core.monitoring.observation import RowObservation
from neuralstream_core.monitoring.recorder import RedisRecorder
from neuralstream_core.outcomes.ids import PredictionId, random_ulid
from neuralstream_core.outcomes.log import packed_one
from neuralstream_core.redis import connect
from neuralstream_core.registry.records import FeatureRef
from neuralstream_core.settings import RedisSettings
from neuralstream_core.time import system_clock
from neuralstream_local.embedded_redis import EmbeddedRedis

FEATURES = 20
GET, RECORD, LOG = "redis-py GET", "record a prediction", "record and log a prediction"
BUDGETS = {RECORD: 1.3, LOG: 1.4}
BYTES = 8192


def logged(row: RowObservation) -> RowObservation:
    """A prediction as the engine makes it: with an id and an entry of the log."""
    request = PredictionId("m", "v1", random_ulid(system_clock())).request
    row.log = packed_one(request, row.prediction, row.score, "user_123")
    return row


def main() -> int:
    """The number of budgets that do not hold."""
    options = arguments(__doc__.splitlines()[0])
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
        logging = RedisRecorder(port, lambda _digest: profile, "logging")
        peer = redis.Redis(server.host, server.port)
        peer.set("key", b"x" * 200)
        # Rows of its own for each case: a row that was logged keeps its entry.
        turn, turn_logged = cycle(rows), cycle([replace(row) for row in rows])
        group = Group(f"record one prediction of {FEATURES} features", limit=GET, budgets=BUDGETS)
        group.measure(
            {
                GET: lambda: peer.get("key"),
                RECORD: lambda: recorder.record(next(turn)),
                LOG: lambda: logging.record(logged(next(turn_logged))),
            },
            options.seconds,
        )
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
    group.notes["bytes of a version and hour"] = size
    group.notes["requests lost"] = recorder.lost + logging.lost
    report = Report(
        "monitoring_recorder",
        "One flight of increments to the counters of a minute and of an hour, against one redis-py GET on "
        "the same server.",
    )
    report.add(group)
    return report.save(quick=options.quick) + (size > BYTES) + (recorder.lost + logging.lost > 0)


if __name__ == "__main__":
    sys.exit(main())
