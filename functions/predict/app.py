"""Real-time predictions: ``POST /predict/{model_name}`` and the Open Inference Protocol V2."""

from __future__ import annotations

import json
import os
from functools import cache, partial
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from neuralstream_core import __version__
from neuralstream_core.errors import NeuralStreamError, Unavailable
from neuralstream_core.serving.oip import (
    InferAnswer,
    InferBody,
    ModelMetadata,
    check_answer,
    decode,
    encode,
    metadata,
    version_name,
)
from neuralstream_core.serving.requests import (
    PredictAnswer,
    PredictBody,
    answer_json,
)
from neuralstream_core.types import Name, Query
from neuralstream_lambda.ahead import load_ahead
from neuralstream_lambda.api import Answer, Api, Caller
from neuralstream_lambda.problems import status_of
from neuralstream_lambda.scopes import Scope
from neuralstream_lambda.serving import FIRST_PREDICTION, ServingSettings, engine
from neuralstream_lambda.wiring import redis_port

if TYPE_CHECKING:
    from neuralstream_core.serving.engine import Engine

api = Api("predict")
settings = ServingSettings.from_env(os.environ)
load_ahead(FIRST_PREDICTION, services=("dynamodb", "s3"))

V2_BODY = 5 * 1024 * 1024
"""Bytes; API Gateway hands at most 6 MB to a function."""
FEWER_ROWS = "send fewer rows, or write answers to files: POST /predict/{model}/batch"


@cache
def serving() -> Engine:
    """The engine of this process."""
    return engine(settings)


class ModelPath(Query):
    model_name: Annotated[Name, Field(description="the model")]


DEGRADED = {"x-neuralstream-degraded": "feature-defaults"}
"""Set when the online store was down and the model's declared defaults were used."""


@api.route(
    "POST /predict/{model_name}",
    Scope.PREDICT,
    answer=PredictAnswer,
    smaller_answer="ask without return_features, or for a model with fewer outputs",
)
def predict(path: ModelPath, body: PredictBody, caller: Caller) -> Answer:
    """Predict for one entity: its features are fetched, its version is chosen, the answer is counted."""
    started = perf_counter()
    if body.return_features:
        caller.require(Scope.FEATURES_READ, "return_features")
    prediction = serving().predict(
        path.model_name,
        body.entity_id,
        feature_view=body.feature_view,
        entities=body.entities,
        features=body.features,
        version=body.version,
        started=started,
    )
    return Answer(
        answer_json(prediction, features=body.return_features),
        headers=DEGRADED if prediction.degraded else {},
    )


# --- Open Inference Protocol V2 ------------------------------------------------------------------


class V2Model(Query):
    model: Annotated[Name, Field(description="the model")]


class V2Version(V2Model):
    version: Annotated[str, Field(pattern=r"^v?[1-9][0-9]{0,8}$", description="`1` or `v1`")]


class Server(BaseModel):
    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    live: bool


class Ready(BaseModel):
    ready: bool


class ModelReady(BaseModel):
    name: str
    ready: bool


def v2_problem(error: NeuralStreamError) -> dict[str, Any]:
    """The protocol's own error form."""
    status, _ = status_of(error)
    headers = {"content-type": "application/json"}
    if isinstance(error, Unavailable):
        headers["retry-after"] = str(error.retry_after)
    return {
        "statusCode": 400 if status == 422 else status,
        "headers": headers,
        "body": json.dumps({"error": error.detail}),
    }


v2 = partial(api.route, problem=v2_problem, tags=("v2",))


@v2("GET /v2", Scope.PREDICT)
def v2_server() -> Server:
    """Server metadata."""
    return Server(name="neuralstream", version=__version__, extensions=["entity_id"])


@v2("GET /v2/health/live", Scope.PREDICT)
def v2_live() -> Live:
    """Whether this function runs."""
    return Live(live=True)


@v2("GET /v2/health/ready", Scope.PREDICT)
def v2_ready() -> Ready:
    """Whether predictions can be served: the online store answers."""
    redis_port(settings).ping()
    return Ready(ready=True)


@v2("GET /v2/models/{model}", Scope.PREDICT, conflicts=True)
def v2_model(path: V2Model) -> ModelMetadata:
    """Metadata of the version in production."""
    return _metadata(path.model, None)


@v2("GET /v2/models/{model}/versions/{version}", Scope.PREDICT, conflicts=True)
def v2_version(path: V2Version) -> ModelMetadata:
    """Metadata of a version."""
    return _metadata(path.model, version_name(path.version))


@v2("GET /v2/models/{model}/ready", Scope.PREDICT, conflicts=True)
def v2_model_ready(path: V2Model) -> ModelReady:
    """Whether the version in production is loaded; it is, if it can be."""
    return _ready(path.model, None)


@v2("GET /v2/models/{model}/versions/{version}/ready", Scope.PREDICT, conflicts=True)
def v2_version_ready(path: V2Version) -> ModelReady:
    """Whether a version is loaded; it is, if it can be."""
    return _ready(path.model, version_name(path.version))


@v2(
    "POST /v2/models/{model}/infer",
    Scope.PREDICT,
    max_body=V2_BODY,
    answer=InferAnswer,
    smaller_body=FEWER_ROWS,
    smaller_answer=FEWER_ROWS,
)
def v2_infer(path: V2Model, body: InferBody) -> Answer:
    """Infer on tensors, or on the features of `parameters.entity_id`."""
    return _infer(path.model, None, body)


@v2(
    "POST /v2/models/{model}/versions/{version}/infer",
    Scope.PREDICT,
    max_body=V2_BODY,
    answer=InferAnswer,
    smaller_body=FEWER_ROWS,
    smaller_answer=FEWER_ROWS,
)
def v2_version_infer(path: V2Version, body: InferBody) -> Answer:
    """Infer with a version."""
    return _infer(path.model, version_name(path.version), body)


def _metadata(model: str, version: str | None) -> ModelMetadata:
    deployment = serving().deployments.get(model)
    return metadata(serving().choose(deployment, version), deployment.serving)


def _ready(model: str, version: str | None) -> ModelReady:
    serving().models.get(serving().choose(serving().deployments.get(model), version))
    return ModelReady(name=model, ready=True)


def _infer(model: str, version: str | None, body: InferBody) -> Answer:
    entity = body.entity_id
    accept = partial(check_answer, body)
    if entity is not None and not body.inputs:
        prediction = serving().predict(model, entity, version=version, accept=accept)
        servable, predictions = prediction.servable, prediction.predictions
    else:
        servable, predictions = serving().infer(
            model,
            lambda servable: decode(body, servable.runtime.signature),
            version=version,
            entity=entity,
            accept=accept,
        )
    return Answer(encode(body, servable, predictions))


lambda_handler = api.handler
