"""Models, versions, promotion, split and lineage."""

from __future__ import annotations

import os
from typing import Annotated, Literal, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Query

from neuralstream_core.registry import answers as a
from neuralstream_core.registry import requests as r
from neuralstream_core.registry.lineage import LineageAnswer
from neuralstream_core.registry.openlineage import RunEvents
from neuralstream_core.registry.pages import MAX_PAGE
from neuralstream_core.registry.records import Stage
from neuralstream_core.registry.registration import Baseline, Registration
from neuralstream_core.types import PageToken
from neuralstream_lambda.access import Scope
from neuralstream_lambda.arguments import NamePrefix, NextToken, PathModel, PathVersion
from neuralstream_lambda.registry import (
    RegistrySettings,
    adoptions,
    issuer,
    lineage_page,
    registrar,
    registry,
    rollouts,
    tag_of,
)
from neuralstream_lambda.resolver import Resolver, needs

settings = RegistrySettings.from_env(os.environ)
app = Resolver("registry")
TAGS = ["registry"]

PAGE = "ask for a smaller page with limit"
READS = needs(Scope.MODELS_READ)
LISTS = needs(Scope.MODELS_READ, smaller_answer=PAGE)
WRITES = needs(Scope.MODELS_WRITE, idempotent=True)
MAX_REGISTRATION = 6 * 1024 * 1024
"""Bytes of a registration or baseline: Lambda's own limit."""

Limit: TypeAlias = Annotated[
    int, Query(ge=1, le=MAX_PAGE, description=f"entries of a page, 1 to {MAX_PAGE}")
]
TagFilter: TypeAlias = Annotated[
    str | None,
    Query(min_length=1, max_length=400, description="only with this tag: `key` or `key:value`"),
]
StageFilter: TypeAlias = Annotated[Stage | None, Query(description="only in this stage")]
EventsToken: TypeAlias = Annotated[
    PageToken | None, Query(description="`next_events_token` of the page before")
]
Order: TypeAlias = Annotated[
    Literal["oldest", "newest"], Query(description="which versions and events come first")
]
LineageFormat: TypeAlias = Annotated[
    Literal["json", "openlineage"], Query(description="`openlineage`: as run events of its 2-0-2")
]


@app.get("/models", tags=TAGS, **LISTS)
def list_models(
    limit: Limit = 50,
    next_token: NextToken = None,
    prefix: NamePrefix = "",
    tag: TagFilter = None,
) -> a.ModelsAnswer:
    """List models by name.

    With a filter a page may have fewer entries than `limit` without being the last.
    """
    page = registry(settings).models(prefix=prefix, tag=tag_of(tag), limit=limit, token=next_token)
    return a.ModelsAnswer.of(page)


@app.get("/models/<name>", tags=TAGS, **READS)
def get_model(name: PathModel) -> a.ModelAnswer:
    """Get a model.

    Which versions answer, how the traffic is split, and what a version must fulfil to be promoted.
    """
    return a.ModelAnswer.of(registry(settings).model(name))


@app.patch("/models/<name>", tags=TAGS, **WRITES)
def edit_model(name: PathModel, body: r.ModelEdit) -> a.ModelAnswer:
    """Edit a model's description, tags and promotion gates.

    What is left out stays. Gates hold for later promotions; the production version is not judged again.
    """
    return a.ModelAnswer.of(registry(settings).edit_model(name, body, issuer(app)).model)


@app.post(
    "/models/<name>/versions",
    tags=TAGS,
    status_code=201,
    **needs(
        Scope.MODELS_WRITE,
        max_body=MAX_REGISTRATION,
        smaller_body="announce the artifact by sha256 and size and upload it",
        idempotent=True,
    ),
)
def register(name: PathModel, body: Registration) -> a.VersionAnswer:
    """Register a version, with its artifact or to be uploaded.

    An artifact in the body is inspected, loaded and run, and reproduces the `check` if there is one, before
    the version is READY; a bad one is answered with 422 and nothing is registered. An artifact that is
    announced (`artifact`) makes a version that is PENDING_UPLOAD: send the file as `upload` says, then call
    `complete`. The version gets the next number and the stage staging; a model not known yet is created.
    """
    done = registrar(settings).register(name, body, issuer(app))
    return a.VersionAnswer.of(done.version, done.upload)


@app.get("/models/<name>/versions", tags=TAGS, **LISTS)
def list_versions(
    name: PathModel,
    limit: Limit = 50,
    next_token: NextToken = None,
    tag: TagFilter = None,
    stage: StageFilter = None,
) -> a.VersionsAnswer:
    """List versions, the newest first.

    With a filter a page may have fewer entries than `limit` without being the last.
    """
    page = registry(settings).versions(
        name, stage=stage, tag=tag_of(tag), limit=limit, token=next_token
    )
    return a.VersionsAnswer.of(name, page)


@app.get("/models/<name>/versions/<version>", tags=TAGS, **READS)
def get_version(name: PathModel, version: PathVersion) -> a.VersionAnswer:
    """Get a version.

    Its stage, its status, its features, and the signature that was found when it was validated.
    """
    return a.VersionAnswer.of(registry(settings).version(name, version))


@app.patch("/models/<name>/versions/<version>", tags=TAGS, **WRITES)
def edit_version(name: PathModel, version: PathVersion, body: r.VersionEdit) -> a.VersionAnswer:
    """Edit a version's description and tags.

    What is left out stays; everything else of a version never changes.
    """
    changed = registry(settings).edit_version(name, version, body, issuer(app))
    return a.VersionAnswer.of(changed)


@app.post("/models/<name>/versions/<version>/complete", tags=TAGS, **needs(Scope.MODELS_WRITE))
def complete(name: PathModel, version: PathVersion) -> a.VersionAnswer:
    """Validate an uploaded artifact.

    The version is READY afterwards, or REJECTED: that is answered with 422 and the reason. Repeated, the
    answer is the same and nothing changes.
    """
    return a.VersionAnswer.of(registrar(settings).complete(name, version, issuer(app)))


@app.post("/models/<name>/versions/<version>/archive", tags=TAGS, **WRITES)
def archive(
    name: PathModel, version: PathVersion, body: r.ArchiveRequest | None = None
) -> a.VersionAnswer:
    """Archive a version that serves no traffic.

    Rollback passes it over, and its feature views may be deleted. One in production or in the running split
    is answered with 409. Promotion brings an archived version back.
    """
    reason = (body or r.ArchiveRequest()).reason
    archived = registry(settings).archive(name, version, issuer(app), reason=reason)
    return a.VersionAnswer.of(archived)


@app.post(
    "/models/<name>/versions/<version>/baseline",
    tags=TAGS,
    **needs(
        Scope.MODELS_WRITE,
        max_body=MAX_REGISTRATION,
        smaller_body="store the baseline as a file and name it by reference",
        idempotent=True,
    ),
)
def adopt_baseline(name: PathModel, version: PathVersion, body: Baseline) -> a.VersionAnswer:
    """Give a version its baseline for drift, or another one.

    Or let it adopt its next rows (`production_rows`), which takes effect when it has answered so many.
    Counters begin anew under the new bins; reports compare what comes after.
    """
    if body.production_rows is not None:
        adopting = registry(settings).version(name, version)
        adoptions(settings).request(adopting, body.production_rows, app.caller.principal)
        return a.VersionAnswer.of(adopting)
    return a.VersionAnswer.of(registrar(settings).adopt_baseline(name, version, body, issuer(app)))


@app.get("/models/<name>/lineage", tags=TAGS, **LISTS)
def lineage(
    name: PathModel,
    limit: Limit = 100,
    next_token: NextToken = None,
    next_events_token: EventsToken = None,
    order: Order = "oldest",
    format: LineageFormat = "json",  # noqa: A002 - the name of the query parameter
) -> LineageAnswer | RunEvents:
    """What each version was made from, and what happened since.

    Versions and events are paged apart, each in order of time, the newest first with `order=newest`: a page
    has at most `limit` of both.
    """
    return lineage_page(
        settings,
        name,
        limit=limit,
        token=next_token,
        events_token=next_events_token,
        newest_first=order == "newest",
        runs=format == "openlineage",
    )


@app.post("/models/<name>/promote/<version>", tags=TAGS, **WRITES)
def promote(
    name: PathModel, version: PathVersion, body: r.PromoteRequest | None = None
) -> a.ModelAnswer:
    """Put a version into production, or take an archived one back to staging.

    The version that was in production becomes archived, and a running split ends, in one transaction. A
    version that is not READY, or does not keep the model's gates, is answered with 409.
    """
    body = body or r.PromoteRequest()
    if body.stage == "staging":
        done = registry(settings).restore(name, version, issuer(app), reason=body.reason)
    else:
        done = registry(settings).promote(
            name, version, issuer(app), reason=body.reason, expected_production=body.expected
        )
    return a.ModelAnswer.of(done.model)


@app.post("/models/<name>/rollback", tags=TAGS, **WRITES)
def rollback(name: PathModel, body: r.RollbackRequest | None = None) -> a.ModelAnswer:
    """Return to the former production version.

    The present one becomes archived, and a running split ends, in one transaction; 409 if there is no
    former one.
    """
    body = body or r.RollbackRequest()
    done = registry(settings).rollback(
        name, issuer(app), reason=body.reason, expected_production=body.expected
    )
    return a.ModelAnswer.of(done.model)


@app.post("/models/<name>/ab-split", tags=TAGS, **WRITES)
def set_split(name: PathModel, body: r.SplitRequest) -> a.SplitAnswer:
    """Share the traffic between versions, at once or step by step.

    An entity stays on its version; changed weights move as few entities as possible. Archived versions
    among them return to staging. The split holds until it is ended or a version is promoted. A `ramp` takes
    its next step when its time is over and no rule of the model's guard is broken.
    """
    by, reason = issuer(app), body.reason
    if body.ramp is not None:
        ramp = body.ramp
        started = rollouts(settings).start_ramp(
            name, ramp.version, ramp.parsed(), by, reason=reason
        )
        return a.SplitAnswer.of(started.model)
    done = registry(settings).set_split(name, body.split or {}, by, reason=reason)
    return a.SplitAnswer.of(done.model)


@app.get("/models/<name>/ab-split", tags=TAGS, **READS)
def get_split(name: PathModel) -> a.SplitAnswer:
    """How the traffic is shared.

    The weights that were asked for; what was observed is in `/monitoring/stats`.
    """
    return a.SplitAnswer.of(registry(settings).model(name))


@app.delete("/models/<name>/ab-split", tags=TAGS, **WRITES)
def end_split(name: PathModel) -> a.SplitAnswer:
    """Send all traffic to the production version again.

    The stages of the versions stay as they are; 409 if no split is running.
    """
    return a.SplitAnswer.of(registry(settings).end_split(name, issuer(app)).model)


@app.post("/models/<name>/shadow", tags=TAGS, **WRITES)
def set_shadow(name: PathModel, body: r.ShadowRequest) -> a.ShadowAnswer:
    """Show a version the traffic of the others.

    It predicts for the same requests with the same features, is counted and logged by itself, and never
    answers. 409 if it takes traffic.
    """
    done = rollouts(settings).set_shadow(
        name, body.version, body.sample, issuer(app), reason=body.reason
    )
    return a.ShadowAnswer.of(done.model)


@app.get("/models/<name>/shadow", tags=TAGS, **READS)
def get_shadow(name: PathModel) -> a.ShadowAnswer:
    """Which version sees the traffic and never answers.

    Null if there is none.
    """
    return a.ShadowAnswer.of(registry(settings).model(name))


@app.delete("/models/<name>/shadow", tags=TAGS, **WRITES)
def end_shadow(name: PathModel) -> a.ShadowAnswer:
    """Show the traffic to no version any more.

    409 if the model has no shadow.
    """
    return a.ShadowAnswer.of(rollouts(settings).end_shadow(name, issuer(app)).model)


@app.put("/models/<name>/guard", tags=TAGS, **WRITES)
def set_guard(name: PathModel, body: r.GuardRequest) -> a.GuardAnswer:
    """Set the bounds that every version with traffic must keep.

    They are evaluated every five minutes. When a version breaks one, the split ends or production goes back
    to the former version, in one transaction with the reason in the audit trail; it is announced once.
    """
    done = rollouts(settings).set_guard(
        name, body.parsed(), body.action, issuer(app), reason=body.reason
    )
    return a.GuardAnswer.of(done.model)


@app.get("/models/<name>/guard", tags=TAGS, **READS)
def get_guard(name: PathModel) -> a.GuardAnswer:
    """Get the bounds, what was found of them last, and what the guard did last.

    Null if the model has none.
    """
    return a.GuardAnswer.of(registry(settings).model(name), rollouts(settings).findings(name))


@app.delete("/models/<name>/guard", tags=TAGS, **WRITES)
def remove_guard(name: PathModel) -> a.GuardAnswer:
    """Remove the bounds.

    A ramp then takes its steps by time alone. 409 if the model has no guard.
    """
    return a.GuardAnswer.of(rollouts(settings).remove_guard(name, issuer(app)).model)


lambda_handler = app.handler
