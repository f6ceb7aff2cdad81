"""What the functions outside the VPC call: a state machine, and a topic and a bus that deliver to queues."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.support.aws import Aws

DEFINITION = {"StartAt": "Wait", "States": {"Wait": {"Type": "Pass", "End": True}}}


class Outside:
    """Resources of their own for each test."""

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
        aws.client("sns").subscribe(
            TopicArn=self.topic, Protocol="sqs", Endpoint=self._arn(self.told)
        )
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
        self.waiting = self._queue("waiting")

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
