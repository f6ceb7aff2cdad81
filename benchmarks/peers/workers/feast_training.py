"""One training set by Feast's local offline store (dask over Parquet), in a process of its own.

python feast_training.py REPO_DIR HISTORY.parquet LABELS.parquet OUT.parquet
"""

import json
import sys
import time
from pathlib import Path

import feast
import pandas as pd
from feast.types import Float64, String

WIDTH = 20


def store(repo, history):
    """A repository with one view of the file."""
    repo.mkdir(parents=True, exist_ok=True)
    (repo / "feature_store.yaml").write_text(
        f"project: bench\nprovider: local\nregistry: {repo}/registry.db\n"
        f"online_store:\n  type: sqlite\n  path: {repo}/online.db\noffline_store:\n  type: file\n"
        "entity_key_serialization_version: 3\n"
    )
    found = feast.FeatureStore(repo_path=str(repo))
    user = feast.Entity(name="user", join_keys=["user"], value_type=feast.ValueType.STRING)
    fields = [feast.Field(name=f"f{i}", dtype=Float64) for i in range(WIDTH)]
    view = feast.FeatureView(
        name="v",
        entities=[user],
        schema=[feast.Field(name="user", dtype=String), *fields],
        source=feast.FileSource(path=str(history), timestamp_field="event_timestamp"),
    )
    found.apply([user, view])
    return found


def cpu_and_memory():
    """Processor seconds so far, and megabytes (10⁶) of the most memory that was in use at once."""
    status = Path("/proc/self/status").read_text().splitlines()
    high = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return time.process_time(), high * 1024 / 1e6


repo, history, labels, out = map(Path, sys.argv[1:])
joined = store(repo, history)
start = time.perf_counter()
wanted = pd.read_parquet(labels)
made = joined.get_historical_features(
    entity_df=wanted, features=[f"v:f{i}" for i in range(WIDTH)]
).to_df()
made.to_parquet(out)
seconds = time.perf_counter() - start
cpu, megabytes = cpu_and_memory()
told = {"seconds": seconds, "cpu": cpu, "megabytes": megabytes, "rows": len(made)}
sys.stdout.write(json.dumps(told | {"version": feast.__version__}) + "\n")
