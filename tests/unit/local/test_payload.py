"""Events look like API Gateway's payload 2.0, and answers are read by its rules."""

from __future__ import annotations

import base64
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from neuralstream_core.registry.registration import MAX_INLINE
from neuralstream_lambda.payload import MAX_PAYLOAD
from neuralstream_local.http_server import Request
from neuralstream_local.payload import event_of, fits, response_of


def _request(headers=(), body=b"", query=""):
    return Request("POST", "/a/b%20c", query, list(headers), body, "127.0.0.1")


def test_an_event_carries_what_api_gateway_sends():
    headers = [
        ("host", "127.0.0.1:8000"),
        ("x-one", "1"),
        ("x-one", "2"),
        ("cookie", "a=1; b=2"),
        ("content-type", "application/json"),
    ]
    event = event_of(
        _request(headers, b'{"x": 1}', "q=1&q=2&z=%20+&empty="), "POST /a/{b}", {"b": "b c"}
    )

    assert event["version"] == "2.0"
    assert event["routeKey"] == event["requestContext"]["routeKey"] == "POST /a/{b}"
    assert event["rawPath"] == "/a/b%20c"
    assert event["rawQueryString"] == "q=1&q=2&z=%20+&empty="
    assert event["queryStringParameters"] == {"q": "1,2", "z": "  ", "empty": ""}
    assert event["pathParameters"] == {"b": "b c"}
    assert event["headers"]["x-one"] == "1,2"
    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"x": 1}', False)
    assert event["requestContext"]["http"]["method"] == "POST"
    assert event["requestContext"]["requestId"]
    json.dumps(event)


def test_what_is_absent_is_left_out():
    event = event_of(_request(), "POST /a", {})

    assert not {"body", "cookies", "pathParameters", "queryStringParameters"} & set(event)


def test_every_event_has_its_own_request_id():
    ids = {event_of(_request(), "k", {})["requestContext"]["requestId"] for _ in range(100)}

    assert len(ids) == 100


@given(
    body=st.binary(min_size=1), content_type=st.sampled_from(["application/json", "image/png", ""])
)
def test_no_byte_of_a_body_is_lost(body, content_type):
    event = event_of(_request([("content-type", content_type)], body), "k", {})

    sent = event["body"]
    assert (base64.b64decode(sent) if event["isBase64Encoded"] else sent.encode()) == body


def test_a_form_body_is_base64_as_on_aws():
    headers = [("content-type", "application/x-www-form-urlencoded")]

    assert event_of(_request(headers, b"{}"), "k", {})["isBase64Encoded"] is True


def test_an_answer_keeps_status_headers_and_bytes():
    response = response_of(
        {
            "statusCode": 201,
            "headers": {"X-A": "1", "Content-Length": "99"},
            "cookies": ["a=1", "b=2"],
            "body": base64.b64encode(b"\x00\xff").decode(),
            "isBase64Encoded": True,
        }
    )

    assert (response.status, response.body) == (201, b"\x00\xff")
    assert list(response.headers)[:3] == [
        ("x-a", "1"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ]


def test_a_return_without_a_status_is_json_with_200():
    response = response_of({"hello": "world"})

    assert (response.status, json.loads(response.body)) == (200, {"hello": "world"})


def test_the_largest_inline_artifact_fits_with_a_quarter_of_a_mebibyte_of_quotes():
    artifact = base64.b64encode(bytes(MAX_INLINE)).decode()
    body = json.dumps({"artifact_base64": artifact, "tags": '"' * (120 * 1024)})
    assert len(body) > len(artifact) + 240 * 1024
    headers = [("content-type", "application/json"), ("x-long", "y" * 9_000)]

    assert fits(event_of(_request(headers, body.encode()), "POST /a", {}))


@given(
    character=st.sampled_from(['"', "\\", "\n", "x", "é", "中", "😀"]),
    share=st.floats(0.1, 1.1),
    kind=st.sampled_from(["application/json", "application/octet-stream"]),
)
@settings(max_examples=30)
def test_an_event_is_refused_exactly_when_its_json_is_beyond_the_limit(character, share, kind):
    body = (character * int(MAX_PAYLOAD * share / len(character.encode()))).encode()
    event = event_of(_request([("content-type", kind)], body), "POST /a", {})

    size = len(json.dumps(event, ensure_ascii=False).encode())
    assert fits(event) == (size <= MAX_PAYLOAD)


def test_an_answer_larger_than_lambda_allows_is_an_internal_error():
    response = response_of({"statusCode": 200, "body": "x" * (6 * 1024 * 1024 + 1)})

    assert response.status == 500
