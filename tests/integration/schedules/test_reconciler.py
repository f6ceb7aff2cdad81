"""The scheduler ends as the table says, whatever is delivered twice, late, out of order or at once."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuralstream_core.errors import Conflict, Forbidden, NotFound
from neuralstream_core.schedules.reconciler import Reconciler, Target, name_in_group
from neuralstream_core.schedules.records import ScheduleSpec
from neuralstream_core.schedules.store import Schedules
from neuralstream_core.table import Table
from neuralstream_core.time import to_micros
from tests.support.interposed import Interposed

NOW = to_micros(datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC))


def spec(expression="cron(0 3 * * ? *)", **more):
    body = {
        "model": "m",
        "input": "s3://b/{yyyy}.csv",
        "output": "s3://b/out/",
        "expression": expression,
        **more,
    }
    return ScheduleSpec.model_validate(body)


class House:
    """Schedules in a table, and a scheduler group with a reconciler; ``before`` and ``after`` are run around
    every call to the scheduler."""

    def __init__(self, aws, table_name) -> None:
        self.namespace = f"n{uuid.uuid4().hex[:8]}"
        self.group = f"g{uuid.uuid4().hex}"
        self.client = aws.client("scheduler")
        self.client.create_schedule_group(Name=self.group)
        self.table = Table(aws.client("dynamodb"), table_name)
        self.schedules = Schedules(self.table, self.namespace, lambda: NOW)
        self.target = Target(
            self.group, "arn:aws:lambda:f", "arn:aws:iam::1:role/r", "arn:aws:sqs:q"
        )

    def reconciler(self, before=lambda _: None, after=lambda _: None, now=NOW) -> Reconciler:
        client = Interposed(self.client, before, after)
        return Reconciler(client, self.schedules, self.target, lambda: now)

    def put(self, name="nightly", expression="cron(0 3 * * ? *)", **more):
        return self.schedules.put(name, spec(expression, **more), "ann")[0]

    def held(self, name):
        """What the scheduler has of a schedule."""
        try:
            place = {"GroupName": self.group, "Name": name_in_group(self.namespace, name)}
            return self.client.get_schedule(**place)
        except self.client.exceptions.ResourceNotFoundException:
            return None

    def agrees(self, name="nightly") -> bool:
        """Whether the scheduler has what the table says."""
        wanted, held = self.schedules.state(name).schedule, self.held(name)
        if wanted is None or held is None:
            return wanted is None and held is None
        return (
            held["ScheduleExpression"] == wanted.expression
            and held["State"] == ("ENABLED" if wanted.enabled else "DISABLED")
            and json.loads(held["Target"]["Input"])["output"] == wanted.job["output"]
        )


@pytest.fixture
def house(aws, table_name):
    return House(aws, table_name)


def test_a_schedule_reaches_the_scheduler_whole(house):
    house.put(
        "rate", "rate(5 minutes)", timezone="Europe/Berlin", version="v2", description="Scores"
    )
    house.reconciler().reconcile("rate")
    held = house.held("rate")
    assert (held["ScheduleExpression"], held["ScheduleExpressionTimezone"], held["State"]) == (
        "rate(5 minutes)",
        "Europe/Berlin",
        "ENABLED",
    )
    assert held["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert held["Description"] == f"{house.namespace}/rate: Scores"
    assert held["StartDate"] == datetime(2026, 11, 24, 12, 5, tzinfo=UTC)
    target = held["Target"]
    assert (target["Arn"], target["RoleArn"], target["DeadLetterConfig"]["Arn"]) == (
        house.target.function_arn,
        house.target.role_arn,
        house.target.failures_arn,
    )
    assert json.loads(target["Input"]) == {
        "model": "m",
        "input": "s3://b/{yyyy}.csv",
        "output": "s3://b/out/",
        "version": "v2",
        "schedule": "rate",
        "scheduled_time": "<aws.scheduler.scheduled-time>",
        "timezone": "Europe/Berlin",
    }
    settled = house.schedules.get("rate")
    assert (settled.applied, settled.refusal) == (settled.revision, None)


@pytest.mark.parametrize("expression", ["rate(5 minutes)", "cron(0 3 * * ? *)"])
def test_a_process_without_time_zones_brings_a_schedule_to_the_scheduler(house, expression):
    """The dispatch function has no time zones: here none of this name."""
    house.put("far", expression, timezone="Mars/Olympus")
    house.reconciler().reconcile("far")
    assert house.held("far")["ScheduleExpressionTimezone"] == "Mars/Olympus"


def test_a_schedule_that_is_settled_is_not_written_again(house):
    house.put("rate", "rate(5 minutes)")
    house.reconciler().reconcile("rate")
    writes = []
    house.reconciler(before=writes.append, now=NOW + 3600 * 10**6).reconcile("rate")
    assert writes == ["get_schedule"]


def test_a_settled_record_has_no_outbox_that_would_start_over(house):
    house.put()
    assert "outbox" in house.table.get(f"SCHEDULE#{house.namespace}#nightly", "SCHEDULE")
    house.reconciler().reconcile("nightly")
    assert "outbox" not in house.table.get(f"SCHEDULE#{house.namespace}#nightly", "SCHEDULE")


def test_changing_what_is_not_the_rate_keeps_its_phase(house):
    house.put("rate", "rate(1 hour)")
    house.reconciler().reconcile("rate")
    house.schedules = Schedules(house.table, house.namespace, lambda: NOW + 25 * 60 * 10**6)
    house.put("rate", "rate(1 hour)", output="s3://b/elsewhere/")
    house.reconciler(now=NOW + 25 * 60 * 10**6).reconcile("rate")
    assert house.held("rate")["StartDate"].minute == 0
    house.put("rate", "rate(2 hours)")
    house.reconciler(now=NOW + 25 * 60 * 10**6).reconcile("rate")
    assert house.held("rate")["StartDate"].minute == 25


STEPS = st.lists(
    st.sampled_from(["put a", "put b", "off", "delete", "deliver", "deliver twice"]), max_size=9
)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_deliveries_in_any_order_and_number_end_in_the_tables_state(house, steps):
    name = f"s{uuid.uuid4().hex[:8]}"
    for step in steps:
        match step:
            case "delete":
                if house.schedules.state(name).schedule:
                    house.schedules.delete(name, "ann")
            case "deliver" | "deliver twice":
                for _ in step.split():
                    house.reconciler().reconcile(name)
            case _:
                house.put(name, output=f"s3://b/{step[-1]}/", enabled=step != "off")
    house.reconciler().reconcile(name)
    assert house.agrees(name)
    state = house.schedules.state(name)
    assert state.schedule is None or state.schedule.applied == state.revision


@pytest.mark.parametrize("change", ["put", "delete"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_change_in_the_middle_of_a_delivery_is_not_overwritten_by_the_older_state(
    house, change, when, existing
):
    """The older state is written last, by a slow process; the process itself then mends it."""
    if existing:
        house.put(output="s3://b/first/")
        house.reconciler().reconcile("nightly")
    house.put(output="s3://b/old/")
    left = [1]

    def once(operation):
        if operation in ("create_schedule", "update_schedule") and left:
            left.pop()
            house.put(output="s3://b/new/") if change == "put" else house.schedules.delete(
                "nightly", "ann"
            )
            house.reconciler().reconcile("nightly")

    house.reconciler(**{when: once}).reconcile("nightly")
    assert not left
    assert house.agrees()


def test_two_puts_and_a_delete_at_once_end_in_the_tables_state(house):
    """Every writer's record is delivered by a process of its own, all at the same moment."""
    for round_ in range(10):
        name, start = f"race-{round_}", threading.Barrier(3)
        house.put(name, output="s3://b/first/")
        refused = []

        def act(number, name=name, start=start, refused=refused):
            start.wait()
            try:
                if number:
                    house.put(name, output=f"s3://b/{number}/")
                else:
                    house.schedules.delete(name, "ann")
            except (Conflict, NotFound) as error:
                refused.append(error)
            house.reconciler().reconcile(name)

        threads = [threading.Thread(target=act, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) < 3
        assert house.agrees(name)


def refusing(code):
    """A scheduler that refuses what it is asked to write."""

    def before(operation):
        if operation != "get_schedule":
            raise ClientError({"Error": {"Code": code, "Message": "Invalid Expression"}}, operation)

    return before


def test_what_the_scheduler_refuses_is_noted_on_the_schedule(house):
    house.put()
    house.reconciler(before=refusing("ValidationException")).reconcile("nightly")
    assert house.schedules.get("nightly").refusal == "ValidationException: Invalid Expression"
    house.put()
    house.reconciler().reconcile("nightly")
    assert house.schedules.get("nightly").refusal is None
    assert house.agrees()


def test_a_scheduler_that_is_down_is_tried_again_later(house):
    house.put()
    with pytest.raises(ClientError):
        house.reconciler(before=refusing("ThrottlingException")).reconcile("nightly")
    assert "outbox" in house.table.get(f"SCHEDULE#{house.namespace}#nightly", "SCHEDULE")
    house.reconciler().reconcile("nightly")
    assert house.agrees()


def test_of_changes_made_from_the_same_revision_one_wins(house):
    first = house.put()
    changed = spec(output="s3://b/1/", expected_revision=first.revision)
    house.schedules.put("nightly", changed, "ann")
    with pytest.raises(Conflict) as refused:
        house.schedules.put("nightly", changed, "ann")
    assert refused.value.code == "schedule_changed"
    with pytest.raises(Conflict):
        house.schedules.put("nightly", spec(expected_revision=0), "ann")
    house.schedules.put("other", spec(expected_revision=0), "ann")


def test_racing_changes_of_one_revision_never_overwrite_one_another(house):
    revision = house.put().revision
    start, won, lost = threading.Barrier(8), [], []

    def change(number):
        start.wait()
        try:
            wanted = spec(output=f"s3://b/{number}/", expected_revision=revision)
            won.append(house.schedules.put("nightly", wanted, "ann")[0])
        except Conflict as error:
            lost.append(error.code)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == ["schedule_changed"] * 7
    assert house.schedules.get("nightly") == won[0]


def test_a_revision_is_never_used_twice_even_after_a_deletion(house):
    house.put()
    house.schedules.delete("nightly", "ann")
    with pytest.raises(NotFound):
        house.schedules.get("nightly")
    assert house.put().revision == 3


def test_somebody_elses_schedule_is_not_changed_without_the_right_to(house):
    house.put()
    with pytest.raises(Forbidden):
        house.schedules.put("nightly", spec(), "bob")
    with pytest.raises(Forbidden):
        house.schedules.delete("nightly", "bob")
    changed, created = house.schedules.put("nightly", spec(), "bob", any_owner=True)
    assert (created, changed.created_by, changed.updated_by) == (False, "ann", "bob")
    house.schedules.delete("nightly", "bob", any_owner=True)
