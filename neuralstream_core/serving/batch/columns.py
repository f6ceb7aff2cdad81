"""The answer in columns to a batch request for rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field
from pydantic_core import to_json

from neuralstream_core.serving.entities import Identities, shown
from neuralstream_core.time import Micros, iso
from neuralstream_core.types import FeatureValue, PredictionValue, UtcTime

if TYPE_CHECKING:
    from neuralstream_core.serving.predictions import PredictionColumns

__all__ = ["BatchColumns", "BatchErrors", "PredictedColumns", "columns_json"]

Numbers = list[float | None]


class PredictedColumns(BaseModel):
    """The fields of a row's prediction, each as a list: null where a row has no such value, and left out
    where none has."""

    version: list[str] = Field(description="the version that answered each row")
    prediction: list[PredictionValue] = Field(
        description="a label, a number, or a list when the model has several outputs"
    )
    probability: Numbers | None = Field(
        default=None, description="binary: of the positive class, otherwise of the predicted one"
    )
    probabilities: dict[str, Numbers] | None = Field(default=None, description="by class")
    score: Numbers | None = Field(
        default=None, description="of the positive or predicted class; no probability"
    )
    scores: dict[str, Numbers] | None = Field(default=None, description="by class or cluster")
    outputs: dict[str, list[FeatureValue]] | None = Field(
        default=None, description="by output name, of a model with several outputs"
    )
    prediction_id: list[str | None] = Field(
        description="names each prediction when its outcome is sent"
    )


class BatchErrors(BaseModel):
    """Rows without a prediction that share one reason."""

    code: str = Field(description="the kind of failure")
    detail: str = Field(description="what is wrong, in words")
    rows: Annotated[list[int], Field(description="positions in entity_ids", examples=[[1, 4]])]


class BatchColumns(BaseModel):
    """Predictions in columns: row ``i`` of every list belongs to ``entity_ids[i]``."""

    model: str = Field(description="the model")
    entity_ids: list[str | list[str] | dict[str, str]] = Field(
        description="as text, or by role, in the order of the request"
    )
    columns: PredictedColumns = Field(description="one list for each field of a prediction")
    errors: list[BatchErrors] = Field(description="why rows have no prediction, each reason once")
    count: int = Field(description="entities of the request")
    failed: int = Field(description="those that have an error in place of a prediction")
    latency_ms: float = Field(description="milliseconds in the function for all of them")
    timestamp: UtcTime = Field(description="when the predictions were made, UTC")


def columns_json(model: str, named: Identities, answered: PredictionColumns, at: Micros) -> str:
    """The JSON of a `BatchColumns`."""
    from neuralstream_core.serving.predictions import answer_columns

    columns: dict[str, Any] = answer_columns(answered)
    columns["version"] = [answered.versions[place] for place in answered.version.tolist()]
    for name in ("probabilities", "scores", "outputs"):
        if name in columns:
            columns[name] = _by_name(columns[name])
    reasons: dict[tuple[str, str], list[int]] = {}
    for row in sorted(answered.errors):
        reasons.setdefault(answered.errors[row], []).append(row)
    answer = {
        "model": model,
        "entity_ids": [shown(entity, named.roles) for entity in named.entities],
        "columns": columns,
        "errors": [
            {"code": code, "detail": detail, "rows": rows}
            for (code, detail), rows in reasons.items()
        ],
        "count": len(named.entities),
        "failed": len(answered.errors),
        "latency_ms": round(answered.seconds[0] * 1000, 3),
        "timestamp": iso(at),
    }
    return to_json(answer, inf_nan_mode="null").decode()


def _by_name(rows: Sequence[Mapping[str, Any] | None]) -> dict[str, list[Any]]:
    """A list for each name that occurs in ``rows``."""
    names = dict.fromkeys(chain.from_iterable(row for row in rows if row))
    return {name: [row.get(name) if row else None for row in rows] for name in names}
