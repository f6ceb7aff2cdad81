"""The laptop's own checks among those of the health function."""

from __future__ import annotations

import json

import pytest

from neuralstream_local.health import checks_of, with_checks
from neuralstream_local.http_server import Response

WELL = {"worker": "ok", "queues": "ok", "streams": "ok", "schedules": "ok"}


def report(kind, ok):
    return {"kind": kind, "name": kind, "ok": ok, "failures": 0, "error": None}


def answer(redis="ok"):
    """What the function answers."""
    body = {
        "status": "ok" if redis == "ok" else "degraded",
        "checks": {"redis": redis, "registry": "ok"},
        "version": "1",
    }
    headers = [("content-type", "application/json")]
    if redis != "ok":
        headers.append(("retry-after", "5"))
    return Response(200 if redis == "ok" else 503, json.dumps(body).encode(), headers)


def test_a_kind_is_well_while_all_its_sources_are():
    reports = [report("queue", True), report("stream", True), report("stream", False)]
    assert checks_of(reports) == WELL | {"streams": "unavailable"}


def test_without_an_answer_of_the_worker_all_that_it_runs_is_unavailable():
    assert checks_of(None) == dict.fromkeys(WELL, "unavailable")


@pytest.mark.parametrize("redis", ["ok", "unavailable"])
@pytest.mark.parametrize("worker", ["ok", "unavailable"])
def test_every_check_decides_the_status(redis, worker):
    merged = with_checks(answer(redis), WELL | {"worker": worker})
    body = json.loads(merged.body)
    well = redis == worker == "ok"
    assert body["checks"] == {"redis": redis, "registry": "ok"} | WELL | {"worker": worker}
    assert (merged.status, body["status"]) == ((200, "ok") if well else (503, "degraded"))
    assert [v for n, v in merged.headers if n == "retry-after"] == ([] if well else ["5"])


def test_an_answer_that_is_not_the_functions_stays_as_it_is():
    for status, body in ((500, b"{}"), (503, b'{"message": "Service Unavailable"}')):
        refused = Response(status, body)
        assert with_checks(refused, WELL) is refused
