"""functions/announce: every change of drift reaches the bus and the topic once, whatever fails between."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from neuralstream_core.table import marshal
from neuralstream_lambda.wiring import events_client, queue_client, sns_client
from tests.support.access import Access
from tests.support.functions import load_function
from tests.support.metrics import unexpected_errors
from tests.support.outside import Outside


class Context:
    """What the handler needs of Lambda's context."""

    function_name = "announce"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 60_000


class Role:
    """Makes the function's clients answer as AWS would under its role: policies and key policy evaluated."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self.lacks()

    def lacks(self, *statements: str) -> None:
        """The role as in template.yaml, without the statements of these Sids."""
        bus = "arn:aws:events:us-east-1:123456789012:event-bus/default"
        queue = "arn:aws:test:::AlertRetryQueue.Arn"
        access = Access("Announce", {"AlertsTopic": self._outside.topic}, statements)
        self._refused = {
            "PutEvents": not access.allows("events:PutEvents", bus),
            "Publish": not access.publishes("AlertsTopic", self._outside.topic),
            "SendMessage": not access.allows("sqs:SendMessage", queue),
        }

    def __call__(self, model: Any, **_: Any) -> Any:
        """botocore's ``before-call`` event: an answer given here is the service's."""
        if not self._refused[model.name]:
            return None
        error = {"Code": "AccessDenied", "Message": f"not authorized to perform {model.name}"}
        return SimpleNamespace(status_code=403), {"Error": error, "ResponseMetadata": {}}


@pytest.fixture(autouse=True)
def role(outside: Outside) -> Iterator[Role]:
    judged = Role(outside)
    clients = (events_client(), sns_client(), queue_client())
    for client in clients:
        client.meta.events.register("before-call", judged)
    yield judged
    for client in clients:
        client.meta.events.unregister("before-call", judged)


@pytest.fixture
def announce(outside: Outside, table_name: str) -> ModuleType:
    environ = {
        "NEURALSTREAM_TABLE": table_name,
        "NEURALSTREAM_ALERTS_TOPIC_ARN": outside.topic,
        "NEURALSTREAM_ALERT_RETRY_QUEUE": outside.waiting,
        "NEURALSTREAM_EVENT_BUS": outside.name,
    }
    return load_function("announce", environ)


def change(number: int, **more: Any) -> dict[str, Any]:
    """A record of the table's stream: the drift of a model changed."""
    outbox = {
        "kind": "drift_changed",
        "id": f"default:m:v1:{number}",
        "model": "m",
        "version": "v1",
        "status": "drift",
        **more,
    }
    return {
        "eventID": f"event-{number}",
        "eventSource": "aws:dynamodb",
        "dynamodb": {
            "SequenceNumber": str(number),
            "NewImage": {"PK": marshal("DRIFT#default#m"), "outbox": marshal(outbox)},
        },
    }


def deliver(announce: ModuleType, records: Iterable[dict[str, Any]]) -> list[str]:
    """Records that come again."""
    answer = announce.lambda_handler({"Records": list(records)}, Context())
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def queued(outside: Outside) -> list[dict[str, Any]]:
    """What waits in the retry queue, as Lambda delivers it."""
    answer = outside.sqs.receive_message(QueueUrl=outside.waiting, MaxNumberOfMessages=10)
    return [
        {"messageId": m["MessageId"], "eventSource": "aws:sqs", "body": m["Body"]}
        for m in answer.get("Messages", [])
    ]


def ids(outside: Outside) -> tuple[list[str], list[str]]:
    """Ids of what newly arrived on the bus and on the topic."""
    announced = [each["detail"]["id"] for each in outside.messages(outside.announced)]
    told = [json.loads(each["Message"])["id"] for each in outside.messages(outside.told)]
    return sorted(announced), sorted(told)


def test_a_change_of_drift_reaches_the_bus_and_the_people(
    outside: Outside, announce: ModuleType
) -> None:
    assert deliver(announce, [change(5, model="délais", psi=0.5)]) == []
    (announced,) = outside.messages(outside.announced)
    assert (announced["source"], announced["detail-type"]) == (
        "neuralstream.monitoring",
        "drift_changed",
    )
    assert announced["detail"]["model"] == "délais"
    assert announced["detail"]["psi"] == 0.5
    assert announced["detail"]["id"] == "default:m:v1:5"
    (told,) = outside.messages(outside.told)
    assert told["Subject"] == "Drift of d?lais: drift"
    assert json.loads(told["Message"])["status"] == "drift"


def test_what_a_guard_did_is_told_under_its_own_name(
    outside: Outside, announce: ModuleType
) -> None:
    tripped = change(6, kind="guard_tripped", status="rolled_back", summary="12 % failed")
    assert deliver(announce, [tripped]) == []
    (announced,) = outside.messages(outside.announced)
    assert announced["detail-type"] == "guard_tripped"
    assert announced["detail"]["summary"] == "12 % failed"
    (told,) = outside.messages(outside.told)
    assert told["Subject"] == "Guard of m: rolled_back"


def test_a_record_that_comes_again_is_announced_once(
    outside: Outside, announce: ModuleType
) -> None:
    for _ in range(3):
        assert deliver(announce, [change(1), change(2)]) == []
    once = ["default:m:v1:1", "default:m:v1:2"]
    assert ids(outside) == (once, once)


@pytest.mark.parametrize(
    ("statement", "target"),
    [("PlatformTopicKey", "topic"), ("Alert", "topic"), ("Announce", "bus")],
    ids=["topic key", "topic", "bus"],
)
def test_a_denied_half_neither_repeats_nor_blocks_the_other_and_is_made_up_for(
    outside: Outside, announce: ModuleType, role: Role, statement: str, target: str
) -> None:
    role.lacks(statement)
    for _ in range(2):  # the stream brings the first again; the second is behind it
        assert deliver(announce, [change(1)]) == []
    assert deliver(announce, [change(2)]) == []
    once = ["default:m:v1:1", "default:m:v1:2"]
    assert ids(outside) == ((once, []) if target == "topic" else ([], once))
    waiting = queued(outside)
    assert {json.loads(each["body"])["target"] for each in waiting} == {target}
    assert deliver(announce, waiting) == [each["messageId"] for each in waiting]
    assert ids(outside) == ([], [])
    role.lacks()
    assert deliver(announce, waiting) == []
    assert deliver(announce, [change(1), change(2)]) == []
    assert ids(outside) == (([], once) if target == "topic" else (once, []))


def test_what_cannot_even_wait_comes_again_from_the_stream(
    outside: Outside, announce: ModuleType, role: Role
) -> None:
    role.lacks("Alert", "Wait")
    assert deliver(announce, [change(1), change(2)]) == ["1", "2"]
    role.lacks()
    assert deliver(announce, [change(1), change(2)]) == []
    once = ["default:m:v1:1", "default:m:v1:2"]
    assert ids(outside) == (once, once)


def test_racing_deliveries_of_one_record_announce_it_once(
    outside: Outside, announce: ModuleType
) -> None:
    start = threading.Barrier(6)

    def race() -> None:
        start.wait()
        deliver(announce, [change(1)])

    racers = [threading.Thread(target=race) for _ in range(6)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    for waiting in queued(outside):
        deliver(announce, [waiting])
    assert ids(outside) == (["default:m:v1:1"], ["default:m:v1:1"])


def test_a_denied_half_is_an_unexpected_error_of_the_function(
    announce: ModuleType, role: Role, capsys: pytest.CaptureFixture[str]
) -> None:
    role.lacks("Alert")
    deliver(announce, [change(1)])
    assert unexpected_errors(capsys.readouterr().out) == 1
    role.lacks()
    deliver(announce, [change(2)])
    assert unexpected_errors(capsys.readouterr().out) == 0
