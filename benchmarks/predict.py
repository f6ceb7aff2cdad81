"""POST /predict, warm: the whole handler against two redis-py GETs on the same server.

    python benchmarks/predict.py [--seconds 4] [--quick]

Twenty float64 features of one view, a gradient-boosted classifier of 100 trees as ONNX, monitoring against
a baseline; an API Gateway event goes in, the HTTP answer comes out. The two GETs read the
row itself through redis-py's own client and defaults. The two take turns call by call, so that both find
caches and processor in the state in which a request finds them.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from _harness import ROOT, Group, Report, arguments

from neuralstream_core.features import Catalog, OnlineStore, ViewSpec
from neuralstream_core.features.services import FeatureServices
from neuralstream_core.monitoring.baseline import BaselineProfiler
from neuralstream_core.redis import connect
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.issuer import Issuer, countdown
from neuralstream_core.registry.registrar import Registrar
from neuralstream_core.registry.registration import Registration
from neuralstream_core.registry.registry import Registry
from neuralstream_core.settings import RedisSettings
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock
from neuralstream_core.trial.process import ProcessValidator
from neuralstream_local.aws import client_environ
from neuralstream_local.children import Child
from neuralstream_local.embedded_redis import EmbeddedRedis
from neuralstream_local.storage import create_registry_table

sys.path.insert(0, str(ROOT / "functions" / "predict"))

FEATURES = 20
TREES = 100
BUDGET = 1.9
WORKLOAD = (
    "An API Gateway event in, the HTTP answer out: authorisation, validation, routing, one read of 20 "
    "float64 features, a LightGBM classifier of 100 trees and 31 leaves on ONNX Runtime, one monitoring "
    "record of every feature against a baseline. The limit reads the same row twice with redis-py."
)


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
        create_registry_table(dynamodb, "bench")
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
            catalog,
            FeatureServices(table, "default", system_clock, catalog),
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
        by = Issuer("bench", None, countdown(60))
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


def main() -> int:
    """The number of budgets that do not hold."""
    options = arguments(__doc__.partition("\n")[0], seconds=4.0)
    with world() as (handler, client, key):
        answer = handler()
        if answer["statusCode"] != 200:
            raise SystemExit(answer["body"])

        def two_gets() -> None:
            client.get(key)
            client.get(key)

        for _ in range(300):
            handler()
        limit = "two redis-py GETs"
        group = Group(
            f"POST /predict, warm: {FEATURES} features, GBDT of {TREES} trees, monitoring",
            limit=limit,
            budgets={"the whole handler": BUDGET},
        )
        group.measure({limit: two_gets, "the whole handler": handler}, options.seconds)
    report = Report("predict", WORKLOAD)
    report.add(group)
    return report.save(quick=options.quick)


if __name__ == "__main__":
    sys.exit(main())
