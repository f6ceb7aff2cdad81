"""POST /predict, warm: the whole handler against two redis-py GETs on the same server.

    python benchmarks/predict.py [--seconds 10] [--profile]

Twenty float64 features of one view, a gradient-boosted classifier of 100 trees as ONNX, monitoring against
a baseline; an API Gateway event goes in, the HTTP answer comes out. The two GETs read the
row itself through redis-py's own client and defaults. The two take turns call by call, so that both find
caches and processor in the state in which a request finds them.
"""

from __future__ import annotations

import argparse
import base64
import cProfile
import json
import os
import pstats
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "core"), str(ROOT / "functions" / "predict")]

from neuralstream_core.features import Catalog, OnlineStore, ViewSpec  # noqa: E402 - after the path
from neuralstream_core.redis import connect  # noqa: E402
from neuralstream_core.registry.artifacts import ArtifactStore  # noqa: E402
from neuralstream_core.registry.attempts import By, countdown  # noqa: E402
from neuralstream_core.registry.profiling import BaselineProfiler  # noqa: E402
from neuralstream_core.registry.registrar import Registrar  # noqa: E402
from neuralstream_core.registry.registry import Registry  # noqa: E402
from neuralstream_core.registry.requests import Registration  # noqa: E402
from neuralstream_core.registry.validation import ProcessValidator  # noqa: E402
from neuralstream_core.registry.views import CatalogViews  # noqa: E402
from neuralstream_core.settings import RedisSettings  # noqa: E402
from neuralstream_core.table import Table  # noqa: E402
from neuralstream_core.time import system_clock  # noqa: E402
from neuralstream_local.aws_server import client_environ  # noqa: E402
from neuralstream_local.children import Child  # noqa: E402
from neuralstream_local.embedded_redis import EmbeddedRedis  # noqa: E402

FEATURES = 20
TREES = 100
BUDGET = 1.6


class Context:
    aws_request_id = "bench"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 10_000


def model() -> tuple[bytes, np.ndarray, Any]:
    """A GBDT as ONNX, the rows it was trained on, and the model."""
    from lightgbm import LGBMClassifier
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    rng = np.random.default_rng(7)
    rows = rng.normal(size=(5000, FEATURES))
    labels = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(int)
    fitted = LGBMClassifier(n_estimators=TREES, num_leaves=31, verbose=-1, n_jobs=1).fit(
        rows, labels
    )
    shape = [("input", FloatTensorType([None, FEATURES]))]
    graph = convert_lightgbm(fitted, initial_types=shape, zipmap=False, target_opset=15)
    return graph.SerializeToString(), rows, fitted


@contextmanager
def world() -> Iterator[tuple[Callable[[], dict[str, Any]], Any, bytes]]:
    """The handler as a call without arguments, a redis-py client, and the key of the row it reads."""
    with ExitStack() as stack:
        child = Child("neuralstream_local.aws_server")
        stack.callback(child.stop)
        os.environ.update(client_environ(child.ready()["endpoint"]))
        server = stack.enter_context(EmbeddedRedis())
        import boto3

        dynamodb, s3 = boto3.client("dynamodb"), boto3.client("s3")
        s3.create_bucket(Bucket="bench")
        dynamodb.create_table(
            TableName="bench",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": k, "AttributeType": "S"} for k in ("PK", "SK", "GSI1PK", "GSI1SK")
            ],
            KeySchema=[
                {"AttributeName": "PK", "KeyType": "HASH"},
                {"AttributeName": "SK", "KeyType": "RANGE"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "GSI1",
                    "KeySchema": [
                        {"AttributeName": "GSI1PK", "KeyType": "HASH"},
                        {"AttributeName": "GSI1SK", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )
        table = Table(dynamodb, "bench")
        port = connect(RedisSettings(redis_host=server.host, redis_port=server.port))
        catalog = Catalog(table, "default", system_clock)
        store = OnlineStore(port, catalog, system_clock, "default")
        names = [f"f{i}" for i in range(FEATURES)]
        catalog.put(
            "users",
            ViewSpec.model_validate(
                {"entity": "id", "features": [{"name": n, "dtype": "float64"} for n in names]}
            ),
        )
        data, rows, _ = model()
        cells = dict(zip(names, rows[0].tolist(), strict=True))
        store.write("users", [{"entity_id": "u1", "features": cells}])
        artifacts = ArtifactStore(s3, "bench")
        registry = Registry(table, "default", system_clock)
        registrar = Registrar(
            registry,
            artifacts,
            CatalogViews(catalog),
            ProcessValidator(),
            BaselineProfiler(artifacts),
        )
        body = {
            "format": "onnx",
            "artifact_base64": base64.b64encode(data).decode(),
            "features": [f"users:{n}" for n in names],
            "baseline": {
                "columns": {f"users:{n}": rows[:1000, i].tolist() for i, n in enumerate(names)},
                "prediction": (rows[:1000, 0] > 0).astype(int).tolist(),
            },
        }
        by = By("bench", None, countdown(60))
        registrar.register("gbdt", Registration.model_validate_json(json.dumps(body)), by)
        registry.promote("gbdt", "v1", by)

        os.environ.update(
            NEURALSTREAM_REDIS_HOST=server.host,
            NEURALSTREAM_REDIS_PORT=str(server.port),
            NEURALSTREAM_TABLE="bench",
            NEURALSTREAM_DATA_BUCKET="bench",
            TMPDIR=stack.enter_context(tempfile.TemporaryDirectory()),
        )
        import app
        import redis

        event = {
            "version": "2.0",
            "routeKey": "POST /predict/{model_name}",
            "pathParameters": {"model_name": "gbdt"},
            "headers": {"content-type": "application/json"},
            "requestContext": {
                "requestId": "r",
                "authorizer": {"lambda": {"principal": "bench", "scopes": "predict"}},
            },
            "body": json.dumps({"entity_id": "u1"}),
            "isBase64Encoded": False,
        }
        client = redis.Redis(host=server.host, port=server.port)
        (key,) = list(client.scan_iter("default:f:*"))
        yield lambda: app.lambda_handler(event, Context()), client, key


def measure(call: Callable[[], Any], repeats: int) -> list[int]:
    """Nanoseconds of each call."""
    times: list[int] = []
    for _ in range(repeats):
        start = perf_counter_ns()
        call()
        times.append(perf_counter_ns() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--profile", action="store_true", help="show where the handler's time goes")
    arguments = parser.parse_args()
    with world() as (handler, client, key):
        answer = handler()
        if answer["statusCode"] != 200:
            raise SystemExit(answer["body"])

        def two_gets() -> None:
            client.get(key)
            client.get(key)

        measure(handler, 300)
        measure(two_gets, 300)
        if arguments.profile:
            profile = cProfile.Profile()
            profile.runcall(measure, handler, 3000)
            pstats.Stats(profile).sort_stats("tottime").print_stats(35)
            return
        handled: list[int] = []
        got: list[int] = []
        until = perf_counter() + arguments.seconds
        while perf_counter() < until:
            handled += measure(handler, 1)
            got += measure(two_gets, 1)
        ratio = statistics.median(handled) / statistics.median(got)
        print(f"{'':34}{'p50 µs':>10}{'p99 µs':>10}")
        for name, times in (("POST /predict handler", handled), ("two redis-py GETs", got)):
            p99 = statistics.quantiles(times, n=100)[98]
            print(f"{name:34}{statistics.median(times) / 1e3:10.1f}{p99 / 1e3:10.1f}")
        verdict = "holds" if ratio <= BUDGET else "IS EXCEEDED"
        print(f"ratio {ratio:.2f}; the budget of {BUDGET} {verdict}")


if __name__ == "__main__":
    main()
