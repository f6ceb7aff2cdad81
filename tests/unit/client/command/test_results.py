"""What a person sees of drift reports and schedules, and what is sent for a model file."""

from __future__ import annotations

import base64
import json

import httpx
import pytest
from typer.testing import CliRunner

from neuralstream_client.command.app import app

WINDOW = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z"}


def series(feature, status, psi):
    rate = {"reference": None, "current": 0.25, "status": "ok"}
    fields = dict.fromkeys(("threshold", "alert_threshold", "threshold_set_by", "js", "ks"))
    return fields | {
        "feature": feature,
        "kind": "feature",
        "type": "number",
        "status": status,
        "sentence": "",
        "severity": "none",
        "reasons": [],
        "n_reference": 10,
        "n_current": 20,
        "psi": psi,
        "missing": rate,
        "unknown": rate,
        "bins": [],
    }


@pytest.fixture
def sent():
    """Requests that the commands of a test sent."""
    return []


@pytest.fixture
def run(sent):
    """``run(answer, *words)`` → the lines of standard output of a command that did not fail."""

    def call(answer, *words):
        def respond(request):
            sent.append(request)
            return httpx.Response(200, json=answer)

        http = httpx.Client(transport=httpx.MockTransport(respond))
        ended = CliRunner().invoke(app, [*words, "--url", "http://stack"], obj=http)
        assert ended.exit_code == 0, ended.output
        return ended.stdout.splitlines()

    return call


def test_drift_is_a_sentence_then_a_table_with_the_worst_first(run, sent):
    report = {
        "model": "m",
        "version": "v1",
        "window": WINDOW,
        "status": "drift",
        "summary": "Two of five series drifted.",
        "rows": 20,
        "failed": 0,
        "error_rate": 0.0,
        "lost": 0,
        "alpha": 0.01,
        "series": [
            series("calm", "ok", 0.01),
            series("unknown", "no_reference", None),
            series("worse", "drift", 0.4),
            series("odd", "warning", 0.9),
            series("worst", "drift", 0.5),
        ],
    }
    first, _, _, *rows = run(report, "drift", "m", "--window", "24h")
    assert first == "Two of five series drifted."
    assert [row.split()[0] for row in rows] == ["worst", "worse", "odd", "calm", "unknown"]
    assert rows[0].split()[1:] == ["drift", "0.500", "–", "20", "25.0", "%"]
    assert sent[0].url.params["window"] == "24h"


def test_a_schedule_shows_its_state_and_its_last_runs(run):
    schedule = {
        "model": "m",
        "input": "s3://b/i.csv",
        "output": "s3://b/o/",
        "name": "nightly",
        "expression": "rate(1 day)",
        "timezone": "UTC",
        "enabled": False,
        "revision": 1,
        "state": "active",
        "runs": [{"scheduled_time": WINDOW["start"], "job_id": "job_1", "status": "FAILED"}],
        **dict.fromkeys(("created_at", "updated_at"), WINDOW["start"]),
        **dict.fromkeys(("created_by", "updated_by"), "me"),
    }
    first, *_, last = run(schedule, "schedules", "show", "nightly")
    assert first == "nightly: m, rate(1 day) UTC, disabled"
    assert last.split() == ["2026-01-01", "00:00Z", "FAILED", "job_1"]


VERSION = {
    "model": "m",
    "version": "v1",
    "status": "READY",
    "stage": "staging",
    "format": "linear",
    "digest": "",
    "size": 1,
    "features": ["users:age"],
    "inputs": [],
    "feature_views": {},
    "missing": "null",
    "metrics": {},
    "params": {},
    "lineage": {},
    "description": "",
    "tags": {},
    "created_at": WINDOW["start"],
    "created_by": "me",
    **dict.fromkeys(("reason", "signature", "check", "profile")),
}


def test_log_sends_the_file_its_rows_to_check_and_what_describes_it(run, sent, tmp_path):
    model = tmp_path / "model.npz"
    model.write_bytes(b"weights")
    check = tmp_path / "check.csv"
    check.write_text("age,users:size,prediction\n4,1.5,1\n,2,0\n")
    words = ["--features", "users:age,users:size", "--missing", "null", "--check", str(check)]
    words += ["--metric", "auc=0.9", "--param", "depth=3", "--tag", "team=risk"]
    assert run(VERSION, "models", "log", "m", str(model), *words) == ["m v1 is READY"]
    body = json.loads(sent[0].content)
    assert base64.b64decode(body.pop("artifact_base64")) == b"weights"
    assert body == {
        "format": "linear",
        "features": ["users:age", "users:size"],
        "missing": "null",
        "metrics": {"auc": 0.9},
        "params": {"depth": 3},
        "tags": {"team": "risk"},
        "description": "",
        "check": {
            "inputs": [{"age": 4, "users:size": 1.5}, {"age": None, "users:size": 2}],
            "expected": {"prediction": [1, 0]},
        },
    }
