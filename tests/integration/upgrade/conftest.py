"""The dump of 0.1.0 in the stack of this release."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from neuralstream_core.redis import RedisPort, connect
from neuralstream_core.settings import RedisSettings
from neuralstream_core.table import Table
from neuralstream_local.laptop import TABLE
from tests.support.release_0_1 import BUCKET, Dump
from tests.support.stack import RunningStack


@pytest.fixture(scope="module")
def port(stack: RunningStack) -> Iterator[RedisPort]:
    found = connect(RedisSettings(redis_host="127.0.0.1", redis_port=stack.running.redis.port))
    yield found
    found.close()


@pytest.fixture
def dump(stack: RunningStack, port: RedisPort) -> Iterator[Dump]:
    """The dump, in the stack as long as one test runs: some tests change it."""
    found = Dump()
    dynamodb = stack.client("dynamodb")
    found.fill_table(dynamodb, TABLE)
    found.fill_bucket(stack.client("s3"), BUCKET)
    found.fill_redis(port)
    yield found
    found.clear_table(Table(dynamodb, TABLE))
    found.clear_redis(port)
