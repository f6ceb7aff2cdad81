"""Cold start of /predict: first response and first prediction, each beside a bare handler that does the same.

    make bundle                                    # builds .aws-sam/build and .run/runtime
    .venv/bin/python benchmarks/cold_start.py
    .venv/bin/python benchmarks/cold_start.py --before ../other-checkout   # and the bundle built there

Each measurement is a fresh process under the real runtime client and AWS's runtime interface emulator; the
cases take turns. *First response* is a V2 health request: runtime, imports, one answer. *First prediction* is
an entity id: runtime, imports, routing from DynamoDB, model from S3, features and counters in Redis. The bare
handler runs on the same layers and imports the same libraries before its first request. For a prediction
it reads one item, one object and two Redis keys, and runs the same model once. Budget: 1.5 times that.

*By part* asks one environment several times: what the first response takes is the runtime and the imports;
the first prediction after it, late imports, clients, registry and model; that of a second model, registry and
model alone. Under SnapStart the first response, and what is loaded ahead, is before the snapshot (under
provisioned concurrency, before the traffic): a request waits only for the prediction after it, and for the
restore, which only AWS has.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "core")]

import boto3  # noqa: E402 - after the path is set
import redis  # noqa: E402 - as above

from benchmarks._harness import Group, Report  # noqa: E402 - as above
from benchmarks.batch import FEATURES, gbdt  # noqa: E402 - as above
from neuralstream_local.aws import client_environ  # noqa: E402 - as above
from neuralstream_local.children import Child  # noqa: E402 - as above
from neuralstream_local.embedded_redis import EmbeddedRedis  # noqa: E402 - as above
from neuralstream_local.storage import (  # noqa: E402 - as above
    create_history_table,
    create_registry_table,
)
from tests.bundle.emulator import BUILD, RUNTIME, Emulated, layers_of  # noqa: E402 - as above
from tests.support.template import functions, global_variables  # noqa: E402 - as above

BARE, OURS, BEFORE = "bare handler", "NeuralStream predict function", "NeuralStream before"
BUDGET = 1.5
RUNTIME_ALONE = "runtime: a handler that imports nothing"
KINDS = {"on demand": "on-demand", "loaded ahead": "provisioned-concurrency"}
"""Values of ``AWS_LAMBDA_INITIALIZATION_TYPE``. Under ``snap-start`` the same is loaded ahead, but then the
runtime asks for a restore, which the emulator does not know."""
NAME = "cold-start"  # of the table, the bucket and the model
SECOND = f"{NAME}-2"  # another model with the same file
HEALTH, PREDICT = "GET /v2/health/live", "POST /predict/{model_name}"
LIBRARIES = (
    "aws_lambda_powertools.event_handler",
    "aws_lambda_powertools.logging",
    "aws_lambda_powertools.metrics",
    "boto3",
    "hiredis",
    "numpy",
    "onnxruntime",
    "pydantic",
    "pydantic_settings",
    "redis",
)
HANDLER = f"""
import json, os
%s

def lambda_handler(event, context):
    if event["routeKey"] == "{HEALTH}":
        return {{"statusCode": 200, "body": "{{}}"}}
    import boto3, numpy, onnxruntime, redis
    work = json.loads(os.environ["WORK"])
    boto3.client("dynamodb").get_item(TableName="{NAME}", Key=work["item"])
    model = boto3.client("s3").get_object(Bucket="{NAME}", Key=work["object"])["Body"].read()
    session = onnxruntime.InferenceSession(model)
    cache = redis.Redis(os.environ["NEURALSTREAM_REDIS_HOST"], int(os.environ["NEURALSTREAM_REDIS_PORT"]))
    cache.get(work["row"])
    cache.get(work["row"])
    label, *_ = session.run(None, {{"input": numpy.zeros((1, {FEATURES}), numpy.float32)}})
    return {{"statusCode": 200, "body": json.dumps({{"prediction": label.tolist()}})}}
"""


def request(route: str, body: Any = None, **parameters: str) -> dict[str, Any]:
    """An event of API Gateway."""
    path = route.partition(" ")[2]
    for name, value in parameters.items():
        path = path.replace(f"{{{name}}}", value)
    scopes = "features:read features:write models:read models:write predict monitoring"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "requestId": "cold",
            "http": {"method": route.partition(" ")[0], "path": path},
            "authorizer": {"lambda": {"principal": "bench", "scopes": scopes}},
        },
        "pathParameters": parameters,
        "isBase64Encoded": False,
    }
    return event if body is None else event | {"body": json.dumps(body)}


def asked(function: Emulated, event: dict[str, Any]) -> dict[str, Any]:
    """The function's answer, which must be a success."""
    answer: dict[str, Any] = function.invoke(event)
    if answer.get("statusCode") not in (200, 201):
        raise SystemExit(f"{function.function} answered {answer}: {function.log()[-2000:]}")
    return answer


@contextmanager
def world() -> Iterator[dict[str, str]]:
    """Redis, DynamoDB and S3 with a view, an entity's row and a model in production, made by the built
    functions; the settings to reach them."""
    with ExitStack() as stack:
        child = Child("neuralstream_local.aws_server")
        stack.callback(child.stop)
        environ = dict(client_environ(child.ready()["endpoint"]))
        os.environ.update(environ)
        server = stack.enter_context(EmbeddedRedis())
        s3, table = boto3.client("s3"), boto3.client("dynamodb")
        s3.create_bucket(Bucket=NAME)
        create_registry_table(table, NAME)
        create_history_table(table, f"{NAME}-history")
        environ |= {
            "NEURALSTREAM_NAMESPACE": "default",
            "NEURALSTREAM_REDIS_HOST": server.host,
            "NEURALSTREAM_REDIS_PORT": str(server.port),
            "NEURALSTREAM_REDIS_TLS": "false",
            "NEURALSTREAM_REDIS_CLUSTER": "false",
            "NEURALSTREAM_TABLE": NAME,
            "NEURALSTREAM_HISTORY_TABLE": f"{NAME}-history",
            "NEURALSTREAM_DATA_BUCKET": NAME,
            "POWERTOOLS_TRACE_DISABLED": "true",
        }
        names = [f"f{n}" for n in range(FEATURES)]
        model = gbdt()
        view = {"entity": "id", "features": [{"name": n, "dtype": "float64"} for n in names]}
        row = {"feature_view": "v", "entity_id": "e", "features": dict.fromkeys(names, 0.5)}
        version = {
            "format": "onnx",
            "artifact_base64": base64.b64encode(model).decode(),
            "features": [f"v:{name}" for name in names],
            "baseline": {"columns": {f"v:{n}": [0.01 * k for k in range(300)] for n in names}},
        }
        for function, event in (
            ("FeatureWrite", request("PUT /features/views/{name}", view, name="v")),
            ("FeatureWrite", request("POST /features/write", row)),
            *(
                ("Registry", event)
                for model_name in (NAME, SECOND)
                for event in (
                    request("POST /models/{name}/versions", version, name=model_name),
                    request(
                        "POST /models/{name}/promote/{version}", {}, name=model_name, version="v1"
                    ),
                )
            ),
        ):
            with started(function, environ) as running:
                asked(running, event)
        stored = s3.list_objects_v2(Bucket=NAME)["Contents"]
        item = table.scan(TableName=NAME, Limit=1)["Items"][0]
        (key,) = redis.Redis(server.host, server.port).scan_iter("default:f:*")
        work = {
            "item": {"PK": item["PK"], "SK": item["SK"]},
            "object": next(one["Key"] for one in stored if one["Size"] == len(model)),
            "row": key.decode("latin-1"),
        }
        yield environ | {"WORK": json.dumps(work)}


@contextmanager
def started(
    function: str, environ: dict[str, str], folder: Path | None = None, build: Path = BUILD
) -> Iterator[Emulated]:
    """A built function with the variables that template.yaml gives it."""
    own = functions()[function].get("Environment", {}).get("Variables", {})
    plain = {n: v if isinstance(v, str) else "" for n, v in (global_variables() | own).items()}
    emulated = Emulated(function, plain | environ, folder, build)
    try:
        yield emulated
    finally:
        emulated.close()


def imports(environ: dict[str, str]) -> dict[str, int]:
    """Microseconds of each module that predict's ``app.py`` imports, its own imports included."""
    folder = BUILD / "PredictFunction"
    path = [folder, *(BUILD / layer / "python" for layer in layers_of("Predict")), RUNTIME]
    run = subprocess.run(
        [ROOT / ".venv-bundle/bin/python", "-S", "-X", "importtime", "-c", "import app"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=environ
        | {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    lines = [line.removeprefix("import time:").split("|") for line in run.stderr.splitlines()]
    return {
        name.strip(): int(micros)
        for _, micros, name in (line for line in lines if len(line) == 3)
        if micros.strip().isdigit()
    }


def bare_handler(folder: Path, libraries: list[str]) -> Path:
    """The bare handler's code, compiled as the built functions are."""
    (folder / "app.py").write_text(HANDLER % "\n".join(f"import {name}" for name in libraries))
    subprocess.run([ROOT / ".venv-bundle/bin/python", "-m", "compileall", "-q", folder], check=True)
    return folder


def measured(
    title: str,
    event: dict[str, Any],
    cases: dict[str, Callable[[], Any]],
    rounds: int,
) -> Group:
    """Seconds from the first request to its answer, each in a process of its own."""
    group = Group(title, BARE, budgets={OURS: BUDGET})
    group.samples = {name: [] for name in cases}
    for kept in range(-1, rounds):  # the first round warms the file cache and is dropped
        for name, case in cases.items():
            with case() as function:
                begun = time.perf_counter()
                asked(function, event)
                if kept >= 0:
                    group.samples[name].append(time.perf_counter() - begun)
    return group


def by_part(environ: dict[str, str], bare: Path, empty: Path, rounds: int) -> Group:
    """Seconds of the requests that one environment answers one after another."""
    group = Group("first prediction, by part", RUNTIME_ALONE)
    first = request(PREDICT, {"entity_id": "e"}, model_name=NAME)
    second = request(PREDICT, {"entity_id": "e"}, model_name=SECOND)
    health = request(HEALTH)
    requests = (
        ("runtime and imports", health),
        ("then the first prediction", first),
        ("then the first of another model", second),
        ("then the next", second),
    )

    def take(case: str, function: Emulated, event: dict[str, Any]) -> None:
        begun = time.perf_counter()
        asked(function, event)
        group.samples.setdefault(case, []).append(time.perf_counter() - begun)

    for _ in range(rounds):
        with started("Predict", environ, empty) as function:
            take(RUNTIME_ALONE, function, health)
        with started("Predict", environ, bare) as function:
            for part, event in requests[:2]:
                take(f"{BARE}: {part}", function, event)
        for kind, value in KINDS.items():
            settings = environ | {"AWS_LAMBDA_INITIALIZATION_TYPE": value}
            with started("Predict", settings) as function:
                for part, event in requests:
                    take(f"{OURS}, {kind}: {part}", function, event)
    return group


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--before", type=Path, help="a checkout whose built bundle is a case too")
    options = parser.parse_args()
    report = Report(
        "cold_start",
        "Time to the first answer of /predict under the real runtime client and the runtime interface "
        "emulator, each in a fresh process. First response: V2 health, so runtime, imports, one answer. "
        "First prediction: also routing from DynamoDB, a model of 100 trees from S3, features and counters "
        "in Redis. The bare handler imports the libraries that ours imports, and reads one item, one object "
        "and two keys before it runs the same model.",
    )
    with (
        world() as environ,
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as other,
    ):
        imported = imports(environ)
        used = [name for name in LIBRARIES if name in imported]
        bare = bare_handler(Path(folder), used)
        empty = bare_handler(Path(other), [])
        cases: dict[str, Callable[[], Any]] = {
            BARE: lambda: started("Predict", environ, bare),
            OURS: lambda: started("Predict", environ),
        }
        if options.before:
            build = options.before.resolve() / ".aws-sam" / "build"
            cases[BEFORE] = lambda: started("Predict", environ, build=build)
        for title, event in (
            ("first response", request(HEALTH)),
            ("first prediction", request(PREDICT, {"entity_id": "e"}, model_name=NAME)),
        ):
            group = measured(title, event, cases, options.rounds)
            group.notes["libraries imported before the first request"] = ", ".join(used)
            report.add(group)
        group = by_part(environ, bare, empty, options.rounds)
        tops = [(n, name) for name, n in imported.items() if "." not in name or "core" in name]
        group.notes["imports of predict with their own imports, ms"] = ", ".join(
            f"{name} {micros / 1000:.0f}" for micros, name in sorted(tops, reverse=True)[:12]
        )
        report.add(group)
    return report.save()


if __name__ == "__main__":
    raise SystemExit(main())
