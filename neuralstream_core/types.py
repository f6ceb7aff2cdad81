"""The pydantic vocabulary of requests, answers and records: base models, names, ids, times.

Every field that a route takes or answers has a ``Field(description=…)``: with units and bounds, for the
OpenAPI document. Not ``use_attribute_docstrings``: pydantic then parses the source of each class at import,
which would add a tenth of a second to the cold start of a function.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

__all__ = [
    "MAX_BATCH",
    "MAX_ENTITY_ID",
    "MAX_NAME",
    "NEXT_PAGE",
    "VALUE_SCHEMA",
    "Bounded",
    "Description",
    "EntityId",
    "FeatureValue",
    "Frozen",
    "Name",
    "PageToken",
    "PredictionValue",
    "Query",
    "Reason",
    "Record",
    "SchemaOf",
    "ShortText",
    "Tags",
    "UtcTime",
    "VersionName",
    "id_text",
]

MAX_NAME = 128
MAX_ENTITY_ID = 1024
MAX_BATCH = 1000
NEXT_PAGE: Final = "asks for the next page; null on the last one"
MAX_OPAQUE = 16 * 1024
"""Bytes of JSON of one value that a caller shapes freely."""


VALUE_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "number"},
        {"type": "boolean"},
        {"type": "string"},
        {"type": "array", "items": {"type": "number"}},
        {"type": "null"},
    ],
    "description": "a number, a boolean, a text, a time in ISO 8601, or a vector of numbers, by the"
    " feature's dtype",
}
"""How documents describe the value of a feature, which is checked elsewhere: against its view."""


class Frozen(BaseModel):
    """Base of everything a caller sends: strict types, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=False
    )


class Query(BaseModel):
    """Base of query and path parameters: text on the wire, so types are coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SchemaOf:
    """Annotates a mapping that is kept and answered as it is: documents describe it as ``model``.

    Args:
        model: it is not used to validate or to serialize.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(self._model.__pydantic_core_schema__)


class Record(BaseModel):
    """Base of what is stored and answered: tolerant of fields from a newer release."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def id_text(value: Any) -> Any:
    """An entity id as text: a whole number is its decimal digits, so 17 and "17" are one entity.

    Anything else is returned as it is, for whoever checks its type.

    Raises:
        ValueError: text that is not valid Unicode, or a number of too many digits.
    """
    if type(value) is int:
        if abs(value) >= _TOO_LONG:
            raise ValueError(f"must have at most {MAX_ENTITY_ID} characters")
        return str(value)
    if isinstance(value, str) and not value.isascii():
        value.encode("utf-8")
    return value


_TOO_LONG = 10**MAX_ENTITY_ID


def _entity_id(value: Any) -> Any:
    text = id_text(value)
    if not isinstance(text, str):
        raise PydanticCustomError("entity_id", "must be a string or a whole number")
    return text


Name: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=MAX_NAME),
    Field(description="letters, digits, `_`, `.`, `-`; starts with a letter or digit"),
]
EntityId: TypeAlias = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ENTITY_ID),
    BeforeValidator(
        _entity_id,
        json_schema_input_type=Annotated[str, Field(min_length=1, max_length=MAX_ENTITY_ID)] | int,
    ),
    Field(description="any characters, at most 1024; a whole number is its decimal digits"),
]
FeatureValue: TypeAlias = Annotated[Any, WithJsonSchema(VALUE_SCHEMA)]
PredictionValue: TypeAlias = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number"},
                {"type": "string"},
                {"type": "boolean"},
                {
                    "type": "array",
                    "items": {
                        "anyOf": [{"type": "number"}, {"type": "string"}, {"type": "boolean"}]
                    },
                },
                {"type": "null"},
            ],
            "description": "a label, a number, or a list of a model with several outputs",
        }
    ),
]
VersionName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^v[1-9][0-9]{0,8}$")]
Description: TypeAlias = Annotated[str, StringConstraints(max_length=2048)]
Tags: TypeAlias = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)],
        Annotated[str, StringConstraints(max_length=256)],
    ],
    Field(max_length=50),
]


def _bounded(value: Any) -> Any:
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    try:
        size = len(json.dumps(plain, allow_nan=False, default=str).encode())
    except (ValueError, RecursionError):
        raise ValueError("must be JSON with finite numbers and whole characters") from None
    if size > MAX_OPAQUE:
        raise ValueError(f"has {size} bytes as JSON, at most {MAX_OPAQUE} are allowed")
    return value


Bounded = AfterValidator(_bounded)
"""JSON of at most `MAX_OPAQUE` bytes, with finite numbers and valid Unicode."""
Reason: TypeAlias = Annotated[str, StringConstraints(max_length=1024), Bounded]
ShortText: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=512), Bounded]
PageToken: TypeAlias = Annotated[str, StringConstraints(max_length=2048)]
UtcTime: TypeAlias = Annotated[AwareDatetime, Field(description="ISO 8601 with a zone")]
