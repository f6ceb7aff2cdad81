"""Event sources: what Lambda's pollers do on AWS, as threads.

A queue delivers batches and deletes what succeeded; a table's stream delivers its records in order and
stays at a record that fails. Schedules are in `neuralstream_local.scheduler`.
"""

from __future__ import annotations

import base64
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

import boto3
from moto.events.models import EventPattern

from neuralstream_local.aws import REGION
from neuralstream_local.template import QueueEvent, StreamEvent

__all__ = ["Checkpoint", "EventSource", "matches"]

_BUSY_SECONDS: Final = 0.05
_IDLE_SECONDS: Final = 0.5
_BUSY_FOR_SECONDS: Final = 5.0
_WAIT_SECONDS: Final = 1
"""How long the emulation looks for messages; it goes on for a worker that is gone and hides what it finds."""
_RETRY_SECONDS: Final = 1
"""Failed messages return to the queue after this, not after the template's six minutes."""
_FAILING_SECONDS: Final = 5.0
"""A poller that failed is well again when it has run for so long."""
_MAX_ERROR_CHARACTERS: Final = 300
_CHECKPOINT_BUCKET: Final = "neuralstream-local-checkpoints"

Call = Callable[[Any], Any]
_log = logging.getLogger(__name__)


class Checkpoint:
    """How far a stream was processed, kept in the AWS emulation, which outlives the worker."""

    def __init__(self, name: str) -> None:
        self._s3 = boto3.client("s3")
        self._s3.create_bucket(Bucket=_CHECKPOINT_BUCKET)
        self._name = name

    def get(self) -> str | None:
        try:
            stored = self._s3.get_object(Bucket=_CHECKPOINT_BUCKET, Key=self._name)
        except self._s3.exceptions.NoSuchKey:
            return None
        return stored["Body"].read().decode()

    def put(self, position: str) -> None:
        self._s3.put_object(Bucket=_CHECKPOINT_BUCKET, Key=self._name, Body=position.encode())


class EventSource:
    """A poller in a thread of its own, started again whenever it fails.

    Args:
        kind: queue, stream or schedule.
        function: the function that is called, for logs and reports.
        poll: reads and calls its argument until ``stop``.
        call: calls the function with an event.
        limit: seconds that one call of the function may take.
    """

    def __init__(
        self,
        kind: str,
        function: str,
        poll: Callable[[Call], None],
        call: Call,
        stop: threading.Event,
        *,
        limit: float = math.inf,
    ) -> None:
        self._kind = kind
        self._name = f"the {kind} of {function}"
        self._poll = poll
        self._call = call
        self._stop = stop
        self._limit = limit
        self._called: float | None = None
        self._failures = 0
        self._failed_at = -math.inf
        self._error: str | None = None
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    @classmethod
    def of_queue(
        cls, event: QueueEvent, call: Call, stop: threading.Event, *, limit: float = math.inf
    ) -> EventSource:
        poll = partial(_poll_queue, event, stop)
        return cls("queue", event.function, poll, call, stop, limit=limit)

    @classmethod
    def of_stream(
        cls,
        event: StreamEvent,
        call: Call,
        stop: threading.Event,
        checkpoint: Checkpoint | None = None,
        *,
        limit: float = math.inf,
    ) -> EventSource:
        """The default ``checkpoint`` is that of the function and the table."""
        checkpoint = checkpoint or Checkpoint(f"{event.function}/{event.table}")
        poll = partial(_poll_stream, event, stop, checkpoint)
        return cls("stream", event.function, poll, call, stop, limit=limit)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._poll(self._timed)
            except BaseException as error:  # noqa: BLE001 - a poller outlives every error, a function's sys.exit too
                _log.exception("%s failed", self._name)
                self._error = f"{type(error).__name__}: {error}"[:_MAX_ERROR_CHARACTERS]
                self._failed_at = time.monotonic()
                self._failures += 1
                self._stop.wait(_RETRY_SECONDS)

    def _timed(self, event: Any) -> Any:
        self._called = time.monotonic()
        try:
            return self._call(event)
        finally:
            self._called = None

    def report(self) -> dict[str, Any]:
        """``kind`` (queue, stream, schedule), ``name``, ``ok``, ``failures`` so far, the last ``error``."""
        now, called = time.monotonic(), self._called
        error = self._error
        if stuck := called is not None and now - called > self._limit:
            error = f"its function has not returned within its {self._limit:g} s"
        return {
            "kind": self._kind,
            "name": self._name,
            "ok": not stuck and now - self._failed_at > _FAILING_SECONDS,
            "failures": self._failures,
            "error": error,
        }


def _poll_queue(event: QueueEvent, stop: threading.Event, call: Call) -> None:
    """Receive, call, delete what did not fail."""
    sqs: Any = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=event.queue_arn.rsplit(":", 1)[1])["QueueUrl"]
    while not stop.is_set():
        messages = _receive(sqs, url, event)
        if not messages:
            continue
        records = [_queue_record(message, event.queue_arn) for message in messages]
        failed = _call_batch(call, {r["messageId"]: r for r in records}, event)
        for message in messages:
            handle = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
            if message["MessageId"] in failed:
                sqs.change_message_visibility(**handle, VisibilityTimeout=_RETRY_SECONDS)
            else:
                sqs.delete_message(**handle)


def _receive(sqs: Any, url: str, event: QueueEvent) -> list[dict[str, Any]]:
    """Up to a batch of messages, gathered for at most the event's window from the first on."""
    messages: list[dict[str, Any]] = []
    deadline = None
    while len(messages) < event.batch_size:
        answer = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=min(10, event.batch_size - len(messages)),
            WaitTimeSeconds=0 if messages else _WAIT_SECONDS,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        more = answer.get("Messages", [])
        messages += more
        if not messages:
            break
        deadline = deadline or time.monotonic() + event.window_seconds
        if not more:
            if time.monotonic() >= deadline:
                break
            time.sleep(_BUSY_SECONDS)
    return messages


def _queue_record(message: Mapping[str, Any], arn: str) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {
            name: {
                "stringValue": value.get("StringValue"),
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value["DataType"],
            }
            for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": REGION,
    }


def _poll_stream(
    event: StreamEvent, stop: threading.Event, checkpoint: Checkpoint, call: Call
) -> None:
    """Deliver matching records in order, those after ``checkpoint`` or else all.

    The checkpoint is the sequence number of the last record that was dealt with: a poller that is started
    again with it neither loses a record nor delivers those before again.
    """
    streams: Any = boto3.client("dynamodbstreams")
    described: Any = boto3.client("dynamodb").describe_table(TableName=event.table)
    arn = described["Table"]["LatestStreamArn"]
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    start = {"ShardIteratorType": "TRIM_HORIZON"}
    if after := checkpoint.get():
        start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after}
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, **start)["ShardIterator"]
    last_record = time.monotonic()
    while not stop.is_set():
        answer = streams.get_records(ShardIterator=iterator, Limit=1000)
        records = [_stream_record(record, arn) for record in answer["Records"]]
        wanted = [
            record
            for record in records
            if not event.patterns or any(matches(pattern, record) for pattern in event.patterns)
        ]
        for at in range(0, len(wanted), event.batch_size):
            _deliver(event, wanted[at : at + event.batch_size], call, stop)
        iterator = answer["NextShardIterator"]
        if records:
            if not stop.is_set():
                checkpoint.put(_sequence_number(records[-1]))
            last_record = time.monotonic()
            continue
        busy = time.monotonic() - last_record < _BUSY_FOR_SECONDS
        stop.wait(_BUSY_SECONDS if busy else _IDLE_SECONDS)


def _deliver(
    event: StreamEvent, records: list[dict[str, Any]], call: Call, stop: threading.Event
) -> None:
    """Call until every record succeeded or its retries are used up; a failed one holds the rest."""
    tries = 0
    while records and not stop.is_set():
        failed = _call_batch(call, {_sequence_number(r): r for r in records}, event)
        if not failed:
            return
        first = next(i for i, r in enumerate(records) if _sequence_number(r) in failed)
        tries = 1 if first else tries + 1
        records = records[first:]
        if tries > event.max_retries:
            _log.error("%s: a stream record was given up after its retries", event.function)
            records, tries = records[1:], 0
        stop.wait(min(0.1 * 2**tries, 5.0))


def _sequence_number(record: Mapping[str, Any]) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def _stream_record(record: Mapping[str, Any], arn: str) -> dict[str, Any]:
    return {
        "eventID": record["eventID"],
        "eventName": record["eventName"],
        "eventVersion": record.get("eventVersion", "1.1"),
        "eventSource": "aws:dynamodb",
        "awsRegion": REGION,
        "dynamodb": json.loads(json.dumps(record["dynamodb"], default=_json_value)),
        "eventSourceARN": arn,
    }


def _json_value(value: Any) -> Any:
    """What JSON does not know, as Lambda writes it: binary as base64, a time as seconds."""
    match value:
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case datetime():
            return value.timestamp()
        case set():
            return list(value)
    raise TypeError(f"{type(value).__name__} in a stream record")


def matches(pattern: Mapping[str, Any], record: Any) -> bool:
    """Whether Lambda's event filtering, which is that of EventBridge, lets ``record`` through."""
    return bool(EventPattern(None, dict(pattern)).matches_event(record))


def _call_batch(
    call: Call, records: Mapping[str, Mapping[str, Any]], event: QueueEvent | StreamEvent
) -> set[str]:
    """Ids of the ``records`` (by id) that failed, by the rules of ReportBatchItemFailures."""
    try:
        answer = call({"Records": list(records.values())})
    except Exception:  # noqa: BLE001 - any error fails the whole batch, as on Lambda
        _log.exception("%s failed", event.function)
        return set(records)
    if not event.reports_failures or not answer:
        return set()
    failed = {str(f.get("itemIdentifier") or "") for f in answer.get("batchItemFailures") or ()}
    return failed if failed.issubset(records) else set(records)
