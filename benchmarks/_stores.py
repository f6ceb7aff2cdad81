"""What the feature benchmarks have in common: servers, a view, rows."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from _harness import ROOT  # noqa: F401 - puts the project on the path

from neuralstream_core.features import Catalog, OnlineStore
from neuralstream_core.features.schema import ViewSpec
from neuralstream_core.redis import RedisPort
from neuralstream_core.table import Table
from neuralstream_core.time import system_clock
from neuralstream_local.aws import client_environ
from neuralstream_local.children import Child
from neuralstream_local.storage import create_registry_table

NAMESPACE = "bench"

__all__ = ["NAMESPACE", "Keep", "entities", "registry", "rows", "store", "view"]


class Keep:
    """A port that remembers the keys and values that passed, so that the limit moves the same bytes."""

    def __init__(self, port: RedisPort) -> None:
        self._port = port
        self.keys: list[bytes] = []
        """Those of the last read."""
        self.calls: list[Any] = []
        self.keeping = True

    def mget(self, keys: Any) -> Any:
        self.keys = keys
        return self._port.mget(keys)

    def run(self, script: Any, calls: Any, **options: Any) -> Any:
        if self.keeping:
            calls = list(calls)
            self.calls += [call for call in calls if call[1]]
        return self._port.run(script, calls, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


@contextmanager
def registry() -> Iterator[Table]:
    """A table of the AWS emulation."""
    import boto3

    child = Child("neuralstream_local.aws_server")
    endpoint = child.ready()["endpoint"]
    environ = client_environ(endpoint)
    client = boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name=environ["AWS_DEFAULT_REGION"],
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
    )
    name = f"bench-{uuid.uuid4().hex}"
    create_registry_table(client, name)
    try:
        yield Table(client, name)
    finally:
        child.stop()


def store(port: RedisPort, table: Table, namespace: str = NAMESPACE) -> OnlineStore:
    """A store as the functions build it: its catalog asks the table again every few seconds."""
    return OnlineStore(port, Catalog(table, namespace, system_clock), system_clock, namespace)


def view(online: OnlineStore, width: int) -> str:
    """A view of ``width`` float64 features with a TTL of a day."""
    name = f"wide{width}"
    spec = ViewSpec.model_validate(
        {
            "entity": "user_id",
            "features": [{"name": f"f{i}", "dtype": "float64"} for i in range(width)],
            "ttl_seconds": 86_400,
        }
    )
    online.catalog.put(name, spec)
    return name


def entities(count: int) -> list[str]:
    """Ids such as a shop has; their lengths differ."""
    draw = random.Random(count)
    return [f"user:{draw.randrange(10**9)}" for _ in range(count)]


def rows(ids: list[str], width: int) -> list[dict[str, Any]]:
    """A row of Gaussian float64 for each id, all of this moment."""
    draw = random.Random(width)
    now = datetime.now(UTC).isoformat()
    return [
        {
            "entity_id": entity,
            "features": {f"f{i}": draw.gauss(0.0, 100.0) for i in range(width)},
            "event_timestamp": now,
        }
        for entity in ids
    ]
