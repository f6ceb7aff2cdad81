"""What the routes of the Open Inference Protocol V2 do with the engine, and their error form."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final

from neuralstream_core.serving.oip import (
    InferBody,
    ModelMetadata,
    ModelReady,
    check_answer,
    decode,
    encode,
    metadata,
)
from neuralstream_lambda.problems import retry_after, status_of
from neuralstream_lambda.resolver import Response, json_response

if TYPE_CHECKING:
    from neuralstream_core.errors import NeuralStreamError
    from neuralstream_core.serving.engine import Engine
    from neuralstream_core.serving.oip import InferAnswer

__all__ = ["PREDICTION_ID", "infer", "model_metadata", "model_ready", "v2_problem"]

PREDICTION_ID: Final = "x-prediction-id"
"""Header of the id of a prediction."""


def v2_problem(error: NeuralStreamError) -> Response[str]:
    """The protocol's own error form; what RFC 9457 answers with 422 is 400 here."""
    status, _ = status_of(error)
    body = json.dumps({"error": error.detail})
    return json_response(body, 400 if status == 422 else status, retry_after(error))


def model_metadata(engine: Engine, model: str, version: str | None) -> ModelMetadata:
    """The metadata of a version, by default of the one in production.

    Raises:
        NotFound: no such model or version.
        Conflict: the model has no version in production.
    """
    deployment = engine.deployments.get(model)
    return metadata(engine.choose(deployment, version), deployment.serving)


def model_ready(engine: Engine, model: str, version: str | None) -> ModelReady:
    """That a version is loaded; it is loaded now if it was not.

    Raises:
        NotFound: no such model or version.
        Conflict: the model has no version in production, or the version cannot be loaded.
    """
    engine.models.get(engine.choose(engine.deployments.get(model), version))
    return ModelReady(name=model, ready=True)


def infer(
    engine: Engine, model: str, version: str | None, body: InferBody
) -> Response[InferAnswer]:
    """The answer to the tensors of the body, or to the features of its entities.

    Raises:
        Invalid: the body does not fit the model.
        NotFound: no such model or version.
        TooLarge: the answer.
    """
    entity, entities = body.entity_id, body.entities
    accept = partial(check_answer, body)
    if (entity is not None or entities) and not body.inputs:
        prediction = engine.predict(
            model, entity, entities=entities, version=version, accept=accept
        )
        servable, predictions, named = prediction.servable, prediction.predictions, prediction.id
    else:
        servable, predictions, named = engine.infer(
            model,
            lambda servable: decode(body, servable.runtime.signature),
            version=version,
            entity=entity,
            entities=entities,
            accept=accept,
        )
    return json_response(encode(body, servable, predictions), headers={PREDICTION_ID: named})
