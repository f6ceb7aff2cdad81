"""Routes of one function: API Gateway has matched the route, this parses, calls and answers.

A route is a plain function whose parameters say what it takes; each is optional::

    api = Api("feature_read")

    @api.route("GET /features/{feature_view}/{entity_id+}", Scope.FEATURES_READ)
    def read(path: RowPath, query: Subset) -> RowAnswer:
        "One line that becomes the route's summary."
        return store().read_one(path.feature_view, path.entity_id, query.features)

    lambda_handler = api.handler

``path``, ``query`` and ``body`` are pydantic models, ``caller`` is a `Caller`. The same declaration
makes the OpenAPI document, enforces the scope and bounds the body.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError

from neuralstream_core.errors import (
    Forbidden,
    Invalid,
    NeuralStreamError,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from neuralstream_core.validation import from_validation
from neuralstream_lambda.logs import logger
from neuralstream_lambda.metrics import count_unexpected
from neuralstream_lambda.payload import bounded
from neuralstream_lambda.problems import problem
from neuralstream_lambda.scopes import PUBLIC, Scope
from neuralstream_lambda.tracing import traced

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

__all__ = ["MAX_BODY", "Answer", "Api", "Caller", "Event", "Problem", "Route"]

Event = Mapping[str, Any]

MAX_BODY: Final = 1024 * 1024
"""Bytes a body may have unless its route says otherwise."""

_DECISION_SECONDS: Final = 60
"""How long API Gateway keeps what the authorizer said (ReauthorizeEvery in template.yaml)."""

_JSON_HEADERS: Final = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as the authorizer said, and how long the answer may take."""

    principal: str
    scopes: frozenset[str]
    request_id: str
    headers: Mapping[str, str]
    """Request headers, names in lower case."""
    remaining_ms: Callable[[], int]
    """Milliseconds until Lambda ends this invocation."""

    @property
    def jobs_of(self) -> str | None:
        """Whose jobs the caller may see: its own; ``None``, with the scope monitoring, everybody's."""
        return None if Scope.MONITORING in self.scopes else self.principal

    def require(self, scope: Scope, what: str) -> None:
        """Hold the caller's key against a scope that only this request needs.

        Args:
            what: the part of the request that needs it.

        Raises:
            Forbidden: the key lacks it.
        """
        if scope not in self.scopes:
            raise Forbidden(f"{what}: the key lacks the scope {scope}", code="missing_scope")


@dataclass(slots=True)
class Answer:
    """An answer whose status, headers or media type are not the usual ones.

    Not frozen: it is built on the real-time path, and a frozen one costs three times as much to build.

    ``body`` may be a pydantic model, ``bytes``/``str`` (sent as they are) or JSON-compatible data.
    """

    body: BaseModel | bytes | str | Mapping[str, Any] | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Problem = Callable[[NeuralStreamError], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """One declared route; ``key`` is API Gateway's route key and template.yaml's method and path."""

    key: str
    scope: Scope | Literal["public"]
    call: Callable[..., Any]
    path: type[BaseModel] | None
    query: type[BaseModel] | None
    body: TypeAdapter[Any] | None
    wants_caller: bool
    status: int
    max_body: int
    answer: Any
    problem: Problem
    tags: tuple[str, ...]
    smaller_body: str
    smaller_answer: str | None
    conflicts: bool

    @property
    def method(self) -> str:
        return self.key.partition(" ")[0]

    @property
    def template(self) -> str:
        return self.key.partition(" ")[2]


class Api:
    """The routes of one function and its Lambda handler."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.routes: dict[str, Route] = {}
        self.handler = traced(service)(self._handle)
        """The Lambda handler for API Gateway payload 2.0 events; never raises for what a caller sent."""

    def route(
        self,
        key: str,
        scope: Scope | Literal["public"],
        *,
        status: int = 200,
        max_body: int = MAX_BODY,
        answer: Any = None,
        problem: Problem = problem,
        tags: tuple[str, ...] = (),
        smaller_body: str = "send less in one request",
        smaller_answer: str | None = None,
        conflicts: bool | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a route.

        Args:
            key: e.g. ``"POST /predict/{model_name}"``, exactly as in template.yaml.
            scope: what the caller's key must allow, or `PUBLIC`.
            status: of a plain answer.
            max_body: bytes.
            answer: model of the body, for a route that writes it itself and returns an `Answer`.
            problem: how a designed error looks on this route (RFC 9457 unless a protocol differs).
            smaller_body: what a caller can do whose body is over ``max_body``.
            smaller_answer: what a caller can do whose answer is over Lambda's limit; ``None`` for a route
                whose answers are always small.
            conflicts: whether it may answer 409; unless given, every route but a GET may.
        """

        def declare(call: Callable[..., Any]) -> Callable[..., Any]:
            hints = get_type_hints(call, include_extras=True)
            unknown = set(inspect.signature(call).parameters) - {"path", "query", "body", "caller"}
            if unknown or key in self.routes:
                raise TypeError(
                    f"{key}: {f'cannot fill {unknown}' if unknown else 'declared twice'}"
                )
            self.routes[key] = Route(
                key=key,
                scope=scope,
                call=call,
                path=hints.get("path"),
                query=hints.get("query"),
                body=TypeAdapter(hints["body"]) if "body" in hints else None,
                wants_caller="caller" in hints,
                status=status,
                max_body=max_body,
                answer=answer or hints.get("return"),
                problem=problem,
                tags=tags or (self.service,),
                smaller_body=smaller_body,
                smaller_answer=smaller_answer,
                conflicts=not key.startswith("GET ") if conflicts is None else conflicts,
            )
            return call

        return declare

    def _handle(self, event: Event, context: LambdaContext) -> dict[str, Any]:
        route = self.routes.get(event.get("routeKey", ""))
        as_problem = problem if route is None else route.problem
        try:
            if route is None:
                raise NotFound("no such route", code="route_not_found")
            answer = _serve(route, event, context)
            answer["headers"]["x-request-id"] = _request_id(event)  # counts, so before the bound
            return bounded(answer, route.smaller_answer or "ask for less in one request")
        except NeuralStreamError as error:
            answer = as_problem(error)
        except Exception:  # noqa: BLE001 - the last line of defence: logged whole, answered without detail
            logger(self.service).exception(
                "unhandled error",
                extra={"route": event.get("routeKey"), "request_id": _request_id(event)},
            )
            answer = as_problem(
                NeuralStreamError("an internal error; it was logged", code="internal")
            )
        if answer["statusCode"] == 500:
            count_unexpected()
        answer["headers"]["x-request-id"] = _request_id(event)
        return answer


def _serve(route: Route, event: Event, context: LambdaContext) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    granted = event["requestContext"].get("authorizer", {}).get("lambda") or {}
    scopes = str(granted.get("scopes", "")).split()
    if route.scope != PUBLIC:
        _authorize(route, granted, scopes)
    if route.wants_caller:
        arguments["caller"] = Caller(
            principal=granted.get("principal", "anonymous"),
            scopes=frozenset(scopes),
            request_id=_request_id(event),
            headers=event.get("headers") or {},
            remaining_ms=context.get_remaining_time_in_millis,
        )
    if route.path is not None:
        arguments["path"] = _validated(route.path, event.get("pathParameters") or {}, "path")
    if route.query is not None:
        arguments["query"] = _validated(
            route.query, event.get("queryStringParameters") or {}, "query"
        )
    if route.body is not None:
        body = _body(route, event) or "null"
        try:
            # No body is JSON's null: what a route with an optional body accepts.
            arguments["body"] = route.body.validate_json(body)
        except ValidationError as error:
            raise from_validation(error, body) from None
    return _answer(route.call(**arguments), route.status)


def _authorize(route: Route, granted: Mapping[str, Any], scopes: Sequence[str]) -> None:
    """Hold what the authorizer granted against what the route needs."""
    if granted.get("unavailable"):
        raise Unavailable(
            "keys cannot be checked just now", dependency="keys", retry_after=_DECISION_SECONDS
        )
    if not granted.get("principal"):
        raise Unauthenticated(
            "this route needs a valid key in the x-api-key header",
            code="unknown_key" if granted.get("unknown") else None,
        )
    if route.scope not in scopes:
        raise Forbidden(f"the key lacks the scope {route.scope}", code="missing_scope")


def _validated(model: type[BaseModel], raw: Mapping[str, str], where: str) -> BaseModel:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise from_validation(error, raw, where) from None


def _body(route: Route, event: Event) -> bytes | str:
    body: bytes | str = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            body = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise Invalid.at("body", "not valid base64", code="invalid_body") from None
    size = len(body)
    if size > route.max_body or (
        isinstance(body, str) and size * 4 > route.max_body and len(body.encode()) > route.max_body
    ):
        raise TooLarge(f"the body may have at most {route.max_body} bytes; {route.smaller_body}")
    return body


def _answer(result: Any, status: int) -> dict[str, Any]:
    headers = dict(_JSON_HEADERS)
    if isinstance(result, Answer):
        status = result.status
        headers.update(result.headers)
        result = result.body
    answer: dict[str, Any] = {"statusCode": status, "headers": headers}
    match result:
        case BaseModel():
            answer["body"] = result.model_dump_json(by_alias=True)
        case str():
            answer["body"] = result
        case bytes():
            answer["body"] = base64.b64encode(result).decode()
            answer["isBase64Encoded"] = True
        case None:
            headers.pop("content-type", None)
            answer["body"] = ""
        case _:
            answer["body"] = json.dumps(result, allow_nan=False)
    return answer


def _request_id(event: Event) -> str:
    return str((event.get("requestContext") or {}).get("requestId", ""))
