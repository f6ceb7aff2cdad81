"""The registry over HTTP, on the whole laptop stack: what a caller sends and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.support import artifacts
from tests.support.calling import Caller
from tests.support.stack import request


def test_from_registration_to_production_and_back(caller: Caller) -> None:
    first = caller.register(metrics={"auc": 0.7}, params={"depth": 3.0}, tags={"team": "risk"})
    assert first["version"] == "v1"
    assert (first["status"], first["stage"]) == ("READY", "staging")
    assert first["features"] == caller.features
    assert first["signature"]["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 2]}]
    assert first["params"] == {"depth": 3.0}
    caller.register()

    assert caller.about("POST", "/promote/v1")["production_version"] == "v1"
    split = caller.about("POST", "/ab-split", {"split": {"v1": 0.9, "v2": 0.1}})
    assert split["split"] == {"v1": 0.9, "v2": 0.1}
    body = {"reason": "better", "expected_production": "v1"}
    promoted = caller.about("POST", "/promote/v2", body)
    assert (promoted["production_version"], promoted["ab_split"]) == ("v2", None)
    assert caller.about("GET", "/versions/v1")["stage"] == "archived"
    assert caller.refused(409, "POST", "/promote/v1", body)["code"] == "production_changed"

    assert caller.about("POST", "/rollback", {"reason": "worse"})["production_version"] == "v1"
    assert caller.about("GET", "/versions/v2")["stage"] == "archived"
    assert caller.about("POST", "/promote/v2", {"stage": "staging"})["production_version"] == "v1"
    assert [v["version"] for v in caller.about("GET", "/versions?stage=staging")["versions"]] == [
        "v2"
    ]
    assert caller.about("POST", "/versions/v2/archive")["stage"] == "archived"

    events = caller.about("GET", "/lineage")["events"]
    kinds = ["registered", "registered", "promoted", "split_set", "promoted"]
    assert [e["kind"] for e in events] == [*kinds, "rolled_back", "restored", "archived"]
    assert {e["actor"] for e in events} == {"local"}
    assert [e["reason"] for e in events if e["reason"]] == ["better", "worse"]


def test_a_large_artifact_is_uploaded_and_completed(caller: Caller) -> None:
    data = artifacts.double_sum()
    announced = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    body = {"format": "onnx", "artifact": announced, "features": caller.features}
    pending = caller.about("POST", "/versions", body | {"baseline": {"columns": {"age": [1, 2]}}})
    assert (pending["version"], pending["status"]) == ("v1", "PENDING_UPLOAD")
    assert caller.refused(409, "POST", "/versions/v1/complete")["code"] == "upload_missing"
    assert caller.refused(409, "POST", "/promote/v1")["code"] == "not_ready"

    _send(pending["upload"], data)
    ready = caller.about("POST", "/versions/v1/complete")

    assert (ready["status"], ready["digest"]) == ("READY", announced["sha256"])
    assert ready["profile"]
    assert caller.about("POST", "/versions/v1/complete") == ready


def test_an_upload_of_other_bytes_is_rejected_with_the_reason(caller: Caller) -> None:
    data = artifacts.double_sum()
    announced = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    pending = caller.about("POST", "/versions", {"format": "onnx", "artifact": announced})
    _send(pending["upload"], data[:-1] + b"?")

    problem = caller.refused(422, "POST", "/versions/v1/complete")

    assert problem["code"] == "artifact_rejected"
    assert announced["sha256"] in problem["detail"]
    found = caller.about("GET", "/versions/v1")
    assert (found["status"], found["reason"] in problem["detail"]) == ("REJECTED", True)
    assert caller.refused(422, "POST", "/versions/v1/complete")["detail"] == problem["detail"]


def _send(upload: dict[str, Any], data: bytes) -> None:
    origin, path = upload["url"].split("/", 3)[:3], upload["url"].split("/", 3)[3]
    reply = request("/".join(origin), upload["method"], f"/{path}", data, upload["headers"])
    assert reply.status == 200


def test_an_idempotency_key_makes_a_repeated_request_the_same_request(caller: Caller) -> None:
    body = caller.registration()
    first = caller.about("POST", "/versions", body, idempotency_key="one")
    again = caller.about("POST", "/versions", body, idempotency_key="one")
    assert again == first
    other = caller.registration(description="other")
    problem = caller.refused(422, "POST", "/versions", other, idempotency_key="one")
    assert problem["code"] == "idempotency_key_reused"
    assert caller.about("POST", "/versions", body, idempotency_key="two")["version"] == "v2"
    for _ in range(2):
        done = caller.about("POST", "/promote/v1", idempotency_key="one")
        assert done["production_version"] == "v1"
    caller.refused(422, "POST", "/rollback", idempotency_key="x" * 256)


def test_a_promotion_that_misses_a_gate_is_refused_with_the_numbers(caller: Caller) -> None:
    caller.register(metrics={"auc": 0.65})
    gates = {"metrics.auc": {"min": 0.7}, "metrics.latency": {"max": 5}}
    caller.about("PATCH", "", {"require": gates})

    problem = caller.refused(409, "POST", "/promote/v1")

    assert problem["code"] == "gate_not_met"
    assert "metrics.auc is 0.65, at least 0.7 is required" in problem["detail"]
    assert "metrics.latency was not recorded" in problem["detail"]
    caller.about("PATCH", "", {"require": {"metrics.auc": {"min": 0.6}}})
    assert caller.about("POST", "/promote/v1")["production_version"] == "v1"


def test_a_model_says_which_predictions_are_kept(caller: Caller) -> None:
    caller.register()
    assert caller.about("GET", "")["log"] == {"sample": 1.0, "features": False, "jobs": False}

    edited = caller.about("PATCH", "", {"log": {"sample": 0.25, "features": True}})

    kept = {"sample": 0.25, "features": True, "jobs": False}
    assert edited["log"] == caller.about("GET", "")["log"] == kept
    (event,) = (e for e in caller.about("GET", "/lineage")["events"] if e["kind"] == "edited")
    assert event["data"]["log"] == kept


def test_a_view_can_be_deleted_once_no_version_needs_it(caller: Caller) -> None:
    caller.register()
    reply = caller.send("DELETE", f"/features/views/{caller.view}")
    assert (reply.status, reply.json()["code"]) == (409, "view_in_use")

    caller.about("POST", "/versions/v1/archive", {"reason": "retired"})

    assert caller.send("DELETE", f"/features/views/{caller.view}").status < 300
    problem = caller.refused(409, "POST", "/promote/v1", {"stage": "staging"})
    assert problem["code"] == "view_deleted"


def test_descriptions_and_tags_can_be_edited_and_filtered_by(caller: Caller) -> None:
    for n in range(5):
        caller.register(tags={"parity": str(n % 2), "n": str(n)})
    caller.about("PATCH", "", {"description": "a model", "tags": {"owner": caller.model}})
    edited = caller.about(
        "PATCH", "/versions/v1", {"description": "first", "tags": {"parity": "1"}}
    )
    assert (edited["description"], edited["tags"]) == ("first", {"parity": "1"})

    found = caller.ok("GET", f"/models?tag=owner:{caller.model}")["models"]
    assert [(m["name"], m["description"]) for m in found] == [(caller.model, "a model")]
    assert caller.ok("GET", f"/models?prefix={caller.model[:-1]}")["models"] == found
    assert caller.ok("GET", f"/models?prefix={caller.model}x")["models"] == []
    names, token = [], ""
    while token is not None:
        page = caller.about(
            "GET", f"/versions?tag=parity:1&limit=2{token and '&next_token='}{quote(token)}"
        )
        assert len(page["versions"]) <= 2
        names += [v["version"] for v in page["versions"]]
        token = page["next_token"]
    assert names == ["v4", "v2", "v1"]


def test_a_baseline_can_come_later_and_from_a_file(caller: Caller) -> None:
    caller.register()
    s3 = caller.stack.client("s3")
    key = f"baselines/{caller.model}.csv"
    rows = "\n".join(f"{n},{n % 3},ignored,{n / 2}" for n in range(50))
    s3.put_object(
        Bucket="neuralstream-local-data",
        Key=key,
        Body=f"age,size,other,prediction\n{rows}\n".encode(),
    )
    reference = {"reference": f"s3://neuralstream-local-data/{key}"}
    adopted = caller.about("POST", "/versions/v1/baseline", reference)
    columns = {
        "columns": {"age": list(range(50)), f"{caller.view}:size": [n % 3 for n in range(50)]}
    }
    inline = columns | {"prediction": [n / 2 for n in range(50)]}
    assert adopted["profile"]
    assert caller.about("POST", "/versions/v1/baseline", inline)["profile"] == adopted["profile"]

    for bad, word in (
        ({"reference": "s3://elsewhere/x.csv"}, "data bucket"),
        ({"reference": reference["reference"] + ".missing"}, "no such object"),
        ({"columns": {"weight": [1]}}, "not a feature"),
        ({}, "either columns or reference"),
    ):
        assert word in caller.refused(422, "POST", "/versions/v1/baseline", bad)["detail"]


BAD: dict[str, tuple[int, Callable[[Caller], Any], str]] = {
    "no artifact": (422, lambda _: {"format": "onnx"}, "body"),
    "not base64": (422, lambda c: c.registration() | {"artifact_base64": "%%"}, "artifact_base64"),
    "a pickle": (422, lambda c: c.registration(b"\x80\x04K\x01."), ""),
    "a format that runs code": (422, lambda c: c.registration() | {"format": "pickle"}, "format"),
    "an unknown feature": (422, lambda c: c.registration(features=[f"{c.view}:x"]), "features.0"),
    "an unknown view": (422, lambda c: c.registration(features=["nowhere:x"]), "features.0"),
    "a feature twice": (422, lambda c: c.registration(features=c.features[:1] * 2), "body"),
    "a metric that is no number": (
        422,
        lambda c: c.registration(metrics={"auc": "x"}),
        "metrics.auc",
    ),
    "params too large": (422, lambda c: c.registration(params={"x": "y" * 20_000}), "params"),
    "an unknown parent": (
        422,
        lambda c: c.registration(lineage={"parents": ["v7"]}),
        "lineage.parents.0",
    ),
    "missing=default without": (422, lambda c: c.registration(missing="default"), "features.0"),
    "a field nobody knows": (422, lambda c: c.registration(nonsense=1), "nonsense"),
    "an upload beyond the limit": (
        413,
        lambda _: {"format": "onnx", "artifact": {"sha256": "0" * 64, "size": 2**40}},
        "",
    ),
    "not JSON": (422, lambda _: "{", "body"),
    "no body": (422, lambda _: None, "body"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_registration_is_refused_at_its_place_and_registers_nothing(
    caller: Caller, name: str
) -> None:
    status, body, place = BAD[name]
    problem = caller.refused(status, "POST", "/versions", body(caller))
    if place:
        assert place in [error["loc"] for error in problem["errors"]]
    assert caller.refused(404, "GET", "")["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("status", "method", "path", "body"),
    [
        (404, "POST", "/promote/v9", None),
        (422, "POST", "/promote/latest", None),
        (422, "POST", "/promote/v1", {"stage": "archived"}),
        (409, "POST", "/rollback", None),
        (422, "POST", "/ab-split", {"split": {"v1": 0.5}}),
        (422, "POST", "/ab-split", {"split": {"v1": 1.5, "v2": -0.5}}),
        (422, "POST", "/ab-split", {"split": {}}),
        (422, "POST", "/ab-split", None),
        (404, "POST", "/ab-split", {"split": {"v1": 0.5, "v9": 0.5}}),
        (409, "DELETE", "/ab-split", None),
        (404, "GET", "/versions/v9", None),
        (404, "POST", "/versions/v9/complete", None),
        (422, "GET", "/versions?limit=0", None),
        (422, "GET", "/versions?stage=live", None),
        (422, "GET", "/versions?next_token=e30", None),
        (422, "GET", "/versions?next_token=%00", None),
        (422, "GET", "/lineage?format=xml", None),
        (422, "PATCH", "", {"require": {"auc": {"min": 1}}}),
        (422, "PATCH", "", {"require": {"metrics.auc": {"minimum": 1}}}),
        (422, "PATCH", "", {"require": {"metrics.auc": {}}}),
        (422, "PATCH", "", {"log": {"sample": 1.5}}),
        (422, "PATCH", "", {"log": {"sample": 0.5, "rows": True}}),
        (422, "PATCH", "", {}),
        (422, "PATCH", "/versions/v1", {"stage": "production"}),
        (422, "PATCH", "", {"description": "x" * 3000}),
    ],
)
def test_a_bad_request_is_a_designed_problem(
    registered: Caller, status: int, method: str, path: str, body: Any
) -> None:
    problem = registered.refused(status, method, path, body)
    assert problem["status"] == status
    assert "Traceback" not in json.dumps(problem)
