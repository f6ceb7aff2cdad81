"""Feast through its SDK: a local registry, its Redis online store, one feature view a width.

python feast_worker.py REPO_DIR REDIS_HOST:PORT
"""

import sys
import time
from datetime import timedelta
from pathlib import Path

_start = time.perf_counter()
import feast  # noqa: E402 - its import time is one of the numbers

IMPORT_SECONDS = time.perf_counter() - _start

import numpy as np  # noqa: E402 - after the timed import
import pandas as pd  # noqa: E402 - after the timed import
from feast.types import Float64, String  # noqa: E402 - after the timed import
from workers._protocol import serve, timed  # noqa: E402 - after the timed import

REPO, REDIS = Path(sys.argv[1]), sys.argv[2]
CONFIG = f"""\
project: bench
provider: local
registry: {REPO}/registry.db
online_store:
  type: redis
  connection_string: {REDIS}
offline_store:
  type: file
entity_key_serialization_version: 3
"""


def columns(width):
    return [f"f{i}" for i in range(width)]


def frame(entities, width, seed=0):
    values = np.random.default_rng(seed).random((entities, width))
    table = pd.DataFrame(values, columns=columns(width))
    table.insert(0, "user", [f"user_{i}" for i in range(entities)])
    table.insert(1, "event_timestamp", pd.Timestamp.now(tz="UTC"))
    return table


class Worker:
    def setup(self, entities, widths):
        REPO.mkdir(parents=True, exist_ok=True)
        (REPO / "feature_store.yaml").write_text(CONFIG)
        self.store = feast.FeatureStore(repo_path=str(REPO))
        user = feast.Entity(name="user", join_keys=["user"], value_type=feast.ValueType.STRING)
        objects = [user]
        for width in widths:
            path = REPO / f"v{width}.parquet"
            frame(10, width).to_parquet(path)
            objects.append(
                feast.FeatureView(
                    name=f"v{width}",
                    entities=[user],
                    ttl=timedelta(days=1),
                    schema=[
                        feast.Field(name="user", dtype=String),
                        *(feast.Field(name=c, dtype=Float64) for c in columns(width)),
                    ],
                    source=feast.FileSource(path=str(path), timestamp_field="event_timestamp"),
                )
            )
        self.store.apply(objects)
        for width in widths:
            self.store.write_to_online_store(f"v{width}", frame(entities, width))
        return True

    def views(self, first, count):
        """``count`` further views of twenty features each: does a read's cost stay flat?"""
        user = self.store.get_entity("user")
        path = REPO / "v20.parquet"
        self.store.apply(
            [
                feast.FeatureView(
                    name=f"extra{i}",
                    entities=[user],
                    schema=[
                        feast.Field(name="user", dtype=String),
                        *(feast.Field(name=c, dtype=Float64) for c in columns(20)),
                    ],
                    source=feast.FileSource(path=str(path), timestamp_field="event_timestamp"),
                )
                for i in range(first, first + count)
            ]
        )
        return True

    def read(self, entities, width, repeat):
        rows = [{"user": f"user_{i}"} for i in range(entities)]
        names = [f"v{width}:{c}" for c in columns(width)]
        return timed(
            lambda: self.store.get_online_features(features=names, entity_rows=rows).to_dict(),
            repeat,
        )

    def read_frame(self, entities, width, repeat):
        rows = [{"user": f"user_{i}"} for i in range(entities)]
        names = [f"v{width}:{c}" for c in columns(width)]
        return timed(
            lambda: self.store.get_online_features(features=names, entity_rows=rows).to_df(),
            repeat,
        )

    def write(self, rows, width, repeat):
        table = frame(rows, width, seed=1)
        return timed(lambda: self.store.write_to_online_store(f"v{width}", table), repeat)

    def score(self, model, rows, chunk):
        """Batch scoring as Feast's users do it: online features by chunk, then the booster."""
        import lightgbm

        booster = lightgbm.Booster(model_file=model)
        names = [f"v20:{c}" for c in columns(20)]
        start = time.perf_counter()
        for first in range(0, rows, chunk):
            ids = [{"user": f"user_{i}"} for i in range(first, min(first + chunk, rows))]
            table = self.store.get_online_features(features=names, entity_rows=ids).to_df()
            booster.predict(table[columns(20)].to_numpy(), num_threads=1)
        return time.perf_counter() - start

    def facts(self):
        import resource

        return {
            "version": feast.__version__,
            "import_s": IMPORT_SECONDS,
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


worker = Worker()
serve(
    {
        name: getattr(worker, name)
        for name in ("setup", "views", "read", "read_frame", "write", "score", "facts")
    }
)
