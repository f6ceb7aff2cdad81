"""Everything that is measured, started once: our stack, Feast, the model servers, on one Redis each."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from _env import ensure  # noqa: E402 - after the path
from _http import Http, Laptop  # noqa: E402 - after the path
from _servers import Worker, free_port, running  # noqa: E402 - after the path
from _stores import Keep, store  # noqa: E402 - after the path

from neuralstream_core.redis import connect  # noqa: E402 - after the path
from neuralstream_core.settings import RedisSettings  # noqa: E402 - after the path
from neuralstream_core.table import Table  # noqa: E402 - after the path
from neuralstream_local.embedded_redis import EmbeddedRedis  # noqa: E402 - after the path
from neuralstream_local.stack import Stack  # noqa: E402 - after the path

if TYPE_CHECKING:
    from _harness import Group

__all__ = [
    "FEATURES",
    "Model",
    "Ours",
    "alternate",
    "feast",
    "feast_server",
    "model_server",
    "ours",
]

FEATURES = 20
ENTITIES = 1000


def alternate(
    group: Group,
    cases: Mapping[str, Callable[[], float]],
    rounds: int,
    *,
    burst: int = 1,
    warm: bool = True,
) -> None:
    """Fill ``group`` with cases that time themselves, in turn; each call returns its seconds.

    Args:
        burst: calls a turn. More than one shows a caller that keeps calling: every server is awake,
            as it would be if the others on this machine were not waiting too.
        warm: call each once before the first that counts; not for calls that take a minute.
    """
    for case in cases.values() if warm else ():
        case()
    group.samples = {name: [] for name in cases}
    for turn in range(rounds):
        # No case may always come after the same other one: who follows a slow one finds cold caches.
        for name in random.Random(turn).sample(list(cases), len(cases)):
            case = cases[name]
            group.samples[name] += [case() for _ in range(burst)]


def timed(call: Callable[[], object]) -> Callable[[], float]:
    """``call`` as a case that times itself."""

    def run() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return run


class Model:
    """One LightGBM classifier (100 trees, 20 features), as text for the peers and as ONNX for us."""

    def __init__(self, folder: Path) -> None:
        import lightgbm
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        draw = np.random.default_rng(7)
        rows = draw.normal(size=(5000, FEATURES))
        labels = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(int)
        fitted = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=31, verbose=-1, n_jobs=1).fit(
            rows, labels
        )
        self.path = folder / "model.txt"
        fitted.booster_.save_model(self.path)
        shape = [("input", FloatTensorType([None, FEATURES]))]
        graph = convert_lightgbm(fitted, initial_types=shape, zipmap=False, target_opset=15)
        self.onnx = bytes(graph.SerializeToString())
        self.rows = rows


class Ours(Laptop):
    """Our laptop stack with a view of each width, a thousand entities and the model in production."""


def sdk(api: Any) -> tuple[Any, Keep]:
    """Our store as a library, on the running stack's Redis and table."""
    import boto3

    environ = api.stack.environ
    client = boto3.client(
        "dynamodb",
        endpoint_url=api.stack.aws_endpoint,
        region_name=environ["AWS_REGION"],
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
    )
    keep = Keep(connect(RedisSettings(redis_port=api.stack.redis.port)))
    return store(keep, Table(client, "neuralstream-local"), "default"), keep


def put_view(api: Ours, name: str, width: int) -> None:
    api.call(
        "PUT",
        f"/features/views/{name}",
        {
            "entity": "user",
            "ttl_seconds": 86_400,
            "features": [{"name": f"f{i}", "dtype": "float64"} for i in range(width)],
        },
    )


def write_rows(api: Ours, view: str, width: int, first: int, count: int) -> None:
    random = np.random.default_rng(first)
    step = 500
    for start in range(first, first + count, step):
        values = random.normal(size=(step, width))
        rows = [
            {"entity_id": f"user_{start + i}", "features": {f"f{j}": v for j, v in enumerate(row)}}
            for i, row in enumerate(values.tolist())
        ]
        api.call("POST", "/features/write", {"feature_view": view, "rows": rows[:count]})


@contextmanager
def ours(model: Model) -> Iterator[Ours]:
    """The stack of `make run`, with monitoring on as always."""
    with Stack() as stack:
        api = Ours(stack, Http(stack.port))
        for width in (20, 100):
            put_view(api, f"v{width}", width)
            write_rows(api, f"v{width}", width, 0, ENTITIES)
        names = [f"v20:f{i}" for i in range(FEATURES)]
        sample = model.rows[:1000]
        api.call(
            "POST",
            "/models/gbdt/versions",
            {
                "format": "onnx",
                "artifact_base64": base64.b64encode(model.onnx).decode(),
                "features": names,
                "baseline": {
                    "columns": {n: sample[:, i].tolist() for i, n in enumerate(names)},
                    "prediction": (sample[:, 0] > 0).astype(int).tolist(),
                },
            },
        )
        api.call("POST", "/models/gbdt/promote/v1")
        yield api


@contextmanager
def feast(folder: Path) -> Iterator[tuple[Worker, EmbeddedRedis, Path]]:
    """Feast's SDK on a Redis of its own, with the same views and entities."""
    repo = folder / "feast"
    with EmbeddedRedis() as server:
        address = f"127.0.0.1:{server.port}"
        log = folder / "feast.log"
        with Worker(ensure("feast"), "feast_worker.py", str(repo), address, log=log) as worker:
            worker.call("setup", entities=ENTITIES, widths=[20, 100])
            yield worker, server, repo


@contextmanager
def feast_server(folder: Path, repo: Path) -> Iterator[int]:
    """``feast serve``, one worker, access log off; yields the port."""
    port = free_port()
    command = [
        ensure("feast").parent / "feast", "-c", repo, "serve", "-p", str(port), "--no-access-log",
        "--max-requests", "100000000", "--keep-alive-timeout", "600",
    ]  # fmt: skip
    with running(command, port, "/health", log=folder / "feast-serve.log"):
        yield port


@contextmanager
def model_server(
    peer: str, folder: Path, model: Model
) -> Iterator[tuple[int, int, str, Callable[[Any], bytes]]]:
    """A model server with the booster, one worker, logs off.

    Yields:
        Port, process id, path of its predict route, and how a list of rows becomes its body.
    """
    port = free_port()
    python = ensure(peer)
    environ = {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    home = folder / peer
    home.mkdir()

    def plain(rows: Any) -> bytes:
        return json.dumps({"inputs": rows}).encode()

    encode, path = plain, "/predict"
    command: list[str | Path]
    if peer == "mlserver":
        settings = {
            "host": "127.0.0.1", "http_port": port, "grpc_port": free_port(),
            "metrics_port": free_port(), "metrics_endpoint": None, "parallel_workers": 0,
            "debug": False,
        }  # fmt: skip
        (home / "settings.json").write_text(json.dumps(settings))
        (home / "model-settings.json").write_text(
            json.dumps(
                {
                    "name": "gbdt",
                    "implementation": "mlserver_lightgbm.LightGBMModel",
                    "parameters": {"uri": str(model.path)},
                }
            )
        )
        command, ready = [python.parent / "mlserver", "start", home], "/v2/health/ready"
        path = "/v2/models/gbdt/infer"

        def encode(rows: Any) -> bytes:
            tensor = {
                "name": "x",
                "shape": [len(rows), FEATURES],
                "datatype": "FP64",
                "data": rows,
            }
            return json.dumps({"inputs": [tensor]}).encode()

    elif peer == "mlflow":
        saved = home / "model"
        subprocess.run(
            [python, HERE / "workers" / "mlflow_model.py", model.path, saved], check=True
        )
        command = [
            python.parent / "mlflow", "models", "serve", "-m", saved, "-p", str(port),
            "-h", "127.0.0.1", "--env-manager", "local", "-w", "1",
        ]  # fmt: skip
        ready, path = "/ping", "/invocations"
    else:
        environ |= {"BENCH_MODEL": str(model.path), "BENTOML_DO_NOT_TRACK": "True"}
        command = [
            python.parent / "bentoml", "serve", "workers.bentoml_service:Gbdt", "-p", str(port),
            "--host", "127.0.0.1", "--working-dir", HERE,
        ]  # fmt: skip
        ready = "/livez"
    with running(command, port, ready, log=folder / f"{peer}.log", env=environ) as pid:
        yield port, pid, path, encode
