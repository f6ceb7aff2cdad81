"""Views and feature services are created, changed and deleted, and rows written, through these routes."""

from __future__ import annotations

import os
from secrets import token_hex

from neuralstream_core.features import ViewSpec, entity_json
from neuralstream_core.features.answers import (
    ForgetAnswer,
    ServiceAnswer,
    ServiceDeletion,
    ViewAnswer,
    ViewDeletion,
    WriteAnswer,
)
from neuralstream_core.features.requests import WriteRequest, path_entities
from neuralstream_core.features.services import ServiceSpec
from neuralstream_core.settings import WriteSettings
from neuralstream_lambda.access import Scope
from neuralstream_lambda.arguments import EntityPath, PathService, PathView
from neuralstream_lambda.resolver import Resolver, Response, answers, json_response, needs
from neuralstream_lambda.wiring import feature_services, feature_upkeep, feature_writer, view_audit


class Settings(WriteSettings):
    """The online store, the catalog and the history."""


settings = Settings.from_env(os.environ)
app = Resolver("feature_write")
TAGS = ["features"]


@app.put(
    "/features/views/<name>",
    tags=TAGS,
    responses=answers(ViewAnswer, {200: "the view, updated or unchanged", 201: "the new view"}),
    **needs(Scope.FEATURES_WRITE),
)
def put_view(name: PathView, body: ViewSpec) -> Response[ViewAnswer]:
    """Create a feature view, or add features to it.

    Repeated with the same body it changes nothing. New features are appended and raise `schema_version`; to
    remove one or change its dtype is answered with 409. `views`, `request` and
    `service` are not names.
    """
    view, created = feature_writer(settings).catalog.put(name, body)
    return json_response(ViewAnswer.of(view), 201 if created else 200)


@app.delete(
    "/features/views/<name>",
    tags=TAGS,
    responses=answers(
        ViewDeletion,
        {200: "the view and all its rows are gone", 202: "rows remain: repeat the request"},
    ),
    **needs(Scope.FEATURES_WRITE),
)
def delete_view(name: PathView) -> Response[ViewDeletion]:
    """Delete a feature view and its rows.

    Works for at most ten seconds and answers 202 while rows remain: repeat the request. A view that a
    version reads, or a feature service lists, is kept and answered with 409, until that version is archived
    or the service changed or deleted.
    """
    seconds = min(10.0, app.remaining_seconds - 3)
    progress = feature_writer(settings).delete_view(name, seconds=seconds)
    answer = ViewDeletion(
        name=name,
        status="deleted" if progress.done else "deleting",
        rows_removed=progress.removed,
    )
    return json_response(answer, 200 if progress.done else 202)


@app.put(
    "/feature-services/<name>",
    tags=TAGS,
    responses=answers(
        ServiceAnswer,
        {200: "the newest version, which lists the same features", 201: "a new version"},
    ),
    **needs(Scope.FEATURES_WRITE),
)
def put_service(name: PathService, body: ServiceSpec) -> Response[ServiceAnswer]:
    """Create a feature service, or its next version.

    A service is a named list of features that training sets and model versions refer to as `service:name@2`,
    so that what was trained is what is served. Another list, or another order, makes the next version;
    the same list changes nothing but the description. Every feature must exist.
    """
    service, created = feature_services(settings).put(name, body)
    return json_response(ServiceAnswer.of(service), 201 if created else 200)


@app.delete("/feature-services/<name>", tags=TAGS, **needs(Scope.FEATURES_WRITE))
def delete_service(name: PathService) -> ServiceDeletion:
    """Delete a feature service.

    Its views may be deleted from then on. Model versions that were registered with it keep their features. If
    it is put again, it goes on with the next number.
    """
    deleted = feature_services(settings).delete(name)
    return ServiceDeletion(name=name, version=deleted.version)


@app.post(
    "/features/write",
    tags=TAGS,
    **needs(
        Scope.FEATURES_WRITE,
        max_body=5 * 1024 * 1024,
        smaller_body="divide the rows over several requests",
    ),
)
def write(body: WriteRequest) -> WriteAnswer:
    """Write one row or many.

    Of each value the newest event timestamp wins, whatever the order of arrival; an older one is counted as
    stale. Features that are left out keep their values. If a row is invalid, nothing is written and each
    place is named. At most 10,000 rows: as `rows`, or by column as `entity_ids` and `columns`.

    An answer of 200 says that all rows are in the history too, unless the view has none. With 503 they may be
    in one, both or neither: sending the same request again is safe.
    """
    store = feature_writer(settings)
    (result,) = store.commit([store.prepare(body.feature_view, body.given(), _request_id())])
    return WriteAnswer.of(body.feature_view, result)


@app.delete("/features/<feature_view>/<entity_id>", tags=TAGS, **needs(Scope.FEATURES_WRITE))
def forget(feature_view: PathView, entity_id: EntityPath) -> ForgetAnswer:
    """Forget an entity.

    Its values are gone online when this answers, and from the history with the next compaction, which
    rewrites the files that have them. An entity without values is no error: `found` says so. Values written
    later are kept. Copies that were made before, such as training sets, are not touched.
    """
    entities = path_entities(entity_id)
    done = feature_upkeep(settings).forget(feature_view, entities, _request_id())
    (entity,), (found,) = done.entities, done.found
    view_audit(settings).forgotten(
        feature_view, done.view.generation, entity, app.caller.principal, found=found
    )
    (named,) = entities(done.view)
    return ForgetAnswer(feature_view=feature_view, entity_id=entity_json(named), found=found)


def _request_id() -> str:
    # Not the id alone: an event that is invoked again by hand has the same one, and is another write.
    return f"{app.request_id}/{token_hex(4)}"


lambda_handler = app.handler
