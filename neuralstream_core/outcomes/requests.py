"""The body of ``POST /outcomes``: what became of predictions."""

from __future__ import annotations

from typing import Annotated, Final, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from neuralstream_core.outcomes.ids import MAX_PREDICTION_ID
from neuralstream_core.types import EntityId, Frozen, Name, UtcTime

__all__ = ["MAX_LABEL", "MAX_OUTCOMES", "NamedEntity", "OutcomeLabel", "OutcomeRow", "OutcomesBody"]

MAX_OUTCOMES: Final = 10_000
"""Rows of one request."""
MAX_LABEL: Final = 1024
"""Characters of a label that is text."""

OutcomeLabel: TypeAlias = Annotated[
    bool | float | Annotated[str, StringConstraints(min_length=1, max_length=MAX_LABEL)],
    Field(
        description="what was true: a class of a classifier, a number of a regressor. Text has at most "
        f"{MAX_LABEL} characters; numbers are kept as float64, so send as text what has more digits"
    ),
]
NamedEntity: TypeAlias = EntityId | Annotated[list[EntityId], Field(min_length=1, max_length=8)]
"""An entity as answers name it: text or a whole number, or a list for a composite one."""


class OutcomeRow(Frozen):
    """What became of one prediction, which is named by its id, or by entity and time."""

    prediction_id: Annotated[
        str | None,
        Field(max_length=MAX_PREDICTION_ID, description="as the answer to the prediction has it"),
    ] = None
    entity_id: NamedEntity | None = Field(
        default=None,
        description="in its place the entity of the prediction, as `entity_id` of its answer: text or a whole"
        " number; a list for a composite one",
    )
    predicted_at: UtcTime | None = Field(
        default=None,
        description="with `entity_id`: the outcome belongs to the last prediction for this entity at or"
        " before this time, at most 24 hours earlier",
    )
    label: OutcomeLabel
    observed_at: UtcTime | None = Field(
        default=None,
        description="when it became known, ISO 8601 with a zone; now if left out. The outcome of the latest"
        " time counts, so a later one corrects an earlier one",
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        by_entity = self.entity_id is not None, self.predicted_at is not None
        if self.prediction_id is not None:
            if any(by_entity):
                raise ValueError("give prediction_id, or entity_id and predicted_at, not both")
        elif not all(by_entity):
            raise ValueError("give prediction_id, or entity_id and predicted_at")
        return self


class OutcomesBody(Frozen):
    """Outcomes of predictions of one model."""

    model: Name = Field(description="the model that predicted")
    rows: Annotated[list[OutcomeRow], Field(min_length=1, max_length=MAX_OUTCOMES)] = Field(
        description=f"at most {MAX_OUTCOMES}"
    )
