"""What callers and schedules send to predict many rows, and the answer to a request for rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints, model_validator

from neuralstream_core.features.entity import entity_json
from neuralstream_core.features.requests import Layout
from neuralstream_core.features.rows import Entity
from neuralstream_core.serving.batch.locations import InputFormat, OutputFormat
from neuralstream_core.serving.requests import AnyEntity
from neuralstream_core.time import Micros, iso
from neuralstream_core.types import (
    MAX_BATCH,
    MAX_NAME,
    EntityId,
    Frozen,
    Name,
    UtcTime,
    VersionName,
)

if TYPE_CHECKING:
    from neuralstream_core.serving.predictions import PredictionColumns

__all__ = [
    "BatchAnswer",
    "BatchBody",
    "BatchPrediction",
    "JobSpec",
    "ScheduledJob",
    "batch_json",
    "job_spec",
]

_ROW_FIELDS = frozenset({"entity_ids", "feature_view", "entities", "features", "layout"})

S3Uri = Annotated[str, Field(min_length=6, max_length=1024, description="s3://bucket/key")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Column = Annotated[list[Any], Field(max_length=MAX_BATCH)]
DEFAULT_FAILED_FRACTION = 0.01


class JobSpec(Frozen):
    """What a job is asked to do."""

    model: Name
    input: S3Uri
    output: S3Uri
    input_format: InputFormat | None = Field(
        default=None, description="when the extension does not say"
    )
    output_format: OutputFormat = "jsonl"
    version: VersionName | None = Field(
        default=None, description="instead of production and its split"
    )
    max_failed_fraction: Fraction = Field(
        default=DEFAULT_FAILED_FRACTION,
        description="the job fails when more than this share of its rows failed",
    )
    allow_empty: bool = Field(
        default=False, description="an input without rows is a job well done; it fails otherwise"
    )


_JOB_FIELDS = frozenset(JobSpec.model_fields) - {"model", "version"}


class BatchBody(Frozen):
    """Either ``entity_ids``, answered at once, or ``input`` and ``output``, which make a job."""

    entity_ids: Annotated[list[AnyEntity], Field(max_length=MAX_BATCH)] | None = None
    feature_view: Name | None = Field(
        default=None, description="the view the entities belong to; unqualified names resolve in it"
    )
    entities: (
        Annotated[
            dict[Name, Annotated[list[EntityId], Field(max_length=MAX_BATCH)]],
            Field(max_length=16),
        ]
        | None
    ) = Field(default=None, description="further entity keys, one list in the order of entity_ids")
    features: (
        Annotated[
            dict[
                Annotated[str, StringConstraints(min_length=1, max_length=2 * MAX_NAME + 1)], Column
            ],
            Field(max_length=1000),
        ]
        | None
    ) = Field(
        default=None,
        description="values that override the store or only the request can give, one list each",
    )
    version: VersionName | None = Field(default=None, description="pins a version")
    layout: Layout = Field(
        default="rows",
        description="of the answer: rows: one object an entity; columns: one list a field",
    )
    input: S3Uri | None = Field(default=None, description="a .csv, .jsonl or .parquet of entities")
    output: S3Uri | None = Field(default=None, description="folder under which the job writes")
    input_format: InputFormat | None = None
    output_format: OutputFormat = "jsonl"
    max_failed_fraction: Fraction = DEFAULT_FAILED_FRACTION
    allow_empty: bool = Field(
        default=False, description="an input without rows is a job well done; it fails otherwise"
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = self.model_fields_set
        if self.entity_ids is not None:
            if wrong := sorted(given & _JOB_FIELDS):
                raise ValueError(f"entity_ids and {wrong[0]} do not go together")
            counts = {**(self.entities or {}), **(self.features or {})}
            for name, column in counts.items():
                if len(column) != len(self.entity_ids):
                    raise ValueError(
                        f"{name[:MAX_NAME]} has {len(column)} values for {len(self.entity_ids)} entities"
                    )
        elif self.input is None or self.output is None:
            raise ValueError("give entity_ids, or input and output")
        elif wrong := sorted(given & _ROW_FIELDS):
            raise ValueError(f"input and {wrong[0]} do not go together")
        return self


class ScheduledJob(JobSpec):
    """What a schedule delivers. Dates in the locations are those of ``scheduled_time`` in ``timezone``;
    ``schedule`` and ``scheduled_time`` together, or ``idempotency_key``, make a second delivery harmless."""

    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    schedule: Name | None = None
    scheduled_time: Annotated[AwareDatetime, Field(strict=False)] | None = None
    timezone: str = "UTC"


class BatchPrediction(BaseModel):
    """One row of the answer: a prediction or an error."""

    entity_id: str | list[str]
    version: str
    prediction: Any = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    score: float | None = None
    scores: dict[str, float] | None = None
    outputs: dict[str, Any] | None = None
    error: dict[str, str] | None = Field(default=None, description="`code` and `detail`")


class BatchAnswer(BaseModel):
    """Predictions in the order of ``entity_ids``."""

    model: str
    predictions: list[BatchPrediction]
    count: int
    failed: int
    latency_ms: float
    timestamp: UtcTime


def job_spec(model: str, body: BatchBody) -> JobSpec:
    """The job that the second form of the body asks for."""
    fields = body.model_dump(include=set(JobSpec.model_fields))
    return JobSpec.model_validate({"model": model, **fields})


def batch_json(model: str, entities: list[Entity], columns: PredictionColumns, at: Micros) -> str:
    """The JSON of a `BatchAnswer`."""
    from neuralstream_core.serving.predictions import answer_columns

    versions = [columns.versions[place] for place in columns.version.tolist()]
    answers = answer_columns(columns)
    del answers["version"]  # a row with an error has one too
    rows: list[dict[str, Any]] = []
    for at_row, answer in enumerate(zip(*answers.values(), strict=True)):
        row = {"entity_id": entity_json(entities[at_row]), "version": versions[at_row]}
        if (error := columns.errors.get(at_row)) is not None:
            row["error"] = {"code": error.code, "detail": error.detail}
        else:
            row |= {n: v for n, v in zip(answers, answer, strict=True) if v is not None}
        rows.append(row)
    return json.dumps(
        {
            "model": model,
            "predictions": rows,
            "count": len(entities),
            "failed": len(columns.errors),
            "latency_ms": round(columns.seconds[0] * 1000, 3),
            "timestamp": iso(at),
        },
        allow_nan=False,
    )
