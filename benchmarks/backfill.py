"""Backfills: rows/s of one core from S3 into Redis and the history.

    python -m benchmarks.backfill            # every format, each in a process of its own

20 float64 features, one row each of as many entities as rows, event times of their own. CPU seconds are those
of the worker's process alone, so the rate "per core" holds however many cores Redis and the emulation of AWS
take beside it. The limit is the checked and packed write by columns without a file and without a history.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Any, ParamSpec, TypeVar

import numpy as np

from benchmarks._harness import Group, Report
from benchmarks._house import house
from benchmarks.batch import Run, peak, require

P = ParamSpec("P")
T = TypeVar("T")

FEATURES = 20
BUDGET = 50_000
"""Rows/s of one core."""
SLICE = 8192


def source(rows: int, kind: str) -> bytes:
    """An input of ``rows`` rows."""
    random = np.random.default_rng(11)
    values = random.normal(size=(rows, FEATURES))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(seconds=i) for i in range(rows)]
    names = [f"f{j}" for j in range(FEATURES)]
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, Any] = {
            "user_id": [f"user-{i:07d}" for i in range(rows)],
            "at": pa.array(times),
        }
        columns |= {name: values[:, j] for j, name in enumerate(names)}
        out = io.BytesIO()
        pq.write_table(pa.table(columns), out, row_group_size=100_000)
        return out.getvalue()
    lines = []
    for i, row in enumerate(values.tolist()):
        moment = times[i].isoformat()
        if kind == "csv":
            lines.append(f"user-{i:07d},{moment}," + ",".join(map(repr, row)))
        else:
            cells = ",".join(f'"{name}":{v!r}' for name, v in zip(names, row, strict=True))
            lines.append(f'{{"user_id":"user-{i:07d}","at":"{moment}",{cells}}}')
    head = ["user_id,at," + ",".join(names)] if kind == "csv" else []
    return ("\n".join([*head, *lines]) + "\n").encode()


def backfilled(rows: int, kind: str) -> Run:
    """One worker in this process."""
    from tests.support.backfilling import Backfilling

    with house(FEATURES) as made:
        backfilling = Backfilling(made)
        backfilling.run(made.put("in/warm.csv", source(2000, "csv")), "user")
        job = backfilling.submit(made.put(f"in/a.{kind}", source(rows, kind)), "user")
        wall, cpu = time.perf_counter(), time.process_time()
        done = backfilling.finished(job)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        require(
            done.outcome is not None and (done.outcome.rows, done.outcome.failed) == (rows, 0), done
        )
        return Run(rows, wall, cpu, peak())


def columns_alone(rows: int) -> Run:
    """The same rows, in memory as arrays already, written by columns without a history."""
    with house(FEATURES) as made:
        random = np.random.default_rng(11)
        columns = {f"f{j}": random.normal(size=rows) for j in range(FEATURES)}
        ids = [f"user-{i:07d}" for i in range(rows)]
        wall, cpu = time.perf_counter(), time.process_time()
        for at in range(0, rows, SLICE):
            part = {name: values[at : at + SLICE] for name, values in columns.items()}
            made.store.write_columns("user", ids[at : at + SLICE], part)
        return Run(rows, time.perf_counter() - wall, time.process_time() - cpu, peak())


def alone(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What a function returns in a process of its own: a house is one of a process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **named).result()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=500_000)
    rows = parser.parse_args().rows
    report = Report(
        "backfill",
        f"A backfill of {rows:,} rows × {FEATURES} float64, S3 to Redis and the history, one worker. Times "
        "are the worker's CPU seconds: rows/s is per core. The limit is the write by columns of arrays that "
        "are in memory, without a history.",
    )
    limit = "columns alone"
    group = Group("a backfill on one worker", limit, rows=rows)
    group.samples[limit] = [alone(columns_alone, rows).cpu]
    below = 0
    for kind in ("csv", "jsonl", "parquet"):
        run = alone(backfilled, rows, kind)
        group.samples[f"NeuralStream, {kind}"] = [run.cpu]
        group.notes[kind] = (
            f"{rows / run.cpu:,.0f} rows/s per core (budget {BUDGET:,}), {rows / run.wall:,.0f} rows/s by "
            f"the clock with Redis and S3 on the same cores, peak memory {run.peak:.0f} MiB"
        )
        below += rows / run.cpu < BUDGET
    report.add(group)
    return report.save() + below


if __name__ == "__main__":
    raise SystemExit(main())
