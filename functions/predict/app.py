"""Real-time predictions: ``POST /predict/{model_name}`` and the Open Inference Protocol V2."""

from __future__ import annotations

import os
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Path

from neuralstream_core import __version__
from neuralstream_core.serving import oip
from neuralstream_core.serving.requests import PredictAnswer, PredictBody, answer_json
from neuralstream_lambda.access import Scope
from neuralstream_lambda.ahead import load_ahead
from neuralstream_lambda.arguments import PathModel
from neuralstream_lambda.oip import PREDICTION_ID, infer, model_metadata, model_ready, v2_problem
from neuralstream_lambda.resolver import Resolver, Response, json_response, needs
from neuralstream_lambda.serving import FIRST_PREDICTION, ServingSettings, engine
from neuralstream_lambda.wiring import redis_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

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
    """Predict for one entity.

    Its features are read from the online store, its version is chosen by the running split, and the answer
    is counted for drift and statistics. A missing cell is treated as the version's policy says: under
    `error` the answer is 422 and names it. `return_features` needs the scope `features:read` as well.
    """
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
    headers = {PREDICTION_ID: prediction.id}
    if prediction.degraded:  # the online store was down and the model's declared defaults were used
        headers["x-neuralstream-degraded"] = "feature-defaults"
    return json_response(answer, headers=headers)


# --- Open Inference Protocol V2 ------------------------------------------------------------------

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

Version: TypeAlias = Annotated[
    str, Path(pattern=r"^v?[1-9][0-9]{0,8}$", description="number of the version: `1` or `v1`")
]


@v2.get("/v2", tags=TAGS, **READS)
def v2_server() -> oip.Server:
    """Get server metadata.

    Its release, and what it offers beyond the protocol.
    """
    return oip.Server(
        name="neuralstream", version=__version__, extensions=["entity_id", "entities"]
    )


@v2.get("/v2/health/live", tags=TAGS, **READS)
def v2_live() -> oip.Live:
    """Whether this function runs.

    Asks no other service.
    """
    return oip.Live(live=True)


@v2.get("/v2/health/ready", tags=TAGS, **READS)
def v2_ready() -> oip.Ready:
    """Whether predictions can be served.

    The online store is asked; 503 if it does not answer.
    """
    redis_port(settings).ping()
    return oip.Ready(ready=True)


@v2.get("/v2/models/<model>", tags=TAGS, **READS)
def v2_model(model: PathModel) -> oip.ModelMetadata:
    """Get the metadata of the version in production.

    Names, datatypes and shapes of its inputs and outputs, and the versions that serve.
    """
    return model_metadata(serving(), model, None)


@v2.get("/v2/models/<model>/versions/<version>", tags=TAGS, **READS)
def v2_version(model: PathModel, version: Version) -> oip.ModelMetadata:
    """Get the metadata of a version.

    Names, datatypes and shapes of its inputs and outputs, and the versions that serve.
    """
    return model_metadata(serving(), model, oip.version_name(version))


@v2.get("/v2/models/<model>/ready", tags=TAGS, **READS)
def v2_model_ready(model: PathModel) -> oip.ModelReady:
    """Whether the version in production is loaded.

    It is loaded now if it was not, so that the next request need not wait.
    """
    return model_ready(serving(), model, None)


@v2.get("/v2/models/<model>/versions/<version>/ready", tags=TAGS, **READS)
def v2_version_ready(model: PathModel, version: Version) -> oip.ModelReady:
    """Whether a version is loaded.

    It is loaded now if it was not, so that the next request need not wait.
    """
    return model_ready(serving(), model, oip.version_name(version))


@v2.post("/v2/models/<model>/infer", tags=TAGS, **INFERS)
def v2_infer(model: PathModel, body: oip.InferBody) -> Response[oip.InferAnswer]:
    """Infer with the model.

    On the tensors of `inputs`, or on the features of `parameters.entity_id` and `parameters.entities`. The
    running split chooses the version: by the entity where there is one. The header `x-prediction-id` names
    the prediction when its outcome is sent; row n of several is that id, `:` and n.
    """
    return infer(serving(), model, None, body)


@v2.post("/v2/models/<model>/versions/<version>/infer", tags=TAGS, **INFERS)
def v2_version_infer(
    model: PathModel, version: Version, body: oip.InferBody
) -> Response[oip.InferAnswer]:
    """Infer with a version.

    On the tensors of `inputs`, or on the features of `parameters.entity_id` and `parameters.entities`,
    whatever the split.
    """
    return infer(serving(), model, oip.version_name(version), body)


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway's events; the protocol's routes have an error form of their own."""
    resolver = v2 if " /v2" in event.get("routeKey", "") else app
    return resolver.handler(event, context)
