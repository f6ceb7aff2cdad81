"""Queues, streams and Step Functions reach the functions as they do on AWS."""

from __future__ import annotations

import json
import threading
import uuid

import boto3
import pytest

from neuralstream_local.event_sources import Checkpoint, EventSource
from neuralstream_local.template import QueueEvent, StreamEvent
from tests.support.aws import cancel_transaction
from tests.support.poll import eventually


@pytest.fixture
def stop():
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def queue(aws):
    """A queue whose messages go to a dead letter queue after two receives."""
    sqs = aws.client("sqs")
    name = f"q-{uuid.uuid4().hex}"
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    return sqs, url, dead, arn


def _waiting(sqs, url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(counts[name]) for name in names)


def test_a_queue_delivers_batches_and_only_failures_come_back(queue, stop):
    sqs, url, dead, arn = queue
    batches = []

    def function(event):
        batches.append([record["body"] for record in event["Records"]])
        failed = [r["messageId"] for r in event["Records"] if r["body"] == "bad"]
        return {"batchItemFailures": [{"itemIdentifier": i} for i in failed]}

    for body in [*(f"row {i}" for i in range(24)), "bad"]:
        sqs.send_message(QueueUrl=url, MessageBody=body)
    EventSource.of_queue(QueueEvent("F", arn, 100, 0.2, True), function, stop)

    assert eventually(lambda: _waiting(sqs, dead) == 1)
    bodies = [body for batch in batches for body in batch]
    assert sorted(set(bodies)) == sorted({*(f"row {i}" for i in range(24)), "bad"})
    assert bodies.count("bad") == 2
    assert len(bodies) == 26
    assert max(map(len, batches)) > 10
    assert _waiting(sqs, url) == 0


def test_a_function_that_raises_gets_the_whole_batch_again(queue, stop):
    sqs, url, dead, arn = queue
    calls = []

    def function(event):
        calls.append(len(event["Records"]))
        if len(calls) == 1:
            raise RuntimeError("as asked")

    for i in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=str(i))
    EventSource.of_queue(QueueEvent("F", arn, 10, 0.2, True), function, stop)

    assert eventually(lambda: calls and _waiting(sqs, url) == 0)
    assert sum(calls) == 6
    assert _waiting(sqs, dead) == 0


def test_a_stream_delivers_matching_records_in_order_and_retries_the_failed_one(table, stop):
    pattern = {"dynamodb": {"NewImage": {"outbox": {"M": {"kind": {"S": [{"exists": True}]}}}}}}
    seen, refused = [], []

    def function(event):
        failures = []
        for record in event["Records"]:
            image = record["dynamodb"]["NewImage"]
            number = int(image["outbox"]["M"]["n"]["N"])
            if number == 3 and len(refused) < 2:
                refused.append(number)
                failures.append({"itemIdentifier": record["dynamodb"]["SequenceNumber"]})
                break
            seen.append((number, record["eventName"], record["eventSource"]))
        return {"batchItemFailures": failures}

    EventSource.of_stream(StreamEvent("F", table.name, 4, (pattern,), 5, True), function, stop)
    for n in range(6):
        table.put({"PK": f"other {n}", "SK": "x"})
        table.put({"PK": "job", "SK": str(n), "outbox": {"kind": "start_job", "n": n}})
    table.update("job", "0", "SET outbox.n = :n", values={":n": 6})

    assert eventually(lambda: len(seen) == 7)
    assert [n for n, _, _ in seen] == list(range(7))
    assert refused == [3, 3]
    assert seen[0][1:] == ("INSERT", "aws:dynamodb")
    assert seen[6][1] == "MODIFY"


def test_a_record_that_always_fails_is_given_up_and_the_rest_goes_on(table, stop):
    seen = []

    def function(event):
        for record in event["Records"]:
            if record["dynamodb"]["Keys"]["SK"]["S"] == "0":
                return {
                    "batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]
                }
            seen.append(record["dynamodb"]["Keys"]["SK"]["S"])
        return None

    for n in range(3):
        table.put({"PK": "job", "SK": str(n)})
    EventSource.of_stream(StreamEvent("F", table.name, 10, (), 1, True), function, stop)

    assert eventually(lambda: seen == ["1", "2"])


def test_a_stream_among_cancelled_transactions_neither_loses_nor_repeats_nor_invents(
    aws, table, stop
):
    seen = []

    def function(event):
        seen.extend(record["dynamodb"]["Keys"]["SK"]["S"] for record in event["Records"])

    EventSource.of_stream(StreamEvent("F", table.name, 10, (), 1, True), function, stop)

    def cancel(which):
        for n in range(50):
            cancel_transaction(aws.client("dynamodb"), table.name, f"{which}-{n}")

    cancelling = [threading.Thread(target=cancel, args=(which,)) for which in range(2)]
    for thread in cancelling:
        thread.start()
    written = 0
    while written < 50 or any(thread.is_alive() for thread in cancelling):
        table.put({"PK": "job", "SK": str(written)})
        written += 1
    for thread in cancelling:
        thread.join()
    table.put({"PK": "job", "SK": str(written)})

    assert eventually(lambda: seen[-1:] == [str(written)])
    assert seen == [str(n) for n in range(written + 1)]


class FailsOnce(Checkpoint):
    """Keeps the position, then loses its connection, once."""

    failed = False

    def put(self, text):
        super().put(text)
        if not self.failed:
            self.failed = True
            raise ConnectionError("as asked")


def test_a_stream_pump_that_fails_is_reported_and_goes_on_where_it_was(table, stop):
    seen = []

    def function(event):
        seen.extend(record["dynamodb"]["Keys"]["SK"]["S"] for record in event["Records"])

    table.put({"PK": "job", "SK": "0"})
    event = StreamEvent("F", table.name, 10, (), 1, True)
    source = EventSource.of_stream(event, function, stop, FailsOnce(table.name))
    assert eventually(lambda: source.report()["failures"] == 1)
    assert source.report() == {
        "kind": "stream",
        "name": "the stream of F",
        "ok": False,
        "failures": 1,
        "error": "ConnectionError: as asked",
    }
    table.put({"PK": "job", "SK": "1"})
    assert eventually(lambda: seen == ["0", "1"])
    assert eventually(lambda: source.report()["ok"])
    assert seen == ["0", "1"]


def test_another_pump_with_the_same_position_reads_on_from_there(table, stop):
    seen, first, position = [], threading.Event(), Checkpoint(table.name)

    def function(event):
        seen.extend(record["dynamodb"]["Keys"]["SK"]["S"] for record in event["Records"])

    event = StreamEvent("F", table.name, 10, (), 1, True)
    assert position.get() is None
    for n in range(3):
        table.put({"PK": "job", "SK": str(n)})
    EventSource.of_stream(event, function, first, position)
    assert eventually(lambda: len(seen) == 3 and position.get())
    first.set()
    for n in range(3, 6):
        table.put({"PK": "job", "SK": str(n)})
    EventSource.of_stream(event, function, stop, Checkpoint(table.name))
    assert eventually(lambda: len(seen) >= 6)
    assert sorted(seen) == [str(n) for n in range(6)]


def test_a_function_that_ends_the_thread_does_not_end_its_pump(table, stop):
    seen = []

    def function(event):
        if not seen:
            seen.append("leaving")
            raise SystemExit(3)
        seen.extend(record["dynamodb"]["Keys"]["SK"]["S"] for record in event["Records"])

    table.put({"PK": "job", "SK": "0"})
    source = EventSource.of_stream(StreamEvent("F", table.name, 10, (), 1, True), function, stop)
    assert eventually(lambda: seen == ["leaving", "0"])
    assert source.report()["error"] == "SystemExit: 3"


def test_a_function_that_does_not_return_in_its_time_is_reported_until_it_does(table, stop):
    free = threading.Event()
    table.put({"PK": "job", "SK": "0"})
    event = StreamEvent("F", table.name, 10, (), 1, True)
    source = EventSource.of_stream(event, lambda _: free.wait() and None, stop, limit=0.2)
    assert eventually(lambda: not source.report()["ok"])
    assert source.report()["error"] == "its function has not returned within its 0.2 s"
    free.set()
    assert eventually(lambda: source.report()["ok"])


def _lambda(stack, **arguments):
    answer = stack.client("lambda").invoke(**arguments)
    return answer, json.loads(answer["Payload"].read() or b"null")


def test_any_aws_client_can_invoke_a_function(stack):
    event = {"identitySource": ["not a key"], "routeKey": "GET /models"}
    answer, payload = _lambda(
        stack, FunctionName="neuralstream-local-authorizer", Payload=json.dumps(event)
    )

    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer
    assert payload["isAuthorized"] in {True, False}


def test_a_function_that_raises_is_reported_as_lambda_does(stack):
    answer, payload = _lambda(stack, FunctionName="neuralstream-local-authorizer", Payload=b"{}")

    assert answer["FunctionError"] == "Unhandled"
    assert payload["errorType"] == "KeyError"


def test_an_unknown_function_is_not_found(stack):
    client = stack.client("lambda")

    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nobody")


def test_step_functions_call_the_local_functions(stack):
    states = stack.client("stepfunctions")
    arn = "arn:aws:lambda:us-east-1:123456789012:function:neuralstream-local-authorizer:live"
    definition = {
        "StartAt": "Ask",
        "States": {
            "Ask": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {"FunctionName": arn, "Payload.$": "$"},
                "OutputPath": "$.Payload",
                "End": True,
            }
        },
    }
    machine = states.create_state_machine(
        name=f"m-{uuid.uuid4().hex}",
        definition=json.dumps(definition),
        roleArn="arn:aws:iam::123456789012:role/any",
    )["stateMachineArn"]
    execution = states.start_execution(
        stateMachineArn=machine, input=json.dumps({"identitySource": ["not a key"]})
    )["executionArn"]

    def finished():
        described = states.describe_execution(executionArn=execution)
        return described["status"] != "RUNNING" and described

    described = eventually(finished)
    assert described["status"] == "SUCCEEDED"
    assert "isAuthorized" in json.loads(described["output"])


def test_the_storage_of_the_template_is_there(stack):
    tables = stack.client("dynamodb").list_tables()["TableNames"]
    assert {"neuralstream-local", "neuralstream-local-keys"} <= set(tables)
    buckets = {b["Name"] for b in stack.client("s3").list_buckets()["Buckets"]}
    assert "neuralstream-local-data" in buckets
    queues = [url.rpartition("/")[2] for url in stack.client("sqs").list_queues()["QueueUrls"]]
    assert "neuralstream-local-IngestQueue" in queues


def test_clients_without_arguments_reach_the_emulation(aws):
    assert boto3.client("sts").meta.endpoint_url == aws.endpoint
    assert boto3.client("sts").get_caller_identity()["Account"] == "123456789012"
