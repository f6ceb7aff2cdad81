"""A check over HTTP: the stored artifact must reproduce it before the version is READY."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.support import artifacts
from tests.support.stack import RunningStack, request

from .test_routes import Caller

ROWS = [{"age": 1.0, "size": 2}, {"age": -0.5, "size": 10}]
RIGHT = {"inputs": ROWS, "expected": {"prediction": [6.0, 19.0]}, "tolerance": 1e-6}
WRONG = RIGHT | {"expected": {"prediction": [6.0, 19.5]}}


@pytest.fixture
def caller(stack: RunningStack) -> Caller:
    return Caller(stack)


def announced(caller: Caller, check: Any) -> dict[str, Any]:
    """Announce an upload with a check, and upload it."""
    data = artifacts.double_sum()
    body = {
        "format": "onnx",
        "artifact": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)},
        "features": caller.features,
        "check": check,
    }
    pending: dict[str, Any] = caller.about("POST", "/versions", body)
    upload = pending["upload"]
    origin, path = upload["url"].split("/", 3)[:3], upload["url"].split("/", 3)[3]
    sent = request("/".join(origin), upload["method"], f"/{path}", data, upload["headers"])
    assert sent.status == 200
    return pending


def test_a_version_tells_what_its_check_found(caller: Caller) -> None:
    made = caller.about(
        "POST",
        "/versions",
        caller.registration(artifacts.double_sum(), format="onnx", check=RIGHT),
    )
    assert made["status"] == "READY"
    found = caller.about("GET", "/versions/v1")["check"]
    assert (found["rows"], found["tolerance"], found["max_difference"]) == (2, 1e-6, 0.0)
    assert len(found["digest"]) == 64


def test_a_check_that_fails_names_the_row_and_registers_nothing(caller: Caller) -> None:
    body = caller.registration(artifacts.double_sum(), format="onnx", check=WRONG)
    problem = caller.refused(422, "POST", "/versions", body)
    assert problem["code"] == "check_failed"
    assert problem["errors"] == [
        {"loc": "check.expected.prediction.1", "msg": "expected 19.5, got 19"}
    ]
    assert caller.refused(404, "GET", "")["code"] == "model_not_found"


def test_an_uploaded_artifact_is_held_against_the_check_of_its_announcement(
    caller: Caller,
) -> None:
    announced(caller, RIGHT)
    ready = caller.about("POST", "/versions/v1/complete")
    assert (ready["status"], ready["check"]["rows"]) == ("READY", 2)

    announced(caller, WRONG)
    problem = caller.refused(422, "POST", "/versions/v2/complete")
    assert problem["code"] == "check_failed"
    assert "row 1: prediction expected 19.5, got 19" in problem["detail"]
    again = caller.refused(422, "POST", "/versions/v2/complete")
    assert (again["code"], again["detail"]) == (problem["code"], problem["detail"])
    rejected = caller.about("GET", "/versions/v2")
    assert (rejected["status"], rejected["check"]) == ("REJECTED", None)


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"features": []}, "body"),
        ({"check": RIGHT | {"inputs": ROWS[:1]}}, "check"),
        ({"check": RIGHT | {"inputs": ROWS * 600}}, "check.inputs"),
        ({"check": RIGHT | {"tolerance": 2.0}}, "check.tolerance"),
        ({"kind": "oracle"}, "kind"),
        ({"classes": ["a", "a"]}, "body"),
        ({"classes": ["a"]}, "classes"),
        ({"outputs": ["not a name"]}, "outputs.0"),
    ],
    ids=[
        "no features",
        "fewer rows",
        "many rows",
        "tolerance",
        "kind",
        "same class",
        "one class",
        "name",
    ],
)
def test_a_bad_declaration_is_refused_at_its_place(
    caller: Caller, change: dict[str, Any], loc: str
) -> None:
    problem = caller.refused(422, "POST", "/versions", caller.registration(**change))
    assert problem["errors"][0]["loc"].startswith(loc), problem
