"""Fixtures: the append log on an emulated DynamoDB and S3, under a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from neuralstream_core.history.log import HistoryLog
from neuralstream_core.objects import Objects
from neuralstream_core.table import Table
from tests.support.aws import Aws
from tests.support.features import Clock, clock, functions, history_environ
from tests.support.history import HistoryHouse
from tests.support.log_writes import writer
from tests.support.rebuilding import rebuilding, rebuilding_on_a_cluster

__all__ = [
    "clock",
    "functions",
    "history_environ",
    "house",
    "log",
    "log_on",
    "rebuilding",
    "rebuilding_on_a_cluster",
    "writer",
]


@pytest.fixture
def log_on(aws: Aws, history_table: str, bucket: str, clock: Clock) -> Callable[..., HistoryLog]:
    """Builds a log on this test's table and bucket, with other clients where given."""

    def build(dynamodb: Any = None, s3: Any = None) -> HistoryLog:
        table = Table(dynamodb or aws.client("dynamodb"), history_table, dependency="history")
        objects = Objects(s3 or aws.client("s3"))
        return HistoryLog(table, lambda: objects, bucket, "test", clock)

    return build


@pytest.fixture
def log(log_on: Callable[..., HistoryLog]) -> HistoryLog:
    """The log of namespace ``test``."""
    return log_on()


@pytest.fixture
def house(aws: Aws, table_name: str, history_table: str, bucket: str, clock: Clock) -> HistoryHouse:
    """A history with everything around it."""
    clients = aws.client("dynamodb"), aws.client("s3")
    return HistoryHouse(*clients, table_name, history_table, bucket, clock)
