"""What runs behind the API: Lambda's Invoke endpoint, the event sources, and the storage they need.

A process of its own, so that a batch job does not slow predictions down. Reads AWS_ENDPOINT_URL.

    python -m neuralstream_local.worker --redis-port 6379 [--resume]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final
from urllib.parse import unquote

import boto3
import urllib3

from neuralstream_core.jobs.records import JobStatus
from neuralstream_core.memory import limit_growth
from neuralstream_local.aws import (
    INVOKE_PATH,
    REGISTRATION_PATH,
    RESTORE_PATH,
    SOURCES_PATH,
)
from neuralstream_local.children import announce, start_child
from neuralstream_local.event_sources import EventSource
from neuralstream_local.functions import PROCESS_GROWTH, Functions, TimedOut
from neuralstream_local.http_server import HttpServer, Request, Response, json_response
from neuralstream_local.laptop import TABLE, laptop_template
from neuralstream_local.scheduler import LocalScheduler, poll_schedules
from neuralstream_local.storage import create_storage
from neuralstream_local.template import Template

__all__ = ["Invoker", "main"]

_RESTORE_SECONDS: Final = 300.0

_log = logging.getLogger(__name__)


class Invoker:
    """Lambda's ``Invoke`` operation for this process's functions, and the reports of its event sources."""

    def __init__(self, functions: Functions, sources: Sequence[EventSource] = ()) -> None:
        self._functions = functions
        self._sources = sources

    def __call__(self, request: Request) -> Response:
        if request.path == SOURCES_PATH:
            return json_response(200, [source.report() for source in self._sources])
        matched = INVOKE_PATH.fullmatch(request.path)
        try:
            function = self._functions[unquote(matched[1]) if matched else ""]
        except KeyError:
            return _refusal(404, "ResourceNotFoundException", f"Function not found: {request.path}")
        try:
            event = json.loads(request.body or b"{}")
        except ValueError:
            text = "Could not parse request body into json"
            return _refusal(400, "InvalidRequestContentException", text)
        if dict(request.headers).get("x-amz-invocation-type") == "Event":
            threading.Thread(target=function, args=(event,), daemon=True).start()
            return Response(202)
        version = ("x-amz-executed-version", "$LATEST")
        try:
            return json_response(200, function(event), version)
        except Exception as error:  # noqa: BLE001 - Lambda answers 200 and says in a header that it failed
            _log.exception("%s failed", function.function.logical_id)
            kind = "Sandbox.Timedout" if isinstance(error, TimedOut) else type(error).__name__
            problem = {"errorType": kind, "errorMessage": str(error)}
            return json_response(200, problem, version, ("x-amz-function-error", "Unhandled"))


def _refusal(status: int, kind: str, text: str) -> Response:
    return json_response(status, {"Type": "User", "Message": text}, ("x-amzn-errortype", kind))


def main(argv: list[str] | None = None) -> None:
    """Create the storage, start the event sources and serve until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis-port", type=int, required=True)
    parser.add_argument("--resume", action="store_true", help="take the place of one that ended")
    options = parser.parse_args(argv)
    start_child("worker")
    logging.getLogger("botocore").setLevel(logging.WARNING)

    limit_growth(PROCESS_GROWTH)
    template = laptop_template(options.redis_port)
    functions = Functions(template.functions().values())
    sources: list[EventSource] = []
    server = HttpServer(Invoker(functions, sources), 0)
    restored = False
    if not options.resume:
        create_storage(template)
        restored = _restored()
    registration = os.environ["AWS_ENDPOINT_URL"] + REGISTRATION_PATH
    url = f"http://127.0.0.1:{server.port}"
    answer = urllib3.request("PUT", registration, body=url, timeout=10.0, retries=False)
    if answer.status != 204:
        raise RuntimeError(f"the AWS emulation answered {answer.status} to the registration")
    sources += _start_sources(template, functions)
    announce(port=server.port, restored=restored)
    server.serve()


def _restored() -> bool:
    """Put back what an earlier run kept; its jobs, whose executions are lost, start again."""
    restore = os.environ["AWS_ENDPOINT_URL"] + RESTORE_PATH
    answer = urllib3.request("PUT", restore, timeout=_RESTORE_SECONDS, retries=False)
    if answer.status == 204:
        return False
    if answer.status != 200:
        raise RuntimeError(f"the AWS emulation answered {answer.status}: the data cannot be read")
    dynamodb = boto3.client("dynamodb")
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=TABLE,
        FilterExpression="SK = :job AND #status IN (:pending, :running) AND attribute_not_exists(outbox)",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={
            ":job": {"S": "JOB"},
            ":pending": {"S": JobStatus.PENDING},
            ":running": {"S": JobStatus.RUNNING},
        },
    )
    for item in (item for page in pages for item in page["Items"]):
        message = {"kind": {"S": "start_job"}, "job_id": item["job_id"]}
        if "kind" in item:
            message["job"] = item["kind"]
        dynamodb.update_item(
            TableName=TABLE,
            Key={"PK": item["PK"], "SK": item["SK"]},
            UpdateExpression="SET outbox = :message",
            ExpressionAttributeValues={":message": {"M": message}},
        )
    return True


def _start_sources(template: Template, functions: Functions) -> Iterator[EventSource]:
    stop = threading.Event()  # never set: the threads end with the process
    for queue in template.queue_events():
        function = functions[queue.function]
        yield EventSource.of_queue(queue, function, stop, limit=function.function.timeout)
    for stream in template.stream_events():
        function = functions[stream.function]
        yield EventSource.of_stream(stream, function, stop, limit=function.function.timeout)
    scheduler = LocalScheduler(boto3.client("scheduler"), boto3.client("sqs"))
    yield EventSource(
        "schedule",
        "every function",
        partial(poll_schedules, scheduler, stop),
        lambda due: functions[due.arn](due.event),
        stop,
    )


if __name__ == "__main__":
    main()
