"""Two ways to the same feature store: the library, and the functions' handlers with API Gateway events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from neuralstream_core.errors import NeuralStreamError
from neuralstream_core.features import Catalog, Dtype, OnlineStore, Row, ViewSpec
from neuralstream_core.redis import RedisPort
from neuralstream_core.settings import RedisSettings
from neuralstream_core.table import Table
from neuralstream_core.time import iso, system_clock
from neuralstream_lambda.problems import status_of
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.functions import load_function
from tests.support.redis import settings_for

__all__ = ["Clock", "Context", "Door", "Functions", "HttpDoor", "LibraryDoor"]

FUNCTIONS = Path(__file__).parents[2] / "functions"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = system_clock()

    def __call__(self) -> int:
        return self.now

    def at(self, seconds: float) -> str:
        """ISO time of ``seconds`` from now."""
        return iso(self.now + round(seconds * 1_000_000))


class Context:
    """What the functions use of a Lambda context."""

    aws_request_id = "test"
    function_name = "test"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:test"

    def __init__(self, remaining_ms: int = 20_000) -> None:
        self._remaining = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self._remaining


@dataclass
class Reply:
    """Status and decoded body."""

    status: int
    body: Any


class Functions:
    """The feature functions, called with payload 2.0 events."""

    def __init__(self) -> None:
        self.write = load_function("feature_write")
        self.read = load_function("feature_read")
        self.ingest = load_function("feature_ingest")

    def call(
        self,
        route: str,
        *,
        path: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
        body: Any = None,
        scopes: str = "features:read features:write",
        remaining_ms: int = 20_000,
    ) -> Reply:
        """Call whichever function has ``route``; a ``str`` body is sent as it is."""
        app = self.write if route in self.write.app.routes else self.read
        event = {
            "version": "2.0",
            "routeKey": route,
            "headers": {"content-type": "application/json"},
            "requestContext": {
                "requestId": "r-1",
                "authorizer": {"lambda": {"principal": "test", "scopes": scopes}},
            },
            "isBase64Encoded": False,
        }
        if path is not None:
            event["pathParameters"] = path
        if query is not None:
            event["queryStringParameters"] = query
        if body is not None:
            event["body"] = body if isinstance(body, str) else json.dumps(body)
        answer = app.lambda_handler(event, Context(remaining_ms))
        return Reply(answer["statusCode"], json.loads(answer["body"]) if answer["body"] else None)


class Door(Protocol):
    """What both ways offer, in the terms of the HTTP contract: status and JSON."""

    def put_view(self, name: str, spec: dict[str, Any]) -> Reply: ...
    def delete_view(self, name: str) -> Reply: ...
    def write(self, body: dict[str, Any]) -> Reply: ...
    def read(self, view: str, entity: Any, features: list[str] | None = None) -> Reply: ...
    def batch(self, view: str, entities: list[Any], features: list[str] | None = None) -> Reply: ...


class LibraryDoor:
    """`OnlineStore` itself. What it returns is put into the contract's words here, by hand."""

    def __init__(self, store: OnlineStore) -> None:
        self.store = store

    def put_view(self, name: str, spec: dict[str, Any]) -> Reply:
        def call() -> Reply:
            view, created = self.store.catalog.put(
                name, ViewSpec.model_validate_json(json.dumps(spec))
            )
            return Reply(201 if created else 200, {"schema_version": view.schema_version})

        return _replied(call)

    def delete_view(self, name: str) -> Reply:
        def call() -> Reply:
            done = self.store.delete_view(name).done
            return Reply(200 if done else 202, None)

        return _replied(call)

    def write(self, body: dict[str, Any]) -> Reply:
        def call() -> Reply:
            if "rows" in body:
                result = self.store.write(body["feature_view"], body["rows"])
            else:
                row = {k: v for k, v in body.items() if k != "feature_view"}
                result = self.store.write(body["feature_view"], [row], where="")
            found = {
                "feature_view": body["feature_view"],
                "written": result.written,
                "stale": result.stale,
            }
            if result.cells_stale:
                found["stale_cells"] = result.cells_stale
            return Reply(200, found)

        return _replied(call)

    def read(self, view: str, entity: Any, features: list[str] | None = None) -> Reply:
        def call() -> Reply:
            row = self.store.read_one(view, _entity(entity), features)
            return Reply(200, {"feature_view": view, **self._json(view, entity, row)})

        return _replied(call)

    def batch(self, view: str, entities: list[Any], features: list[str] | None = None) -> Reply:
        def call() -> Reply:
            found = self.store.read_many(view, [_entity(e) for e in entities], features)
            rows = [found.missing if row is None else row for row in found.rows]
            results = [self._json(view, e, row) for e, row in zip(entities, rows, strict=True)]
            return Reply(200, {"feature_view": view, "results": results})

        return _replied(call)

    def _json(self, view: str, entity: Any, row: Row) -> dict[str, Any]:
        schema = self.store.catalog.get(view)
        features = dict(zip(row.names, row.values, strict=True))
        for name, value in features.items():
            if schema.feature(name).dtype is Dtype.TIMESTAMP and value is not None:
                features[name] = iso(value)
        times = [time for time in row.event_times if time is not None]
        return {
            "entity_id": entity,
            "features": features,
            "status": {
                n: s.name for n, s in zip(row.names, row.status, strict=True) if s.name != "PRESENT"
            },
            "event_timestamp": iso(max(times)) if times else None,
        }


class HttpDoor:
    """The functions' handlers."""

    def __init__(self, functions: Functions) -> None:
        self.functions = functions

    def put_view(self, name: str, spec: dict[str, Any]) -> Reply:
        return self.functions.call("PUT /features/views/{name}", path={"name": name}, body=spec)

    def delete_view(self, name: str) -> Reply:
        return self.functions.call("DELETE /features/views/{name}", path={"name": name})

    def write(self, body: dict[str, Any]) -> Reply:
        return self.functions.call("POST /features/write", body=body)

    def read(self, view: str, entity: Any, features: list[str] | None = None) -> Reply:
        parts = [entity] if isinstance(entity, str) else entity
        text = (
            entity
            if isinstance(entity, str)
            else ",".join(p.replace("\\", "\\\\").replace(",", "\\,") for p in parts)
        )
        return self.functions.call(
            "GET /features/{feature_view}/{entity_id+}",
            path={"feature_view": view, "entity_id": text},
            query=None if features is None else {"features": ",".join(features)},
        )

    def batch(self, view: str, entities: list[Any], features: list[str] | None = None) -> Reply:
        body: dict[str, Any] = {"feature_view": view, "entity_ids": entities}
        if features is not None:
            body["features"] = features
        return self.functions.call("POST /features/batch", body=body)


def _entity(entity: Any) -> Any:
    return tuple(entity) if isinstance(entity, list) else entity


def _replied(call: Any) -> Reply:
    try:
        reply: Reply = call()
    except NeuralStreamError as error:
        body = {"code": error.code, "detail": error.detail}
        if errors := getattr(error, "errors", ()):
            body["errors"] = [{"loc": e.loc, "msg": e.msg} for e in errors]
        return Reply(status_of(error)[0], body)
    return reply


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(table: Table, redis_port: RedisPort, clock: Clock) -> OnlineStore:
    """A store on the plain server, with a clock that stands still."""
    return OnlineStore(redis_port, Catalog(table, "test", clock), clock, "test")


@pytest.fixture
def any_store(table: Table, any_port: RedisPort, clock: Clock) -> OnlineStore:
    """A store on the plain server, then one on the cluster."""
    return OnlineStore(any_port, Catalog(table, "test", clock), clock, "test")


@pytest.fixture
def history_environ(history_table: str, bucket: str) -> dict[str, str]:
    """The settings of functions that write to a history of this test alone."""
    return {"NEURALSTREAM_HISTORY_TABLE": history_table, "NEURALSTREAM_DATA_BUCKET": bucket}


def _environ(settings: RedisSettings, table_name: str) -> dict[str, str]:
    return {
        "NEURALSTREAM_NAMESPACE": "test",
        "NEURALSTREAM_REDIS_HOST": settings.redis_host,
        "NEURALSTREAM_REDIS_PORT": str(settings.redis_port),
        "NEURALSTREAM_REDIS_CLUSTER": str(settings.redis_cluster).lower(),
        "NEURALSTREAM_TABLE": table_name,
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    }


@pytest.fixture
def functions(
    table_name: str,
    redis_server: EmbeddedRedis,
    history_environ: dict[str, str],
    monkeypatch: Any,
) -> Functions:
    """The feature functions on the plain server."""
    redis_server.flush()
    environ = _environ(settings_for(redis_server), table_name) | history_environ
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return Functions()


@pytest.fixture(params=["library", "library-cluster", "http", "http-cluster"])
def door(
    request: pytest.FixtureRequest,
    table: Table,
    history_environ: dict[str, str],
    clock: Clock,
    monkeypatch: Any,
) -> Door:
    """The test runs through the library and through the handlers, on one node and on a cluster."""
    way, _, deployment = request.param.partition("-")
    port: RedisPort = request.getfixturevalue("cluster_port" if deployment else "redis_port")
    if way == "library":
        return LibraryDoor(OnlineStore(port, Catalog(table, "test", clock), clock, "test"))
    server = request.getfixturevalue("redis_cluster" if deployment else "redis_server")
    environ = _environ(settings_for(server), table.name) | history_environ
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return HttpDoor(Functions())
