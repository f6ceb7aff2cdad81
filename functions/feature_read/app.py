"""Views and rows are read through these routes."""

from __future__ import annotations

import os
from typing import Annotated, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from neuralstream_core.features.answers import (
    BatchAnswer,
    ColumnsAnswer,
    RowAnswer,
    ViewAnswer,
    ViewList,
    columns_json,
)
from neuralstream_core.features.requests import BatchRequest, path_entities
from neuralstream_core.settings import StoreSettings
from neuralstream_lambda.access import Scope
from neuralstream_lambda.arguments import NextToken, PathName
from neuralstream_lambda.resolver import Resolver, Response, answers, json_response, needs
from neuralstream_lambda.wiring import feature_store


class Settings(StoreSettings):
    """The online store and the catalog."""


settings = Settings.from_env(os.environ)
app = Resolver("feature_read")
TAGS = ["features"]

EntityPath: TypeAlias = Annotated[
    str,
    Path(
        min_length=1,
        description="any characters, also `/`, percent-encoded; parts of a composite entity joined with "
        "`,`, in which `\\` escapes `,` and `\\`",
    ),
]
FeatureNames: TypeAlias = Annotated[
    str | None,
    Query(min_length=1, max_length=64 * 1024, description="comma-separated names; all when absent"),
]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=1000)]


@app.get(
    "/features/views",
    tags=TAGS,
    **needs(Scope.FEATURES_READ, smaller_answer="ask for a smaller page with limit"),
)
def list_views(limit: Limit = 100, next_token: NextToken = None) -> ViewList:
    """List feature views by name."""
    page = feature_store(settings).catalog.list(limit=limit, token=next_token)
    return ViewList(views=[ViewAnswer.of(view) for view in page.views], next_token=page.next_token)


@app.get("/features/views/<name>", tags=TAGS, **needs(Scope.FEATURES_READ))
def get_view(name: PathName) -> ViewAnswer:
    """One feature view."""
    return ViewAnswer.of(feature_store(settings).catalog.fetch(name))


@app.get(
    "/features/<feature_view>/<entity_id>",
    tags=TAGS,
    **needs(
        Scope.FEATURES_READ,
        smaller_answer="ask for some of the features with features=a,b",
    ),
)
def read(feature_view: PathName, entity_id: EntityPath, features: FeatureNames = None) -> RowAnswer:
    """One entity's features; 404 if it was never written."""
    names = None if features is None else features.split(",")
    store = feature_store(settings)
    return RowAnswer.of(store.read_many(feature_view, path_entities(entity_id), names))


@app.post(
    "/features/batch",
    tags=TAGS,
    responses=answers(BatchAnswer | ColumnsAnswer, 200),
    **needs(Scope.FEATURES_READ, smaller_answer="ask for fewer entities or features"),
)
def read_batch(body: BatchRequest) -> Response[BatchAnswer | ColumnsAnswer]:
    """Many entities' features in the order of the request; an unknown one is a row of NOT_FOUND."""
    store, view, features = feature_store(settings), body.feature_view, body.features
    if body.layout == "rows":
        return json_response(BatchAnswer.of(store.read_many(view, body.entities, features)))
    times = body.event_timestamps
    return json_response(
        columns_json(store.read_columns(view, body.entities, features, event_times=times))
    )


lambda_handler = app.handler
