"""Compaction: rows/s of one core from the append log to Parquet in S3.

    python -m benchmarks.compaction [--rows 1000000] [--quick]

Requests of 1,000 rows of 20 float64 features, of which each third is written in part; then a second run that
adds a tenth to the same day. CPU seconds are those of the process that compacts, so the rate "per core" holds
however many cores the emulation of AWS beside it takes.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import numpy as np

from benchmarks._harness import Group, Report
from neuralstream_core.features import Catalog, Feature, FeatureView, GivenColumns, ViewSpec
from neuralstream_core.features._codec import Codec
from neuralstream_core.features.values import Dtype
from neuralstream_core.history.compaction import Compactor, view_lookup
from neuralstream_core.history.entries import Part
from neuralstream_core.history.log import SLOT, HistoryLog
from neuralstream_core.history.manifest import Heads
from neuralstream_core.objects import Objects
from neuralstream_core.parquet import database
from neuralstream_core.table import Table
from neuralstream_core.time import Micros
from neuralstream_local.aws import client_environ
from neuralstream_local.children import Child
from neuralstream_local.storage import create_history_table, create_registry_table

FEATURES = 20
REQUEST = 1_000
DAY: Micros = 1_767_225_600_000_000
"""2026-01-01."""
BUDGET = 100_000
"""Rows/s of one core."""


class House:
    """A log and what compacts it, on an AWS emulation."""

    def __init__(self, endpoint: str) -> None:
        name, self.now = uuid.uuid4().hex, DAY + 86_400_000_000
        dynamodb = boto3.client("dynamodb", endpoint_url=endpoint)
        s3 = boto3.client("s3", endpoint_url=endpoint)
        create_registry_table(dynamodb, f"{name}-registry")
        create_history_table(dynamodb, f"{name}-history")
        s3.create_bucket(Bucket=name)
        registry, history = (
            Table(dynamodb, f"{name}-{table}") for table in ("registry", "history")
        )
        objects = Objects(s3)
        self.log = HistoryLog(history, lambda: objects, name, "default", self.clock)
        heads = Heads(history, "default")
        features = [Feature(name=f"f{i}", dtype=Dtype.FLOAT64) for i in range(FEATURES)]
        spec = ViewSpec(entity="id", features=features)
        self.view, _ = Catalog(registry, "default", self.clock).put("v", spec)
        views = view_lookup(registry, "default", self.clock)
        self.compactor = Compactor(self.log, heads, views, objects, name, self.clock)

    def clock(self) -> Micros:
        return self.now

    def append(self, rows: int, seed: int) -> None:
        """Requests of one day, a thousand a minute."""
        codec = Codec(self.view, "default", 1000)
        draw = np.random.default_rng(seed)
        for start in range(0, rows, REQUEST):
            names = self.view.names if start % 3 else self.view.names[:5]
            given = GivenColumns(
                [f"user-{i}" for i in draw.integers(0, 100_000, REQUEST)],
                {name: draw.random(REQUEST) for name in names},
                ["2026-01-01T12:00:00Z"] * REQUEST,
            )
            packed = given.pack(codec, self.now)
            entities = [key.removeprefix(codec.prefix) for key in packed.keys]
            view = self.view
            part = Part(
                view.name,
                view.generation,
                view.schema_version,
                f"request-{seed}-{start}",
                entities,
                packed.rows,
            )
            self.log.append([part])
            self.now += 60_000
        self.now += 10 * SLOT


@contextmanager
def house() -> Iterator[House]:
    child = Child("neuralstream_local.aws_server")
    endpoint = str(child.ready()["endpoint"])
    os.environ.update(client_environ(endpoint))
    try:
        yield House(endpoint)
    finally:
        child.stop()


def duckdb_alone(view: FeatureView, rows: int) -> float:
    """CPU seconds of DuckDB that sorts and writes as many rows that are columns already: the limit."""
    draw = np.random.default_rng(1)
    columns: dict[str, np.ndarray] = {name: draw.random(rows) for name in view.names}
    columns["_entity"] = draw.integers(0, 100_000, rows)
    with tempfile.TemporaryDirectory() as folder, database(threads=2) as writer:
        writer.register("given", columns)
        start = time.process_time()
        writer.execute(
            f"COPY (SELECT * FROM given ORDER BY _entity) TO '{Path(folder)}/a.parquet'"  # noqa: S608 - a folder of our own
            " (FORMAT parquet, COMPRESSION zstd)"
        )
        return time.process_time() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, nothing saved")
    options = parser.parse_args()
    rows = options.rows // 10 if options.quick else options.rows
    report = Report(
        "compaction",
        f"{rows:,} rows of 20 float64 features, a third of the requests partial, from the append log to "
        "Parquet in S3, one process. Times are its CPU seconds: rows/s is per core. The limit is DuckDB "
        "alone that sorts and writes the columns.",
    )
    limit = "DuckDB alone"
    group = Group("compaction of one day", limit, rows=rows)
    with house() as stack:
        stack.compactor.run()
        group.samples[limit] = [duckdb_alone(stack.view, rows)]
        stack.append(rows, 1)
        first = run(stack, rows, group, "first run")
        stack.append(rows // 10, 2)
        run(stack, rows // 10, group, "a tenth more on the same day")
    report.add(group)
    if options.quick:
        return 0
    return report.save() + (rows / first < BUDGET)


def run(stack: House, rows: int, group: Group, name: str) -> float:
    """One compaction's CPU seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    done = stack.compactor.run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if done.rows != rows:
        raise RuntimeError(f"{done.rows} rows of {rows}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    group.samples[name] = [cpu]
    group.notes[name] = (
        f"{rows / cpu:,.0f} rows/s per core, {rows / wall:,.0f} rows/s by the clock, {done.files} files,"
        f" peak memory {peak:.0f} MiB"
    )
    return cpu


if __name__ == "__main__":
    raise SystemExit(main())
