"""What a version was made from, over HTTP: the graph, OpenLineage, and the service of its features."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest

from tests.support import artifacts
from tests.support.calling import Caller

ROOT = Path(__file__).parents[3]
SCHEMA = Path(__file__).parents[2] / "data" / "openlineage-run-event.json"


def test_lineage_is_a_graph_and_valid_openlineage(caller: Caller) -> None:
    dataset = {"name": "flights", "digest": "sha256:ab", "uri": "s3://lake/flights/2013.parquet"}
    caller.register(
        lineage={
            "dataset": dataset | {"start": "2013-01-01T00:00:00Z", "end": "2013-07-01T00:00:00Z"},
            "code": {"repo": "https://github.com/acme/models", "commit": "abc123"},
            "run_id": "run 7",
            "notebook": "train.ipynb",
        },
        params={"depth": 3},
        metrics={"auc": 0.8},
    )
    caller.register(
        lineage={"parents": ["v1"], "dataset": dataset, "code": {"repo": "git@acme:models"}}
    )
    caller.about("POST", "/promote/v2")

    answer = caller.about("GET", "/lineage")
    _as_documented(answer)
    newest = caller.about("GET", "/lineage?order=newest&limit=2")
    assert [each["version"] for each in newest["versions"]] == ["v2", "v1"]
    assert newest["events"] == answer["events"][:0:-1]
    token = quote(newest["next_events_token"])
    older = caller.about("GET", f"/lineage?order=newest&limit=2&next_events_token={token}")
    assert older["events"] == answer["events"][:1]
    first = answer["versions"][0]
    assert first["datasets"][0]["digest"] == "sha256:ab"
    assert first["feature_views"] == [
        {"view": caller.view, "schema_version": 1, "features": ["age", "size"], "roles": []}
    ]
    assert first["feature_services"] == []
    assert first["further"] == {"notebook": "train.ipynb"}
    edges = {(e["source"], e["kind"], e["target"]) for e in answer["graph"]["edges"]}
    me = f"{caller.model}@v2"
    assert (me, "derived_from", f"{caller.model}@v1") in edges
    assert (me, "reads", f"{caller.view}#1") in edges
    assert (me, "trained_on", "flights@sha256:ab") in edges
    ids = [node["id"] for node in answer["graph"]["nodes"]]
    assert len(set(ids)) == len(ids)
    assert {e["source"] for e in answer["graph"]["edges"]} <= set(ids)
    assert {e["target"] for e in answer["graph"]["edges"]} <= set(ids)

    answer = caller.about("GET", "/lineage?format=openlineage")
    _as_documented(answer)
    assert set(answer) == {"events", "next_token", "next_events_token"}
    runs = answer["events"]
    validator = jsonschema.Draft202012Validator(
        json.loads(SCHEMA.read_text()), format_checker=_formats()
    )
    for run in runs:
        validator.validate(run)
    assert [run["eventType"] for run in runs] == ["START", "COMPLETE", "START", "COMPLETE"]
    assert runs[1]["outputs"][0]["name"] == f"models/{caller.model}/v1"
    assert {"namespace": "s3://lake", "name": "flights/2013.parquet"}.items() <= (
        runs[1]["inputs"][0].items()
    )
    assert runs[0]["run"] == runs[1]["run"]
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**runs[0], "producer": "not a uri"})


def test_a_version_says_which_service_named_its_features(caller: Caller) -> None:
    service = f"service-{uuid.uuid4().hex[:12]}"
    listed = [f"{caller.view}@buyer:age", f"{caller.view}@seller:age", f"{caller.view}@seller:size"]
    caller.ok("PUT", f"/feature-services/{service}", {"features": listed})
    data = base64.b64encode(artifacts.linear(3)).decode()
    body = {"format": "linear", "artifact_base64": data, "features": f"service:{service}@1"}
    version = caller.about("POST", "/versions", body)
    assert version["features"] == listed
    assert version["feature_services"] == [f"{service}@1"]
    assert [ref["role"] for ref in version["inputs"]] == ["buyer", "seller", "seller"]

    answer = caller.about("GET", "/lineage")
    _as_documented(answer)
    (made,) = answer["versions"]
    assert made["feature_services"] == [f"{service}@1"]
    (use,) = made["feature_views"]
    assert (use["features"], use["roles"]) == (["age", "size"], ["buyer", "seller"])
    me, node = f"{caller.model}@v1", f"service:{service}@1"
    assert {"id": node, "kind": "service"} in answer["graph"]["nodes"]
    assert {"source": me, "target": node, "kind": "named_by"} in answer["graph"]["edges"]

    start = caller.about("GET", "/lineage?format=openlineage")["events"][0]
    validator = jsonschema.Draft202012Validator(
        json.loads(SCHEMA.read_text()), format_checker=_formats()
    )
    validator.validate(start)
    facet = start["run"]["facets"]["neuralstream_training"]
    assert (facet["featureServices"], facet["roles"]) == ([f"{service}@1"], ["buyer", "seller"])
    (read,) = start["inputs"]
    assert [field["name"] for field in read["facets"]["schema"]["fields"]] == ["age", "size"]


def _as_documented(answer: Any) -> None:
    """Hold an answer of the lineage route against its schema in the OpenAPI document."""
    document = json.loads((ROOT / "functions/console/openapi.json").read_text())
    route = "paths/~1models~1%7Bname%7D~1lineage/get/responses/200"
    schema = {**document, "$ref": f"#/{route}/content/application~1json/schema"}
    jsonschema.Draft202012Validator(schema).validate(answer)


def _formats() -> jsonschema.FormatChecker:
    """The formats of the spec; the library checks uri and date-time only with extra packages."""
    checker = jsonschema.FormatChecker(formats=())
    checker.checks("uri", ValueError)(_is_uri)
    checker.checks("date-time", ValueError)(lambda text: bool(datetime.fromisoformat(text).tzinfo))
    checker.checks("uuid", ValueError)(lambda text: bool(uuid.UUID(text)))
    return checker


def _is_uri(text: str) -> bool:
    scheme, found, rest = text.partition(":")
    return bool(found and rest and scheme[0].isalpha() and " " not in text and text.isascii())
