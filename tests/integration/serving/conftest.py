"""A registry, an online store and an engine on real storage, and functions/predict on top of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from neuralstream_core.features import Catalog, OnlineStore, ViewSpec
from neuralstream_core.features.services import FeatureServices
from neuralstream_core.monitoring.observation import AnyObservation, Refused
from neuralstream_core.redis import RedisPort
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.issuer import Issuer, countdown
from neuralstream_core.registry.records import VersionRecord
from neuralstream_core.registry.registrar import Registrar
from neuralstream_core.registry.registration import Registration
from neuralstream_core.registry.registry import Registry
from neuralstream_core.serving.deployments import Deployments
from neuralstream_core.serving.engine import Engine
from neuralstream_core.serving.models import DiskCache, Models
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock
from tests.support.functions import load_function
from tests.support.registering import InProcess, NoProfiles

ROOT = Path(__file__).parents[3]
NAMESPACE = "test"


@dataclass
class Kept:
    """A recorder that keeps what it is told."""

    observations: list[AnyObservation] = field(default_factory=list)
    failures: list[tuple[str, str | None, str]] = field(default_factory=list)
    refused: list[tuple[int, Refused | None]] = field(default_factory=list)

    def record(self, observation: AnyObservation) -> None:
        self.observations.append(observation)

    def failure(
        self,
        model: str,
        version: str | None,
        code: str,
        *,
        rows: int = 1,
        refused: Refused | None = None,
    ) -> None:
        self.failures.append((model, version, code))
        self.refused.append((rows, refused))


@dataclass
class World:
    """What a test declares views, rows and models in, and the engine that serves them."""

    table: Table
    artifacts: ArtifactStore
    port: RedisPort
    disk: Path

    def __post_init__(self) -> None:
        self.catalog = Catalog(self.table, NAMESPACE, system_clock)
        self.store = OnlineStore(self.port, self.catalog, system_clock, NAMESPACE)
        self.registry = Registry(self.table, NAMESPACE, system_clock)
        self.services = FeatureServices(self.table, NAMESPACE, system_clock, self.catalog)
        self.registrar = Registrar(
            self.registry,
            self.artifacts,
            self.catalog,
            self.services,
            InProcess(),
            NoProfiles(),
        )
        self.recorder = Kept()
        self.models = Models(self.artifacts.get, DiskCache(self.disk))
        self.deployments = Deployments(
            self.registry.served, self.registry.version, soft=0.0, hard=0.0
        )
        self.engine = Engine(self.deployments, self.models, self.store, self.recorder, system_clock)

    def view(self, name: str, features: Mapping[str, Any], entity: Any = "user_id") -> None:
        """Declare a view: name → dtype, or ``(dtype, size)`` for a vector."""
        spec = {
            "entity": entity,
            "features": [
                {"name": f, "dtype": kind}
                if isinstance(kind, str)
                else {"name": f, "dtype": kind[0], "shape": [kind[1]]}
                for f, kind in features.items()
            ],
        }
        self.catalog.put(name, ViewSpec.model_validate(spec))

    def write(self, view: str, rows: Mapping[Any, Mapping[str, Any]]) -> None:
        """Write rows by entity."""
        self.store.write(
            view, [{"entity_id": entity, "features": dict(cells)} for entity, cells in rows.items()]
        )

    def register(
        self, model: str, data: bytes, features: Sequence[Any], *, kind: str = "onnx", **more: Any
    ) -> VersionRecord:
        """Register the next version."""
        body = {
            "format": kind,
            "artifact_base64": base64.b64encode(data).decode(),
            **({"features": list(features)} if features else {}),
            **more,
        }
        registration = Registration.model_validate_json(json.dumps(body))
        return self.registrar.register(model, registration, by()).version

    def serve(
        self, model: str, data: bytes, features: Sequence[Any], *, kind: str = "onnx", **more: Any
    ) -> VersionRecord:
        """Register the next version and put it into production."""
        version = self.register(model, data, features, kind=kind, **more)
        self.registry.promote(model, version.version, by())
        return version


def by() -> Issuer:
    """Somebody."""
    return Issuer("tests", None, countdown(20.0))


@pytest.fixture
def world(table: Table, s3: Any, bucket: str, redis_port: RedisPort, tmp_path: Path) -> World:
    return World(table, ArtifactStore(s3, bucket), redis_port, tmp_path / "models")


@dataclass
class Function:
    """functions/predict, imported anew with its own environment."""

    module: Any

    def __call__(
        self, key: str, path: Mapping[str, str] | None = None, body: Any = None
    ) -> tuple[int, Any]:
        """Status and JSON of one request by a caller who may predict and read features."""
        answer = self.answer(key, path, body)
        return answer["statusCode"], json.loads(answer["body"] or "null")

    def answer(
        self, key: str, path: Mapping[str, str] | None = None, body: Any = None, **more: str
    ) -> dict[str, Any]:
        """The whole answer."""
        sent = event(key, path, body, **more)
        answer: dict[str, Any] = self.module.lambda_handler(sent, Context())
        return answer


class Context:
    """What the handler needs of Lambda's context."""

    aws_request_id = "request"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 10_000


def event(
    key: str,
    path: Mapping[str, str] | None = None,
    body: Any = None,
    scopes: str = "predict features:read",
) -> dict[str, Any]:
    """An API Gateway payload 2.0 event of a caller with ``scopes``."""
    return {
        "version": "2.0",
        "routeKey": key,
        "pathParameters": dict(path or {}),
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "requestId": "r-1",
            "authorizer": {"lambda": {"principal": "tests", "scopes": scopes}},
        },
        "body": body if isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
    }


def predict_function(environ: Mapping[str, str]) -> Function:
    """Import functions/predict/app.py with ``environ``."""
    return Function(load_function("predict", environ))


@pytest.fixture
def function(table_name: str, bucket: str, redis_settings: Any) -> Function:
    """functions/predict on the same storage as ``world``."""
    return predict_function(
        {
            "NEURALSTREAM_NAMESPACE": NAMESPACE,
            "NEURALSTREAM_REDIS_HOST": redis_settings.redis_host,
            "NEURALSTREAM_REDIS_PORT": str(redis_settings.redis_port),
            "NEURALSTREAM_TABLE": table_name,
            "NEURALSTREAM_DATA_BUCKET": bucket,
        }
    )
