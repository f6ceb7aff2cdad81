"""The routes of a function: Powertools' resolver with NeuralStream's contract on every route.

::

    app = Resolver("feature_read")

    @app.get("/features/views/<name>", tags=["features"], **needs(Scope.FEATURES_READ))
    def get_view(name: PathView) -> ViewAnswer:
        '''One line that becomes the route's summary.

        What follows becomes its description; the document adds the scope and the limits.
        '''

    lambda_handler = app.handler

Parameters, body and answer are declared by the function's annotations, which also make the OpenAPI
document. A route declares what it needs (`needs`); errors become HTTP in `neuralstream_lambda.problems`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.api_gateway import ResponseBuilder
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2
from pydantic import BaseModel

from neuralstream_core.errors import Invalid, NeuralStreamError, NotFound, TooLarge
from neuralstream_lambda.access import PUBLIC, Caller, Scope, admit
from neuralstream_lambda.arguments import arguments
from neuralstream_lambda.logs import logger
from neuralstream_lambda.metrics import count_unexpected
from neuralstream_lambda.payload import bounded
from neuralstream_lambda.problems import problem
from neuralstream_lambda.tracing import traced

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.api_gateway import Route
    from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
    from aws_lambda_powertools.utilities.typing import LambdaContext

__all__ = ["MAX_BODY", "Contract", "Resolver", "Response", "answers", "json_response", "needs"]

MAX_BODY: Final = 1024 * 1024
"""Bytes a body may have unless its route says otherwise."""

_HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


@dataclass(eq=False)
class Contract:
    """What a route asks of a request, checked in this order before its function is called (a middleware)."""

    scope: Scope | Literal["public"]
    max_body: int
    smaller_body: str
    smaller_answer: str | None
    idempotent: bool = False
    others: tuple[Scope, ...] = ()
    __name__ = "contract"  # Powertools names each middleware in its log

    def __call__(self, app: Resolver, next_middleware: NextMiddleware) -> Response[Any]:
        event = app.current_event.raw_event
        if self.scope != PUBLIC:
            admit(event, self.scope, *self.others)
        app.context.update(
            _route_args=arguments(app.context["_route"], event, self.max_body, self.smaller_body),
            smaller_answer=self.smaller_answer,
        )
        response = next_middleware(app)
        if isinstance(response.body, BaseModel):
            response.body = response.body.model_dump_json(by_alias=True)
        return response


def needs(
    scope: Scope | Literal["public"],
    *,
    max_body: int = MAX_BODY,
    smaller_body: str = "send less in one request",
    smaller_answer: str | None = None,
    idempotent: bool = False,
    others: tuple[Scope, ...] = (),
) -> dict[str, Any]:
    """What a route needs, as keyword arguments for Powertools' route decorators.

    Args:
        scope: what the caller's key must allow, or `PUBLIC`.
        max_body: bytes.
        smaller_body: what a caller can do whose body has more than ``max_body``.
        smaller_answer: what a caller can do whose answer is over Lambda's limit; ``None`` for a route
            whose answers are always small.
        idempotent: the route's function heeds the header ``idempotency-key``; documents say so.
        others: scopes of which each will do in place of ``scope``.
    """
    either = () if scope == PUBLIC else (scope, *others)
    return {
        "security": [{"apiKey": [str(each)]} for each in either] or None,
        "middlewares": [
            Contract(scope, max_body, smaller_body, smaller_answer, idempotent, others)
        ],
    }


def answers(
    model: Any, statuses: Mapping[int, str], *, media_type: str = "application/json"
) -> dict[int, Any]:
    """The ``responses`` of a route that answers ``model`` with one of several statuses.

    Args:
        statuses: what each status says.
    """
    content = {media_type: {"model": model}}
    return {
        status: {"description": description, "content": content}
        for status, description in statuses.items()
    }


def json_response(
    body: BaseModel | str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[Any]:
    """An answer with a status or headers of its own; ``str`` is JSON already."""
    return Response(status, "application/json", body, headers)


class Event(APIGatewayProxyEventV2):
    """A request. Its header names are in lower case already, as HTTP APIs send them."""

    @property
    def resolved_headers_field(self) -> dict[str, Any]:
        headers: dict[str, Any] = self.raw_event.get("headers") or {}
        return headers


class Resolver(APIGatewayHttpResolver):
    """The routes of one function and its Lambda handler.

    Args:
        service: names the function in logs and traces.
        problem: how a designed error looks on these routes (RFC 9457 unless a protocol differs).
    """

    def __init__(
        self, service: str, problem: Callable[[NeuralStreamError], Response[str]] = problem
    ) -> None:
        super().__init__(debug=False)
        self.service = service
        self.problem = problem
        self.not_found(lambda _: problem(NotFound("no such route", code="route_not_found")))
        self.exception_handler(NeuralStreamError)(problem)
        self.exception_handler(Exception)(self._unexpected)
        self.handler = traced(service)(self.resolve)
        """The Lambda handler for payload 2.0 events; never raises for what a caller sent."""

    @property
    def caller(self) -> Caller:
        """Who sent the present request."""
        return Caller.of(self.current_event.raw_event)

    @property
    def idempotency_key(self) -> str | None:
        """The header ``idempotency-key`` of the present request.

        Raises:
            Invalid: it is no such key.
        """
        key: str | None = self.current_event.headers.get("idempotency-key")
        if key is None or (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
            return key
        raise Invalid.at("header.idempotency-key", "must be 1 to 255 printable ASCII characters")

    @property
    def remaining_seconds(self) -> float:
        """Until Lambda ends this invocation."""
        return self.lambda_context.get_remaining_time_in_millis() / 1000

    @cached_property
    def routes(self) -> dict[str, Route]:
        """Routes by API Gateway's route key; a greedy ``{name+}`` is written ``{name}``."""
        declared = self._static_routes + self._dynamic_routes
        return {f"{route.method} {route.openapi_path}": route for route in declared}

    def resolve(self, event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
        # Powertools keeps the event on the class, which the threads of the laptop stack share;
        # an attribute of this object is found first.
        self.current_event = Event(dict(event))
        self.lambda_context = context
        return super().resolve(event, context)

    def _to_proxy_event(self, _event: Mapping[str, Any]) -> APIGatewayProxyEventV2:
        """What Powertools keeps on the class: the same event, not one made a second time."""
        return self.current_event

    def _resolve(self) -> ResponseBuilder[Any]:
        """Find the route by its key: API Gateway has matched the path, with characters in its parameters
        that Powertools' own patterns do not match."""
        key = self.current_event.raw_event.get("routeKey", "")
        route = self.routes.get(key.replace("+}", "}"))
        if route is None:
            return self._handle_not_found("", "")
        self.context.update(_route=route)
        return self._call_route(route, {})

    def _build_response(self, response_builder: ResponseBuilder[Any]) -> dict[str, Any]:
        hint = self.context.get("smaller_answer") or "ask for less in one request"
        try:
            return bounded(self._finished(response_builder), hint)
        except TooLarge as error:
            return self._finished(ResponseBuilder(self.problem(error)))

    def _finished(self, response_builder: ResponseBuilder[Any]) -> dict[str, Any]:
        answer = super()._build_response(response_builder)
        given = {name.lower(): value for name, value in answer["headers"].items()}
        answer["headers"] = {**_HEADERS, **given, "x-request-id": self.request_id}
        return answer

    @property
    def request_id(self) -> str:
        """Of the present request, by API Gateway; its answer has it in ``x-request-id``."""
        return str((self.current_event.get("requestContext") or {}).get("requestId", ""))

    def _unexpected(self, _error: Exception) -> Response[str]:
        """The last line of defence: logged whole, counted, answered without detail."""
        logger(self.service).exception(
            "unhandled error",
            extra={"route": self.current_event.get("routeKey"), "request_id": self.request_id},
        )
        count_unexpected()
        return self.problem(NeuralStreamError("an internal error; it was logged", code="internal"))
