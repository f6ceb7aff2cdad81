"""What callers and schedules send to predict many rows, and the answer to a request for rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    Field,
    StringConstraints,
    model_validator,
)

from neuralstream_core.features.references import MAX_REFERENCE, MAX_ROLES
from neuralstream_core.features.requests import Layout
from neuralstream_core.serving.batch.locations import InputFormat, OutputFormat
from neuralstream_core.serving.entities import Identities, shown
from neuralstream_core.serving.requests import AnyEntity
from neuralstream_core.time import Micros, iso
from neuralstream_core.types import (
    MAX_BATCH,
    MAX_NAME,
    EntityId,
    FeatureValue,
    Frozen,
    Name,
    PredictionValue,
    SchemaOf,
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
Column = Annotated[list[FeatureValue], Field(max_length=MAX_BATCH)]
DEFAULT_FAILED_FRACTION = 0.01


class JobSpec(Frozen):
    """What a job is asked to do."""

    model: Name = Field(description="the model that predicts")
    input: S3Uri = Field(description="`s3://bucket/key` of a .csv, .jsonl or .parquet of entities")
    output: S3Uri = Field(
        description="`s3://bucket/folder/` under which each job writes into a folder of its own"
    )
    input_format: InputFormat | None = Field(
        default=None, description="when the extension does not say"
    )
    output_format: OutputFormat = Field(default="jsonl", description="of the files it writes")
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

    entity_ids: Annotated[list[AnyEntity], Field(max_length=MAX_BATCH)] | None = Field(
        default=None,
        description=f"who to predict for, at most {MAX_BATCH}; answered in this order; for a model with "
        "roles objects by role (and by the keys of its view without a role)",
    )
    feature_view: Name | None = Field(
        default=None, description="the view the entities belong to; unqualified names resolve in it"
    )
    entities: (
        Annotated[
            dict[Name, Annotated[list[EntityId], Field(max_length=MAX_BATCH)]],
            Field(max_length=MAX_ROLES),
        ]
        | None
    ) = Field(
        default=None,
        description="ids of further entities by entity key or role, one list in the order of entity_ids; at "
        "most 16",
    )
    features: (
        Annotated[
            dict[Annotated[str, StringConstraints(min_length=1, max_length=MAX_REFERENCE)], Column],
            Field(max_length=1000),
        ]
        | None
    ) = Field(
        default=None,
        description="values that override the store or only the request can give, by name, view:name or"
        " view@role:name; one list each, in the order of entity_ids; at most 1000",
    )
    version: VersionName | None = Field(
        default=None, description="answers in place of production and its split"
    )
    layout: Layout = Field(
        default="rows",
        description="of the answer: rows: one object per entity; columns: one list a field",
    )
    input: S3Uri | None = Field(
        default=None,
        description="`s3://bucket/key` of a .csv, .jsonl or .parquet of entities, in place of"
        " entity_ids",
    )
    output: S3Uri | None = Field(
        default=None,
        description="`s3://bucket/folder/` under which the job writes into a folder of its own",
    )
    input_format: InputFormat | None = Field(
        default=None, description="of the input, when its extension does not say"
    )
    output_format: OutputFormat = Field(default="jsonl", description="of the files it writes")
    max_failed_fraction: Fraction = Field(
        default=DEFAULT_FAILED_FRACTION,
        description="the job fails when more than this share of its rows failed, 0 to 1",
    )
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


class RowProblem(BaseModel):
    """Why one row has no prediction."""

    code: str = Field(description="stable and machine-readable")
    detail: str = Field(description="one sentence for a person")


class BatchPrediction(BaseModel):
    """One row of the answer: a prediction or an error."""

    entity_id: str | list[str] | dict[str, str] = Field(
        description="as text; of a composite entity a list in the view's key order; by role if all of the"
        " model's views have roles"
    )
    version: str = Field(description="the version that answered, or was to")
    prediction: PredictionValue = Field(
        default=None, description="as a single prediction answers it; left out with an error"
    )
    probability: float | None = Field(
        default=None,
        description="only where the model gives probabilities; binary: of the positive class,"
        " otherwise of the predicted class",
    )
    probabilities: dict[str, float] | None = Field(
        default=None, description="by class, with three or more classes"
    )
    score: float | None = Field(
        default=None,
        description="a number that is no probability, as a single prediction answers it",
    )
    scores: dict[str, float] | None = Field(
        default=None, description="by class or cluster, with three or more of them"
    )
    outputs: dict[str, FeatureValue] | None = Field(
        default=None, description="the prediction by output name, of a model with several outputs"
    )
    prediction_id: str | None = Field(
        default=None, description="names it when its outcome is sent; left out with an error"
    )
    error: Annotated[dict[str, str], SchemaOf(RowProblem)] | None = Field(
        default=None, description="why this row has no prediction"
    )


class BatchAnswer(BaseModel):
    """Predictions in the order of ``entity_ids``."""

    model: str = Field(description="its name")
    predictions: list[BatchPrediction] = Field(description="one for each entity id of the request")
    count: int = Field(description="entities of the request")
    failed: int = Field(description="those that have an error in place of a prediction")
    latency_ms: float = Field(description="milliseconds in the function for all of them")
    timestamp: UtcTime = Field(description="when the predictions were made, UTC")


def job_spec(model: str, body: BatchBody) -> JobSpec:
    """The job that the second form of the body asks for."""
    fields = body.model_dump(include=set(JobSpec.model_fields))
    return JobSpec.model_validate({"model": model, **fields})


def batch_json(model: str, named: Identities, columns: PredictionColumns, at: Micros) -> str:
    """The JSON of a `BatchAnswer`."""
    from neuralstream_core.serving.predictions import answer_columns

    versions = [columns.versions[place] for place in columns.version.tolist()]
    answers = answer_columns(columns)
    del answers["version"]  # a row with an error has one too
    rows: list[dict[str, Any]] = []
    for at_row, answer in enumerate(zip(*answers.values(), strict=True)):
        entity = shown(named.entities[at_row], named.roles)
        row = {"entity_id": entity, "version": versions[at_row]}
        if (error := columns.errors.get(at_row)) is not None:
            row["error"] = {"code": error.code, "detail": error.detail}
        else:
            row |= {n: v for n, v in zip(answers, answer, strict=True) if v is not None}
        rows.append(row)
    return json.dumps(
        {
            "model": model,
            "predictions": rows,
            "count": len(named.entities),
            "failed": len(columns.errors),
            "latency_ms": round(columns.seconds[0] * 1000, 3),
            "timestamp": iso(at),
        },
        allow_nan=False,
    )
