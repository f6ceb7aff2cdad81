"""What is measured beside the peers; each workload gives one `Report`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import growth
import logging_models
import system
import training
from _harness import BareRedis, Group, Report
from _http import Http
from _world import FEATURES, Model, alternate, feast, feast_server, model_server, ours, sdk, timed

from neuralstream_core.features import BlockRead

__all__ = ["ALL"]

SERVERS = ("mlserver", "mlflow", "bentoml")
ENTITY = "user_7"


def read(folder: Path, model: Model, rounds: int) -> Report:
    """Online reads, library to library and HTTP to HTTP."""
    report = Report(
        "peers_read",
        "Reading features online: every feature of a view for N entities, values and statuses decoded. "
        "SDK: in the caller's process. HTTP: one keep-alive connection, JSON parsed by the caller. In "
        "turns of 10 calls.",
    )
    with ExitStack() as stack:
        api = stack.enter_context(ours(model))
        worker, _, repo = stack.enter_context(feast(folder))
        served = Http(stack.enter_context(feast_server(folder, repo)))
        online, keep = sdk(api)
        bare = BareRedis("127.0.0.1", api.stack.redis.port)
        for width in (20, 100):
            for count in (1, 10, 100, 1000):
                turns = max(3, rounds // (4 if count * width <= 2000 else 8))
                ids = [f"user_{i}" for i in range(count)]
                block = [BlockRead(f"v{width}", ids, None)]
                online.read_blocks(block)
                mget = (b"MGET", *keep.keys)
                group = Group(f"SDK read, {count} × {width}", "bare MGET", rows=count)
                if (count, width) == (1000, 20):
                    group.budgets = {"NeuralStream": 1.5}
                alternate(
                    group,
                    {
                        "bare MGET": timed(lambda m=mget: bare.call(*m)),
                        "NeuralStream": timed(lambda b=block: online.read_blocks(b)),
                        "Feast": lambda c=count, w=width: worker.call(
                            "read", entities=c, width=w, repeat=1
                        )[0],
                    },
                    turns,
                    burst=10,
                )
                report.add(group)
                asked = json.dumps({"feature_view": f"v{width}", "entity_ids": ids}).encode()
                in_columns = json.dumps({**json.loads(asked), "layout": "columns"}).encode()
                names = [f"v{width}:f{i}" for i in range(width)]
                wanted = json.dumps({"features": names, "entities": {"user": ids}}).encode()
                group = Group(f"HTTP read, {count} × {width}", "bare MGET", rows=count)
                alternate(
                    group,
                    {
                        "bare MGET": timed(lambda m=mget: bare.call(*m)),
                        "NeuralStream": timed(
                            lambda a=asked: json.loads(
                                api.http.request("POST", "/features/batch", a)
                            )
                        ),
                        "NeuralStream, columns": timed(
                            lambda a=in_columns: json.loads(
                                api.http.request("POST", "/features/batch", a)
                            )
                        ),
                        "Feast": timed(
                            lambda w=wanted: json.loads(
                                served.request("POST", "/get-online-features", w)
                            )
                        ),
                    },
                    turns,
                    burst=10,
                )
                report.add(group)
    return report


def write(folder: Path, model: Model, rounds: int) -> Report:
    """Writing 10,000 rows through each library."""
    import numpy as np

    report = Report(
        "peers_write",
        "Writing 10,000 rows of 20 float64 features through the SDK. In turns of 5 calls.",
    )
    with ExitStack() as stack:
        api = stack.enter_context(ours(model))
        worker, _, _ = stack.enter_context(feast(folder))
        online, keep = sdk(api)
        values = np.random.default_rng(1).normal(size=(10_000, 20)).tolist()
        rows = [
            {"entity_id": f"user_{i}", "features": {f"f{j}": v for j, v in enumerate(row)}}
            for i, row in enumerate(values)
        ]
        ids = [row["entity_id"] for row in rows]
        lists = {f"f{j}": list(column) for j, column in enumerate(zip(*values, strict=True))}
        arrays = {name: np.array(column) for name, column in lists.items()}
        online.write("v20", rows)
        bare = BareRedis("127.0.0.1", api.stack.redis.port)
        keep.keeping = False
        sets = [(b"SET", f"bench:{i}", b"x" * 200, b"PX", 86_400_000) for i in range(10_000)]
        group = Group("SDK write, 10,000 × 20", "bare pipelined SETs", rows=10_000)
        alternate(
            group,
            {
                "bare pipelined SETs": timed(lambda: bare.pipeline(sets)),
                "NeuralStream": timed(lambda: online.write("v20", rows)),
                "NeuralStream, columns of lists": timed(
                    lambda: online.write_columns("v20", ids, lists)
                ),
                "NeuralStream, columns of arrays": timed(
                    lambda: online.write_columns("v20", ids, arrays)
                ),
                "Feast": lambda: worker.call("write", rows=10_000, width=20, repeat=1)[0],
            },
            max(3, rounds // 4),
            burst=5,
        )
        report.add(group)
    return report


def frame(folder: Path, model: Model, rounds: int) -> Report:
    """Data frames written and read as a practitioner does it."""
    import numpy as np
    import pandas as pd

    from neuralstream_client import NeuralStream

    report = Report(
        "peers_frame",
        "A pandas frame of 20 float64 features by one call. Written: `ns.features.write` over HTTP to the "
        "laptop stack, which checks it again, beside `write_to_online_store` in process; the largest is "
        "written once, not warmed up. Read: `ns.features.read(ids).to_pandas()` over HTTP beside "
        "`get_online_features(…).to_df()` in process.",
    )
    with ExitStack() as stack:
        api = stack.enter_context(ours(model))
        worker, _, _ = stack.enter_context(feast(folder))
        ns = stack.enter_context(NeuralStream(api.stack.url))
        bare = BareRedis("127.0.0.1", api.stack.redis.port)
        online, keep = sdk(api)
        ids = [f"user_{i}" for i in range(1000)]
        online.read_blocks([BlockRead("v20", ids, None)])
        mget = (b"MGET", *keep.keys)
        group = Group("frame read, 1000 × 20", "bare MGET", rows=1000)
        alternate(
            group,
            {
                "bare MGET": timed(lambda: bare.call(*mget)),
                "NeuralStream": timed(lambda: ns.features.read(ids, view="v20").to_pandas()),
                "Feast": lambda: worker.call("read_frame", entities=1000, width=20, repeat=1)[0],
            },
            max(3, rounds // 4),
            burst=5,
        )
        report.add(group)
        sets = [(b"SET", f"bench:{i}", b"x" * 200, b"PX", 86_400_000) for i in range(10_000)]
        sizes = ((20_000, max(3, rounds // 4)),) + (((1_000_000, 1),) if rounds > 3 else ())
        for count, turns in sizes:
            draw = np.random.default_rng(1)
            data = pd.DataFrame({f"f{i}": draw.normal(size=count) for i in range(20)})
            data.insert(0, "user", [f"user_{i}" for i in range(count)])
            group = Group(f"frame of {count:,} × 20", "bare pipelined SETs", rows=count)
            alternate(
                group,
                {
                    "bare pipelined SETs": timed(
                        lambda n=count // 10_000: [bare.pipeline(sets) for _ in range(n)]
                    ),
                    "NeuralStream": timed(lambda d=data: ns.features.write(d, view="v20")),
                    "Feast": lambda n=count: worker.call("write", rows=n, width=20, repeat=1)[0],
                },
                turns,
                warm=turns > 1,
            )
            report.add(group)
    return report


def predict(folder: Path, model: Model, rounds: int) -> Report:
    """From an entity id to an answer, over HTTP on one keep-alive connection."""
    report = Report(
        "peers_predict",
        "From an entity id to a prediction: NeuralStream in one request; for the peers the caller reads "
        "20 features from Feast's server, makes the tensor and asks the model server. In turns of 20"
        " calls.",
    )
    with ExitStack() as stack:
        api = stack.enter_context(ours(model))
        _, _, repo = stack.enter_context(feast(folder))
        served = Http(stack.enter_context(feast_server(folder, repo)))
        names = [f"v20:f{i}" for i in range(FEATURES)]
        wanted = json.dumps({"features": names, "entities": {"user": [ENTITY]}}).encode()
        asked = json.dumps({"entity_id": ENTITY}).encode()
        bare = BareRedis("127.0.0.1", api.stack.redis.port)

        def from_feast(http: Http, path: str, encode: Callable[[Any], bytes]) -> Any:
            answer = json.loads(served.request("POST", "/get-online-features", wanted))
            by_name = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
            row = [by_name[f"f{i}"]["values"][0] for i in range(FEATURES)]
            return json.loads(http.request("POST", path, encode([row])))

        cases: dict[str, Callable[[], float]] = {
            "two bare GETs": timed(lambda: (bare.call(b"GET", b"x"), bare.call(b"GET", b"x"))),
            "NeuralStream": timed(
                lambda: json.loads(api.http.request("POST", "/predict/gbdt", asked))
            ),
        }
        for peer in SERVERS:
            port, _, path, encode = stack.enter_context(model_server(peer, folder, model))
            http = Http(port)
            cases[f"Feast + {peer}"] = timed(lambda h=http, p=path, e=encode: from_feast(h, p, e))
        group = Group("one prediction from an entity id, HTTP", "two bare GETs")
        alternate(group, cases, rounds, burst=20)
        group.notes["NeuralStream ∕ (Feast + mlserver), paired median (budget ≤ 0.2)"] = round(
            ratio(group, "NeuralStream", "Feast + mlserver"), 3
        )
        report.add(group)
    return report


def ratio(group: Group, ours_: str, theirs: str) -> float:
    """Median of paired ratios between two cases."""
    from statistics import median

    pairs = zip(group.samples[ours_], group.samples[theirs], strict=True)
    return median(a / b for a, b in pairs)


def throughput(folder: Path, model: Model, rounds: int) -> Report:
    """Requests a second at 1, 8 and 32 connections: ours reads the features too, the servers only infer."""
    report = Report(
        "peers_throughput",
        "Predictions a second over HTTP, generator and servers on the same two cores. NeuralStream fetches "
        "the features, infers and records for drift; the servers are sent the features and infer only. "
        "The time column is each request's latency, sampled as p50 of one run.",
    )
    body = folder / "body.json"
    row = [model.rows[0].tolist()]
    seconds = 1.0 if rounds < 10 else 3.0
    targets: dict[str, tuple[int, str, bytes]] = {}
    with ExitStack() as stack:
        api = stack.enter_context(ours(model))
        asked = json.dumps({"entity_id": ENTITY}).encode()
        targets["NeuralStream"] = (api.stack.port, "/predict/gbdt", asked)
        for peer in SERVERS:
            port, _, path, encode = stack.enter_context(model_server(peer, folder, model))
            targets[f"{peer} (inference only)"] = (port, path, encode(row))
        for connections in (1, 8, 32):
            group = Group(f"{connections} connections", "NeuralStream")
            for _ in range(1 if rounds < 10 else 2):
                for name, (port, path, data) in targets.items():
                    body.write_bytes(data)
                    made = json.loads(
                        subprocess.run(
                            [
                                sys.executable, Path(__file__).parent / "_load.py", str(port), path,
                                body, str(connections), str(seconds),
                            ],
                            check=True, capture_output=True, text=True,
                        ).stdout
                    )  # fmt: skip
                    group.samples.setdefault(name, []).append(made["p50_us"] / 1e6)
                    rate = made["count"] / made["seconds"]
                    success = 1 - made["failed"] / made["count"]
                    group.notes[name] = (
                        f"{rate:,.0f} requests/s, p99 {made['p99_us'] / 1e3:.1f} ms, "
                        f"success {success:.2%}"
                    )
            report.add(group)
    return report


def batch(folder: Path, model: Model, rounds: int) -> Report:
    """Batch scoring as each one's users do it; ours is measured whole in benchmarks/batch.py."""
    rows = 2_000 if rounds < 10 else 20_000
    report = Report(
        "peers_batch",
        f"Scoring {rows:,} entities through Feast's SDK in chunks of 1,000 and the LightGBM booster, in"
        f" one "
        "process. NeuralStream's job over 1,000,000 rows, S3 to S3, is in the batch table.",
    )
    with ExitStack() as stack:
        worker, _, _ = stack.enter_context(feast(folder))
        group = Group("features and inference, rows of a batch", "Feast + LightGBM", rows=rows)
        alternate(
            group,
            {
                "Feast + LightGBM": lambda: worker.call(
                    "score", model=str(model.path), rows=rows, chunk=1000
                )
            },
            3,
        )
        report.add(group)
    return report


ALL: dict[str, Callable[[Path, Model, int], Report]] = {
    "read": read,
    "write": write,
    "frame": frame,
    "training": training.training,
    "log_model": logging_models.log_model,
    "predict": predict,
    "throughput": throughput,
    "batch": batch,
    "drift": system.drift,
    "footprint": system.footprint,
    "growth": growth.growth,
}
