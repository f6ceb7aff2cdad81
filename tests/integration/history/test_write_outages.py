"""A write whose history, table or cache is gone: refused as a whole, and safe to send again."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config

from neuralstream_core.errors import Unavailable
from neuralstream_core.features import Catalog, Feature, OnlineStore, ViewSpec
from neuralstream_core.history.entries import Entry
from neuralstream_core.history.log import HistoryLog
from neuralstream_core.objects import Objects
from neuralstream_core.redis import RedisPort, connect
from neuralstream_core.table import Table
from neuralstream_local.aws import client_environ
from neuralstream_local.children import Child
from neuralstream_local.embedded_redis import EmbeddedRedis
from neuralstream_local.storage import create_history_table
from tests.support.aws import Aws
from tests.support.features import Clock, Context, Functions
from tests.support.interposed import FailsOnce, Interposed
from tests.support.log_writes import ints, kept
from tests.support.redis import settings_for


def test_a_throttled_log_is_a_503_that_says_that_a_retry_is_safe(
    table: Table, redis_port: RedisPort, clock: Clock, aws: Aws, log_on: Callable[..., HistoryLog]
) -> None:
    throttled = log_on(Interposed(aws.client("dynamodb"), before=FailsOnce(1)))
    writer = OnlineStore(redis_port, Catalog(table, "test", clock), clock, "test", log=throttled)
    writer.catalog.put("user", ints("a"))
    row = [{"entity_id": "u", "features": {"a": 1}}]
    with pytest.raises(Unavailable, match="sending the same request again is safe") as refused:
        writer.write("user", row)
    assert refused.value.code == "history_unavailable"
    assert writer.read_one("user", "u").values == (1,)  # the online write stands
    assert writer.write("user", row).written == 1
    assert len(kept(writer, throttled, clock, "user")) == 1


class Emulation(NamedTuple):
    """A DynamoDB and S3 that a test may stop, and a log on it."""

    child: Child
    log: HistoryLog


@pytest.fixture
def mortal(clock: Clock) -> Iterator[Emulation]:
    child = Child("neuralstream_local.aws_server")
    environ = client_environ(child.ready()["endpoint"])

    def client(service: str) -> Any:
        build: Any = boto3.client
        return build(
            service,
            endpoint_url=environ["AWS_ENDPOINT_URL"],
            config=Config(connect_timeout=0.5, read_timeout=5, retries={"total_max_attempts": 2}),
        )

    dynamodb, s3 = client("dynamodb"), client("s3")
    create_history_table(dynamodb, "mortal")
    s3.create_bucket(Bucket="mortal")
    table = Table(dynamodb, "mortal", dependency="history")
    yield Emulation(child, HistoryLog(table, lambda: Objects(s3), "mortal", "test", clock))
    child.stop()


def test_with_dynamodb_and_s3_gone_no_write_is_acknowledged(
    table: Table, redis_port: RedisPort, clock: Clock, mortal: Emulation
) -> None:
    catalog = Catalog(table, "test", clock)
    writer = OnlineStore(redis_port, catalog, clock, "test", log=mortal.log)
    writer.catalog.put("user", ViewSpec(entity="id", features=[Feature(name="s", dtype="string")]))
    letters = random.Random(1)
    small = {"entity_id": "u", "features": {"s": "x"}}
    large = [
        {"entity_id": f"u{n}", "features": {"s": letters.randbytes(25_000).hex()}}
        for n in range(20)
    ]
    for rows in ([small], large):
        assert writer.write("user", rows).written == len(rows)
    assert len(kept(writer, mortal.log, clock, "user")) == 21
    mortal.child.stop()
    for rows in ([small], large):
        with pytest.raises(Unavailable) as refused:
            writer.write("user", rows)
        assert refused.value.code == "history_unavailable"
    assert writer.read_one("user", "u").values == ("x",)


def test_without_its_history_table_the_route_answers_503_and_recovers(
    functions: Functions, aws: Aws, history_table: str
) -> None:
    spec = {"entity": "id", "features": [{"name": "a", "dtype": "int64"}]}
    path = {"name": "user"}
    assert functions.call("PUT /features/views/{name}", path=path, body=spec).status == 201
    body = {"feature_view": "user", "entity_id": "u", "features": {"a": 1}}
    dynamodb = aws.client("dynamodb")
    dynamodb.delete_table(TableName=history_table)
    refused = functions.call("POST /features/write", body=body)
    assert (refused.status, refused.body["code"]) == (503, "history_unavailable")
    assert "again is safe" in refused.body["detail"]
    message = {"Records": [{"messageId": "m1", "body": json.dumps(body)}]}
    again = {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert functions.ingest.lambda_handler(message, Context()) == again
    create_history_table(dynamodb, history_table)
    assert functions.call("POST /features/write", body=body).status == 200
    assert functions.ingest.lambda_handler(message, Context()) == {"batchItemFailures": []}
    packed = [item["data"]["B"] for item in dynamodb.scan(TableName=history_table)["Items"]]
    ids = sorted(part.request_id for data in packed for part in Entry.unpack(data).parts)
    assert [name.partition("/")[0] for name in ids] == ["m1", "r-1"]


def test_a_redis_that_dies_is_a_503_and_what_is_in_the_history_may_stand(
    table: Table, clock: Clock, log: HistoryLog
) -> None:
    with EmbeddedRedis() as server:
        port = connect(settings_for(server))
        writer = OnlineStore(port, Catalog(table, "test", clock), clock, "test", log=log)
        writer.catalog.put("user", ints("a"))
        writer.write("user", [{"entity_id": "u", "features": {"a": 1}}])
        server.kill()
        with pytest.raises(Unavailable) as refused:
            writer.write("user", [{"entity_id": "u", "features": {"a": 2}}])
        assert refused.value.code == "redis_unavailable"
        found = [k.cells["a"] for k in kept(writer, log, clock, "user")]
        assert sorted(found) == [1, 2]
        port.close()
