"""Schedules run on the laptop as EventBridge Scheduler runs them, by a clock that the test turns."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from neuralstream_core.time import to_micros
from neuralstream_local.laptop import laptop_template
from neuralstream_local.scheduler import LocalScheduler
from tests.support.poll import eventually

MINUTE = 60_000_000


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, *moment: int) -> None:
        self.now = to_micros(datetime(*moment, tzinfo=UTC))

    def __call__(self) -> int:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span) // timedelta(microseconds=1)


class Group:
    """Schedules of one test in the emulation, and the scheduler that runs them."""

    def __init__(self, aws, clock) -> None:
        self.aws, self.client = aws, aws.client("scheduler")
        self.name, self.clock = f"g{uuid.uuid4().hex}", clock
        self.client.create_schedule_group(Name=self.name)
        self.scheduler = LocalScheduler(self.client, aws.client("sqs"), clock)
        self.calls: list[object] = []

    def create(self, name, expression, timezone="UTC", **more):
        target = {
            "Arn": f"arn:aws:lambda:us-east-1:1:function:{self.name}",
            "RoleArn": "arn:aws:iam::1:role/r",
            "Input": json.dumps({"name": name, "at": "<aws.scheduler.scheduled-time>"}),
            **more.pop("target", {}),
        }
        self.client.create_schedule(
            GroupName=self.name,
            Name=name,
            ScheduleExpression=expression,
            ScheduleExpressionTimezone=timezone,
            FlexibleTimeWindow={"Mode": "OFF"},
            Target=target,
            **more,
        )

    def ran(self, call=None):
        """Names and times of what runs now, of this group."""
        before = len(self.calls)
        for delivery in self.scheduler.due():
            if delivery.arn.endswith(self.name):
                self.scheduler.deliver(
                    delivery,
                    call or (lambda due: self.calls.append((due.event["name"], due.event["at"]))),
                )
        return self.calls[before:]


@pytest.fixture
def group(aws):
    return Group(aws, Clock(2031, 3, 29, 23, 58, 30))


def test_rates_and_crons_run_when_they_are_due_and_not_twice(group):
    start = datetime(2031, 3, 30, 0, 1, tzinfo=UTC)
    group.create("rate", "rate(2 minutes)", StartDate=start)
    group.create("cron", "cron(0/5 * * * ? *)")
    group.create("off", "rate(1 minute)", State="DISABLED")
    ran = []
    for _ in range(16):
        group.clock.pass_(seconds=30)
        ran += group.ran()
    assert sorted(ran, key=lambda run: (run[1], run[0])) == [
        ("cron", "2031-03-30T00:00:00Z"),
        ("rate", "2031-03-30T00:01:00Z"),
        ("rate", "2031-03-30T00:03:00Z"),
        ("cron", "2031-03-30T00:05:00Z"),
        ("rate", "2031-03-30T00:05:00Z"),
    ]


def test_local_times_follow_the_clocks_of_their_zone(group):
    """In the night to 30 March 2031 Berlin's clocks skip 02:00 to 03:00."""
    group.create("skipped", "cron(30 2 30 3 ? *)", "Europe/Berlin")
    group.create("kept", "cron(30 3 30 3 ? *)", "Europe/Berlin")
    ran = []
    for _ in range(12):
        group.clock.pass_(minutes=30)
        ran += group.ran()
    assert ran == [("kept", "2031-03-30T01:30:00Z")]


def test_a_laptop_that_slept_runs_each_schedule_once_for_its_last_time(group):
    group.create("often", "cron(* * * * ? *)")
    group.clock.pass_(hours=8)
    assert group.ran() == [("often", "2031-03-30T07:58:00Z")]
    assert group.ran() == []


def test_a_changed_schedule_runs_as_changed(group):
    group.create("nightly", "cron(0 0 * * ? *)")
    group.clock.pass_(minutes=1)
    assert group.ran() == []
    found = group.client.get_schedule(GroupName=group.name, Name="nightly")

    def changed():
        """Whether the change has a date of its own."""
        group.client.update_schedule(
            GroupName=group.name,
            Name="nightly",
            State="ENABLED",
            ScheduleExpression="cron(1 0 * * ? *)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target=found["Target"],
        )
        now = group.client.get_schedule(GroupName=group.name, Name="nightly")
        return now["LastModificationDate"] != found["LastModificationDate"]

    assert eventually(changed)
    group.clock.pass_(minutes=1)
    assert group.ran() == []
    group.clock.pass_(minutes=1)
    assert group.ran() == [("nightly", "2031-03-30T00:01:00Z")]


def test_a_call_that_fails_is_tried_again_and_then_kept_in_the_queue_of_failures(group, aws):
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=group.name)["QueueUrl"]
    queue = {"DeadLetterConfig": {"Arn": f"arn:aws:sqs:us-east-1:123456789012:{group.name}"}}
    group.create("nightly", "cron(0 0 * * ? *)", target=queue)
    group.clock.pass_(minutes=2)
    attempts = []

    def fails(due):
        attempts.append(due)
        raise RuntimeError("as asked")

    group.ran(fails)
    assert len(attempts) == 3
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    assert json.loads(message["Body"]) == {"name": "nightly", "at": "2031-03-30T00:00:00Z"}


def test_a_schedule_that_nobody_can_read_does_not_stop_the_others(group):
    group.create("strange", "cron(0 3 LW * ? *)")
    group.create("nightly", "cron(0 0 * * ? *)")
    group.clock.pass_(minutes=2)
    assert group.ran() == [("nightly", "2031-03-30T00:00:00Z")]


def test_the_schedules_of_the_template_run_on_the_laptop(stack):
    declared = laptop_template(redis_port=1).events("ScheduleV2")
    assert declared
    scheduler = stack.client("scheduler")
    for name, (_, event) in declared.items():
        held = scheduler.get_schedule(GroupName="default", Name=name)
        assert held["ScheduleExpression"] == event["ScheduleExpression"]
        assert held["Target"]["Input"] == event.get("Input", "{}")
        assert (
            stack.client("lambda").invoke(
                FunctionName=held["Target"]["Arn"], Payload=held["Target"]["Input"].encode()
            )["StatusCode"]
            == 200
        )
