"""Real-time predictions: ``POST /predict/{model_name}`` and the Open Inference Protocol V2."""

from __future__ import annotations

import json
import os
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Path
from pydantic import BaseModel

from neuralstream_core import __version__
from neuralstream_core.serving.oip import (
    InferAnswer,
    InferBody,
    ModelMetadata,
    decode,
    encode,
    metadata,
    version_name,
)
from neuralstream_core.serving.requests import PredictAnswer, PredictBody, answer_json
from neuralstream_lambda.access import Scope
from neuralstream_lambda.ahead import load_ahead
from neuralstream_lambda.arguments import PathModel
from neuralstream_lambda.problems import retry_after, status_of
from neuralstream_lambda.resolver import Resolver, Response, json_response, needs
from neuralstream_lambda.serving import FIRST_PREDICTION, ServingSettings, engine
from neuralstream_lambda.wiring import redis_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from neuralstream_core.errors import NeuralStreamError
    from neuralstream_core.serving.engine import Engine

settings = ServingSettings.from_env(os.environ)
app = Resolver("predict")
load_ahead(FIRST_PREDICTION, services=("dynamodb", "s3"))


@cache
def serving() -> Engine:
    """The engine of this process."""
    return engine(settings)


@app.post(
    "/predict/<model_name>",
    tags=["predict"],
    **needs(
        Scope.PREDICT,
        smaller_answer="ask without return_features, or for a model with fewer outputs",
    ),
)
def predict(model_name: PathModel, body: PredictBody) -> Response[PredictAnswer]:
    """Predict for one entity: its features are fetched, its version is chosen, the answer is counted."""
    started = perf_counter()
    if body.return_features:
        app.caller.require(Scope.FEATURES_READ, "return_features")
    prediction = serving().predict(
        model_name,
        body.entity_id,
        feature_view=body.feature_view,
        entities=body.entities,
        features=body.features,
        version=body.version,
        started=started,
    )
    answer = answer_json(prediction, features=body.return_features)
    # the online store was down and the model's declared defaults were used
    degraded = {"x-neuralstream-degraded": "feature-defaults"} if prediction.degraded else None
    return json_response(answer, headers=degraded)


# --- Open Inference Protocol V2 ------------------------------------------------------------------


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


def v2_problem(error: NeuralStreamError) -> Response[str]:
    """The protocol's own error form."""
    status, _ = status_of(error)
    body = json.dumps({"error": error.detail})
    return json_response(body, 400 if status == 422 else status, retry_after(error))


v2 = Resolver("predict", v2_problem)
TAGS = ["v2"]
READS = needs(Scope.PREDICT)
FEWER_ROWS = "send fewer rows, or write answers to files: POST /predict/{model}/batch"
INFERS = needs(
    Scope.PREDICT,
    max_body=5 * 1024 * 1024,  # bytes; API Gateway hands at most 6 MB to a function
    smaller_body=FEWER_ROWS,
    smaller_answer=FEWER_ROWS,
)

Version: TypeAlias = Annotated[str, Path(pattern=r"^v?[1-9][0-9]{0,8}$", description="`1` or `v1`")]


@v2.get("/v2", tags=TAGS, **READS)
def v2_server() -> Server:
    """Server metadata."""
    return Server(name="neuralstream", version=__version__, extensions=["entity_id"])


@v2.get("/v2/health/live", tags=TAGS, **READS)
def v2_live() -> Live:
    """Whether this function runs."""
    return Live(live=True)


@v2.get("/v2/health/ready", tags=TAGS, **READS)
def v2_ready() -> Ready:
    """Whether predictions can be served: the online store answers."""
    redis_port(settings).ping()
    return Ready(ready=True)


@v2.get("/v2/models/<model>", tags=TAGS, **READS)
def v2_model(model: PathModel) -> ModelMetadata:
    """Metadata of the version in production."""
    return _metadata(model, None)


@v2.get("/v2/models/<model>/versions/<version>", tags=TAGS, **READS)
def v2_version(model: PathModel, version: Version) -> ModelMetadata:
    """Metadata of a version."""
    return _metadata(model, version_name(version))


@v2.get("/v2/models/<model>/ready", tags=TAGS, **READS)
def v2_model_ready(model: PathModel) -> ModelReady:
    """Whether the version in production is loaded; it is, if it can be."""
    return _ready(model, None)


@v2.get("/v2/models/<model>/versions/<version>/ready", tags=TAGS, **READS)
def v2_version_ready(model: PathModel, version: Version) -> ModelReady:
    """Whether a version is loaded; it is, if it can be."""
    return _ready(model, version_name(version))


@v2.post("/v2/models/<model>/infer", tags=TAGS, **INFERS)
def v2_infer(model: PathModel, body: InferBody) -> Response[InferAnswer]:
    """Infer on tensors, or on the features of `parameters.entity_id`."""
    return _infer(model, None, body)


@v2.post("/v2/models/<model>/versions/<version>/infer", tags=TAGS, **INFERS)
def v2_version_infer(model: PathModel, version: Version, body: InferBody) -> Response[InferAnswer]:
    """Infer with a version."""
    return _infer(model, version_name(version), body)


def _metadata(model: str, version: str | None) -> ModelMetadata:
    route = serving().router.get(model)
    return metadata(
        serving().choose(route, version), route.serving.versions if route.assigner else []
    )


def _ready(model: str, version: str | None) -> ModelReady:
    serving().models.get(serving().choose(serving().router.get(model), version))
    return ModelReady(name=model, ready=True)


def _infer(model: str, version: str | None, body: InferBody) -> Response[Any]:
    entity = body.entity_id
    if entity is not None and not body.inputs:
        prediction = serving().predict(model, entity, version=version)
        plan, predictions = prediction.plan, prediction.predictions
    else:
        plan, predictions = serving().infer(
            model, lambda plan: decode(body, plan.runtime.signature), version=version, entity=entity
        )
    return json_response(encode(plan.version, body, plan.runtime, predictions))


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway's events; the protocol's routes have an error form of their own."""
    resolver = v2 if " /v2" in event.get("routeKey", "") else app
    return resolver.handler(event, context)
