"""functions/dispatch on stream records, against an AWS emulation."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from neuralstream_core.schedules import Schedules, ScheduleSpec
from neuralstream_core.table import Table, marshal
from neuralstream_core.time import system_clock
from tests.support.aws import Aws
from tests.support.functions import load_function

ROOT = Path(__file__).parents[3]
DEFINITION = {"StartAt": "Wait", "States": {"Wait": {"Type": "Pass", "End": True}}}


class Outside:
    """What dispatch calls: a state machine, a topic and a bus, the last two delivering to queues."""

    def __init__(self, aws: Aws) -> None:
        self.name = f"t{uuid.uuid4().hex}"
        self.states = aws.client("stepfunctions")
        self.sqs = aws.client("sqs")
        self.machine: str = self.states.create_state_machine(
            name=self.name,
            definition=json.dumps(DEFINITION),
            roleArn="arn:aws:iam::123456789012:role/states",
        )["stateMachineArn"]
        self.topic: str = aws.client("sns").create_topic(Name=self.name)["TopicArn"]
        self.told = self._queue("told")
        self.told_arn = self._arn(self.told)
        aws.client("sns").subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=self.told_arn)
        events = aws.client("events")
        events.create_event_bus(Name=self.name)
        self.announced = self._queue("announced")
        events.put_rule(
            Name=self.name,
            EventBusName=self.name,
            EventPattern=json.dumps({"source": ["neuralstream.monitoring"]}),
        )
        events.put_targets(
            Rule=self.name,
            EventBusName=self.name,
            Targets=[{"Id": "1", "Arn": self._arn(self.announced)}],
        )

    def _queue(self, what: str) -> str:
        url: str = self.sqs.create_queue(QueueName=f"{self.name}-{what}")["QueueUrl"]
        return url

    def _arn(self, url: str) -> str:
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn: str = attributes["Attributes"]["QueueArn"]
        return arn

    def executions(self) -> list[str]:
        listed = self.states.list_executions(stateMachineArn=self.machine)["executions"]
        return [each["name"] for each in listed]

    def messages(self, url: str) -> list[Any]:
        answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


@pytest.fixture
def outside(aws: Aws) -> Outside:
    return Outside(aws)


def load(outside: Outside, **more: str) -> ModuleType:
    """functions/dispatch with its environment."""
    environ = {
        "NEURALSTREAM_STATE_MACHINE_ARN": outside.machine,
        "NEURALSTREAM_ALERTS_TOPIC_ARN": outside.topic,
        "NEURALSTREAM_EVENT_BUS": outside.name,
        "NEURALSTREAM_TABLE": outside.name,
        "NEURALSTREAM_SCHEDULE_GROUP": outside.name,
        "NEURALSTREAM_SCHEDULE_ROLE_ARN": "arn:aws:iam::123456789012:role/schedules",
        "NEURALSTREAM_SCHEDULE_TARGET_ARN": "arn:aws:lambda:us-east-1:123456789012:function:f:live",
        "NEURALSTREAM_FAILURE_QUEUE_ARN": outside.told_arn,
        **more,
    }
    return load_function("dispatch", environ)


@pytest.fixture
def dispatch(outside: Outside) -> ModuleType:
    return load(outside)


def record(number: int, outbox: Any = None, name: str = "MODIFY") -> dict[str, Any]:
    """A record of the table's stream as Lambda delivers it."""
    image = {"PK": marshal(f"X#{number}"), "SK": marshal("JOB")}
    if outbox is not None:
        image["outbox"] = marshal(outbox)
    return {
        "eventID": f"event-{number}",
        "eventName": name,
        "dynamodb": {"SequenceNumber": str(number), "NewImage": image},
    }


def job(number: int, job_id: str) -> dict[str, Any]:
    return record(number, {"kind": "start_job", "job_id": job_id})


def deliver(dispatch: ModuleType, *records: dict[str, Any]) -> list[str]:
    """Sequence numbers that come again."""
    answer = dispatch.lambda_handler({"Records": list(records)}, None)
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def test_a_job_is_started_once_however_often_its_record_comes(
    outside: Outside, dispatch: ModuleType
) -> None:
    assert deliver(dispatch, job(1, "job-a"), job(2, "job-b"), job(3, "job-a")) == []
    assert deliver(dispatch, job(1, "job-a")) == []
    assert sorted(outside.executions()) == ["job-a", "job-b"]


def test_records_without_an_outbox_and_deletions_are_passed_over(
    outside: Outside, dispatch: ModuleType
) -> None:
    removal = {"eventID": "e", "eventName": "REMOVE", "dynamodb": {"SequenceNumber": "2"}}
    assert deliver(dispatch, record(1), removal, job(3, "job-a")) == []
    assert outside.executions() == ["job-a"]


def test_what_cannot_be_delivered_comes_again_with_all_after_it(outside: Outside) -> None:
    broken = load(outside, NEURALSTREAM_STATE_MACHINE_ARN=outside.machine + "-gone")
    event = record(1, {"kind": "drift_changed", "model": "m", "status": "drift"})
    assert deliver(broken, event, job(2, "job-a"), job(3, "job-b")) == ["2"]


def test_an_unknown_kind_is_not_taken_for_delivered(dispatch: ModuleType) -> None:
    assert deliver(dispatch, record(7, {"kind": "no_such"})) == ["7"]


def test_a_change_of_drift_reaches_the_bus_and_the_people(
    outside: Outside, dispatch: ModuleType
) -> None:
    message = {
        "kind": "drift_changed",
        "model": "délais",
        "version": "v1",
        "status": "drift",
        "psi": 0.5,
    }
    assert deliver(dispatch, record(5, message)) == []
    (announced,) = outside.messages(outside.announced)
    assert (announced["source"], announced["detail-type"]) == (
        "neuralstream.monitoring",
        "drift_changed",
    )
    assert announced["detail"]["model"] == "délais"
    assert announced["detail"]["psi"] == 0.5
    assert announced["detail"]["event_id"] == "event-5"
    (told,) = outside.messages(outside.told)
    assert told["Subject"] == "Drift of d?lais: drift"
    assert json.loads(told["Message"])["status"] == "drift"


def test_a_changed_schedule_reaches_the_scheduler_as_the_table_says_it(
    aws: Aws, outside: Outside, table: Table
) -> None:
    """The record is of the first revision; what is written is the last."""
    scheduler = aws.client("scheduler")
    scheduler.create_schedule_group(Name=outside.name)
    dispatch = load(outside, NEURALSTREAM_TABLE=table.name)
    schedules = Schedules(table, "default", system_clock)
    body = {"model": "m", "input": "s3://b/a.csv", "output": "s3://b/", "expression": "rate(1 day)"}
    schedules.put("nightly", ScheduleSpec.model_validate(body), "ann")
    changed = record(1, {"kind": "schedule_changed", "schedule": "nightly"})
    schedules.put("nightly", ScheduleSpec.model_validate({**body, "enabled": False}), "ann")
    for _ in range(2):
        assert deliver(dispatch, changed, job(2, "job-a")) == []
    held = scheduler.get_schedule(GroupName=outside.name, Name="default.nightly")
    assert (held["State"], held["ScheduleExpression"]) == ("DISABLED", "rate(1 day)")
    schedules.delete("nightly", "ann")
    assert deliver(dispatch, changed) == []
    listed = scheduler.list_schedules()["Schedules"]
    assert outside.name not in {schedule["GroupName"] for schedule in listed}
    assert outside.executions() == ["job-a"]
