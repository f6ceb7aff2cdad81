"""What callers send about rows, over HTTP or in a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Self

from pydantic import Field, WithJsonSchema, model_validator

from neuralstream_core.errors import FieldError, Invalid
from neuralstream_core.features.entity import parse_entity, parse_path
from neuralstream_core.features.rows import Entity
from neuralstream_core.features.schema import FeatureView
from neuralstream_core.features.values import BadValue
from neuralstream_core.types import MAX_BATCH, MAX_ENTITY_ID, VALUE_SCHEMA, Frozen, Name

__all__ = [
    "MAX_ROWS",
    "BatchRequest",
    "WriteRequest",
    "path_entities",
]

MAX_ROWS: Final = 10_000
"""Rows one write may have."""

_ID: Final = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": MAX_ENTITY_ID},
        {"type": "integer"},
    ]
}
_ENTITY: Final = {
    "anyOf": [
        *_ID["anyOf"],
        {"type": "array", "items": _ID},
        {"type": "object", "additionalProperties": _ID},
    ],
    "description": 'an id, text or a whole number (17 and `"17"` are one); for a composite '
    "entity a list in key order, or an object by key",
}
_VALUES: Final = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": VALUE_SCHEMA,
    "description": "value by feature name; null sets NULL; a feature left out keeps its value",
}
_MOMENT: Final = {
    "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}],
    "description": "when the values became true, ISO 8601 with a zone, at most 5 minutes ahead;"
    " now when absent",
}
EntityForm = Annotated[Any, WithJsonSchema(_ENTITY)]
Values = Annotated[Any, WithJsonSchema(_VALUES)]
Moment = Annotated[Any, WithJsonSchema(_MOMENT)]
RowForm = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "object",
            "required": ["entity_id", "features"],
            "additionalProperties": False,
            "properties": {
                "entity_id": _ENTITY,
                "features": _VALUES,
                "event_timestamp": _MOMENT,
            },
            "description": "one row, as the fields of the request describe it",
        }
    ),
]


class WriteRequest(Frozen):
    """One row (``entity_id``, ``features``) or many (``rows``) of one view.

    The rows themselves are checked against the view when they are packed, in one pass.
    """

    feature_view: Name
    entity_id: EntityForm = None
    features: Values = None
    event_timestamp: Moment = None
    rows: Annotated[list[RowForm], Field(min_length=1, max_length=MAX_ROWS)] | None = Field(
        default=None, description=f"many rows in place of one, at most {MAX_ROWS}"
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        single = self.model_fields_set & {"entity_id", "features", "event_timestamp"}
        if self.rows is not None and single:
            raise ValueError(f"give rows or {', '.join(sorted(single))}, not both")
        if self.rows is None and not {"entity_id", "features"} <= self.model_fields_set:
            raise ValueError("give entity_id and features, or rows")
        return self

    def given(self) -> tuple[Sequence[Mapping[str, Any]], str]:
        """The rows, and the place of row ``{}`` in this request: ``rows`` and ``where`` of
        `neuralstream_core.features.store.OnlineStore.write`."""
        if self.rows is not None:
            return self.rows, "rows.{}."
        row = {"entity_id": self.entity_id, "features": self.features}
        if self.event_timestamp is not None:
            row["event_timestamp"] = self.event_timestamp
        return [row], ""


class BatchRequest(Frozen):
    """Many entities of one view."""

    feature_view: Name
    entity_ids: Annotated[list[EntityForm], Field(max_length=MAX_BATCH)] = Field(
        description=f"at most {MAX_BATCH}; each occurrence is answered, in this order"
    )
    features: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="names of the features to read; all when left out"
    )

    def entities(self, view: FeatureView) -> list[Entity]:
        """The entities in request order.

        Raises:
            Invalid: names each ``entity_ids.3`` that does not fit the view.
        """
        if len(view.keys) == 1 and all(
            type(raw) is str and 0 < len(raw) <= MAX_ENTITY_ID for raw in self.entity_ids
        ):
            return self.entity_ids
        found: list[Entity] = []
        errors: list[FieldError] = []
        for i, raw in enumerate(self.entity_ids):
            try:
                found.append(parse_entity(view.keys, raw))
            except BadValue as error:
                errors.append(FieldError(f"entity_ids.{i}", str(error)))
        if errors:
            raise Invalid(f"{errors[0].loc}: {errors[0].msg}", code="invalid_entity", errors=errors)
        return found


def path_entities(text: str) -> Callable[[FeatureView], list[Entity]]:
    """The one entity that a path names, for `OnlineStore.read_many`.

    Raises (the returned function):
        Invalid: the text does not fit the view.
    """

    def entities(view: FeatureView) -> list[Entity]:
        try:
            return [parse_path(view.keys, text)]
        except BadValue as error:
            raise Invalid.at("path.entity_id", str(error), code="invalid_entity") from None

    return entities
