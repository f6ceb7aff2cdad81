"""Fixtures: the built functions, running, with state of their own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from neuralstream_local.storage import create_history_table, create_registry_table
from tests.bundle.emulator import BUILD, Emulated
from tests.bundle.recording import Recording
from tests.support.aws import Aws
from tests.support.template import ROOT, functions, global_variables

ALL_SCOPES = (
    "features:read features:write models:read models:write predict outcomes monitoring keys"
)


@dataclass
class Bundle:
    """Built functions by logical id, started when first asked for."""

    aws: Aws
    recording: Recording
    variables: dict[str, str]
    names: dict[str, str]
    running: dict[str, Emulated] = field(default_factory=dict)

    def function(self, name: str) -> Emulated:
        if name not in self.running:
            own = functions()[name].get("Environment", {}).get("Variables", {})
            environ = {
                variable: self.variables.get(variable, value)
                for variable, value in (global_variables() | own).items()
            }
            environ |= self.aws.environ | {
                "AWS_ENDPOINT_URL": self.recording.endpoint,
                "AWS_ACCESS_KEY_ID": name,
            }
            self.running[name] = Emulated(name, environ)
        return self.running[name]

    def http(
        self, function: str, key: str, body: Any = None, /, **parameters: str
    ) -> tuple[int, Any]:
        """Call one route of a function as API Gateway would; the status and the parsed body."""
        method, _, template = key.partition(" ")
        path = template
        for parameter, value in parameters.items():
            path = path.replace(f"{{{parameter}}}", value).replace(f"{{{parameter}+}}", value)
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": key,
            "rawPath": path,
            "rawQueryString": "",
            "headers": {"content-type": "application/json"},
            "requestContext": {
                "requestId": "bundle",
                "http": {"method": method, "path": path},
                "authorizer": {"lambda": {"principal": "bundle", "scopes": ALL_SCOPES}},
            },
            "pathParameters": {k: v for k, v in parameters.items() if f"{{{k}" in template},
            "queryStringParameters": {
                k: v for k, v in parameters.items() if f"{{{k}" not in template
            },
            "isBase64Encoded": False,
        }
        if body is not None:
            event["body"] = json.dumps(body)
        answer = self.function(function).invoke(event)
        assert "statusCode" in answer, answer
        return answer["statusCode"], json.loads(answer["body"]) if answer.get("body") else None

    def references(self) -> dict[str, str]:
        """What CloudFormation would put in place of the references in the policies."""
        return {
            "Table.Arn": f"arn:aws:dynamodb:us-east-1:123456789012:table/{self.names['table']}",
            "KeysTable.Arn": f"arn:aws:dynamodb:us-east-1:123456789012:table/{self.names['keys']}",
            "HistoryLogTable.Arn": f"arn:aws:dynamodb:us-east-1:123456789012:table/{self.names['history']}",
            "DataBucket.Arn": f"arn:aws:s3:::{self.names['bucket']}",
            "HistoryDatabase": self.names["database"],
            "BatchStateMachine": self.variables["NEURALSTREAM_STATE_MACHINE_ARN"],
            "TrainingStateMachine": self.variables["NEURALSTREAM_TRAINING_MACHINE_ARN"],
            "ScheduleGroup": self.names["stack"],
            "AlertsTopic": self.variables["NEURALSTREAM_ALERTS_TOPIC_ARN"],
            "AlertRetryQueue.Arn": f"arn:aws:sqs:us-east-1:123456789012:{self.names['stack']}-alert-retries",
            "AWS::Partition": "aws",
            "AWS::Region": "us-east-1",
            "AWS::AccountId": "123456789012",
            "AWS::StackName": self.names["stack"],
        }


@pytest.fixture(scope="session")
def bundle(aws: Aws, redis_server: Any) -> Iterator[Bundle]:
    """Every built function, on one table, keys table, bucket and cache."""
    assert BUILD.is_dir(), "nothing is built: make test-bundle builds first"
    stack = f"bundle-{uuid.uuid4().hex[:8]}"
    names = {
        "stack": stack,
        "table": f"{stack}-table",
        "keys": f"{stack}-keys",
        "history": f"{stack}-history",
        "bucket": stack,
        "database": f"{stack}-catalog",
    }
    for table in (names["table"], names["keys"]):
        create_registry_table(aws.client("dynamodb"), table)
    create_history_table(aws.client("dynamodb"), names["history"])
    aws.client("s3").create_bucket(Bucket=names["bucket"])
    aws.client("glue").create_database(DatabaseInput={"Name": names["database"]})
    topic = aws.client("sns").create_topic(Name=f"{stack}-alerts")["TopicArn"]
    queue = aws.client("sqs").create_queue(QueueName=f"{stack}-alert-retries")["QueueUrl"]
    machine = aws.client("stepfunctions").create_state_machine(
        name=f"{stack}-batch-predict",
        definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
        roleArn="arn:aws:iam::123456789012:role/batch",
    )["stateMachineArn"]
    aws.client("scheduler").create_schedule_group(Name=stack)
    redis_server.flush()
    recording = Recording(aws.endpoint)
    running = Bundle(
        aws,
        recording,
        {
            "POWERTOOLS_TRACE_DISABLED": "true",
            "NEURALSTREAM_NAMESPACE": "default",
            "NEURALSTREAM_REDIS_HOST": redis_server.host,
            "NEURALSTREAM_REDIS_PORT": str(redis_server.port),
            "NEURALSTREAM_REDIS_TLS": "false",
            "NEURALSTREAM_REDIS_CLUSTER": "false",
            "NEURALSTREAM_REDIS_IAM_USER": "",
            "NEURALSTREAM_REDIS_CACHE_NAME": "",
            "NEURALSTREAM_TABLE": names["table"],
            "NEURALSTREAM_KEYS_TABLE": names["keys"],
            "NEURALSTREAM_HISTORY_TABLE": names["history"],
            "NEURALSTREAM_DATA_BUCKET": names["bucket"],
            "NEURALSTREAM_CATALOG_DATABASE": names["database"],
            "NEURALSTREAM_JOB_BUCKETS": "",
            "NEURALSTREAM_BATCH_CONCURRENCY": "4",
            "NEURALSTREAM_STATE_MACHINE_ARN": machine,
            "NEURALSTREAM_TRAINING_MACHINE_ARN": machine,
            "NEURALSTREAM_TRAINING_MEMORY_MB": "512",
            "NEURALSTREAM_TRAINING_THREADS": "1",
            "NEURALSTREAM_ATHENA_FROM_BYTES": "0",
            "NEURALSTREAM_ALERTS_TOPIC_ARN": topic,
            "NEURALSTREAM_ALERT_RETRY_QUEUE": queue,
            "NEURALSTREAM_EVENT_BUS": "default",
            "NEURALSTREAM_SCHEDULE_GROUP": stack,
            "NEURALSTREAM_SCHEDULE_ROLE_ARN": "arn:aws:iam::123456789012:role/schedules",
            "NEURALSTREAM_SCHEDULE_TARGET_ARN": "arn:aws:lambda:us-east-1:123456789012:function:b:live",
            "NEURALSTREAM_FAILURE_QUEUE_ARN": "arn:aws:sqs:us-east-1:123456789012:failures",
        },
        names,
    )
    yield running
    for function in running.running.values():
        function.close()
    recording.close()


@pytest.fixture(scope="session")
def event_of() -> Any:
    """The committed event of a function."""

    def read(name: str) -> Any:
        slug = functions()[name]["FunctionName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")
        return json.loads((ROOT / "events" / f"{slug.replace('-', '_')}.json").read_text())

    return read
