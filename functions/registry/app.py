"""Models, versions, promotion, split and lineage."""

from __future__ import annotations

import os
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Query

from neuralstream_core.errors import Invalid
from neuralstream_core.features.catalog import Catalog
from neuralstream_core.memory import function_memory
from neuralstream_core.monitoring.baseline import Adoptions, BaselineProfiler
from neuralstream_core.registry.answers import (
    ModelAnswer,
    ModelsAnswer,
    SplitAnswer,
    VersionAnswer,
    VersionsAnswer,
)
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.lineage import LineageAnswer, graph_of, lineage_of
from neuralstream_core.registry.openlineage import RunEvents, run_events
from neuralstream_core.registry.records import Stage
from neuralstream_core.registry.registrar import Registrar
from neuralstream_core.registry.registration import Baseline, Registration
from neuralstream_core.registry.registry import MAX_PAGE, Registry
from neuralstream_core.registry.requests import (
    ArchiveRequest,
    ModelEdit,
    PromoteRequest,
    RollbackRequest,
    SplitRequest,
    VersionEdit,
)
from neuralstream_core.settings import BucketSettings, TableSettings
from neuralstream_core.time import system_clock
from neuralstream_core.trial.process import ProcessValidator
from neuralstream_lambda.access import Scope
from neuralstream_lambda.arguments import NextToken, PathName, PathVersion
from neuralstream_lambda.resolver import Resolver, needs
from neuralstream_lambda.wiring import s3_client, table


class Settings(TableSettings, BucketSettings):
    """What the registry function reads."""


settings = Settings.from_env(os.environ)
app = Resolver("registry")
TAGS = ["registry"]

MAX_REGISTRATION = 6 * 1024 * 1024
"""Bytes of a registration or baseline: Lambda's own limit."""
UPLOAD = "announce the artifact by sha256 and size and upload it"
REFERENCE = "store the baseline as a file and name it by reference"
PAGE = "ask for a smaller page with limit"
_ANSWER_SECONDS = 1.0
"""Kept back of the invocation's time, so that giving up still answers."""

Limit: TypeAlias = Annotated[int, Query(ge=1, le=MAX_PAGE)]
TagFilter: TypeAlias = Annotated[
    str | None, Query(min_length=1, max_length=400, description="`key` or `key:value`")
]
StageFilter: TypeAlias = Annotated[Stage | None, Query()]
LineageFormat: TypeAlias = Annotated[Literal["json", "openlineage"], Query()]


@cache
def registry() -> Registry:
    return Registry(table(settings), settings.namespace, system_clock)


@cache
def registrar() -> Registrar:
    artifacts = ArtifactStore(s3_client(), settings.data_bucket)
    catalog = Catalog(table(settings), settings.namespace, system_clock)
    return Registrar(
        registry(),
        artifacts,
        catalog,
        ProcessValidator(shared=function_memory(os.environ)),
        BaselineProfiler(artifacts),
    )


def by() -> Issuer:
    key = app.current_event.headers.get("idempotency-key")
    if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Invalid.at("header.idempotency-key", "must be 1 to 255 printable ASCII characters")
    return Issuer(app.caller.principal, key, lambda: app.remaining_seconds - _ANSWER_SECONDS)


def tag_of(text: str | None) -> tuple[str, str | None] | None:
    if text is None:
        return None
    key, found, value = text.partition(":")
    return key, value if found else None


@app.get("/models", tags=TAGS, **needs(Scope.MODELS_READ, smaller_answer=PAGE))
def list_models(
    limit: Limit = 50, next_token: NextToken = None, tag: TagFilter = None
) -> ModelsAnswer:
    """List models by name."""
    page = registry().models(tag=tag_of(tag), limit=limit, token=next_token)
    return ModelsAnswer.of(page)


@app.get("/models/<name>", tags=TAGS, **needs(Scope.MODELS_READ))
def get_model(name: PathName) -> ModelAnswer:
    """Get a model."""
    return ModelAnswer.of(registry().model(name))


@app.patch("/models/<name>", tags=TAGS, **needs(Scope.MODELS_WRITE))
def edit_model(name: PathName, body: ModelEdit) -> ModelAnswer:
    """Edit a model's description, tags and promotion gates."""
    return ModelAnswer.of(registry().edit_model(name, body, by()).model)


@app.post(
    "/models/<name>/versions",
    tags=TAGS,
    status_code=201,
    **needs(Scope.MODELS_WRITE, max_body=MAX_REGISTRATION, smaller_body=UPLOAD),
)
def register(name: PathName, body: Registration) -> VersionAnswer:
    """Register a version: with its artifact, or to be uploaded; a `check` is run before it is READY."""
    return VersionAnswer.of_registered(registrar().register(name, body, by()))


@app.get("/models/<name>/versions", tags=TAGS, **needs(Scope.MODELS_READ, smaller_answer=PAGE))
def list_versions(
    name: PathName,
    limit: Limit = 50,
    next_token: NextToken = None,
    tag: TagFilter = None,
    stage: StageFilter = None,
) -> VersionsAnswer:
    """List versions, the newest first."""
    page = registry().versions(
        name,
        stage=stage,
        tag=tag_of(tag),
        limit=limit,
        token=next_token,
    )
    return VersionsAnswer.of(name, page)


@app.get("/models/<name>/versions/<version>", tags=TAGS, **needs(Scope.MODELS_READ))
def get_version(name: PathName, version: PathVersion) -> VersionAnswer:
    """Get a version."""
    return VersionAnswer.of(registry().version(name, version))


@app.patch("/models/<name>/versions/<version>", tags=TAGS, **needs(Scope.MODELS_WRITE))
def edit_version(name: PathName, version: PathVersion, body: VersionEdit) -> VersionAnswer:
    """Edit a version's description and tags."""
    registry().edit_version(name, version, body, by())
    return VersionAnswer.of(registry().version(name, version))


@app.post("/models/<name>/versions/<version>/complete", tags=TAGS, **needs(Scope.MODELS_WRITE))
def complete(name: PathName, version: PathVersion) -> VersionAnswer:
    """Validate an uploaded artifact; the version is READY or REJECTED afterwards."""
    return VersionAnswer.of(registrar().complete(name, version, by()))


@app.post("/models/<name>/versions/<version>/archive", tags=TAGS, **needs(Scope.MODELS_WRITE))
def archive(
    name: PathName, version: PathVersion, body: ArchiveRequest | None = None
) -> VersionAnswer:
    """Archive a version that serves no traffic."""
    reason = (body or ArchiveRequest()).reason
    registry().archive(name, version, by(), reason=reason)
    return VersionAnswer.of(registry().version(name, version))


@app.post(
    "/models/<name>/versions/<version>/baseline",
    tags=TAGS,
    **needs(Scope.MODELS_WRITE, max_body=MAX_REGISTRATION, smaller_body=REFERENCE),
)
def adopt_baseline(name: PathName, version: PathVersion, body: Baseline) -> VersionAnswer:
    """Give a version its baseline for drift, or another one; or let it adopt its next rows."""
    if body.production_rows is not None:
        adopting = registry().version(name, version)
        Adoptions(table(settings), settings.namespace, system_clock).request(
            adopting, body.production_rows, app.caller.principal
        )
        return VersionAnswer.of(adopting)
    return VersionAnswer.of(registrar().adopt_baseline(name, version, body, by()))


@app.get("/models/<name>/lineage", tags=TAGS, **needs(Scope.MODELS_READ, smaller_answer=PAGE))
def lineage(
    name: PathName,
    limit: Limit = 100,
    next_token: NextToken = None,
    next_events_token: NextToken = None,
    format: LineageFormat = "json",  # noqa: A002 - the name of the query parameter
) -> LineageAnswer | RunEvents:
    """What each version was made from, and what happened since."""
    versions = registry().versions(name, limit=limit, token=next_token, newest_first=False)
    events = registry().events(name, limit=limit, token=next_events_token)
    tokens: dict[str, Any] = {
        "next_token": versions.next_token,
        "next_events_token": events.next_token,
    }
    if format == "openlineage":
        runs = run_events(settings.namespace, name, versions.records, events.records)
        return RunEvents(events=runs, **tokens)
    made = [lineage_of(version) for version in versions.records]
    return LineageAnswer(
        model=name,
        versions=made,
        events=events.records,
        graph=graph_of(name, made),
        **tokens,
    )


@app.post("/models/<name>/promote/<version>", tags=TAGS, **needs(Scope.MODELS_WRITE))
def promote(
    name: PathName, version: PathVersion, body: PromoteRequest | None = None
) -> ModelAnswer:
    """Put a version, also an archived one, into production, or take it back to staging."""
    body = body or PromoteRequest()
    if body.stage == "staging":
        done = registry().restore(name, version, by(), reason=body.reason)
    else:
        done = registry().promote(
            name,
            version,
            by(),
            reason=body.reason,
            expected_production=body.expected,
        )
    return ModelAnswer.of(done.model)


@app.post("/models/<name>/rollback", tags=TAGS, **needs(Scope.MODELS_WRITE))
def rollback(name: PathName, body: RollbackRequest | None = None) -> ModelAnswer:
    """Return to the former production version."""
    body = body or RollbackRequest()
    done = registry().rollback(name, by(), reason=body.reason, expected_production=body.expected)
    return ModelAnswer.of(done.model)


@app.post("/models/<name>/ab-split", tags=TAGS, **needs(Scope.MODELS_WRITE))
def set_split(name: PathName, body: SplitRequest) -> SplitAnswer:
    """Share the traffic between versions."""
    done = registry().set_split(name, body.split, by(), reason=body.reason)
    return SplitAnswer.of(done.model)


@app.get("/models/<name>/ab-split", tags=TAGS, **needs(Scope.MODELS_READ))
def get_split(name: PathName) -> SplitAnswer:
    """How the traffic is shared."""
    return SplitAnswer.of(registry().model(name))


@app.delete("/models/<name>/ab-split", tags=TAGS, **needs(Scope.MODELS_WRITE))
def end_split(name: PathName) -> SplitAnswer:
    """Send all traffic to the production version again."""
    return SplitAnswer.of(registry().end_split(name, by()).model)


lambda_handler = app.handler
