"""Views and rows are read through these routes."""

from __future__ import annotations

import os
from typing import Annotated

from neuralstream_core.features.answers import BatchAnswer, RowAnswer, ViewAnswer, ViewList
from neuralstream_core.features.requests import BatchRequest, RowPath, Subset, ViewPage, ViewPath
from neuralstream_core.settings import StoreSettings
from neuralstream_lambda import Answer, Api, Scope
from neuralstream_lambda.wiring import feature_store


class Settings(StoreSettings):
    """The online store and the catalog."""


settings = Settings.from_env(os.environ)
api = Api("feature_read")


@api.route(
    "GET /features/views",
    Scope.FEATURES_READ,
    tags=("features",),
    smaller_answer="ask for a smaller page with limit",
)
def list_views(query: ViewPage) -> ViewList:
    """List feature views by name."""
    page = feature_store(settings).catalog.list(limit=query.limit, token=query.next_token)
    return ViewList(views=[ViewAnswer.of(view) for view in page.views], next_token=page.next_token)


@api.route("GET /features/views/{name}", Scope.FEATURES_READ, tags=("features",))
def get_view(path: ViewPath) -> ViewAnswer:
    """One feature view."""
    return ViewAnswer.of(feature_store(settings).catalog.fetch(path.name))


@api.route(
    "GET /features/{feature_view}/{entity_id+}",
    Scope.FEATURES_READ,
    tags=("features",),
    smaller_answer="ask for some of the features with features=a,b",
)
def read(path: RowPath, query: Subset) -> RowAnswer:
    """One entity's features; 404 if it was never written."""
    return RowAnswer.of(
        feature_store(settings).read_many(path.feature_view, path.entities, query.names)
    )


@api.route(
    "POST /features/batch",
    Scope.FEATURES_READ,
    tags=("features",),
    smaller_answer="ask for fewer entities or features",
)
def read_batch(body: BatchRequest) -> Annotated[Answer, BatchAnswer]:
    """Many entities' features in the order of the request; an unknown one is a row of NOT_FOUND."""
    read = feature_store(settings).read_many(body.feature_view, body.entities, body.features)
    return Answer(BatchAnswer.of(read))


lambda_handler = api.handler
