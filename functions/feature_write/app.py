"""Views are created, evolved and deleted, and rows written, through these routes."""

from __future__ import annotations

import os
from typing import Annotated

from neuralstream_core.features import ViewSpec
from neuralstream_core.features.answers import ViewAnswer, ViewDeletion, WriteAnswer
from neuralstream_core.features.requests import ViewPath, WriteRequest
from neuralstream_core.settings import StoreSettings
from neuralstream_lambda import Answer, Api, Caller, Scope
from neuralstream_lambda.wiring import feature_store

MAX_WRITE_BODY = 5 * 1024 * 1024


class Settings(StoreSettings):
    """The online store and the catalog."""


settings = Settings.from_env(os.environ)
api = Api("feature_write")


@api.route("PUT /features/views/{name}", Scope.FEATURES_WRITE, tags=("features",))
def put_view(path: ViewPath, body: ViewSpec) -> Annotated[Answer, ViewAnswer]:
    """Create a feature view, or add features to it."""
    view, created = feature_store(settings).catalog.put(path.name, body)
    return Answer(ViewAnswer.of(view), status=201 if created else 200)


@api.route("DELETE /features/views/{name}", Scope.FEATURES_WRITE, tags=("features",))
def delete_view(path: ViewPath, caller: Caller) -> Annotated[Answer, ViewDeletion]:
    """Delete a feature view and its rows; 202 while rows remain: repeat the request."""
    seconds = min(10.0, caller.remaining_ms() / 1000 - 3)
    progress = feature_store(settings).delete_view(path.name, seconds=seconds)
    answer = ViewDeletion(
        name=path.name,
        status="deleted" if progress.done else "deleting",
        rows_removed=progress.removed,
    )
    return Answer(answer, status=200 if progress.done else 202)


@api.route(
    "POST /features/write",
    Scope.FEATURES_WRITE,
    max_body=MAX_WRITE_BODY,
    tags=("features",),
    smaller_body="divide the rows over several requests",
)
def write(body: WriteRequest) -> WriteAnswer:
    """Write one row or many; the newest event time of each value wins."""
    store = feature_store(settings)
    (result,) = store.commit([body.prepare(store)])
    return WriteAnswer.of(body.feature_view, result)


lambda_handler = api.handler
