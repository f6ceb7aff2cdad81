"""Fixtures: moto as a server process, with a fresh table and bucket.

``aws`` is one moto server for each xdist worker; its address and credentials are also in this
process's environment, so that any boto3 client built without arguments goes there.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from neuralstream_core.table import Table
from neuralstream_local.aws import client_environ
from neuralstream_local.children import Child
from neuralstream_local.storage import create_history_table, create_registry_table

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Aws:
    """The emulation: ``endpoint`` is its URL, ``environ`` what a client or child process needs."""

    endpoint: str
    environ: dict[str, str]
    child: Child

    def client(self, service: str) -> Any:
        """A boto3 client of this emulation; built once a service."""
        return _client(service, self.endpoint)


@cache
def _client(service: str, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        config=Config(
            connect_timeout=2,
            read_timeout=20,
            retries={"total_max_attempts": 2},
            max_pool_connections=40,  # as many as the widest race has callers
        ),
    )


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    child = Child("neuralstream_local.aws_server")
    endpoint = child.ready()["endpoint"]
    environ = client_environ(endpoint)
    before = {name: os.environ.get(name) for name in environ}
    os.environ.update(environ)
    yield Aws(endpoint, environ, child)
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    child.stop()


@pytest.fixture
def table_name(aws: Aws) -> str:
    """The name of an empty table with the keys, index and stream that template.yaml gives it.

    It ends with the server: to delete it costs as much as to make it.
    """
    name = f"test-{uuid.uuid4().hex}"
    create_registry_table(aws.client("dynamodb"), name)
    return name


@pytest.fixture
def table(aws: Aws, table_name: str) -> Table:
    """A fresh `Table`."""
    return Table(aws.client("dynamodb"), table_name)


@pytest.fixture
def history_table(aws: Aws) -> str:
    """The name of an empty history table."""
    name = f"test-{uuid.uuid4().hex}-history"
    create_history_table(aws.client("dynamodb"), name)
    return name


@pytest.fixture
def s3(aws: Aws) -> S3Client:
    """An S3 client of the emulation."""
    client: S3Client = aws.client("s3")
    return client


@pytest.fixture
def bucket(s3: S3Client) -> Iterator[str]:
    """The name of an empty bucket."""
    name = f"test-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    yield name
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for entry in page.get("Contents", []):
            s3.delete_object(Bucket=name, Key=entry["Key"])
    s3.delete_bucket(Bucket=name)


def cancel_transaction(dynamodb: Any, table: str, name: str) -> None:
    """A transaction whose first half succeeds and whose second is refused: nothing of it may be seen."""
    put = {"TableName": table, "Item": {"PK": {"S": "undone"}, "SK": {"S": name}}}
    check = {
        "TableName": table,
        "Key": {"PK": {"S": "nobody"}, "SK": {"S": "x"}},
        "ConditionExpression": "attribute_exists(PK)",
    }
    # By name: threads that first use `dynamodb.exceptions` at once get classes that differ.
    with pytest.raises(ClientError, match="TransactionCanceledException"):
        dynamodb.transact_write_items(TransactItems=[{"Put": put}, {"ConditionCheck": check}])
