"""What a function loads before its first request when nobody waits for that: SnapStart, warm environments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from neuralstream_core.settings import RedisSettings
from tests.integration.serving.conftest import NAMESPACE, ROOT, World
from tests.support.artifacts import double_sum


def first_request(world: World, settings: RedisSettings, initialization: str) -> Any:
    """The first prediction of a fresh process that Lambda initialised in this way."""
    world.view("user", {"a": "float64", "b": "float64"})
    world.write("user", {"u1": {"a": 1.0, "b": 2.0}})
    world.serve("m", double_sum(), ["user:a", "user:b"])
    event = {
        "routeKey": "POST /predict/{model_name}",
        "pathParameters": {"model_name": "m"},
        "headers": {},
        "requestContext": {
            "requestId": "r",
            "authorizer": {"lambda": {"principal": "p", "scopes": "predict"}},
        },
        "body": json.dumps({"entity_id": "u1"}),
    }
    environ = {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization,
        "NEURALSTREAM_NAMESPACE": NAMESPACE,
        "NEURALSTREAM_REDIS_HOST": settings.redis_host,
        "NEURALSTREAM_REDIS_PORT": str(settings.redis_port),
        "NEURALSTREAM_TABLE": world.table.name,
        "NEURALSTREAM_DATA_BUCKET": world.artifacts.bucket,
    }
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.first_request", "functions/predict"],
        input=json.dumps(event),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env=os.environ | environ,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


LAZY = {"boto3", "botocore.session", "neuralstream_core.runtimes._onnx", "onnxruntime"}


@pytest.mark.parametrize("initialization", ["snap-start", "provisioned-concurrency"])
def test_the_first_prediction_of_an_environment_started_ahead_imports_nothing(
    world: World, redis_settings: RedisSettings, initialization: str
) -> None:
    found = first_request(world, redis_settings, initialization)
    assert found["answer"]["statusCode"] == 200, found["answer"]
    assert found["added"] == []
    assert set(found["loaded"]) >= LAZY


def test_nothing_that_a_snapshot_must_not_hold_is_in_it(
    world: World, redis_settings: RedisSettings
) -> None:
    found = first_request(world, redis_settings, "snap-start")
    assert (found["connected"], found["sockets"], found["threads"]) == (0, 0, 1)


def test_on_demand_nothing_is_loaded_before_it_is_needed(
    world: World, redis_settings: RedisSettings
) -> None:
    found = first_request(world, redis_settings, "on-demand")
    assert found["answer"]["statusCode"] == 200, found["answer"]
    assert set(found["added"]) >= LAZY
