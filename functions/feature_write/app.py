"""Views are created, evolved and deleted, and rows written, through these routes."""

from __future__ import annotations

import os
from secrets import token_hex

from neuralstream_core.features import ViewSpec
from neuralstream_core.features.answers import ViewAnswer, ViewDeletion, WriteAnswer
from neuralstream_core.features.requests import WriteRequest
from neuralstream_core.settings import WriteSettings
from neuralstream_lambda.access import Scope
from neuralstream_lambda.arguments import PathView
from neuralstream_lambda.resolver import Resolver, Response, answers, json_response, needs
from neuralstream_lambda.wiring import feature_writer


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
    version reads is kept and answered with 409, until that version is archived.
    """
    seconds = min(10.0, app.remaining_seconds - 3)
    progress = feature_writer(settings).delete_view(name, seconds=seconds)
    answer = ViewDeletion(
        name=name,
        status="deleted" if progress.done else "deleting",
        rows_removed=progress.removed,
    )
    return json_response(answer, 200 if progress.done else 202)


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
    # Not the id alone: an event that is invoked again by hand has the same one, and is another write.
    request_id = f"{app.request_id}/{token_hex(4)}"
    (result,) = store.commit([store.prepare(body.feature_view, body.given(), request_id)])
    return WriteAnswer.of(body.feature_view, result)


lambda_handler = app.handler
