"""The body of ``POST /predict/{model_name}`` and its answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from neuralstream_core.serving.engine import Prediction
from neuralstream_core.time import Micros
from neuralstream_core.types import MAX_NAME, EntityId, Frozen, Name, UtcTime, VersionName

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
    """For whom, and what the request itself knows."""

    entity_id: AnyEntity | None = Field(
        default=None,
        description="whose features are read and who is kept on a version; may be left out when "
        "`features` gives every input: the production version answers",
    )
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
    return_features: bool = Field(
        default=False,
        description="answer what the model saw; the key needs the scope `features:read` as well",
    )


class PredictAnswer(BaseModel):
    """One prediction."""

    model: str
    version: str
    entity_id: str | list[str] | None
    prediction: Any = Field(
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
    outputs: dict[str, Any] | None = Field(
        default=None, description="the prediction by output name, of a model with several outputs"
    )
    latency_ms: float
    features: dict[str, Any] | None = None
    timestamp: UtcTime


def answer_json(prediction: Prediction, *, features: bool = False) -> str:
    """The JSON of a `PredictAnswer`, put together by hand: building a dictionary and encoding it would
    take a twentieth of the whole request."""
    outcome, plan = prediction.outcome, prediction.plan
    entity = prediction.entity
    parts = [
        plan.head,
        encode_basestring_ascii(entity) if isinstance(entity, str) else json.dumps(entity),
        ', "prediction": ',
        _json(outcome.prediction),
    ]
    if outcome.probability is not None:
        parts += ', "probability": ', repr(outcome.probability)
    if outcome.probabilities is not None:
        parts += ', "probabilities": ', _json(outcome.probabilities)
    if outcome.score is not None:
        parts += ', "score": ', repr(outcome.score)
    if outcome.scores is not None:
        parts += ', "scores": ', _json(outcome.scores)
    if plan.reader.names:
        named = dict(zip(plan.reader.names, outcome.prediction, strict=True))
        parts += ', "outputs": ', _json(named)
    parts += ', "latency_ms": ', f"{prediction.seconds[0] * 1000:.3f}"
    if features:
        parts += ', "features": ', _json(prediction.features())
    parts += ', "timestamp": "', _iso(prediction.at), '"}'
    return "".join(parts)


def _json(value: Any) -> str:
    kind = type(value)
    if kind is float or kind is int:  # finite: the plan has checked
        return repr(value)
    if kind is str:
        return encode_basestring_ascii(value)
    return json.dumps(value, allow_nan=False)


_second: tuple[int, str] = (0, "1970-01-01T00:00:00")


def _iso(at: Micros) -> str:
    """`neuralstream_core.time.iso`, with the text of the present second remembered."""
    global _second  # noqa: PLW0603 - one tuple, replaced whole; a racing thread only computes it again
    second, micros = divmod(at, 1_000_000)
    known, text = _second
    if known != second:
        text = datetime.fromtimestamp(second, UTC).isoformat()[:19]
        _second = (second, text)
    return f"{text}.{micros:06d}Z" if micros else f"{text}Z"
