"""The body of ``POST /predict/{model_name}`` and its answer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from pydantic_core import to_json

from neuralstream_core.features.references import MAX_REFERENCE, MAX_ROLES
from neuralstream_core.serving.entities import shown
from neuralstream_core.serving.predictions import Prediction
from neuralstream_core.time import from_micros
from neuralstream_core.types import (
    EntityId,
    FeatureValue,
    Frozen,
    Name,
    PredictionValue,
    UtcTime,
    VersionName,
)

__all__ = ["AnyEntity", "PredictAnswer", "PredictBody", "answer_json"]

AnyEntity = Annotated[
    EntityId
    | Annotated[list[EntityId], Field(min_length=1, max_length=8)]
    | Annotated[dict[Name, EntityId], Field(min_length=1, max_length=8)],
    Field(
        description='an id, text or a whole number (17 and `"17"` are one); for a composite entity a '
        "list in the view's key order or an object by key"
    ),
]


class PredictBody(Frozen):
    """Whose prediction is asked for, and the request's own values."""

    entity_id: AnyEntity | None = Field(
        default=None,
        description="whose features are read and who is kept on a version; an object by role for a model "
        "with roles; may be left out when `features` gives every input (the production version answers) "
        "or `entities` every role",
    )
    feature_view: Name | None = Field(
        default=None,
        description="the view the entity belongs to; unqualified feature names resolve in it",
    )
    entities: Annotated[dict[Name, EntityId], Field(max_length=MAX_ROLES)] | None = Field(
        default=None,
        description="ids of further entities by entity key or role, for models that read several views; at "
        "most 16",
    )
    features: (
        Annotated[
            dict[
                Annotated[str, StringConstraints(min_length=1, max_length=MAX_REFERENCE)],
                FeatureValue,
            ],
            Field(max_length=1000),
        ]
        | None
    ) = Field(
        default=None,
        description="request-time values, and values that override the store's, by name, view:name or "
        "view@role:name; at most 1000",
    )
    version: VersionName | None = Field(
        default=None, description="answers in place of production and its split"
    )
    return_features: bool = Field(
        default=False,
        description="answer what the model saw; the key needs the scope `features:read` as well",
    )


class PredictAnswer(BaseModel):
    """One prediction."""

    model: str = Field(description="its name")
    version: str = Field(description="the version that answered, such as `v2`")
    entity_id: str | list[str] | dict[str, str] | None = Field(
        description="as text; of a composite entity a list in the view's key order; by role if all of the"
        " model's views have roles; null if the request named none"
    )
    prediction: PredictionValue = Field(
        description="a label, a number, or a list when the model has several outputs"
    )
    probability: float | None = Field(
        default=None,
        description="only where the model gives probabilities; binary: of the positive class, "
        "otherwise of the predicted class",
    )
    probabilities: dict[str, float] | None = Field(
        default=None, description="by class, with three or more classes"
    )
    score: float | None = Field(
        default=None,
        description="a number that is no probability: the decision value of the positive (binary) "
        "or predicted class, an anomaly score, the distance to the predicted cluster",
    )
    scores: dict[str, float] | None = Field(
        default=None, description="by class or cluster, with three or more of them"
    )
    outputs: dict[str, FeatureValue] | None = Field(
        default=None, description="the prediction by output name, of a model with several outputs"
    )
    latency_ms: float = Field(
        description="milliseconds in the function, from the parsed request to the answer"
    )
    features: dict[str, FeatureValue] | None = Field(
        default=None,
        description="with `return_features`: what the model saw, by feature name; by `view:feature` or "
        "`view@role:feature` where two share a name",
    )
    prediction_id: str = Field(
        description="names it when its outcome is sent; the header `x-prediction-id` has it too"
    )
    timestamp: UtcTime = Field(description="when the prediction was made, UTC")


def answer_json(prediction: Prediction, *, features: bool = False) -> str:
    """The JSON of a `PredictAnswer`; with ``features``, what the model saw."""
    answer, servable, entity = prediction.answer, prediction.servable, prediction.entity
    body: dict[str, Any] = {
        "model": servable.version.model,
        "version": servable.version.version,
        "entity_id": None if entity is None else shown(entity, prediction.roles),
        "prediction": answer.prediction,
    }
    for name in ("probability", "probabilities", "score", "scores"):
        if (value := getattr(answer, name)) is not None:
            body[name] = value
    if servable.reader.names:
        body["outputs"] = dict(zip(servable.reader.names, answer.prediction, strict=True))
    body["latency_ms"] = round(prediction.seconds[0] * 1000, 3)
    if features:
        body["features"] = prediction.features()
    body["prediction_id"] = prediction.id
    body["timestamp"] = from_micros(prediction.at)
    return to_json(body, inf_nan_mode="null").decode()
