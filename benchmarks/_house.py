"""What benchmarks of jobs run in: a store, a registry and a bucket, emulated beside the measured process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.jobs import JobHouse

__all__ = ["house"]


@contextmanager
def house(features: int) -> Iterator[JobHouse]:
    """Redis and an AWS emulation in other processes, and a view ``user`` of that many float64 features."""
    from neuralstream_core.redis import connect
    from neuralstream_core.settings import RedisSettings
    from neuralstream_core.table import Table
    from neuralstream_lambda.batch import BatchSettings
    from neuralstream_local.aws import client_environ
    from neuralstream_local.children import Child
    from neuralstream_local.embedded_redis import EmbeddedRedis
    from neuralstream_local.storage import create_history_table, create_registry_table
    from tests.support.jobs import NAMESPACE, JobHouse

    aws = Child("neuralstream_local.aws_server")
    redis = EmbeddedRedis()
    try:
        os.environ.update(client_environ(aws.ready()["endpoint"]))
        import boto3

        build: Any = boto3.client
        build("s3").create_bucket(Bucket="benchmark")
        create_registry_table(build("dynamodb"), "benchmark")
        create_history_table(build("dynamodb"), "benchmark-history")
        settings = BatchSettings(
            namespace=NAMESPACE,
            redis_host="127.0.0.1",
            redis_port=redis.port,
            table="benchmark",
            data_bucket="benchmark",
            history_table="benchmark-history",
        )
        patient = RedisSettings(
            redis_host="127.0.0.1",
            redis_port=redis.port,
            redis_read_timeout_ms=2000,  # as template.yaml gives the function that runs chunks
        )
        port = connect(patient)
        made = JobHouse(settings, Table(build("dynamodb"), "benchmark"), build("s3"), port)
        made.view("user", **{f"f{j}": "float64" for j in range(features)})
        yield made
    finally:
        redis.stop()
        aws.stop()
