"""What callers send about rows, over HTTP or in a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import Field, WithJsonSchema, model_validator

from neuralstream_core.errors import FieldError, Invalid
from neuralstream_core.features.entity import parse_entity, parse_path
from neuralstream_core.features.rows import Entity
from neuralstream_core.features.schema import MAX_FEATURES, FeatureView
from neuralstream_core.features.values import BadValue
from neuralstream_core.features.writes import Given, GivenColumns, GivenRows
from neuralstream_core.types import MAX_BATCH, MAX_ENTITY_ID, VALUE_SCHEMA, Frozen, Name

__all__ = [
    "MAX_ROWS",
    "BatchRequest",
    "Layout",
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
_TIME: Final = {"type": "string", "format": "date-time"}
_MOMENT: Final = {
    "anyOf": [_TIME, {"type": "null"}],
    "description": "when the values became true, ISO 8601 with a zone, at most 5 minutes ahead;"
    " now when absent",
}
_MOMENTS: Final = {
    "anyOf": [
        _TIME,
        {"type": "array", "items": {"anyOf": [_TIME, {"type": "null"}]}},
        {"type": "null"},
    ],
    "description": "when the values became true, ISO 8601 with a zone, at most 5 minutes ahead; now when "
    "absent. With columns also a list of one for each entity",
}
EntityForm = Annotated[Any, WithJsonSchema(_ENTITY)]
Values = Annotated[Any, WithJsonSchema(_VALUES)]
Moments = Annotated[Any, WithJsonSchema(_MOMENTS)]
Columns = Annotated[
    dict[str, Any],
    Field(max_length=MAX_FEATURES),
    WithJsonSchema(
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "array", "items": VALUE_SCHEMA},
            "description": "by feature, a value for each entity of entity_ids; null sets NULL; a feature "
            "left out keeps its values",
            "examples": [{"age": [41, None], "score": [0.5, 0.25]}],
        }
    ),
]
Layout: TypeAlias = Literal["rows", "columns"]
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
    """One row (``entity_id``, ``features``) or many of one view, as ``rows`` or in columns
    (``entity_ids``, ``columns``).

    The values themselves are checked against the view when they are packed, in one pass.
    """

    feature_view: Name
    entity_id: EntityForm = None
    features: Values = None
    event_timestamp: Moments = None
    rows: Annotated[list[RowForm], Field(min_length=1, max_length=MAX_ROWS)] | None = Field(
        default=None, description=f"many rows in place of one, at most {MAX_ROWS}"
    )
    layout: Layout | None = Field(
        default=None, description="columns demands entity_ids and columns, rows refuses them"
    )
    entity_ids: Annotated[list[EntityForm], Field(min_length=1, max_length=MAX_ROWS)] | None = (
        Field(default=None, description=f"with columns: one for each row, at most {MAX_ROWS}")
    )
    columns: Columns | None = Field(default=None, description="the values of entity_ids by feature")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = self.model_fields_set - {"feature_view", "layout"}
        by_column = given & {"entity_ids", "columns"}
        if by_column or self.layout == "columns":
            if self.layout == "rows":
                raise ValueError(f"layout rows and {min(by_column)} do not go together")
            if self.entity_ids is None or self.columns is None:
                raise ValueError("layout columns needs entity_ids and columns")
            if other := given - {"entity_ids", "columns", "event_timestamp"}:
                raise ValueError(f"give entity_ids and columns or {', '.join(sorted(other))}")
            return self
        single = given & {"entity_id", "features", "event_timestamp"}
        if self.rows is not None and single:
            raise ValueError(f"give rows or {', '.join(sorted(single))}, not both")
        if self.rows is None and not {"entity_id", "features"} <= given:
            raise ValueError("give entity_id and features, or rows")
        return self

    def given(self) -> Given:
        """The rows as `neuralstream_core.features.store.OnlineStore.prepare` takes them."""
        if self.entity_ids is not None and self.columns is not None:
            return GivenColumns(self.entity_ids, self.columns, self.event_timestamp)
        if self.rows is not None:
            return GivenRows(self.rows)
        row = {"entity_id": self.entity_id, "features": self.features}
        if self.event_timestamp is not None:
            row["event_timestamp"] = self.event_timestamp
        return GivenRows([row], where="")


class BatchRequest(Frozen):
    """Many entities of one view."""

    feature_view: Name
    entity_ids: Annotated[list[EntityForm], Field(max_length=MAX_BATCH)] = Field(
        description=f"at most {MAX_BATCH}; each occurrence is answered, in this order"
    )
    features: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="names of the features to read; all when left out"
    )
    layout: Layout = Field(
        default="rows", description="rows: one object per entity; columns: one list per feature"
    )
    event_timestamps: bool = Field(
        default=False,
        description="whether an answer in columns holds the event time of each row, as rows always do",
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


def path_entities(text: str, loc: str = "path.entity_id") -> Callable[[FeatureView], list[Entity]]:
    """The one entity that a path, or the parameter ``loc``, names, for `OnlineStore.read_many`.

    Raises (the returned function):
        Invalid: the text does not fit the view.
    """

    def entities(view: FeatureView) -> list[Entity]:
        try:
            return [parse_path(view.keys, text)]
        except BadValue as error:
            raise Invalid.at(loc, str(error), code="invalid_entity") from None

    return entities
