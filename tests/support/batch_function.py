"""functions/batch_predict as the tests call it: with API Gateway's events and with a schedule's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.support.functions import load_function
from tests.support.jobs import JobHouse

__all__ = ["Context", "Function"]


class Context:
    """What the handler needs of Lambda's context."""

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 10_000


class Function:
    """functions/batch_predict, imported anew on the storage of a house."""

    def __init__(self, house: JobHouse) -> None:
        variables = {
            f"NEURALSTREAM_{name.upper()}": str(value)
            for name, value in house.settings.model_dump().items()
        }
        self.module = load_function("batch_predict", variables)

    def __call__(
        self,
        key: str,
        path: Mapping[str, str] | None = None,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        principal: str = "ann",
        scopes: str = "predict",
    ) -> tuple[int, Any]:
        event = {
            "routeKey": key,
            "pathParameters": dict(path or {}),
            "queryStringParameters": dict(query or {}),
            "headers": dict(headers or {}),
            "requestContext": {
                "requestId": "r",
                "authorizer": {"lambda": {"principal": principal, "scopes": scopes}},
            },
            "body": json.dumps(body),
        }
        answer = self.module.lambda_handler(event, Context())
        return answer["statusCode"], json.loads(answer["body"] or "null")

    def deliver(self, event: Mapping[str, Any]) -> Any:
        """Call the function as a schedule does."""
        return self.module.lambda_handler(event, Context())

    def batch(
        self, model: str, body: Any, principal: str = "ann", **headers: str
    ) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        path = {"model_name": model}
        key = "POST /predict/{model_name}/batch"
        return self(key, path, body, headers=named, principal=principal)
