"""Rows that arrive in messages: the same rows, the same promises, and failures message by message."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from neuralstream_core.errors import NeuralStreamError
from neuralstream_core.features import OnlineStore
from tests.support.features import Clock, Context, Functions

SPEC = {"entity": "id", "features": [{"name": n, "dtype": "int64"} for n in "ab"]}


@pytest.fixture
def lake(functions: Functions) -> Functions:
    for name in ("user", "item"):
        path = {"name": name}
        assert functions.call("PUT /features/views/{name}", path=path, body=SPEC).status == 201
    return functions


def sqs(*bodies: Any) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"m{i}",
                "eventSource": "aws:sqs",
                "body": body if isinstance(body, str) else json.dumps(body),
            }
            for i, body in enumerate(bodies)
        ]
    }


def deliver(lake: Functions, event: dict[str, Any]) -> list[str]:
    answer = lake.ingest.lambda_handler(event, Context())
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def read(lake: Functions, view: str, entity: str) -> Any:
    path = {"feature_view": view, "entity_id": entity}
    return lake.call("GET /features/{feature_view}/{entity_id+}", path=path)


def one(
    entity: str, time: str | None = None, *, view: str = "user", **features: Any
) -> dict[str, Any]:
    body = {"feature_view": view, "entity_id": entity, "features": features}
    return body if time is None else body | {"event_timestamp": time}


def test_single_rows_and_many_are_taken(lake: Functions) -> None:
    many = {
        "feature_view": "item",
        "rows": [{"entity_id": str(i), "features": {"a": i}} for i in range(50)],
    }
    assert deliver(lake, sqs(one("u", a=1, b=2), many)) == []
    assert read(lake, "user", "u").body["features"] == {"a": 1, "b": 2}
    assert read(lake, "item", "49").body["features"] == {"a": 49, "b": None}


BAD = [
    "",
    "not json",
    "[]",
    "null",
    '{"feature_view": "user"}',
    one("u", a="1"),
    one("u", c=1),
    one("", a=1),
    one("u", "2999-01-01T00:00:00Z", a=1),
    one("u", view="nothing", a=1),
    {"feature_view": "user", "rows": []},
    {
        "feature_view": "user",
        "rows": [
            {"entity_id": "w", "features": {"a": 1}},
            {"entity_id": "w", "features": {"a": "x"}},
        ],
    },
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_message_fails_alone(lake: Functions, bad: Any) -> None:
    assert deliver(lake, sqs(one("before", a=1), bad, one("after", a=2))) == ["m1"]
    assert read(lake, "user", "before").body["features"]["a"] == 1
    assert read(lake, "user", "after").body["features"]["a"] == 2
    assert read(lake, "user", "w").status == 404


def test_messages_in_any_order_and_more_than_once_end_the_same(
    lake: Functions, clock: Clock
) -> None:
    messages = [one("u", clock.at(-t), a=-t) for t in range(1, 9)] + [one("u", clock.at(-3), b=7)]
    for order in (messages, messages[::-1], messages[::2] + messages[1::2], messages):
        assert deliver(lake, sqs(*order)) == []
    assert read(lake, "user", "u").body["features"] == {"a": -1, "b": 7}


def test_messages_of_one_event_time_apply_in_their_order(lake: Functions, clock: Clock) -> None:
    assert deliver(lake, sqs(*[one("u", clock.at(-1), a=i) for i in range(5)])) == []
    assert read(lake, "user", "u").body["features"]["a"] == 4


def test_an_event_that_was_routed_to_the_queue_is_its_detail(lake: Functions) -> None:
    envelope = {
        "version": "0",
        "id": "e",
        "detail-type": "features",
        "source": "shop",
        "detail": one("u", a=5),
    }
    assert deliver(lake, sqs(envelope)) == []
    assert read(lake, "user", "u").body["features"]["a"] == 5


def test_an_event_bus_delivers_one_event_and_hears_of_its_failure(lake: Functions) -> None:
    event = {"id": "e", "detail-type": "features", "source": "shop", "detail": one("u", a=6)}
    assert deliver(lake, event) == []
    assert read(lake, "user", "u").body["features"]["a"] == 6
    with pytest.raises(NeuralStreamError):
        deliver(lake, event | {"detail": one("u", a="six")})


def test_a_stream_delivers_encoded_records(lake: Functions) -> None:
    def record(number: int, body: dict[str, Any]) -> dict[str, Any]:
        data = base64.b64encode(json.dumps(body).encode()).decode()
        return {
            "eventSource": "aws:kinesis",
            "eventSourceARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/rows",
            "eventID": f"shardId-000000000000:{number}",
            "kinesis": {"sequenceNumber": str(number), "data": data},
        }

    event = {"Records": [record(101, one("u", a=1)), record(102, one("u", nope=1))]}
    assert deliver(lake, event) == ["102"]
    assert read(lake, "user", "u").body["features"]["a"] == 1


def test_a_view_deleted_elsewhere_fails_only_its_own_messages(
    lake: Functions, store: OnlineStore
) -> None:
    assert deliver(lake, sqs(one("u", a=1), one("u", view="item", a=1))) == []
    store.delete_view("item")
    assert deliver(lake, sqs(one("u", a=2), one("u", view="item", a=2))) == ["m1"]
    assert read(lake, "user", "u").body["features"]["a"] == 2


@pytest.mark.usefixtures("lake")
def test_without_redis_every_message_is_delivered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURALSTREAM_REDIS_PORT", "1")
    assert deliver(Functions(), sqs(one("u", a=1), one("v", a=1))) == ["m0", "m1"]
