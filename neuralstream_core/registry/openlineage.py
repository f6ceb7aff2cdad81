"""Lineage as OpenLineage run events (spec 2-0-2, https://openlineage.io/spec/2-0-2/OpenLineage.json).

A version is the output of a run of the job ``{model}.train``: START and COMPLETE (FAIL if its artifact
was rejected). A batch job is a run of ``{model}.predict`` that reads the versions and the input; its START
bears the time at which its end was recorded. Run ids are UUIDs derived from what they stand for, so the
same history always gives the same events.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field

from neuralstream_core import __version__
from neuralstream_core.registry.events import EventKind, EventRecord
from neuralstream_core.registry.lineage import lineage_of
from neuralstream_core.registry.records import VersionRecord, VersionStatus
from neuralstream_core.time import iso, to_micros
from neuralstream_core.types import Record, SchemaOf

__all__ = ["RunEvents", "run_events"]

PRODUCER: Final = f"urn:neuralstream:registry:{__version__}"
SCHEMA: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS: Final = "https://openlineage.io/spec/facets"
_IDS: Final = uuid.UUID("6f0e6a0e-7f5c-5d0c-9a52-0e2f5c1b7a11")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+\Z")
_BATCH: Final = {EventKind.BATCH_FINISHED: "COMPLETE", EventKind.BATCH_FAILED: "FAIL"}


class Run(Record):
    """A training run or a batch job."""

    run_id: str = Field(alias="runId", description="UUID, derived from what the run stands for")
    facets: dict[str, Any] = Field(default_factory=dict, description="facets by name")


class Job(Record):
    """What runs: ``{model}.train`` or ``{model}.predict``."""

    namespace: str = Field(description="`neuralstream://` and the stack's namespace")
    name: str = Field(description="`{model}.train` or `{model}.predict`")
    facets: dict[str, Any] = Field(default_factory=dict, description="facets by name")


class RunDataset(Record):
    """Data, a feature view or a model version that a run reads or writes."""

    namespace: str = Field(description="the stack's, or `s3://bucket`")
    name: str = Field(description="unique in its namespace")
    facets: dict[str, Any] = Field(default_factory=dict, description="facets by name")


class RunEvent(Record):
    """A RunEvent of OpenLineage 2-0-2."""

    event_time: AwareDatetime = Field(alias="eventTime", description="UTC")
    event_type: Literal["START", "COMPLETE", "FAIL"] = Field(
        alias="eventType", description="what became of the run"
    )
    producer: str = Field(description="this registry and its release, as a URI")
    schema_url: str = Field(alias="schemaURL", description="of the specification")
    run: Run = Field(description="which run")
    job: Job = Field(description="of which job")
    inputs: list[RunDataset] = Field(description="what it read")
    outputs: list[RunDataset] = Field(description="what it wrote")


class RunEvents(Record):
    """With ``format=openlineage``: the versions and events of one page as run events."""

    events: list[Annotated[dict[str, Any], SchemaOf(RunEvent)]] = Field(
        description="RunEvent objects of OpenLineage 2-0-2, in order of time"
    )
    next_token: str | None = Field(
        default=None, description="asks for the next page of versions; null on the last one"
    )
    next_events_token: str | None = Field(
        default=None, description="asks for the next page of events; null on the last one"
    )


def run_events(
    namespace: str,
    model: str,
    versions: Iterable[VersionRecord],
    events: Iterable[EventRecord],
) -> list[dict[str, Any]]:
    """One list of run events, in order of time."""
    found = [event for version in versions for event in _training(namespace, version)]
    for event in events:
        if event.kind in _BATCH:
            found += _batch(namespace, model, event)
    return sorted(found, key=lambda event: str(event["eventTime"]))


def _training(namespace: str, version: VersionRecord) -> Iterable[dict[str, Any]]:
    made = lineage_of(version)
    home = f"neuralstream://{namespace}"
    facts = _facet(
        "TrainingRunFacet",
        trainingRunId=made.run_id,
        params=made.params,
        metrics=made.metrics,
        parents=made.parents,
        featureServices=made.feature_services,
        roles=list(version.roles),
        createdBy=made.created_by,
    )
    run_id = _run_id(namespace, version.model, version.version)
    run = {"runId": run_id, "facets": {"neuralstream_training": facts}}
    job: dict[str, Any] = {"namespace": home, "name": f"{version.model}.train"}
    if made.code is not None:
        job["facets"] = _code(made.code)
    inputs = [_training_data(home, dataset) for dataset in made.datasets]
    for use in made.feature_views:
        types = {ref.feature: ref.dtype for ref in version.features if ref.view == use.view}
        fields = [{"name": name, "type": types[name]} for name in use.features]
        facets = {
            "version": _version(str(use.schema_version)),
            "schema": _standard("1-1-1/SchemaDatasetFacet", fields=fields),
        }
        inputs.append({"namespace": home, "name": f"features/{use.view}", "facets": facets})
    common = _event(version.created_at, run, job, inputs)
    yield {**common, "eventType": "START", "outputs": []}
    if version.status is VersionStatus.READY:
        yield {**common, "eventType": "COMPLETE", "outputs": [_model(home, version)]}
    elif version.status is VersionStatus.REJECTED:
        yield {**common, "eventType": "FAIL", "outputs": []}


def _batch(namespace: str, model: str, event: EventRecord) -> Iterable[dict[str, Any]]:
    home = f"neuralstream://{namespace}"
    job_id = str(event.data.get("job_id", event.revision))
    versions = event.data.get("versions") or ([event.version] if event.version else [])
    inputs = [{"namespace": home, "name": f"models/{model}/{version}"} for version in versions]
    if source := event.data.get("input"):
        inputs.append(_located(home, str(source)))
    target = event.data.get("output")
    outputs = [_located(home, str(target))] if target else []
    run = {"runId": _run_id(namespace, model, f"job {job_id}")}
    job = {"namespace": home, "name": f"{model}.predict"}
    common = {**_event(event.at, run, job, inputs), "outputs": outputs}
    yield {**common, "eventType": "START"}
    yield {**common, "eventType": _BATCH[event.kind]}


def _event(
    at: datetime, run: dict[str, Any], job: dict[str, Any], inputs: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the events of one run have in common."""
    return {
        "eventTime": iso(to_micros(at)),
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": run,
        "job": job,
        "inputs": inputs,
    }


def _model(home: str, version: VersionRecord) -> dict[str, Any]:
    facets = {"version": _version(f"sha256:{version.digest}")}
    if version.signature is not None:
        fields = [{"name": t.name, "type": t.datatype} for t in version.signature.outputs]
        facets["schema"] = _standard("1-1-1/SchemaDatasetFacet", fields=fields)
    name = f"models/{version.model}/{version.version}"
    return {"namespace": home, "name": name, "facets": facets}


def _training_data(home: str, dataset: dict[str, Any]) -> dict[str, Any]:
    uri = dataset.get("uri")
    found = _located(home, uri) if uri else {"namespace": home, "name": dataset["name"]}
    period = {"start": dataset.get("start"), "end": dataset.get("end")}
    facets = {"neuralstream_dataset": _facet("DatasetFacet", dataset=dataset["name"], **period)}
    if digest := dataset.get("digest"):
        facets["version"] = _version(digest)
    return {**found, "facets": facets}


def _located(home: str, uri: str) -> dict[str, Any]:
    """A dataset by the naming rules of the spec: ``s3://bucket`` is the namespace, the key the name."""
    scheme, found, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if not found or not key:
        return {"namespace": home, "name": uri}
    return {"namespace": f"{scheme}://{bucket}", "name": key}


def _code(code: dict[str, Any]) -> dict[str, Any]:
    repo = code.get("repo")
    if repo is None or not _URI.match(repo):  # the standard facet's url must be one
        return {"neuralstream_code": _facet("CodeFacet", **code)}
    more = {"version": code.get("commit"), "path": code.get("path")}
    given = {name: value for name, value in more.items() if value is not None}
    facet = _standard("1-0-1/SourceCodeLocationJobFacet", type="git", url=repo, **given)
    return {"sourceCodeLocation": facet}


def _version(value: str) -> dict[str, Any]:
    return _standard("1-0-1/DatasetVersionDatasetFacet", datasetVersion=value)


def _standard(path: str, **fields: Any) -> dict[str, Any]:
    url = f"{_FACETS}/{path}.json#/$defs/{path.rpartition('/')[2]}"
    return {"_producer": PRODUCER, "_schemaURL": url, **fields}


def _facet(kind: str, /, **fields: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"urn:neuralstream:facet:{kind}:1", **fields}


def _run_id(namespace: str, model: str, what: str) -> str:
    return str(uuid.uuid5(_IDS, f"{namespace} {model} {what}"))
