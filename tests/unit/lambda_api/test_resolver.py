"""A function's `Resolver`: what a caller sees for every kind of request, and what the log may hold."""

import base64
import json
import threading
from typing import Annotated

import pytest
from aws_lambda_powertools.event_handler.openapi.params import Path
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from neuralstream_core import errors
from neuralstream_core.errors import NeuralStreamError, Unavailable
from neuralstream_core.types import Frozen
from neuralstream_lambda.access import PUBLIC, Scope
from neuralstream_lambda.problems import STATUS
from neuralstream_lambda.resolver import Resolver, Response, needs
from tests.support.metrics import unexpected_errors

app = Resolver("test")


class Body(Frozen):
    value: int


class Reply(BaseModel):
    doubled: int


@app.post("/double/<name>", **needs(Scope.PREDICT, max_body=64))
def double(name: Annotated[str, Path()], body: Body) -> Reply:
    """Twice the value."""
    assert name
    assert app.caller.principal
    return Reply(doubled=2 * body.value)


@app.get("/open", **needs(PUBLIC))
def opened() -> Response[bytes]:
    """Bytes for anyone."""
    return Response(200, "application/octet-stream", b"\x00")


@app.get("/broken", **needs(PUBLIC))
def broken() -> Reply:
    """A mistake of ours."""
    raise ZeroDivisionError("secret detail")


@app.get("/down", **needs(PUBLIC))
def down() -> Reply:
    """A dependency that is away."""
    raise Unavailable("away", dependency="redis", retry_after=7)


class Context:
    def get_remaining_time_in_millis(self):
        return 1000


def call(key, body=None, granted=None, **more):
    event = {
        "routeKey": key,
        "pathParameters": {"name": "n"},
        "requestContext": {"requestId": "r-1"}
        | ({"authorizer": {"lambda": granted}} if granted else {}),
        "headers": {},
    } | more
    if body is not None:
        event["body"] = body
    answer = app.handler(event, Context())
    return answer["statusCode"], answer


GRANTED = {"principal": "alice", "scopes": "predict monitoring"}


@pytest.fixture
def log(request, capfd):
    """What was logged so far; a logger keeps the stream it was made with, so each test has its own."""
    app.service = request.node.name
    return lambda: "".join(capfd.readouterr())


def code(answer):
    return json.loads(answer["body"])["code"]


def test_a_good_request_is_answered_with_its_id():
    status, answer = call("POST /double/{name}", '{"value": 21}', GRANTED)
    assert (status, json.loads(answer["body"])) == (200, {"doubled": 42})
    assert answer["headers"]["x-request-id"] == "r-1"
    assert answer["headers"]["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("granted", "status", "reason"),
    [
        (None, 401, "unauthenticated"),
        ({"unknown": "key"}, 401, "unknown_key"),
        ({"scopes": "predict"}, 401, "unauthenticated"),
        ({"principal": "alice", "scopes": ""}, 403, "missing_scope"),
        ({"principal": "alice", "scopes": "predictions models:read"}, 403, "missing_scope"),
        ({"unavailable": "keys"}, 503, "keys_unavailable"),
    ],
)
def test_who_may_not_call_is_told_why_before_the_body_is_looked_at(granted, status, reason):
    found, answer = call("POST /double/{name}", "not json", granted)
    assert (found, code(answer)) == (status, reason)


def test_an_outage_says_when_to_come_back():
    status, answer = call("GET /down")
    assert (status, answer["headers"]["retry-after"]) == (503, "7")


def test_a_mistake_of_ours_tells_the_caller_nothing(log):
    status, answer = call("GET /broken")
    assert (status, code(answer)) == (500, "internal")
    assert "secret" not in answer["body"]
    assert "r-1" in log(), "but the log has it, with the request's id"


def test_a_release_that_answers_500_trips_its_alarms_metric_and_nothing_else_does(
    capsys,
):
    call("GET /broken")
    call("GET /broken")
    call("GET /down")
    call("POST /double/{name}", "not json")
    call("POST /double/{name}", granted={})
    call("GET /nowhere")
    assert unexpected_errors(capsys.readouterr().out) == 2


def test_the_log_never_holds_a_body_or_a_key(log):
    call("POST /double/{name}", '{"value": "hush-hush"}', GRANTED, headers={"x-api-key": "nsk_x"})
    call("GET /broken", '{"value": "hush-hush"}', headers={"x-api-key": "nsk_x"})
    seen = log()
    assert "ZeroDivisionError" in seen
    assert "hush-hush" not in seen
    assert "nsk_x" not in seen


def test_bytes_travel_as_base64():
    _, answer = call("GET /open")
    assert (answer["isBase64Encoded"], base64.b64decode(answer["body"])) == (True, b"\x00")


@pytest.mark.parametrize(
    ("body", "more", "status"),
    [
        ("{", {}, 422),
        ("", {}, 422),
        ('{"value": 1.5}', {}, 422),
        ('{"value": 1, "more": 2}', {}, 422),
        ('{"value": ' + "1" * 80 + "}", {}, 413),
        ("%%%", {"isBase64Encoded": True}, 422),
        (base64.b64encode(b'{"value": 1}').decode(), {"isBase64Encoded": True}, 200),
    ],
)
def test_bodies(body, more, status):
    assert call("POST /double/{name}", body, GRANTED, **more)[0] == status


@given(st.text(max_size=100) | st.binary(max_size=60).map(lambda b: base64.b64encode(b).decode()))
def test_no_body_brings_it_down(body):
    for encoded in (False, True):
        status, _ = call("POST /double/{name}", body, GRANTED, isBase64Encoded=encoded)
        assert status in (200, 413, 422)


def test_an_unknown_route_is_not_found():
    assert call("GET /nowhere")[0] == 404


def leaves(kind):
    return {kind}.union(*(leaves(child) for child in kind.__subclasses__()))


def test_every_designed_error_has_a_status():
    declared = {getattr(errors, name) for name in errors.__all__} - {errors.FieldError}
    assert leaves(NeuralStreamError) >= declared
    assert set(STATUS) >= set(NeuralStreamError.__subclasses__()) & declared


def test_resolvers_of_one_process_serve_threads_at_once_without_mixing_their_requests():
    """As on the laptop: each environment has a resolver and a thread of its own."""
    waiting = threading.Barrier(2, timeout=10)
    answered = {}

    def serve(name):
        resolver = Resolver(name)

        @resolver.get("/whoami", **needs(Scope.PREDICT))
        def whoami() -> Reply:
            """Meets the other request in the middle of it."""
            waiting.wait()
            return Reply(doubled=int(resolver.caller.principal))

        event = {
            "routeKey": "GET /whoami",
            "requestContext": {
                "requestId": name,
                "authorizer": {"lambda": {"principal": name, "scopes": "predict"}},
            },
            "headers": {},
        }
        answered[name] = resolver.handler(event, Context())

    threads = [threading.Thread(target=serve, args=(name,)) for name in ("1", "2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {
        name: (json.loads(answer["body"])["doubled"], answer["headers"]["x-request-id"])
        for name, answer in answered.items()
    } == {"1": (1, "1"), "2": (2, "2")}


def test_a_parameter_that_the_route_does_not_declare_is_refused():
    resolver = Resolver("query")

    @resolver.get("/items", **needs(PUBLIC))
    def items(limit: int = 1) -> Reply:
        """Takes a limit."""
        return Reply(doubled=limit)

    def ask(query):
        event = {"routeKey": "GET /items", "requestContext": {}, "queryStringParameters": query}
        answer = resolver.handler(event, Context())
        return answer["statusCode"], json.loads(answer["body"])

    assert ask({"limit": "3"}) == (200, {"doubled": 3})
    assert ask(None) == (200, {"doubled": 1})
    status, problem = ask({"limti": "3"})
    assert (status, problem["errors"][0]["loc"]) == (422, "query.limti")
