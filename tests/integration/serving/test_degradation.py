"""A dependency dies: what goes on, what is refused, and how quickly."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis import connect
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.registry import Registry
from neuralstream_core.serving.deployments import Deployments
from neuralstream_core.serving.engine import Engine
from neuralstream_core.serving.models import DiskCache, Models
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.poll import eventually
from tests.support.redis import settings_for

from .conftest import NAMESPACE, Function, World, by, predict_function
from .test_engine import FEATURES, ask, linear

DEFAULTS = [{"feature": "users:age", "default": 1}, {"feature": "users:spend", "default": 0.5}]


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def doomed(
    server: EmbeddedRedis, table: Table, s3: Any, bucket: str, tmp_path: Path
) -> Iterator[tuple[World, Function]]:
    """A world and a function on a Redis of their own, with two models that have answered once."""
    port = connect(settings_for(server))
    world = World(table, ArtifactStore(s3, bucket), port, tmp_path / "models")
    world.view("users", {"age": "int64", "spend": "float64"})
    world.write("users", {"u1": {"age": 40, "spend": 2.5}})
    world.serve("strict", linear([1.0, 10.0]), FEATURES, kind="linear")
    world.serve("default", linear([1.0, 10.0]), DEFAULTS, kind="linear", missing="default")
    function = predict_function(
        {
            "NEURALSTREAM_NAMESPACE": NAMESPACE,
            "NEURALSTREAM_REDIS_HOST": server.host,
            "NEURALSTREAM_REDIS_PORT": str(server.port),
            "NEURALSTREAM_TABLE": table.name,
            "NEURALSTREAM_DATA_BUCKET": bucket,
        }
    )
    assert ask(function, "strict")[0] == 200
    assert ask(function, "default")[0] == 200
    yield world, function
    port.close()


@pytest.mark.parametrize("fate", ["kill", "pause"])
def test_without_redis_the_answer_is_503_in_half_a_second_or_the_declared_defaults(
    doomed: tuple[World, Function], server: EmbeddedRedis, fate: str
) -> None:
    _, function = doomed
    getattr(server, fate)()
    for _ in range(3):
        start = time.monotonic()
        answer = function.answer(
            "POST /predict/{model_name}", {"model_name": "strict"}, {"entity_id": "u1"}
        )
        # "within 500 ms" is part of the contract, not a measurement of this machine
        assert time.monotonic() - start < 0.5
        assert answer["statusCode"] == 503
        assert int(answer["headers"]["retry-after"]) >= 1
        assert "redis_unavailable" in answer["body"]
    answer = function.answer(
        "POST /predict/{model_name}", {"model_name": "default"}, {"entity_id": "u1"}
    )
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["prediction"] == 6.0
    assert answer["headers"]["x-neuralstream-degraded"] == "feature-defaults"
    status, answer = ask(function, "strict", features={"age": 2, "spend": 3.0})
    assert (status, answer["prediction"]) == (200, 32)
    assert function("GET /v2/health/ready")[0] == 503
    assert function("GET /v2/health/live")[0] == 200


def test_columns_without_redis(doomed: tuple[World, Function], server: EmbeddedRedis) -> None:
    world, _ = doomed
    server.kill()
    with pytest.raises(Unavailable):
        world.engine.predict_columns("strict", ["u1", "u2"])
    found = world.engine.predict_columns("default", ["u1", "u2"])
    assert found.degraded
    assert found.prediction.tolist() == [6.0, 6.0]
    assert world.recorder.observations == []


def test_redis_comes_back_and_so_do_the_answers(
    doomed: tuple[World, Function], server: EmbeddedRedis
) -> None:
    world, function = doomed
    server.kill()
    assert ask(function, "strict")[0] == 503
    server.start()
    world.write("users", {"u1": {"age": 40, "spend": 2.5}})
    eventually(lambda: ask(function, "strict")[0] == 200)


def nowhere(service: str) -> Any:
    """A client of an endpoint where nobody listens."""
    build: Any = boto3.client
    return build(
        service,
        endpoint_url="http://127.0.0.1:9",
        config=Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1}),
    )


def test_without_the_registry_the_last_known_routing_serves_and_says_so(world: World) -> None:
    world.view("users", {"age": "int64", "spend": "float64"})
    world.write("users", {"u1": {"age": 40, "spend": 2.5}})
    world.serve("m", linear([1.0, 10.0]), FEATURES, kind="linear")
    live = Registry(world.table, NAMESPACE, system_clock)
    dead = Registry(Table(nowhere("dynamodb"), world.table.name), NAMESPACE, system_clock)
    source = [live]

    def routing(model: str) -> Any:
        return source[0].served(model)

    deployments = Deployments(routing, live.version, soft=0.0, hard=0.0)
    engine = Engine(deployments, world.models, world.store, world.recorder, system_clock)
    engine.predict("m", "u1")
    source[0] = dead
    assert engine.predict("m", "u1").answer.prediction == 65.0
    assert eventually(
        lambda: engine.predict("m", "u1") and world.recorder.observations[-1].stale_routing
    )
    with pytest.raises(Unavailable, match="registry"):
        engine.predict("never-asked", "u1")
    source[0] = live
    world.register("m", linear([0.0, 0.0], 9.0), FEATURES, kind="linear")
    world.registry.promote("m", "v2", by())
    eventually(lambda: engine.predict("m", "u1").answer.prediction == 9.0)
    assert not world.recorder.observations[-1].stale_routing


def test_without_s3_the_first_load_is_503_and_the_next_works(
    world: World, s3: Any, bucket: str, tmp_path: Path
) -> None:
    world.view("users", {"age": "int64", "spend": "float64"})
    world.write("users", {"u1": {"age": 40, "spend": 2.5}})
    world.serve("m", linear([1.0, 10.0]), FEATURES, kind="linear")
    stores = [ArtifactStore(nowhere("s3"), bucket)]

    def artifact(digest: str) -> bytes:
        return stores[0].get(digest)

    models = Models(artifact, DiskCache(tmp_path / "other"))
    engine = Engine(world.deployments, models, world.store, world.recorder, system_clock)
    with pytest.raises(Unavailable) as refused:
        engine.predict("m", "u1")
    assert refused.value.code == "artifacts_unavailable"
    assert world.recorder.failures == [("m", "v1", "artifacts_unavailable")]
    stores[0] = ArtifactStore(s3, bucket)
    assert engine.predict("m", "u1").answer.prediction == 65.0
    stores[0] = ArtifactStore(nowhere("s3"), bucket)
    assert engine.predict("m", "u1").answer.prediction == 65.0


def test_an_artifact_changed_in_the_bucket_is_never_served(
    world: World, s3: Any, bucket: str
) -> None:
    world.view("users", {"age": "int64", "spend": "float64"})
    world.write("users", {"u1": {"age": 40, "spend": 2.5}})
    good = linear([1.0, 10.0])
    world.serve("m", good, FEATURES, kind="linear")
    key = f"artifacts/sha256/{hashlib.sha256(good).hexdigest()}"
    s3.put_object(Bucket=bucket, Key=key, Body=linear([6.0, 6.0]))
    with pytest.raises(Unavailable):
        world.engine.predict("m", "u1")
    s3.put_object(Bucket=bucket, Key=key, Body=good)
    assert world.engine.predict("m", "u1").answer.prediction == 65.0
