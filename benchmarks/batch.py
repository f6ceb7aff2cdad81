"""Batch jobs: rows/s of one core from S3 to S3, and a job of a million rows through the state machine.

    python -m benchmarks.batch all      # every format, saved for the page
    python -m benchmarks.batch chunk    # one worker: plan, every chunk, finish; rows/s, peak memory
    python -m benchmarks.batch stack    # the laptop stack: submit over HTTP, state machine, digest check

Both: 20 float64 features of one view in Redis, a LightGBM classifier of 100 trees as ONNX, CSV in, JSONL
out. ``--rows`` and ``--format`` change the input. CPU seconds are those of the worker's process alone (and
of its children), so the rate "per core" holds however many cores the emulation beside it takes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks._harness import Group, Report
from benchmarks._house import house

FEATURES = 20
BUDGET = 100_000
"""Rows/s of one core."""
ENTITIES = 100_000


@dataclass(frozen=True, slots=True)
class Run:
    """One job's cost: seconds by the clock, CPU seconds of the worker, peak MiB of its memory."""

    rows: int
    wall: float
    cpu: float
    peak: float


def inference_alone(rows: int) -> float:
    """CPU seconds of ONNX Runtime on as many rows that are a matrix already: the limit."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(gbdt(), options)
    matrix = np.random.default_rng(3).normal(size=(10_000, FEATURES)).astype(np.float32)
    start = time.process_time()
    for _ in range(rows // len(matrix)):
        session.run(None, {"input": matrix})
    return time.process_time() - start


def measured(rows: int) -> int:
    """Every format in a process of its own, so that each peak is its own; saved for the page."""
    report = Report(
        "batch",
        f"A job over {rows:,} rows, S3 to S3: 20 float64 features read from Redis for each row, a LightGBM "
        "classifier of 100 trees, one worker. Times are the worker's CPU seconds: rows/s is per core. The "
        "limit is ONNX Runtime alone on a matrix that is ready.",
    )
    limit = "ONNX Runtime alone"
    group = Group("a job on one worker", limit, rows=rows)
    group.samples[limit] = [inference_alone(rows)]
    below = 0
    for kind, output in (("csv", "jsonl"), ("jsonl", "jsonl"), ("parquet", "parquet")):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            run = pool.submit(chunk, rows, kind, output).result()
        name = f"NeuralStream, {kind} to {output}"
        group.samples[name] = [run.cpu]
        group.notes[f"{kind} to {output}"] = (
            f"{rows / run.cpu:,.0f} rows/s per core (budget {BUDGET:,}), {rows / run.wall:,.0f} rows/s by "
            f"the clock with Redis and S3 on the same cores, peak memory {run.peak:.0f} MiB"
        )
        below += rows / run.cpu < BUDGET
    report.add(group)
    return report.save() + below


def gbdt() -> bytes:
    """LightGBM, 100 trees of 31 leaves, as ONNX."""
    import lightgbm
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    random = np.random.default_rng(7)
    x = random.normal(size=(5000, FEATURES))
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=31, verbose=-1).fit(x, y)
    onnx = convert_lightgbm(
        model, initial_types=[("input", FloatTensorType([None, FEATURES]))], zipmap=False
    )
    return bytes(onnx.SerializeToString())


def entity(i: int) -> str:
    return f"user-{i % ENTITIES:07d}"


def source(rows: int, kind: str) -> bytes:
    ids = [entity(i * 7919) for i in range(rows)]
    if kind == "csv":
        return ("entity_id\n" + "\n".join(ids) + "\n").encode()
    if kind == "jsonl":
        return "".join(f'{{"entity_id":"{i}"}}\n' for i in ids).encode()
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table({"entity_id": ids}), out, row_group_size=100_000)
    return out.getvalue()


def feature_rows() -> Iterator[list[dict[str, Any]]]:
    random = np.random.default_rng(11)
    for start in range(0, ENTITIES, 5000):
        values = random.normal(size=(5000, FEATURES)).tolist()
        yield [
            {
                "entity_id": entity(start + i),
                "features": {f"f{j}": v for j, v in enumerate(row)},
            }
            for i, row in enumerate(values)
        ]


def chunk(rows: int, kind: str, output: str) -> Run:
    """One worker in this process, against a Redis and an AWS emulation in others."""

    with house(FEATURES) as made:
        for block in feature_rows():
            made.store.write("user", block)
        made.serve("gbdt", gbdt(), [f"user:f{j}" for j in range(FEATURES)], format="onnx")
        made.run(made.put("in/warm.csv", source(2000, "csv")), "gbdt")
        uri = made.put(f"in/a.{kind}", source(rows, kind))
        job = made.submit(uri, "gbdt", output_format=output)
        wall, cpu = time.perf_counter(), time.process_time()
        planned = made.task("plan", job.job_id)
        for each in made.chunks(planned):
            made.task("chunk", job.job_id, chunk=each)
        made.task("finish", job.job_id)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        done = made.job(job.job_id)
        outcome = done.outcome
        require(outcome is not None and (outcome.rows, outcome.failed) == (rows, 0), done)
        return Run(rows, wall, cpu, peak())


def stack(rows: int, kind: str) -> None:
    """The laptop stack and its state machine."""
    from neuralstream_local.stack import Stack
    from tests.support.stack import RunningStack

    with Stack() as running:
        house = RunningStack(running)
        s3 = house.client("s3")
        features = [{"name": f"f{j}", "dtype": "float64"} for j in range(FEATURES)]
        house.request("PUT", "/features/views/user", {"entity": "user_id", "features": features})
        for block in feature_rows():
            for start in range(0, len(block), 1000):
                body = {"feature_view": "user", "rows": block[start : start + 1000]}
                require(house.request("POST", "/features/write", body).status == 200)
        body = {
            "format": "onnx",
            "artifact_base64": base64.b64encode(gbdt()).decode(),
            "features": [f"user:f{j}" for j in range(FEATURES)],
        }
        require(house.request("POST", "/models/gbdt/versions", body).status in (200, 201))
        require(house.request("POST", "/models/gbdt/promote/v1", {}).status == 200)
        key = f"jobs/in/{uuid.uuid4().hex}.{kind}"
        bucket = "neuralstream-local-data"
        s3.put_object(Bucket=bucket, Key=key, Body=source(rows, kind))
        started = time.perf_counter()
        body = {"input": f"s3://{bucket}/{key}", "output": f"s3://{bucket}/jobs/out/"}
        job = house.request("POST", "/predict/gbdt/batch", body).json()
        while job["status"] in ("PENDING", "RUNNING"):
            time.sleep(0.2)
            job = house.request("GET", f"/jobs/{job['job_id']}").json()
        seconds = time.perf_counter() - started
        require(job["status"] == "SUCCEEDED", job)
        worker = _status(running.worker.pid)
        given = hashlib.sha256()
        for i in range(rows):
            given.update(entity(i * 7919).encode() + b"\n")
        found, count = hashlib.sha256(), 0
        outcome = job["outcome"]
        path = outcome["manifest"].removeprefix(f"s3://{bucket}/")
        manifest = json.loads(s3.get_object(Bucket=bucket, Key=path)["Body"].read())
        for part in manifest["parts"]:
            path = part["uri"].removeprefix(f"s3://{bucket}/")
            for line in s3.get_object(Bucket=bucket, Key=path)["Body"].read().splitlines():
                row = json.loads(line)
                found.update(row["entity_id"].encode() + b"\n")
                count += "prediction" in row
        same = "equal" if found.digest() == given.digest() else "DIFFERENT"
        print(
            f"stack, {kind}: {rows} rows in {seconds:.1f} s ({rows / seconds:,.0f} rows/s), "
            f"{len(manifest['parts'])} chunks; {count} predictions, id digests {same}; "
            f"worker process peak RSS {worker:.0f} MB (up to 4 chunks at once)"
        )


def require(holds: bool, what: Any = "a step failed") -> None:
    """End the benchmark unless its work was done."""
    if not holds:
        raise SystemExit(str(what))


def peak() -> float:
    from neuralstream_core.memory import peak as most

    return most() / 2**20


def _status(pid: int) -> float:
    from pathlib import Path

    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["all", "chunk", "stack"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--format", choices=["csv", "jsonl", "parquet"], default="csv")
    parser.add_argument("--output", choices=["jsonl", "parquet"], default="jsonl")
    arguments = parser.parse_args()
    if arguments.what == "all":
        return measured(arguments.rows)
    if arguments.what == "chunk":
        print(chunk(arguments.rows, arguments.format, arguments.output))
    else:
        stack(arguments.rows, arguments.format)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
