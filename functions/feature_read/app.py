"""Views, feature services and rows are read through these routes."""

from __future__ import annotations

import os
from typing import Annotated, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Query

from neuralstream_core.features.answers import (
    BatchAnswer,
    ColumnsAnswer,
    RowAnswer,
    ServiceAnswer,
    ServiceList,
    ViewAnswer,
    ViewList,
    columns_json,
)
from neuralstream_core.features.requests import BatchRequest, path_entities
from neuralstream_core.settings import StoreSettings
from neuralstream_lambda.access import Scope
from neuralstream_lambda.arguments import (
    EntityPath,
    NamePrefix,
    NextToken,
    PathService,
    PathView,
)
from neuralstream_lambda.resolver import Resolver, Response, answers, json_response, needs
from neuralstream_lambda.wiring import feature_services, feature_store


class Settings(StoreSettings):
    """The online store and the catalog."""


settings = Settings.from_env(os.environ)
app = Resolver("feature_read")
TAGS = ["features"]

FeatureNames: TypeAlias = Annotated[
    str | None,
    Query(min_length=1, max_length=64 * 1024, description="comma-separated names; all when absent"),
]
ServiceVersion: TypeAlias = Annotated[
    int | None,
    Query(ge=1, le=999_999_999, description="its number; the newest version when left out"),
]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=1000, description="entries of a page, 1 to 1000")]


@app.get(
    "/features/views",
    tags=TAGS,
    **needs(Scope.FEATURES_READ, smaller_answer="ask for a smaller page with limit"),
)
def list_views(
    limit: Limit = 100, next_token: NextToken = None, prefix: NamePrefix = ""
) -> ViewList:
    """List feature views by name.

    A page of their schemas; `next_token` asks for the next one.
    """
    page = feature_store(settings).catalog.list(prefix=prefix, limit=limit, token=next_token)
    return ViewList(views=[ViewAnswer.of(view) for view in page.views], next_token=page.next_token)


@app.get("/features/views/<name>", tags=TAGS, **needs(Scope.FEATURES_READ))
def get_view(name: PathView) -> ViewAnswer:
    """Get a feature view.

    Its entity, its features in order, and its schema version.
    """
    return ViewAnswer.of(feature_store(settings).catalog.fetch(name))


@app.get(
    "/feature-services",
    tags=TAGS,
    **needs(Scope.FEATURES_READ, smaller_answer="ask for a smaller page with limit"),
)
def list_services(limit: Limit = 100, next_token: NextToken = None) -> ServiceList:
    """List feature services by name.

    A page of their newest versions; `next_token` asks for the next one.
    """
    return ServiceList.of(feature_services(settings).list(limit=limit, token=next_token))


@app.get("/feature-services/<name>", tags=TAGS, **needs(Scope.FEATURES_READ))
def get_service(name: PathService, version: ServiceVersion = None) -> ServiceAnswer:
    """Get a version of a feature service.

    Its features in order; those of its newest version unless another is named.
    """
    return ServiceAnswer.of(feature_services(settings).fetch(name, version))


@app.get(
    "/features/<feature_view>/<entity_id>",
    tags=TAGS,
    **needs(
        Scope.FEATURES_READ,
        smaller_answer="ask for some of the features with features=a,b",
    ),
)
def read(feature_view: PathView, entity_id: EntityPath, features: FeatureNames = None) -> RowAnswer:
    """Read one entity's features.

    A cell that is not present is null, and `status` says why. An entity that was never written is answered
    with 404.
    """
    names = None if features is None else features.split(",")
    store = feature_store(settings)
    return RowAnswer.of(store.read_many(feature_view, path_entities(entity_id), names))


@app.post(
    "/features/batch",
    tags=TAGS,
    responses=answers(
        BatchAnswer | ColumnsAnswer, {200: "a row, or a place in each column, for each entity"}
    ),
    **needs(Scope.FEATURES_READ, smaller_answer="ask for fewer entities or features"),
)
def read_batch(body: BatchRequest) -> Response[BatchAnswer | ColumnsAnswer]:
    """Read many entities' features.

    Rows are in the order of the request, duplicates kept; an unknown entity is a row of NOT_FOUND and does
    not affect the others. At most 1000 entities. `layout: columns` answers one list for each feature, with
    the statuses of the cells that are not present only.
    """
    store, view, features = feature_store(settings), body.feature_view, body.features
    if body.layout == "rows":
        return json_response(BatchAnswer.of(store.read_many(view, body.entities, features)))
    times = body.event_timestamps
    return json_response(
        columns_json(store.read_columns(view, body.entities, features, event_times=times))
    )


lambda_handler = app.handler
