"""Answers at Lambda's limit: they fit, in one form or the other, or the caller is told the limit."""

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neuralstream_core.errors import TooLarge
from neuralstream_lambda.access import PUBLIC
from neuralstream_lambda.payload import MAX_PAYLOAD, bounded, payload_size, surely_fits
from neuralstream_lambda.resolver import Resolver, Response, json_response, needs

app = Resolver("payload")
CONTENT = {"quotes": '"', "four-byte characters": "😀", "line breaks": "\n", "digits": "7"}


@app.get("/text", **needs(PUBLIC, smaller_answer="ask for fewer things"))
def text() -> Response[str]:
    """As many characters as a header asks for, in a JSON string."""
    character, count = json.loads(app.current_event.headers["x-wanted"])
    return json_response(json.dumps(character * count, ensure_ascii=False))


class Context:
    def get_remaining_time_in_millis(self):
        return 1000


def call(character, count):
    headers = {"x-wanted": json.dumps([character, count])}
    event = {"routeKey": "GET /text", "requestContext": {"requestId": "r"}, "headers": headers}
    return app.handler(event, Context())


def read(answer):
    """The body as a caller gets it from API Gateway."""
    body = answer["body"]
    return base64.b64decode(body).decode() if answer.get("isBase64Encoded") else body


@pytest.mark.parametrize("character", CONTENT.values(), ids=CONTENT.keys())
@pytest.mark.parametrize("share", [0.01, 0.16, 0.3, 0.49, 0.5, 0.74, 0.76, 0.99, 1.0, 1.2])
def test_an_answer_near_the_limit_arrives_whole_or_is_refused_with_the_limit(character, share):
    size = len(json.dumps(character, ensure_ascii=False).encode()) - 2
    count = int(MAX_PAYLOAD * share) // size
    answer = call(character, count)

    assert payload_size(answer) <= MAX_PAYLOAD
    if answer["statusCode"] == 200:
        assert json.loads(read(answer)) == character * count
        return
    problem = json.loads(answer["body"])
    assert (answer["statusCode"], problem["code"]) == (413, "answer_too_large")
    assert str(MAX_PAYLOAD) in problem["detail"]
    assert "ask for fewer things" in problem["detail"]
    assert share > 0.74, "base64 takes 4/3: up to three quarters every answer fits"


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 3))
@example("\x00", 1)
@example("😀", 1)
def test_a_body_that_surely_fits_grows_no_more_than_was_assumed(characters, times):
    body = characters * times
    grown = payload_size({"body": body}) - payload_size({"body": ""})

    assert grown <= 6 * len(body)
    assert surely_fits(len(body))


def test_what_cannot_be_made_to_fit_says_how_large_it_would_be():
    answer = {"statusCode": 200, "headers": {}, "body": "7" * (MAX_PAYLOAD + 1)}
    with pytest.raises(TooLarge, match=rf"take {MAX_PAYLOAD + 47} bytes of the {MAX_PAYLOAD}"):
        bounded(answer, "less")
