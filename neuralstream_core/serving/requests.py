"""The body of ``POST /predict/{model_name}`` and its answer."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from neuralstream_core.features.entity import entity_json
from neuralstream_core.serving.engine import Prediction
from neuralstream_core.time import iso
from neuralstream_core.types import MAX_NAME, EntityId, Frozen, Name, UtcTime, VersionName

__all__ = ["AnyEntity", "PredictAnswer", "PredictBody", "answer_json"]

AnyEntity = Annotated[
    EntityId
    | Annotated[list[EntityId], Field(min_length=1, max_length=8)]
    | Annotated[dict[Name, EntityId], Field(min_length=1, max_length=8)],
    Field(
        description="a string; for a composite entity a list in the view's key order or an object by key"
    ),
]


class PredictBody(Frozen):
    """For whom, and what the request itself knows."""

    entity_id: AnyEntity
    feature_view: Name | None = Field(
        default=None,
        description="the view the entity belongs to; unqualified feature names resolve in it",
    )
    entities: Annotated[dict[Name, EntityId], Field(max_length=16)] | None = Field(
        default=None, description="further entity keys, for models that read several views"
    )
    features: (
        Annotated[
            dict[Annotated[str, StringConstraints(min_length=1, max_length=2 * MAX_NAME + 1)], Any],
            Field(max_length=1000),
        ]
        | None
    ) = Field(
        default=None,
        description="request-time values, and values that override the store's, by name or view:name",
    )
    version: VersionName | None = Field(default=None, description="pins a version")
    return_features: bool = Field(default=False, description="answer what the model saw")


class PredictAnswer(BaseModel):
    """One prediction."""

    model: str
    version: str
    entity_id: str | list[str]
    prediction: Any = Field(
        description="a label, a number, or a list when the model has several outputs"
    )
    probability: float | None = Field(
        default=None,
        description="classifiers; binary: of the positive class, otherwise of the predicted class",
    )
    probabilities: dict[str, float] | None = Field(
        default=None, description="by class, with three or more classes"
    )
    latency_ms: float
    features: dict[str, Any] | None = None
    timestamp: UtcTime


def answer_json(prediction: Prediction, *, features: bool) -> str:
    """The JSON of a `PredictAnswer`; written directly, because this is the real-time path."""
    outcome = prediction.outcome
    version = prediction.plan.version
    answer: dict[str, Any] = {
        "model": version.model,
        "version": version.version,
        "entity_id": entity_json(prediction.entity),
        "prediction": outcome.prediction,
    }
    if outcome.probability is not None:
        answer["probability"] = outcome.probability
    if outcome.probabilities is not None:
        answer["probabilities"] = outcome.probabilities
    answer["latency_ms"] = round(prediction.seconds[0] * 1000, 3)
    if features:
        answer["features"] = prediction.features()
    answer["timestamp"] = iso(prediction.at)
    return json.dumps(answer, allow_nan=False)
