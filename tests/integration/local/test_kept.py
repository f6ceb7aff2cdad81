"""A run that was killed leaves its data to the next one on its port; Ctrl-C leaves nothing."""

from __future__ import annotations

import signal

import pytest

from neuralstream_local.children import ROOT
from neuralstream_local.laptop import HISTORY_TABLE
from tests.support.poll import eventually
from tests.support.run import all_gone, free_pair, running
from tests.support.stack_jobs import BUCKET, finished, serve, submit

ROWS = 100_000


@pytest.fixture
def port():
    return free_pair()


def folder(port):
    return ROOT / ".run" / f"data-{port}"


def killed(run):
    """End it without a chance to end its parts; what waits until they are gone too."""
    children = run.descendants()
    run.process.kill()
    return lambda: eventually(lambda: all_gone(children))


def history(run):
    """The entries of the log, by place."""
    items = run.client("dynamodb").scan(TableName=HISTORY_TABLE)["Items"]
    logged = [item for item in items if item["PK"]["S"].startswith("LOG#")]
    return {(item["PK"]["S"], item["SK"]["S"]): item["data"]["B"] for item in logged}


def test_a_run_after_a_kill_serves_what_was_acknowledged_and_ends_the_job_that_ran(port):
    with running(PORT=str(port), EXAMPLE="none") as first:
        first.ready()
        model = serve(first, 50)
        predicted = first.request("POST", f"/predict/{model}", {"entity_id": "u7"}).json()
        schedule = {
            "model": model,
            "input": f"s3://{BUCKET}/jobs/in/{model}.csv",
            "output": f"s3://{BUCKET}/jobs/out/",
            "expression": "rate(1 day)",
        }
        assert first.request("PUT", "/schedules/nightly", schedule).status == 201
        assert first.request("PUT", "/schedules/dropped", schedule).status == 201
        assert first.request("DELETE", "/schedules/dropped").status == 200
        schedules = first.client("scheduler")
        names = {"neuralstream-default-nightly"}

        def scheduled(client):
            pages = client.list_schedules()["Schedules"]
            return {s["Name"] for s in pages if "nightly" in s["Name"] or "dropped" in s["Name"]}

        eventually(lambda: len(scheduled(schedules)) == 1)
        names = scheduled(schedules)
        ids = [f"u{i % 50}" for i in range(ROWS)]
        data = ("entity_id\n" + "\n".join(ids) + "\n").encode()
        job_id = submit(first, model, f"jobs/in/{model}.csv", data)
        eventually(
            lambda: first.request("GET", f"/jobs/{job_id}").json()["status"] == "RUNNING",
            every=0.01,
        )
        gone = killed(first)

    with running(PORT=str(port), EXAMPLE="none") as second:  # at once, on the same port
        second.ready()
        assert gone()
        assert "as the run before left it" in second.output
        again = second.request("POST", f"/predict/{model}", {"entity_id": "u7"}).json()
        assert (again["prediction"], again["version"]) == (predicted["prediction"], "v1")
        row = second.request("GET", f"/features/{model}/u9").json()
        assert row["features"] == {"a": 9.0, "b": 18.0}
        events = second.request("GET", f"/models/{model}/lineage").json()["events"]
        assert {event["kind"] for event in events} >= {"registered", "promoted"}
        assert scheduled(second.client("scheduler")) == names
        job = finished(second, job_id)
        assert (job["status"], job["outcome"]["rows"]) == ("SUCCEEDED", ROWS), job
        children = second.descendants()
        assert second.end(signal.SIGINT) == 0
        assert eventually(lambda: all_gone(children))
    assert not folder(port).exists()


def test_keep_leaves_the_data_after_ctrl_c_too_but_a_start_that_was_killed_leaves_nothing(port):
    with running(PORT=str(port), EXAMPLE="none", KEEP="on") as first:
        first.ready()
        model = serve(first, 1)
        written = history(first)
        assert len(written) == 1
        assert first.end(signal.SIGINT) == 0
    with running(PORT=str(port), EXAMPLE="none") as second:
        second.ready()
        assert second.request("GET", f"/features/{model}/u0").status == 200
        assert history(second) == written
        killed(second)()
    (folder(port) / "loaded").unlink()  # as if it had been killed before it had loaded everything
    with running(PORT=str(port), EXAMPLE="none") as third:
        third.ready()
        assert third.request("GET", f"/features/{model}/u0").status == 404
        children = third.descendants()
        assert third.end(signal.SIGTERM) == 0
        assert eventually(lambda: all_gone(children))
    assert not folder(port).exists()
