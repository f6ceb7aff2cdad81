"""Lineage as OpenLineage, from bare records."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from neuralstream_core.registry.events import EventKind, EventRecord
from neuralstream_core.registry.lineage import Lineage, graph_of, lineage_of
from neuralstream_core.registry.openlineage import run_events
from neuralstream_core.registry.records import (
    FeatureRef,
    Format,
    HeldView,
    Stage,
    VersionRecord,
    VersionStatus,
)

SCHEMA = Path(__file__).parents[2] / "data" / "openlineage-run-event.json"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = st.text(min_size=1, max_size=20).filter(lambda t: t.isprintable())


def version(name: str = "v1", **more: Any) -> VersionRecord:
    return VersionRecord(
        model="m",
        version=name,
        status=more.pop("status", VersionStatus.READY),
        stage=Stage.STAGING,
        format=Format.ONNX,
        digest="0" * 64,
        size=1,
        created_at=NOW,
        created_by="ada",
        **more,
    )


def validate(events: list[dict[str, Any]]) -> None:
    checker = jsonschema.FormatChecker(formats=())
    checker.checks("uuid", ValueError)(lambda text: bool(uuid.UUID(text)))
    checker.checks("date-time", ValueError)(lambda text: bool(datetime.fromisoformat(text).tzinfo))
    checker.checks("uri")(lambda text: ":" in text[1:] and text.isascii() and " " not in text)
    validator = jsonschema.Draft202012Validator(
        json.loads(SCHEMA.read_text()), format_checker=checker
    )
    for event in events:
        validator.validate(event)


LINEAGES = st.fixed_dictionaries(
    {},
    optional={
        "dataset": st.fixed_dictionaries({"name": TEXT}, optional={"digest": TEXT, "uri": TEXT}),
        "code": st.dictionaries(st.sampled_from(["repo", "commit", "path"]), TEXT, min_size=1),
        "run_id": TEXT,
        "parents": st.lists(st.sampled_from(["v1", "other@v3"]), unique=True),
    },
)


@given(LINEAGES, st.sampled_from(VersionStatus))
def test_whatever_the_lineage_its_run_events_are_valid(
    given_lineage: dict[str, Any], status: VersionStatus
) -> None:
    lineage = Lineage.model_validate(given_lineage).model_dump(mode="json", exclude_defaults=True)
    made = version(
        status=status,
        lineage=lineage,
        features=(FeatureRef(view="users", feature="age"),),
        feature_views={"users": HeldView(schema_version=3, generation="g")},
    )
    events = run_events("ns", "m", [made], [])
    validate(events)
    ends = {
        VersionStatus.READY: ["COMPLETE"],
        VersionStatus.REJECTED: ["FAIL"],
        VersionStatus.PENDING_UPLOAD: [],
    }
    assert [e["eventType"] for e in events] == ["START", *ends[status]]
    assert run_events("ns", "m", [made], []) == events

    graph = graph_of("m", [lineage_of(made)])
    ids = [node.id for node in graph.nodes]
    assert {edge.target for edge in graph.edges} | {"m@v1"} == set(ids)


@pytest.mark.parametrize(
    ("code", "node"),
    [
        ({"repo": "git@acme:models", "commit": "abc"}, "git@acme:models@abc"),
        ({"repo": "git@acme:models"}, "git@acme:models"),
        ({"commit": "abc"}, "@abc"),
        ({"path": "train.py"}, "train.py"),
    ],
)
def test_code_is_whatever_is_known_of_it(code: dict[str, str], node: str) -> None:
    made = version(lineage={"code": Lineage.model_validate({"code": code}).model_dump()["code"]})

    ids = [found.id for found in graph_of("m", [lineage_of(made)]).nodes if found.kind == "code"]
    assert ids == [node]
    validate(run_events("ns", "m", [made], []))


def test_code_of_which_nothing_is_known_is_refused() -> None:
    with pytest.raises(ValidationError, match="give repo, commit or path"):
        Lineage.model_validate({"code": {}})


@given(
    st.sampled_from(EventKind),
    st.fixed_dictionaries(
        {},
        optional={
            "job_id": TEXT,
            "input": TEXT | st.just("s3://lake/in.csv"),
            "output": TEXT | st.none() | st.just("s3://lake/out/"),
            "versions": st.dictionaries(st.sampled_from(["v1", "v2"]), st.integers(0, 9)),
        },
    ),
    st.none() | st.just("v1"),
)
def test_whatever_happened_its_run_events_are_valid(
    kind: EventKind, data: dict[str, Any], named: str | None
) -> None:
    event = EventRecord(revision=3, kind=kind, version=named, at=NOW, actor="ada", data=data)

    validate(run_events("ns", "m", [], [event]))


def test_a_batch_job_is_a_run_that_reads_the_versions_it_used() -> None:
    data = {
        "job_id": "job-1",
        "input": "s3://lake/in.csv",
        "output": "s3://lake/out/job-1/",
        "versions": {"v1": 90, "v2": 10},
    }
    ended = EventRecord(
        revision=9,
        kind=EventKind.BATCH_FINISHED,
        at=NOW + timedelta(hours=1),
        actor="ada",
        data=data,
    )
    promoted = ended.model_copy(update={"kind": EventKind.PROMOTED, "revision": 8})

    start, end = run_events("ns", "m", [], [promoted, ended])

    validate([start, end])
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"] == end["run"]
    assert [(d["namespace"], d["name"]) for d in end["inputs"]] == [
        ("neuralstream://ns", "models/m/v1"),
        ("neuralstream://ns", "models/m/v2"),
        ("s3://lake", "in.csv"),
    ]
    assert end["outputs"] == [{"namespace": "s3://lake", "name": "out/job-1/"}]
