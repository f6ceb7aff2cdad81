"""When calls are sent again, and which exception a refusal becomes."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from neuralstream_client import NeuralStream, Retries
from neuralstream_client.errors import (
    ApiError,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Invalid,
    NotFound,
    ServerError,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from neuralstream_client.retries import retry_after

AT_ONCE = Retries(attempts=3, first_seconds=0)
MODEL = {
    "name": "m",
    "latest_version": None,
    "production_version": "v1",
    "ab_split": None,
    "history": [],
    "require": {},
    "log": {"sample": 1.0, "features": False, "jobs": False},
    "revision": 1,
    "description": "",
    "tags": {},
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
}


class Stack:
    """Answers with what it was given, in turn; the last one again and again."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, **options):
        options.setdefault("retries", AT_ONCE)
        http = httpx.Client(transport=httpx.MockTransport(self))
        return NeuralStream("http://stack", "secret", http=http, **options)


def failed(status, code="some_code", **headers):
    problem = {"title": "t", "status": status, "detail": "No.", "code": code, "type": "urn:x"}
    return httpx.Response(status, json=problem, headers={"x-request-id": "r-1", **headers})


def test_a_read_is_repeated_until_it_is_answered():
    stack = Stack(failed(503), httpx.ConnectError("refused"), httpx.Response(200, json=MODEL))
    assert stack.client().models.get("m").production_version == "v1"
    assert len(stack.requests) == 3


def test_a_command_is_repeated_with_one_idempotency_key_and_each_command_has_its_own():
    stack = Stack(httpx.ReadTimeout("slow"), httpx.Response(200, json=MODEL))
    client = stack.client()
    client.models.promote("m", "v1")
    client.models.promote("m", "v1")
    first, again, other = [request.headers["idempotency-key"] for request in stack.requests]
    assert first == again != other
    client.models.promote("m", "v1", idempotency_key="mine")
    assert stack.requests[-1].headers["idempotency-key"] == "mine"


def test_attempts_are_bounded_and_the_last_failure_is_raised():
    stack = Stack(failed(503, "redis_unavailable", **{"retry-after": "0"}))
    with pytest.raises(Unavailable) as raised:
        stack.client().models.get("m")
    assert len(stack.requests) == 3
    assert raised.value.retry_after == 0
    stack = Stack(httpx.ReadTimeout("slow"))
    with pytest.raises(ConnectionFailed, match="http://stack/models/m: slow") as unanswered:
        stack.client(retries=0).models.get("m")
    assert isinstance(unanswered.value.__cause__, httpx.ReadTimeout)
    assert len(stack.requests) == 1


def test_a_pause_grows_is_jittered_and_is_at_least_what_the_stack_asks_for():
    retries = Retries(attempts=5, first_seconds=1, longest_seconds=3)
    assert [retries.pause(n, None, share=1.0) for n in range(1, 6)] == [1, 2, 3, 3, None]
    assert retries.pause(1, None, share=0.25) == 0.25
    assert retries.pause(1, 2.5, share=0.1) == 2.5
    assert retries.pause(1, 60.0, share=0.1) is None, "asks for more than the longest pause"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("Sat, 21 Feb 2026 10:00:30 GMT", 30.0),
        ("Sat, 21 Feb 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_has_seconds_or_a_date(header, seconds):
    now = datetime(2026, 2, 21, 10, tzinfo=UTC)
    assert retry_after({"retry-after": header}, now) == seconds


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthenticated),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, TooLarge),
        (418, ApiError),
        (422, Invalid),
        (429, TooManyRequests),
        (500, ServerError),
        (503, Unavailable),
    ],
)
def test_each_status_has_its_exception_with_code_request_id_and_a_cure(status, kind):
    with pytest.raises(kind) as raised:
        Stack(failed(status)).client(retries=0).models.get("m")
    error = raised.value
    assert type(error) is kind
    assert (error.status, error.code, error.detail, error.request_id) == (
        status,
        "some_code",
        "No.",
        "r-1",
    )
    assert bool(error.cure) == (status != 418)
    assert error.cure in str(error)


def test_an_answer_that_is_not_of_neuralstream_is_an_error_too():
    with pytest.raises(TooLarge, match="Request Too Long") as gateway:
        Stack(httpx.Response(413, json={"message": "Request Too Long"})).client().models.get("m")
    assert gateway.value.code == "http_413"
    with pytest.raises(ServerError, match="the stack answered 502"):
        Stack(httpx.Response(502, text="<html>")).client().models.get("m")


def test_the_text_of_an_error_shows_the_first_places_and_counts_the_others():
    body = {
        "detail": "Wrong.",
        "code": "invalid_features",
        "errors": [{"loc": f"rows.{i}", "msg": "is wrong"} for i in range(7)],
    }
    with pytest.raises(Invalid, match="and 2 more") as raised:
        Stack(httpx.Response(422, json=body)).client().models.get("m")
    assert [place.loc for place in raised.value.places] == [f"rows.{i}" for i in range(7)]


def test_each_call_carries_the_key_and_the_release_and_the_key_is_shown_nowhere():
    stack = Stack(httpx.Response(200, json=MODEL))
    client = stack.client()
    client.models.get("a b/c")
    (request,) = stack.requests
    assert request.headers["x-api-key"] == "secret"
    assert request.headers["user-agent"].startswith("neuralstream-python/")
    assert request.url.raw_path == b"/models/a%20b%2Fc"


def test_the_address_comes_from_the_environment_and_a_missing_one_says_so(monkeypatch):
    monkeypatch.delenv("NEURALSTREAM_URL", raising=False)
    with pytest.raises(ConfigurationError, match="NEURALSTREAM_URL"):
        NeuralStream()
    with pytest.raises(ConfigurationError, match="http://"):
        NeuralStream("localhost:8000")
    monkeypatch.setenv("NEURALSTREAM_URL", "http://stack/")
    with NeuralStream() as client:
        assert client.url == "http://stack"


def test_a_client_of_the_callers_own_is_not_closed():
    http = httpx.Client(transport=httpx.MockTransport(Stack(httpx.Response(200, json=MODEL))))
    with NeuralStream("http://stack", http=http) as client:
        client.models.get("m")
    assert not http.is_closed
    http.close()


def test_a_list_is_read_page_after_page():
    pages = [
        httpx.Response(200, json={"models": [MODEL], "next_token": "t"}),
        httpx.Response(200, json={"models": [{**MODEL, "name": "n"}], "next_token": None}),
    ]
    stack = Stack(*pages)
    assert [model.name for model in stack.client().models.list(page_size=1)] == ["m", "n"]
    assert stack.requests[1].url.params.get("next_token") == "t"
