"""Parts of the laptop stack die while it is used: they come back, and both terminal and health say so."""

from __future__ import annotations

import http.client
import json
import signal
import threading

import pytest

from tests.support.poll import eventually
from tests.support.run import all_gone, free_pair, running
from tests.support.stack import request
from tests.support.stack_jobs import finished, serve, submit

VIEW = {"entity": "id", "features": [{"name": "n", "dtype": "int64"}]}
KILLS = 10
TOLD = (
    "the worker does not answer",
    "the worker answers again",
    "the worker ended unexpectedly; started again where it was",
)


@pytest.fixture(scope="module")
def run():
    """A run of this module's own, whose parts are killed."""
    with running(PORT=str(free_pair()), EXAMPLE="none") as own:
        own.ready()
        yield own
        children = own.descendants()
        assert own.end(signal.SIGINT) == 0
        assert eventually(lambda: all_gone(children))
        assert "Traceback" not in own.output


def health(run):
    """The checks that are not ok; ``None``: the gateway does not answer."""
    try:
        answer = run.request("GET", "/health")
    except (OSError, http.client.HTTPException):
        return None
    body = answer.json()
    bad = {name for name, state in body["checks"].items() if state != "ok"}
    assert (answer.status, body["status"]) == ((503, "degraded") if bad else (200, "ok"))
    return bad


def well(run):
    return lambda: health(run) == set()


class Writers:
    """Threads that write a new entity each time and remember what was acknowledged."""

    def __init__(self, url, view):
        self.url, self.view = url, view
        self.acknowledged = {}
        self.others = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(i,)) for i in range(3)]
        for thread in self._threads:
            thread.start()

    def _work(self, me):
        number = 0
        while not self._stop.is_set():
            number += 1
            entity = f"{me}-{number}"
            row = {"feature_view": self.view, "entity_id": entity, "features": {"n": number}}
            answer = request(self.url, "POST", "/features/write", row)
            if answer.status == 200:
                self.acknowledged[entity] = number
            elif answer.status != 503:
                self.others.append((answer.status, answer.data))

    def more(self):
        wanted = len(self.acknowledged) + 20
        return lambda: len(self.acknowledged) >= wanted

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def read(url, view, entities):
    found = {}
    for at in range(0, len(entities), 1000):
        body = {"feature_view": view, "entity_ids": entities[at : at + 1000]}
        answer = request(url, "POST", "/features/batch", body)
        assert answer.status == 200, answer.data
        found |= {r["entity_id"]: r["features"]["n"] for r in answer.json()["results"]}
    return found


def test_redis_killed_ten_times_under_load_comes_back_with_every_acknowledged_write(run):
    assert run.request("PUT", "/features/views/kept", VIEW).status == 201
    eventually(well(run))
    seen, over = set(), threading.Event()

    def watch():
        while not over.is_set():
            seen.update(health(run) or ())

    watcher = threading.Thread(target=watch)
    watcher.start()
    writers = Writers(run.url, "kept")
    try:
        for kill in range(KILLS):
            eventually(writers.more())
            run.child("redis-server").kill()
            told = "Redis ended unexpectedly; started again with everything"
            eventually(lambda: run.output.count(told) == kill + 1)  # noqa: B023
        eventually(writers.more())
    finally:
        writers.stop()
        over.set()
        watcher.join()
    eventually(well(run))

    assert not writers.others
    assert "redis" in seen, "health said so while it was down"
    acknowledged = dict(writers.acknowledged)
    assert len(acknowledged) > 20 * KILLS
    assert read(run.url, "kept", list(acknowledged)) == acknowledged


def test_a_worker_that_hangs_or_dies_shows_in_health_and_on_the_terminal(run):
    worker = run.child("neuralstream_local.worker")
    hung, again, died = map(run.output.count, TOLD)
    worker.suspend()
    everything = {"worker", "queues", "streams", "schedules"}
    eventually(lambda: health(run) == everything)
    eventually(lambda: run.output.count(TOLD[0]) > hung)
    worker.resume()
    eventually(well(run))
    eventually(lambda: run.output.count(TOLD[1]) > again)

    worker.kill()
    eventually(lambda: run.output.count(TOLD[2]) > died)
    eventually(well(run))
    assert run.child("neuralstream_local.worker").pid != worker.pid


def test_a_worker_that_goes_on_hanging_is_killed_and_started_again(run):
    worker = run.child("neuralstream_local.worker")
    worker.suspend()
    told = "the worker did not answer for 15 s and was killed; started again where it was"
    eventually(lambda: told in run.output)
    eventually(well(run))
    assert run.child("neuralstream_local.worker").pid != worker.pid
    assert all_gone([worker])


def test_a_write_that_was_queued_while_the_worker_was_dead_is_still_done(run):
    assert run.request("PUT", "/features/views/later", VIEW).status == 201
    run.child("neuralstream_local.worker").kill()
    sqs = run.client("sqs")
    rows = [{"entity_id": f"e{i}", "features": {"n": i}} for i in range(20)]
    url = sqs.get_queue_url(QueueName="neuralstream-local-IngestQueue")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"feature_view": "later", "rows": rows}))
    eventually(lambda: read(run.url, "later", ["e19"]) == {"e19": 19})
    eventually(well(run))


def test_a_job_whose_worker_dies_under_it_still_ends_with_all_its_rows(run):
    model = serve(run, 50)
    ids = [f"u{i % 50}" for i in range(100_000)]
    data = ("entity_id\n" + "\n".join(ids) + "\n").encode()
    job_id = submit(run, model, f"jobs/in/{model}.csv", data)

    def begun():
        job = run.request("GET", f"/jobs/{job_id}").json()
        assert job["status"] in {"PENDING", "RUNNING"}, job
        return job["status"] == "RUNNING"

    eventually(begun, every=0.01)
    run.child("neuralstream_local.worker").kill()
    job = finished(run, job_id)
    assert (job["status"], job["outcome"]["rows"]) == ("SUCCEEDED", 100_000), job
    eventually(well(run))


def test_a_gateway_that_dies_answers_again_on_its_port(run):
    gateway = run.child("neuralstream_local.gateway")
    gateway.kill()
    told = "the gateway ended unexpectedly; started again on its port"
    eventually(lambda: told in run.output)
    eventually(well(run))
    assert run.child("neuralstream_local.gateway").pid != gateway.pid
