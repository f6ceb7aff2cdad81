"""Cold start: the first answer of /predict against a bare handler that imports the same libraries.

    make test-bundle            # builds .aws-sam/build and .run/runtime
    .venv/bin/python benchmarks/cold_start.py

Both run under the real runtime client and AWS's runtime interface emulator, each in a fresh process,
alternating. Ours answers a V2 health request, so this is the runtime, our imports and one answer; loading a
model and reaching the table come with the first prediction. The bare handler imports numpy, onnxruntime
and redis-py, compiled as ours are, and answers at once. Budget: ours at most 1.5 times the bare one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "core")]

import redis  # noqa: E402 - after the path is set
from _harness import Group, Report  # noqa: E402 - beside this file

from tests.bundle.emulator import BUILD, RUNTIME, Emulated, layers_of  # noqa: E402 - after the path is set

BARE = """
import numpy, onnxruntime, redis

def lambda_handler(event, context):
    return {"statusCode": 200}
"""


def seconds_to_first_answer(function: str, environ: dict[str, str], event: dict) -> float:
    emulated = Emulated(function, environ)
    try:
        started = time.perf_counter()
        answer = emulated.invoke(event)
        elapsed = time.perf_counter() - started
        if answer.get("statusCode") != 200:
            raise SystemExit(f"{function} answered {answer}: {emulated.log()[-2000:]}")
        return elapsed
    finally:
        emulated.close()


def import_times(function: str, environ: dict[str, str]) -> list[tuple[int, str]]:
    """Microseconds of each top-level package's import, its own parts included."""
    path = [
        BUILD / f"{function}Function",
        *(BUILD / layer / "python" for layer in layers_of(function)),
        RUNTIME,
    ]
    run = subprocess.run(
        [ROOT / ".venv-bundle/bin/python", "-S", "-X", "importtime", "-c", "import app"],
        capture_output=True,
        text=True,
        check=True,
        cwd=BUILD / f"{function}Function",
        env={"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
        | environ,
    )
    found = []
    for line in run.stderr.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[1].strip().isdigit():
            found.append((int(parts[1]), parts[2]))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    environ = {
        "NEURALSTREAM_NAMESPACE": "default",
        "NEURALSTREAM_REDIS_HOST": "127.0.0.1",
        "NEURALSTREAM_REDIS_PORT": "1",
        "NEURALSTREAM_REDIS_TLS": "false",
        "NEURALSTREAM_REDIS_CLUSTER": "false",
        "NEURALSTREAM_REDIS_IAM_USER": "",
        "NEURALSTREAM_REDIS_CACHE_NAME": "",
        "NEURALSTREAM_TABLE": "table",
        "NEURALSTREAM_DATA_BUCKET": "bucket",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    bare = BUILD / "BareFunction"
    shutil.rmtree(bare, ignore_errors=True)
    bare.mkdir()
    (bare / "app.py").write_text(BARE)
    shutil.copytree(
        Path(redis.__file__).parent, bare / "redis"
    )  # pure Python; our layers have none
    python = ROOT / ".venv-bundle/bin/python"
    subprocess.run(
        [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", bare],
        check=True,
    )
    event = {
        "version": "2.0",
        "routeKey": "GET /v2/health/live",
        "headers": {},
        "requestContext": {
            "requestId": "cold",
            "authorizer": {
                "lambda": {"principal": "bench", "scopes": "predict models:read monitoring"}
            },
        },
    }
    times: dict[str, list[float]] = {"bare": [], "predict": []}
    try:
        for _ in range(options.rounds + 1):  # the first round warms the file cache and is dropped
            times["bare"].append(_bare(environ, event))
            times["predict"].append(seconds_to_first_answer("Predict", environ, event))
    finally:
        shutil.rmtree(bare)
    report = Report(
        "cold_start",
        "Time to the first answer under the real runtime client and the runtime interface emulator, each in "
        "a fresh process. The answer is V2 health: runtime, imports, one answer; a first prediction also "
        "reads the registry and loads its model.",
    )
    group = Group("first response", "bare handler: numpy, onnxruntime, redis")
    group.samples = {
        "bare handler: numpy, onnxruntime, redis": times["bare"][1:],
        "NeuralStream predict function": times["predict"][1:],
    }
    group.budgets = {"NeuralStream predict function": 1.5}
    report.add(group)
    print("\nimports of predict, milliseconds with their parts:")
    tops = [
        (micros, name.strip())
        for micros, name in import_times("Predict", environ)
        if "." not in name.strip() or name.strip().startswith("neuralstream")
    ]
    for micros, name in sorted(tops, reverse=True)[:20]:
        print(f"  {micros / 1000:8.1f}  {name}")
    return report.save()


def _bare(environ: dict[str, str], event: dict) -> float:
    """The bare handler borrows predict's layers: only its folder differs."""
    emulated = Emulated("Predict", environ, folder=BUILD / "BareFunction")
    try:
        started = time.perf_counter()
        answer = emulated.invoke(event)
        elapsed = time.perf_counter() - started
        if answer != {"statusCode": 200}:
            raise SystemExit(f"the bare handler answered {json.dumps(answer)}")
        return elapsed
    finally:
        emulated.close()


if __name__ == "__main__":
    raise SystemExit(main())
