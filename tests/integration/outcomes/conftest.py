"""Fixtures: a history on the AWS emulation, and functions/outcomes on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from neuralstream_core.registry.records import (
    Format,
    Kind,
    Label,
    ModelRecord,
    Signature,
    Stage,
    VersionRecord,
    VersionStatus,
    model_item,
    version_item,
)
from neuralstream_core.time import EPOCH, from_micros
from tests.integration.history.conftest import house
from tests.support.aws import Aws
from tests.support.features import clock
from tests.support.functions import load_function
from tests.support.history import HistoryHouse
from tests.support.outcomes import NAMESPACE, LoggedPrediction, logged

__all__ = ["clock", "house"]


@dataclass
class Outcomes:
    """functions/outcomes, and the log of predictions that it reads."""

    module: Any
    house: HistoryHouse

    def version(
        self, model: str, version: str, kind: Kind = "classifier", classes: Sequence[Label] = (0, 1)
    ) -> None:
        """Register a version, as the only one of its model if it is the first."""
        at = from_micros(self.house.clock())
        known = ModelRecord(
            name=model,
            latest_version=version,
            production_version="v1",
            salt="s",
            created_at=EPOCH,
            updated_at=at,
        )
        self.house.registry.put(model_item(NAMESPACE, known))
        record = VersionRecord(
            model=model,
            version=version,
            status=VersionStatus.READY,
            stage=Stage.PRODUCTION if version == "v1" else Stage.STAGING,
            format=Format.LINEAR,
            digest="0" * 64,
            size=1,
            signature=Signature(
                kind=kind,
                inputs=(),
                outputs=(),
                classes=tuple(classes) if kind == "classifier" else None,
                scores="probability" if kind == "classifier" else None,
            ),
            created_at=EPOCH,
            created_by="ann",
        )
        self.house.registry.put(version_item(NAMESPACE, record))

    def log(self, model: str, request: str, predictions: Sequence[LoggedPrediction]) -> None:
        """Append predictions to the history."""
        self.house.log.append([logged(model, request, predictions)])

    def send(
        self, model: str, rows: Sequence[Mapping[str, Any]], **headers: str
    ) -> tuple[int, Any]:
        return self.call("POST /outcomes", {"model": model, "rows": list(rows)}, **headers)

    def performance(self, model: str, **query: str) -> Any:
        status, answer = self.call("GET /monitoring/performance", None, {"model": model, **query})
        assert status == 200, answer
        return answer

    def call(
        self,
        route: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        scopes: str = "outcomes monitoring models:read",
        path: Mapping[str, str] | None = None,
        **headers: str,
    ) -> tuple[int, Any]:
        event = {
            "routeKey": route,
            "queryStringParameters": query,
            "pathParameters": path or {},
            "headers": {name.replace("_", "-"): value for name, value in headers.items()},
            "requestContext": {
                "requestId": "r",
                "authorizer": {"lambda": {"principal": "ann", "scopes": scopes}},
            },
            "body": None if body is None else json.dumps(body),
        }
        answer = self.module.lambda_handler(event, None)
        return answer["statusCode"], json.loads(answer["body"])


@pytest.fixture
def outcomes(
    aws: Aws, house: HistoryHouse, table_name: str, history_table: str, bucket: str
) -> Outcomes:
    """The function on a history of this test alone."""
    assert aws.endpoint
    environ = {
        "NEURALSTREAM_NAMESPACE": NAMESPACE,
        "NEURALSTREAM_TABLE": table_name,
        "NEURALSTREAM_HISTORY_TABLE": history_table,
        "NEURALSTREAM_DATA_BUCKET": bucket,
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    }
    return Outcomes(load_function("outcomes", environ), house)
