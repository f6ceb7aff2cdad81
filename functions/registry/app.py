"""Models, versions, promotion, split and lineage."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from neuralstream_core.errors import Invalid
from neuralstream_core.features.catalog import Catalog
from neuralstream_core.memory import function_memory
from neuralstream_core.monitoring.adoption import Adoptions
from neuralstream_core.monitoring.baseline import BaselineProfiler
from neuralstream_core.registry.answers import (
    ArchiveRequest,
    LineageQuery,
    ModelAnswer,
    ModelPath,
    ModelsAnswer,
    ModelsQuery,
    PromoteRequest,
    RollbackRequest,
    SplitAnswer,
    SplitRequest,
    VersionAnswer,
    VersionPath,
    VersionsAnswer,
    VersionsQuery,
)
from neuralstream_core.registry.artifacts import ArtifactStore
from neuralstream_core.registry.issuer import Issuer
from neuralstream_core.registry.lineage import LineageAnswer, graph_of, lineage_of
from neuralstream_core.registry.openlineage import RunEvents, run_events
from neuralstream_core.registry.registrar import Registrar
from neuralstream_core.registry.registry import Registry
from neuralstream_core.registry.requests import Baseline, ModelEdit, Registration, VersionEdit
from neuralstream_core.registry.views import CatalogViews
from neuralstream_core.settings import BucketSettings, TableSettings
from neuralstream_core.time import system_clock
from neuralstream_core.trial.process import ProcessValidator
from neuralstream_lambda.api import Api, Caller
from neuralstream_lambda.scopes import Scope
from neuralstream_lambda.wiring import s3_client, table


class Settings(TableSettings, BucketSettings):
    """What the registry function reads."""


settings = Settings.from_env(os.environ)
api = Api("registry")

MAX_REGISTRATION = 6 * 1024 * 1024
"""Bytes of a registration or baseline: Lambda's own limit."""
UPLOAD = "announce the artifact by sha256 and size and upload it"
REFERENCE = "store the baseline as a file and name it by reference"
PAGE = "ask for a smaller page with limit"
_ANSWER_SECONDS = 1.0
"""Kept back of the invocation's time, so that giving up still answers."""


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
        CatalogViews(catalog),
        ProcessValidator(shared=function_memory(os.environ)),
        BaselineProfiler(artifacts),
    )


def by(caller: Caller) -> Issuer:
    key = caller.headers.get("idempotency-key")
    if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Invalid.at("header.idempotency-key", "must be 1 to 255 printable ASCII characters")
    return Issuer(caller.principal, key, lambda: caller.remaining_ms() / 1000 - _ANSWER_SECONDS)


def tag_of(text: str | None) -> tuple[str, str | None] | None:
    if text is None:
        return None
    key, found, value = text.partition(":")
    return key, value if found else None


@api.route("GET /models", Scope.MODELS_READ, smaller_answer=PAGE)
def list_models(query: ModelsQuery) -> ModelsAnswer:
    """List models by name."""
    page = registry().models(tag=tag_of(query.tag), limit=query.limit, token=query.next_token)
    return ModelsAnswer.of(page)


@api.route("GET /models/{name}", Scope.MODELS_READ)
def get_model(path: ModelPath) -> ModelAnswer:
    """Get a model."""
    return ModelAnswer.of(registry().model(path.name))


@api.route("PATCH /models/{name}", Scope.MODELS_WRITE)
def edit_model(path: ModelPath, body: ModelEdit, caller: Caller) -> ModelAnswer:
    """Edit a model's description, tags and promotion gates."""
    return ModelAnswer.of(registry().edit_model(path.name, body, by(caller)).model)


@api.route(
    "POST /models/{name}/versions",
    Scope.MODELS_WRITE,
    status=201,
    max_body=MAX_REGISTRATION,
    smaller_body=UPLOAD,
)
def register(path: ModelPath, body: Registration, caller: Caller) -> VersionAnswer:
    """Register a version: with its artifact, or to be uploaded; a `check` is run before it is READY."""
    return VersionAnswer.of_registered(registrar().register(path.name, body, by(caller)))


@api.route("GET /models/{name}/versions", Scope.MODELS_READ, smaller_answer=PAGE)
def list_versions(path: ModelPath, query: VersionsQuery) -> VersionsAnswer:
    """List versions, the newest first."""
    page = registry().versions(
        path.name,
        stage=query.stage,
        tag=tag_of(query.tag),
        limit=query.limit,
        token=query.next_token,
    )
    return VersionsAnswer.of(path.name, page)


@api.route("GET /models/{name}/versions/{version}", Scope.MODELS_READ)
def get_version(path: VersionPath) -> VersionAnswer:
    """Get a version."""
    return VersionAnswer.of(registry().version(path.name, path.version))


@api.route("PATCH /models/{name}/versions/{version}", Scope.MODELS_WRITE)
def edit_version(path: VersionPath, body: VersionEdit, caller: Caller) -> VersionAnswer:
    """Edit a version's description and tags."""
    registry().edit_version(path.name, path.version, body, by(caller))
    return VersionAnswer.of(registry().version(path.name, path.version))


@api.route("POST /models/{name}/versions/{version}/complete", Scope.MODELS_WRITE)
def complete(path: VersionPath, caller: Caller) -> VersionAnswer:
    """Validate an uploaded artifact; the version is READY or REJECTED afterwards."""
    return VersionAnswer.of(registrar().complete(path.name, path.version, by(caller)))


@api.route("POST /models/{name}/versions/{version}/archive", Scope.MODELS_WRITE)
def archive(path: VersionPath, body: ArchiveRequest | None, caller: Caller) -> VersionAnswer:
    """Archive a version that serves no traffic."""
    reason = (body or ArchiveRequest()).reason
    registry().archive(path.name, path.version, by(caller), reason=reason)
    return VersionAnswer.of(registry().version(path.name, path.version))


@api.route(
    "POST /models/{name}/versions/{version}/baseline",
    Scope.MODELS_WRITE,
    max_body=MAX_REGISTRATION,
    smaller_body=REFERENCE,
)
def adopt_baseline(path: VersionPath, body: Baseline, caller: Caller) -> VersionAnswer:
    """Give a version its baseline for drift, or another one; or let it adopt its next rows."""
    if body.production_rows is not None:
        version = registry().version(path.name, path.version)
        Adoptions(table(settings), settings.namespace, system_clock).request(
            version, body.production_rows, caller.principal
        )
        return VersionAnswer.of(version)
    return VersionAnswer.of(registrar().adopt_baseline(path.name, path.version, body, by(caller)))


@api.route("GET /models/{name}/lineage", Scope.MODELS_READ, smaller_answer=PAGE)
def lineage(path: ModelPath, query: LineageQuery) -> LineageAnswer | RunEvents:
    """What each version was made from, and what happened since."""
    versions = registry().versions(
        path.name, limit=query.limit, token=query.next_token, newest_first=False
    )
    events = registry().events(path.name, limit=query.limit, token=query.next_events_token)
    tokens: dict[str, Any] = {
        "next_token": versions.next_token,
        "next_events_token": events.next_token,
    }
    if query.format == "openlineage":
        runs = run_events(settings.namespace, path.name, versions.records, events.records)
        return RunEvents(events=runs, **tokens)
    made = [lineage_of(version) for version in versions.records]
    return LineageAnswer(
        model=path.name,
        versions=made,
        events=events.records,
        graph=graph_of(path.name, made),
        **tokens,
    )


@api.route("POST /models/{name}/promote/{version}", Scope.MODELS_WRITE)
def promote(path: VersionPath, body: PromoteRequest | None, caller: Caller) -> ModelAnswer:
    """Put a version, also an archived one, into production, or take it back to staging."""
    body = body or PromoteRequest()
    if body.stage == "staging":
        done = registry().restore(path.name, path.version, by(caller), reason=body.reason)
    else:
        done = registry().promote(
            path.name,
            path.version,
            by(caller),
            reason=body.reason,
            expected_production=body.expected,
        )
    return ModelAnswer.of(done.model)


@api.route("POST /models/{name}/rollback", Scope.MODELS_WRITE)
def rollback(path: ModelPath, body: RollbackRequest | None, caller: Caller) -> ModelAnswer:
    """Return to the former production version."""
    body = body or RollbackRequest()
    done = registry().rollback(
        path.name, by(caller), reason=body.reason, expected_production=body.expected
    )
    return ModelAnswer.of(done.model)


@api.route("POST /models/{name}/ab-split", Scope.MODELS_WRITE)
def set_split(path: ModelPath, body: SplitRequest, caller: Caller) -> SplitAnswer:
    """Share the traffic between versions."""
    done = registry().set_split(path.name, body.split, by(caller), reason=body.reason)
    return SplitAnswer.of(done.model)


@api.route("GET /models/{name}/ab-split", Scope.MODELS_READ)
def get_split(path: ModelPath) -> SplitAnswer:
    """How the traffic is shared."""
    return SplitAnswer.of(registry().model(path.name))


@api.route("DELETE /models/{name}/ab-split", Scope.MODELS_WRITE)
def end_split(path: ModelPath, caller: Caller) -> SplitAnswer:
    """Send all traffic to the production version again."""
    return SplitAnswer.of(registry().end_split(path.name, by(caller)).model)


lambda_handler = api.handler
