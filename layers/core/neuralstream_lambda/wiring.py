"""Clients, built once per process and only when first needed, from settings alone.

boto3 is imported inside the functions: a warm read never pays for it, and import succeeds while any
dependency is down.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from neuralstream_core.settings import (
    HistorySettings,
    RedisSettings,
    StoreSettings,
    TableSettings,
    WriteSettings,
)
from neuralstream_core.table import Table
from neuralstream_lambda.metrics import emit, function_dimension

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

    from neuralstream_core.features import OnlineStore
    from neuralstream_core.features.audit import ViewAudit
    from neuralstream_core.features.services import FeatureServices
    from neuralstream_core.features.upkeep import Upkeep
    from neuralstream_core.history.log import Appended, HistoryLog
    from neuralstream_core.redis.port import RedisPort

__all__ = [
    "dynamodb_client",
    "events_client",
    "feature_services",
    "feature_store",
    "feature_upkeep",
    "feature_writer",
    "glue_client",
    "history_log",
    "keys_table",
    "queue_client",
    "redis_port",
    "s3_client",
    "scheduler_client",
    "serving_table",
    "sns_client",
    "states_client",
    "table",
    "view_audit",
]


_S3: Final[dict[str, Any]] = {
    "signature_version": "s3v4",
    "s3": {"addressing_style": "virtual"},
}
"""For presigned addresses: SigV4 alone signs size and checksum, and the host must be the region's own."""


@cache
def _boto(service: str, connect_s: float, read_s: float, attempts: int) -> Any:
    import boto3
    from botocore.config import Config

    build: Any = boto3.client  # the stubs list every service; one name at a time is enough here
    return build(
        service,
        config=Config(
            connect_timeout=connect_s,
            read_timeout=read_s,
            retries={"total_max_attempts": attempts, "mode": "standard"},
            max_pool_connections=16,
            **(_S3 if service == "s3" else {}),
        ),
    )


@cache
def redis_port(settings: RedisSettings) -> RedisPort:
    """The online store's connection; opens nothing until the first command."""
    from neuralstream_core.redis import connect

    return connect(settings)


@cache
def table(settings: TableSettings) -> Table:
    """The registry table, with timeouts that fit inside an API call."""
    return Table(dynamodb_client(), settings.table)


def dynamodb_client() -> DynamoDBClient:
    """DynamoDB, with timeouts that fit inside an API call."""
    client: DynamoDBClient = _boto("dynamodb", 1.0, 2.0, 3)
    return client


@cache
def serving_table(name: str) -> Table:
    """The registry table for who has a last known answer to fall back on: it gives up early."""
    return Table(_prompt_dynamodb(), name)


def _prompt_dynamodb() -> DynamoDBClient:
    """DynamoDB for what is awaited within a prediction or a write; the same client for all of it, as building
    a second one costs a cold start some 50 ms."""
    client: DynamoDBClient = _boto("dynamodb", 0.5, 0.8, 2)
    return client


@cache
def feature_store(settings: StoreSettings) -> OnlineStore:
    """The online store, with a catalog that falls back on the views it knows."""
    from neuralstream_core.features import Catalog, OnlineStore
    from neuralstream_core.time import system_clock

    catalog = Catalog(serving_table(settings.table), settings.namespace, system_clock)
    return OnlineStore(redis_port(settings), catalog, system_clock, settings.namespace)


@cache
def feature_writer(settings: WriteSettings) -> OnlineStore:
    """The same for who writes: what is written is also in the history."""
    from neuralstream_core.features import Catalog, OnlineStore
    from neuralstream_core.time import system_clock

    return OnlineStore(
        redis_port(settings),
        Catalog(serving_table(settings.table), settings.namespace, system_clock),
        system_clock,
        settings.namespace,
        log=history_log(settings),
    )


@cache
def feature_upkeep(settings: WriteSettings) -> Upkeep:
    """What changes rows beside the way of every write."""
    from neuralstream_core.features.upkeep import Upkeep
    from neuralstream_core.time import system_clock

    return Upkeep(
        feature_writer(settings),
        redis_port(settings),
        history_log(settings),
        system_clock,
        settings.namespace,
    )


@cache
def view_audit(settings: TableSettings) -> ViewAudit:
    """The trail of what was done to rows of views."""
    from neuralstream_core.features.audit import ViewAudit
    from neuralstream_core.time import system_clock

    return ViewAudit(table(settings), settings.namespace, system_clock)


@cache
def history_log(settings: HistorySettings) -> HistoryLog:
    """The append log; each append is measured."""
    from neuralstream_core.history.log import HistoryLog
    from neuralstream_core.objects import Objects
    from neuralstream_core.time import system_clock

    return HistoryLog(
        Table(_prompt_dynamodb(), settings.history_table, dependency="history"),
        lambda: Objects(_boto("s3", 0.5, 2.0, 2)),
        settings.data_bucket,
        settings.namespace,
        system_clock,
        seal=settings.history_seal_ms * 1000,
        observe=_measured,
    )


def _measured(appended: Appended) -> None:
    """One append, as metrics of the function that made it."""
    from neuralstream_core.time import system_clock

    emit(
        system_clock(),
        function_dimension(),
        {
            "HistoryAppendMilliseconds": (appended.milliseconds, "Milliseconds"),
            "HistoryAppendBytes": (appended.size, "Bytes"),
            "HistoryAppendFailures": (int(appended.failed), "Count"),
        },
    )


@cache
def feature_services(settings: StoreSettings) -> FeatureServices:
    """The feature services, checked against the views of the table."""
    from neuralstream_core.features import Catalog
    from neuralstream_core.features.services import FeatureServices
    from neuralstream_core.time import system_clock

    own = table(settings)
    catalog = Catalog(own, settings.namespace, system_clock)
    return FeatureServices(own, settings.namespace, system_clock, catalog)


@cache
def keys_table(name: str) -> Table:
    """The table of API keys; its answer is awaited before any request is served."""
    return Table(_boto("dynamodb", 0.5, 1.0, 2), name, dependency="keys")


@cache
def s3_client() -> S3Client:
    """S3 for artifacts and job files."""
    client: S3Client = _boto("s3", 1.0, 5.0, 2)
    return client


def states_client() -> SFNClient:
    """Step Functions, to start jobs."""
    client: SFNClient = _boto("stepfunctions", 1.0, 5.0, 3)
    return client


def events_client() -> EventBridgeClient:
    """EventBridge, to announce what changed."""
    client: EventBridgeClient = _boto("events", 1.0, 2.0, 2)
    return client


def sns_client() -> SNSClient:
    """SNS, to tell people."""
    client: SNSClient = _boto("sns", 1.0, 2.0, 2)
    return client


def queue_client() -> SQSClient:
    """SQS, to keep what could not be sent."""
    client: SQSClient = _boto("sqs", 1.0, 2.0, 2)
    return client


def glue_client() -> Any:
    """The Glue catalog, to keep the history's tables."""
    return _boto("glue", 1.0, 5.0, 3)


def scheduler_client() -> Any:
    """EventBridge Scheduler, to keep schedules."""
    return _boto("scheduler", 1.0, 5.0, 3)
