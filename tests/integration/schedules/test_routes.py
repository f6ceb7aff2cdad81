"""Schedules over API Gateway events, and what their deliveries start."""

from __future__ import annotations

import json

import pytest

from neuralstream_core.registry.events import EventKind
from tests.support.batch_function import Function
from tests.support.jobs import JobHouse, by, linear

NIGHT = "2026-11-24T02:00:00Z"


class Caller:
    """The routes of schedules, on a house with the model ``sum`` in production."""

    def __init__(self, house: JobHouse) -> None:
        house.users(3)
        self.house, self.function = house, Function(house)
        self.bucket = house.settings.data_bucket

    def body(self, **more):
        return {
            "model": "sum",
            "input": f"s3://{self.bucket}/jobs/in/{{yyyy}}/{{mm}}/{{dd}}.csv",
            "output": f"s3://{self.bucket}/jobs/out/{{yyyy}}-{{mm}}-{{dd}}/",
            "expression": "cron(0 3 * * ? *)",
            "timezone": "Europe/Berlin",
            **more,
        }

    def put(self, name="nightly", *, principal="ann", scopes="predict", **more):
        body = {key: value for key, value in self.body(**more).items() if value is not ...}
        return self.function(
            "PUT /schedules/{name}", {"name": name}, body, principal=principal, scopes=scopes
        )

    def get(self, name="nightly"):
        return self.function("GET /schedules/{name}", {"name": name})

    def list(self, **query):
        return self.function("GET /schedules", query=query)

    def delete(self, name="nightly", **more):
        return self.function("DELETE /schedules/{name}", {"name": name}, **more)

    def delivery(self, name="nightly", scheduled_time=NIGHT, **more):
        """What EventBridge Scheduler delivers for a schedule as `body` asks for it."""
        job = {key: self.body(**more)[key] for key in ("model", "input", "output")}
        return {
            **job,
            "schedule": name,
            "scheduled_time": scheduled_time,
            "timezone": "Europe/Berlin",
        }

    def deliver(self, *args, **more):
        return self.function.deliver(self.delivery(*args, **more))


@pytest.fixture
def caller(job_house):
    return Caller(job_house)


def test_a_schedule_is_created_read_changed_and_deleted(caller):
    status, made = caller.put(description="Every night")
    assert (status, made["name"], made["revision"], made["state"]) == (201, "nightly", 1, "pending")
    assert (made["created_by"], made["enabled"], made["description"]) == (
        "ann",
        True,
        "Every night",
    )
    assert made["last_run"] is None
    assert caller.get() == (200, made)
    status, changed = caller.put(enabled=False, expression="rate(2 hours)")
    assert (status, changed["revision"], changed["next_run"]) == (200, 2, None)
    assert changed["created_at"] == made["created_at"]
    assert "description" not in changed or changed["description"] is None
    assert caller.delete() == (200, {"name": "nightly", "status": "deleted"})
    for gone in (caller.get(), caller.delete()):
        assert (gone[0], gone[1]["code"]) == (404, "schedule_not_found")
    assert caller.list() == (200, {"schedules": [], "next_token": None})


def test_the_next_run_is_local_and_says_which_files_it_takes(caller):
    _, made = caller.put(expression="cron(30 0 1 1 ? 2099)", timezone="Asia/Kolkata")
    assert made["next_run"] == {
        "scheduled_time": "2098-12-31T19:00:00Z",
        "input": f"s3://{caller.bucket}/jobs/in/2099/01/01.csv",
        "output": f"s3://{caller.bucket}/jobs/out/2099-01-01/",
    }


def test_several_schedules_of_a_model_are_listed_by_name_in_pages(caller):
    for name in ("c", "a", "b"):
        assert caller.put(name)[0] == 201
    _, page = caller.list(limit="2")
    _, rest = caller.list(limit="2", next_token=page["next_token"])
    listed = page["schedules"] + rest["schedules"]
    assert [each["name"] for each in listed] == ["a", "b", "c"]
    assert all(each["next_run"] for each in listed)
    assert rest["next_token"] is None
    query = {"next_token": "nonsense"}
    status, problem = caller.list(**query)
    assert (status, problem["code"]) == (422, "invalid_token")


@pytest.mark.parametrize(
    ("wrong", "status", "code", "loc"),
    [
        ({"expression": "cron(0 3 * * * *)"}, 422, "invalid_expression", "expression"),
        ({"expression": "every night"}, 422, "invalid_expression", "expression"),
        ({"expression": "cron(0 0 30 2 ? *)"}, 422, "invalid_expression", "expression"),
        ({"expression": "at(2020-01-01T00:00:00)"}, 422, "invalid_expression", "expression"),
        ({"expression": "x" * 257}, 422, "invalid", "expression"),
        ({"expression": ...}, 422, "invalid", "expression"),
        ({"timezone": "Berlin"}, 422, "unknown_timezone", "timezone"),
        ({"timezone": "\ud83d"}, 422, "invalid_json", "body"),
        ({"input": "s3://{dd}/a.csv"}, 422, "invalid_location", "input"),
        ({"input": "s3://elsewhere/{dd}.csv"}, 422, "bucket_not_allowed", "input"),
        ({"input": "in/{dd}.csv"}, 422, "invalid_location", "input"),
        ({"output": "s3://b/{day}/"}, 422, "unknown_placeholder", "output"),
        ({"output": "s3://b/<aws.scheduler.execution-id>/"}, 422, "invalid_location", "output"),
        ({"enabled": "yes"}, 422, "invalid", "enabled"),
        ({"version": "one"}, 422, "invalid", "version"),
        ({"no_such": 1}, 422, "invalid", "no_such"),
        ({"model": "nobody"}, 404, "model_not_found", None),
        ({"version": "v9"}, 404, "version_not_found", None),
        ({"expected_revision": 3}, 409, "schedule_changed", None),
    ],
)
def test_a_wrong_schedule_is_refused_with_its_place_and_not_kept(caller, wrong, status, code, loc):
    found, problem = caller.put(**wrong)
    assert (found, problem["code"]) == (status, code), problem
    if loc is not None:
        assert [error["loc"] for error in problem["errors"]] == [loc]
    assert caller.get()[0] == 404


def test_an_input_whose_format_nobody_can_tell_is_refused(caller):
    status, problem = caller.put(input=f"s3://{caller.bucket}/jobs/in/{{yyyy}}.{{mm}}")
    assert (status, problem["code"]) == (422, "unknown_format")
    assert caller.put(input=f"s3://{caller.bucket}/jobs/in/{{yyyy}}", input_format="csv")[0] == 201


@pytest.mark.parametrize("place", ["input", "output"])
def test_places_of_the_stacks_own_bucket_that_jobs_may_not_use_are_refused(caller, place):
    status, problem = caller.put(**{place: f"s3://{caller.bucket}/artifacts/{{dd}}.csv"})
    assert (status, problem["code"]) == (422, "prefix_reserved")
    assert [error["loc"] for error in problem["errors"]] == [place]


def test_a_run_belongs_to_who_created_the_schedule(caller):
    """Whoever changed it since."""
    caller.put()
    caller.put(principal="bob", scopes="predict models:write", description="Bob's words")
    caller.house.put("in/2026/11/24.csv", "entity_id\nu1\n")
    job_id = caller.deliver()["job_id"]
    for principal, listed, status in (("ann", [job_id], 200), ("bob", [], 404)):
        _, page = caller.function("GET /jobs", principal=principal)
        assert [job["job_id"] for job in page["jobs"]] == listed
        path = {"job_id": job_id}
        assert caller.function("GET /jobs/{job_id}", path, principal=principal)[0] == status


def test_a_run_is_one_job_even_when_somebody_else_owns_the_schedule_by_then(caller):
    caller.put()
    caller.house.put("in/2026/11/24.csv", "entity_id\nu1\n")
    first = caller.deliver()
    caller.delete()
    caller.put(principal="bob")
    assert caller.deliver() == first
    assert caller.function("GET /jobs", principal="bob")[1]["jobs"] == []


def test_a_run_that_was_started_is_no_failure_of_its_model_when_its_file_is_gone_later(caller):
    caller.put()
    source = caller.house.put("in/2026/11/24.csv", "entity_id\nu1\n")
    first = caller.deliver()
    bucket, _, key = source.removeprefix("s3://").partition("/")
    caller.house.s3.delete_object(Bucket=bucket, Key=key)
    assert caller.deliver() == first
    events = caller.house.registry.events("sum").records
    assert EventKind.BATCH_FAILED not in {event.kind for event in events}


def test_a_name_that_is_none_is_refused(caller):
    status, problem = caller.put("a b")
    assert (status, problem["errors"][0]["loc"]) == (422, "path.name")


def test_only_its_principal_or_an_owner_of_models_changes_a_schedule(caller):
    caller.put()
    for refused in (caller.put(principal="bob"), caller.delete(principal="bob")):
        assert (refused[0], refused[1]["code"]) == (403, "not_owner")
    wide = {"principal": "bob", "scopes": "predict models:write"}
    status, changed = caller.put(**wide)
    assert (status, changed["created_by"], changed["updated_by"]) == (200, "ann", "bob")
    assert caller.delete(**wide)[0] == 200


def test_a_delivery_starts_the_job_of_its_scheduled_day_once(caller):
    """03:00 in Berlin is 02:00 UTC; delivered late and twice, it is the same run."""
    caller.put()
    source = caller.house.put("in/2026/11/24.csv", "entity_id\nu1\n")
    first = caller.deliver()
    assert first["status"] == "PENDING"
    assert caller.deliver() == first
    _, job = caller.function("GET /jobs/{job_id}", {"job_id": first["job_id"]})
    assert (job["input"], job["created_by"], job["schedule"], job["scheduled_time"]) == (
        source,
        "ann",
        "nightly",
        NIGHT,
    )
    assert job["output"] == f"s3://{caller.bucket}/jobs/out/2026-11-24/{first['job_id']}/"
    item = caller.house.table.get(f"JOB#jobs#{first['job_id']}", "JOB")
    assert item["outbox"] == {"kind": "start_job", "job_id": first["job_id"], "job": "predict"}
    _, page = caller.function("GET /jobs")
    assert [each["job_id"] for each in page["jobs"]] == [first["job_id"]]


def test_a_schedule_tells_its_last_runs_and_how_their_jobs_ended(caller):
    caller.put()
    for day in ("22", "23", "24"):
        caller.house.put(f"in/2026/11/{day}.csv", "entity_id\nu1\n")
        job = caller.deliver(scheduled_time=f"2026-11-{day}T02:00:00Z")
        if day != "24":
            chunks = caller.house.chunks(caller.house.task("plan", job["job_id"]))
        if day == "22":
            caller.house.task("chunk", job["job_id"], chunk=chunks[0])
            caller.house.task("finish", job["job_id"])
    _, schedule = caller.get()
    assert [(run["scheduled_time"], run["status"]) for run in schedule["runs"]] == [
        ("2026-11-24T02:00:00Z", "PENDING"),
        ("2026-11-23T02:00:00Z", "RUNNING"),
        ("2026-11-22T02:00:00Z", "SUCCEEDED"),
    ]
    assert schedule["last_run"] == schedule["runs"][0]
    _, page = caller.list()
    assert page["schedules"][0]["last_run"] == schedule["last_run"]
    assert page["schedules"][0]["runs"] == []


def test_runs_are_shown_to_their_owner_and_to_keys_that_monitor_and_to_nobody_else(caller):
    caller.put()
    caller.deliver()  # fails: there is no such file
    path = {"name": "nightly"}
    for principal, scopes, seen in (
        ("ann", "predict", True),
        ("bob", "predict", False),
        ("bob", "predict monitoring", True),
    ):
        who = {"principal": principal, "scopes": scopes}
        _, one = caller.function("GET /schedules/{name}", path, **who)
        _, page = caller.function("GET /schedules", **who)
        assert one["name"] == page["schedules"][0]["name"] == "nightly"
        assert len(one["runs"]) == seen, who
        for schedule in (one, page["schedules"][0]):
            assert (schedule["last_run"] is not None) is seen, who


def test_changing_anothers_schedule_does_not_show_its_runs(caller):
    caller.put()
    caller.deliver()
    _, changed = caller.put(principal="bob", scopes="predict models:write", description="Bob's")
    assert (changed["created_by"], changed["runs"], changed["last_run"]) == ("ann", [], None)


def refused_run(caller, code):
    answer = caller.deliver()
    assert answer["status"] == "FAILED"
    assert caller.deliver() == answer
    _, schedule = caller.get()
    assert len(schedule["runs"]) == 1
    run = schedule["last_run"]
    assert (run["status"], run["failure"]["code"], run["job_id"]) == (
        "FAILED",
        code,
        answer["job_id"],
    )
    assert run["failure"]["detail"]
    _, job = caller.function("GET /jobs/{job_id}", {"job_id": answer["job_id"]})
    assert (job["status"], job["failure"]) == ("FAILED", run["failure"])
    item = caller.house.table.get(f"JOB#jobs#{answer['job_id']}", "JOB")
    assert "outbox" not in item


def test_a_run_whose_input_is_missing_is_a_failed_run_with_its_reason(caller):
    caller.put()
    refused_run(caller, "object_not_found")


def test_a_run_of_a_model_that_serves_nothing_is_a_failed_run_with_its_reason(caller):
    caller.house.register("idle", linear([1.0, 1.0]), ["user:a", "user:b"])
    caller.house.put("in/2026/11/24.csv", "entity_id\nu1\n")
    caller.put(model="idle")
    answer = caller.deliver(model="idle")
    assert answer["status"] == "FAILED"
    assert caller.get()[1]["last_run"]["failure"]["code"] == "no_production_version"


def test_a_run_of_a_pinned_version_that_was_withdrawn_is_a_failed_run(caller):
    caller.house.put("in/2026/11/24.csv", "entity_id\nu1\n")
    caller.put()
    event = {**caller.delivery(), "version": "v7"}
    assert caller.function.deliver(event)["status"] == "FAILED"
    assert caller.get()[1]["last_run"]["failure"]["code"] == "version_not_found"


@pytest.mark.parametrize("end", ["deleted", "disabled"])
def test_a_delivery_that_comes_after_the_end_of_its_schedule_starts_nothing(caller, end):
    caller.put()
    caller.house.put("in/2026/11/24.csv", "entity_id\nu1\n")
    if end == "deleted":
        caller.delete()
    else:
        caller.put(enabled=False)
    assert caller.deliver() == {"job_id": None, "status": "SKIPPED"}
    assert caller.function("GET /jobs")[1]["jobs"] == []


def test_a_rollback_of_the_model_does_not_stop_its_schedule(caller):
    caller.put()
    caller.house.put("in/2026/11/24.csv", "entity_id\nu1\n")
    caller.house.serve("sum", linear([2.0, 1.0]), ["user:a", "user:b"])
    caller.house.registry.rollback("sum", by())
    assert caller.deliver()["status"] == "PENDING"


def test_an_event_without_a_schedule_still_starts_a_job(caller):
    event = {
        "model": "sum",
        "input": caller.house.put("in/a.csv", "entity_id\nu1\n"),
        "output": f"s3://{caller.bucket}/jobs/out/",
        "idempotency_key": "once",
    }
    assert caller.function.deliver(event) == caller.function.deliver(event)
    dated = {**caller.body(), "scheduled_time": "2026-11-24T23:30:00Z"}
    del dated["expression"]
    source = caller.house.put("in/2026/11/25.csv", "entity_id\nu1\n")
    job_id = caller.function.deliver(dated)["job_id"]
    path, scopes = {"job_id": job_id}, "predict monitoring"
    _, job = caller.function("GET /jobs/{job_id}", path, scopes=scopes)
    assert (job["input"], job["schedule"], job["created_by"]) == (source, None, "schedule")


def test_the_events_of_the_repository_are_what_a_schedule_delivers(caller):
    from tests.support.template import ROOT

    event = json.loads((ROOT / "events" / "batch_predict_scheduled.json").read_text())
    event |= {key: caller.body()[key] for key in ("model", "input", "output")}
    caller.house.put("in/2026/11/23.csv", "entity_id\nu1\n")
    assert caller.function.deliver(event)["status"] == "PENDING"
