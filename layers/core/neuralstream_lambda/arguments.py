"""The arguments of a route, read from an API Gateway event and validated as its function declares them.

Powertools' own request validation (``enable_validation``) is not used: it runs before any middleware, so
before the scope is checked; it parses JSON to Python objects first, where strict models refuse ISO times;
and it ignores unknown query parameters.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from aws_lambda_powertools.event_handler.openapi.dependant import get_dependant
from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from neuralstream_core import types
from neuralstream_core.errors import Invalid, TooLarge
from neuralstream_core.types import Name, PageToken, VersionName
from neuralstream_core.validation import from_validation

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.api_gateway import Route
    from aws_lambda_powertools.event_handler.openapi.compat import ModelField

__all__ = [
    "ENTITY_FORM",
    "Arguments",
    "AssetPath",
    "EntityPath",
    "Inputs",
    "NamePrefix",
    "NextToken",
    "PathModel",
    "PathService",
    "PathVersion",
    "PathView",
    "arguments",
]

PathView: TypeAlias = Annotated[Name, Path(description="name of the feature view")]
PathService: TypeAlias = Annotated[Name, Path(description="name of the feature service")]
ENTITY_FORM: Final = (
    "any characters, also `/`, percent-encoded; parts of a composite entity joined with `,`, in which `\\`"
    " escapes `,` and `\\`"
)
EntityPath: TypeAlias = Annotated[str, Path(min_length=1, description=ENTITY_FORM)]
AssetPath: TypeAlias = Annotated[
    str, Path(description="name of the file, such as `app.js`, in the digest's folder or without")
]
PathModel: TypeAlias = Annotated[Name, Path(description="name of the model")]
PathVersion: TypeAlias = Annotated[VersionName, Path(description="such as `v1`")]
NextToken: TypeAlias = Annotated[
    PageToken | None,
    Query(description="`next_token` of the page before; the first page when left out"),
]
NamePrefix: TypeAlias = Annotated[
    str, Query(max_length=types.MAX_NAME, description="only names that begin with this")
]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Validators of a route's parameters and body; ``None`` where it takes none."""

    path: type[BaseModel] | None
    query: type[BaseModel] | None
    body: TypeAdapter[Any] | None
    body_name: str = ""

    @classmethod
    @lru_cache(maxsize=128)
    def of(cls, route: Route) -> Inputs:
        """As the route's function declares them."""
        declared = get_dependant(path=route.openapi_path, call=route.func)
        path, query = _model(declared.path_params), _model(declared.query_params)
        if not declared.body_params:
            return cls(path, query, None)
        (body,) = declared.body_params
        return cls(path, query, TypeAdapter(body.type_), body.name)


def _model(fields: Sequence[ModelField]) -> type[BaseModel] | None:
    if not fields:
        return None
    declared: dict[str, Any] = {f.name: (f.field_info.annotation, f.field_info) for f in fields}
    model: type[BaseModel] = create_model("Parameters", __base__=types.Query, **declared)
    return model


class Arguments(dict[str, Any]):
    """The arguments of a route's function by name, shown by name only: Powertools formats them for its
    debug log on each request, and a body may have 5 MB and values that belong in no log."""

    def __repr__(self) -> str:
        return f"Arguments({', '.join(self)})"


def arguments(
    route: Route, event: Mapping[str, Any], max_body: int, smaller_body: str
) -> Arguments:
    """What to call the route's function with.

    Args:
        max_body: bytes.
        smaller_body: what a caller can do whose body has more.

    Raises:
        Invalid: names each place that is wrong.
        TooLarge: the body, or a list in it, is larger than the route takes.
    """
    inputs = Inputs.of(route)
    found = Arguments()
    for where, model, key in (
        ("path", inputs.path, "pathParameters"),
        ("query", inputs.query, "queryStringParameters"),
    ):
        if model is not None:
            raw = event.get(key) or {}
            try:
                found |= vars(model.model_validate(raw))
            except ValidationError as error:
                raise from_validation(error, raw, where) from None
    if inputs.body is not None:
        # No body is JSON's null: what a route with an optional body accepts.
        body = _body(event, max_body, smaller_body) or "null"
        try:
            found[inputs.body_name] = inputs.body.validate_json(body)
        except ValidationError as error:
            raise from_validation(error, body) from None
    return found


def _body(event: Mapping[str, Any], max_bytes: int, hint: str) -> str | bytes:
    body: str | bytes = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            body = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise Invalid.at("body", "not valid base64", code="invalid_body") from None
    size = len(body)
    if size <= max_bytes and isinstance(body, str) and not body.isascii():
        size = len(body.encode())
    if size > max_bytes:
        raise TooLarge(f"the body may have at most {max_bytes} bytes; {hint}")
    return body
