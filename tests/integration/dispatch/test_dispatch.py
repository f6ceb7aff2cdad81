"""functions/dispatch on stream records, against an AWS emulation."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from neuralstream_core.schedules.records import ScheduleSpec
from neuralstream_core.schedules.store import Schedules
from neuralstream_core.table import Table, marshal
from neuralstream_core.time import system_clock
from tests.support.aws import Aws
from tests.support.functions import load_function
from tests.support.metrics import unexpected_errors
from tests.support.outside import Outside


def load(outside: Outside, **more: str) -> ModuleType:
    """functions/dispatch with its environment."""
    environ = {
        "NEURALSTREAM_STATE_MACHINE_ARN": outside.machine,
        "NEURALSTREAM_TRAINING_MACHINE_ARN": outside.machine,
        "NEURALSTREAM_TABLE": outside.name,
        "NEURALSTREAM_SCHEDULE_GROUP": outside.name,
        "NEURALSTREAM_SCHEDULE_ROLE_ARN": "arn:aws:iam::123456789012:role/schedules",
        "NEURALSTREAM_SCHEDULE_TARGET_ARN": "arn:aws:lambda:us-east-1:123456789012:function:f:live",
        "NEURALSTREAM_FAILURE_QUEUE_ARN": "arn:aws:sqs:us-east-1:123456789012:failures",
        **more,
    }
    return load_function("dispatch", environ)


@pytest.fixture
def dispatch(outside: Outside) -> ModuleType:
    return load(outside)


def record(number: int, outbox: Any = None) -> dict[str, Any]:
    """A record of the table's stream as Lambda delivers it."""
    image = {"PK": marshal(f"X#{number}"), "SK": marshal("JOB")}
    if outbox is not None:
        image["outbox"] = marshal(outbox)
    return {
        "eventID": f"event-{number}",
        "eventName": "MODIFY",
        "dynamodb": {
            "SequenceNumber": str(number),
            "Keys": {"PK": image["PK"], "SK": image["SK"]},
            "NewImage": image,
        },
    }


def job(number: int, job_id: str) -> dict[str, Any]:
    return record(number, {"kind": "start_job", "job_id": job_id})


def same_item(first: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """``later`` as a further change of the item that ``first`` is about."""
    later["dynamodb"]["Keys"] = first["dynamodb"]["Keys"]
    return later


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


def test_what_cannot_be_delivered_comes_again(outside: Outside) -> None:
    broken = load(outside, NEURALSTREAM_STATE_MACHINE_ARN=outside.machine + "-gone")
    assert deliver(broken, record(1), job(2, "job-a"), job(3, "job-b")) == ["2", "3"]


def test_an_unknown_kind_is_not_taken_for_delivered(dispatch: ModuleType) -> None:
    assert deliver(dispatch, record(7, {"kind": "no_such"})) == ["7"]


def test_a_job_of_a_kind_that_no_state_machine_does_is_not_taken_for_started(
    outside: Outside, dispatch: ModuleType
) -> None:
    unknown = record(1, {"kind": "start_job", "job_id": "job-x", "job": "no_such"})
    named = record(2, {"kind": "start_job", "job_id": "job-a", "job": "predict"})
    assert deliver(dispatch, unknown, named) == ["1"]
    assert outside.executions() == ["job-a"]


def test_a_record_that_cannot_be_delivered_holds_back_only_its_own_item(
    outside: Outside, dispatch: ModuleType
) -> None:
    bad = record(1, {"kind": "no_such"})
    behind = same_item(bad, job(2, "job-of-the-same-item"))
    assert deliver(dispatch, bad, behind, job(3, "job-b")) == ["1", "2"]
    assert outside.executions() == ["job-b"]


def test_an_undelivered_record_is_an_unexpected_error_of_the_function(
    dispatch: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert unexpected_errors(capsys.readouterr().out) == 0
    deliver(dispatch, record(7, {"kind": "no_such"}))
    assert unexpected_errors(capsys.readouterr().out) == 1


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
