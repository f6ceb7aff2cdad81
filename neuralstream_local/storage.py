"""What the template stores in, sends to and is started by, created in the AWS emulation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import boto3

from neuralstream_local.aws import ACCOUNT
from neuralstream_local.laptop import laptop_template
from neuralstream_local.template import Template

__all__ = ["create_history_table", "create_registry_table", "create_storage"]

_TABLE_PROPERTIES = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
_QUEUE_ATTRIBUTES = ("VisibilityTimeout", "MessageRetentionPeriod")


def create_storage(template: Template) -> None:
    """Create everything, in the region and at the endpoint of this process's environment."""
    _tables(template)
    _buckets(template)
    for logical_id in template.of_type("AWS::Glue::Database"):
        name = template.reference(logical_id)
        boto3.client("glue").create_database(DatabaseInput={"Name": name})
    _queues(template)
    for arn in map(template.reference, template.of_type("AWS::SNS::Topic")):
        boto3.client("sns").create_topic(Name=arn.rsplit(":", 1)[1])
    _state_machines(template)
    _schedules(template)


def create_registry_table(dynamodb: Any, name: str) -> None:
    """A table of another name with the keys, indexes and stream of the template's registry table."""
    _create_table(dynamodb, name, laptop_template(0).of_type("AWS::DynamoDB::Table")["Table"])


def create_history_table(dynamodb: Any, name: str) -> None:
    """The same for the template's history table."""
    _create_table(
        dynamodb, name, laptop_template(0).of_type("AWS::DynamoDB::Table")["HistoryLogTable"]
    )


def _tables(template: Template) -> None:
    dynamodb = boto3.client("dynamodb")
    for logical_id, properties in template.of_type("AWS::DynamoDB::Table").items():
        name = template.reference(logical_id)
        _create_table(dynamodb, name, properties)
        if ttl := properties.get("TimeToLiveSpecification"):
            dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)


def _create_table(dynamodb: Any, name: str, properties: Mapping[str, Any]) -> None:
    request = {key: properties[key] for key in _TABLE_PROPERTIES if key in properties}
    if stream := properties.get("StreamSpecification"):
        request["StreamSpecification"] = {"StreamEnabled": True, **stream}
    dynamodb.create_table(TableName=name, **request)


def _buckets(template: Template) -> None:
    s3 = boto3.client("s3")
    for logical_id, properties in template.of_type("AWS::S3::Bucket").items():
        name = template.reference(logical_id)
        s3.create_bucket(Bucket=name)
        if versioning := properties.get("VersioningConfiguration"):
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)


def _queues(template: Template) -> None:
    sqs: Any = boto3.client("sqs")
    queues = template.of_type("AWS::SQS::Queue")
    for logical_id in sorted(queues, key=lambda name: "RedrivePolicy" in queues[name]):
        properties = queues[logical_id]
        attributes = {key: str(properties[key]) for key in _QUEUE_ATTRIBUTES if key in properties}
        if redrive := properties.get("RedrivePolicy"):
            attributes["RedrivePolicy"] = json.dumps(redrive)
        sqs.create_queue(QueueName=template.reference(logical_id), Attributes=attributes)


def _state_machines(template: Template) -> None:
    states: Any = boto3.client("stepfunctions")
    for properties in template.of_type("AWS::Serverless::StateMachine").values():
        definition = (template.folder / properties["DefinitionUri"]).read_text()
        for name, value in properties.get("DefinitionSubstitutions", {}).items():
            definition = definition.replace(f"${{{name}}}", str(value))
        states.create_state_machine(
            name=properties["Name"],
            definition=definition,
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/{properties['Name']}",
            type=properties.get("Type", "STANDARD"),
        )


def _schedules(template: Template) -> None:
    """The group of the schedules that are data, and the schedules that the template declares."""
    scheduler: Any = boto3.client("scheduler")
    for logical_id in template.of_type("AWS::Scheduler::ScheduleGroup"):
        scheduler.create_schedule_group(Name=template.reference(logical_id))
    for name, (function, event) in template.events("ScheduleV2").items():
        target = {
            "Arn": template.reference(f"{function}.Arn"),
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{name}",
            "Input": event.get("Input", "{}"),
        }
        if failures := event.get("DeadLetterConfig"):
            target["DeadLetterConfig"] = failures
        scheduler.create_schedule(
            Name=name,
            ScheduleExpression=event["ScheduleExpression"],
            ScheduleExpressionTimezone=event.get("ScheduleExpressionTimezone", "UTC"),
            State=event.get("State", "ENABLED"),
            FlexibleTimeWindow={"Mode": "OFF"},
            Target=target,
        )
