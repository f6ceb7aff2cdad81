"""Fixtures: a history on the AWS emulation, and functions/training on it."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from typing import Any

import polars as pl
import pytest

from tests.support.aws import Aws
from tests.support.features import Clock, clock
from tests.support.functions import load_function
from tests.support.history import HistoryHouse

__all__ = ["clock"]


class Training:
    """functions/training, and the steps of a job as the state machine calls them."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.module = load_function("training", environ)

    def call(
        self, route: str, body: Any = None, path: Any = None, principal: str = "ann", **headers: str
    ) -> tuple[int, Any]:
        event = {
            "routeKey": route,
            "pathParameters": path or {},
            "headers": {name.replace("_", "-"): value for name, value in headers.items()},
            "requestContext": {
                "requestId": "r",
                "authorizer": {"lambda": {"principal": principal, "scopes": "features:read"}},
            },
            "body": json.dumps(body),
        }
        answer = self.module.lambda_handler(event, None)
        return answer["statusCode"], json.loads(answer["body"] or "null")

    def create(self, body: Any, **more: str) -> tuple[int, Any]:
        return self.call("POST /training-sets", body, **more)

    def get(self, training_set_id: str, principal: str = "ann") -> tuple[int, Any]:
        route = "GET /training-sets/{training_set_id}"
        return self.call(route, None, {"training_set_id": training_set_id}, principal)

    def task(self, task: str, job_id: str) -> Any:
        return self.module.task_handler({"task": task, "job_id": job_id}, None)

    def made(self, body: Any) -> Any:
        """The answer for a training set after its job has run."""
        job_id, planned = self.planned(body)
        if planned["status"] != "FAILED":
            self.task("finish", job_id)
        return self.get(job_id)[1]

    def planned(self, body: Any) -> tuple[str, Any]:
        """The id of a training set, and what the first task of its job answers."""
        status, answer = self.create(body)
        assert status == 202, answer
        job_id = answer["training_set_id"]
        return job_id, self.task("plan", job_id)

    @staticmethod
    def frame(answer: Any) -> pl.DataFrame:
        """The file of a finished training set, from its address."""
        with urllib.request.urlopen(answer["download"]) as response:  # noqa: S310 - the emulation's
            data = response.read()
        assert hashlib.sha256(data).hexdigest() == answer["result"]["sha256"]
        assert len(data) == answer["result"]["bytes"]
        return pl.read_parquet(data)


@pytest.fixture
def house(aws: Aws, table_name: str, history_table: str, bucket: str, clock: Clock) -> HistoryHouse:
    """A history with everything around it."""
    clients = aws.client("dynamodb"), aws.client("s3")
    return HistoryHouse(*clients, table_name, history_table, bucket, clock)


@pytest.fixture
def training(aws: Aws, table_name: str, history_table: str, bucket: str) -> Training:
    """The function on this history."""
    assert aws.endpoint
    return Training(
        {
            "NEURALSTREAM_NAMESPACE": "test",
            "NEURALSTREAM_TABLE": table_name,
            "NEURALSTREAM_HISTORY_TABLE": history_table,
            "NEURALSTREAM_DATA_BUCKET": bucket,
            "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        }
    )
