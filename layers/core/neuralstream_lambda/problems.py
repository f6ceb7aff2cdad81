"""The one place where an error becomes HTTP: RFC 9457 ``application/problem+json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_lambda_powertools.event_handler import Response
from pydantic import BaseModel, Field

from neuralstream_core import errors

if TYPE_CHECKING:
    from neuralstream_core.errors import NeuralStreamError

__all__ = ["STATUS", "Problem", "problem", "retry_after", "status_of"]

STATUS: dict[type[NeuralStreamError], tuple[int, str]] = {
    errors.Invalid: (422, "Invalid request"),
    errors.NotFound: (404, "Not found"),
    errors.Conflict: (409, "Conflict"),
    errors.TooLarge: (413, "Too large"),
    errors.Unauthenticated: (401, "Not authenticated"),
    errors.Forbidden: (403, "Forbidden"),
    errors.Unavailable: (503, "Dependency unavailable"),
}

_MAX_ERRORS: Final = 100
_MAX_LOC: Final = 512
_MAX_TEXT: Final = 2048
"""Characters of a sentence and of a place: both may repeat a name that the caller made up."""


class Place(BaseModel):
    """One place of the request that is wrong."""

    loc: str = Field(description="a path such as rows.3.features.age")
    msg: str = Field(description="what is wrong with it")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(
        description="`urn:neuralstream:problem:` and the code", json_schema_extra={"format": "uri"}
    )
    title: str = Field(description="of the status")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="one sentence for a person")
    code: str = Field(description="stable and machine-readable")
    errors: list[Place] = Field(
        default_factory=list,
        description="each place that is wrong, at most 100; only of an invalid request",
    )


def status_of(error: NeuralStreamError) -> tuple[int, str]:
    """HTTP status and title of a designed error, by its nearest base in the table."""
    for base in type(error).__mro__:
        if base in STATUS:
            return STATUS[base]
    return 500, "Internal error"


def retry_after(error: NeuralStreamError) -> dict[str, str]:
    """The ``Retry-After`` header of an error that goes away."""
    if isinstance(error, errors.Unavailable):
        return {"Retry-After": str(error.retry_after)}
    return {}


def problem(error: NeuralStreamError) -> Response[str]:
    """The HTTP answer for ``error``."""
    status, title = status_of(error)
    body = Problem(
        type=f"urn:neuralstream:problem:{error.code}",
        title=title,
        status=status,
        detail=error.detail[:_MAX_TEXT],
        code=error.code,
    )
    if isinstance(error, errors.Invalid):
        body.errors = [
            Place(loc=e.loc[:_MAX_LOC], msg=e.msg[:_MAX_TEXT]) for e in error.errors[:_MAX_ERRORS]
        ]
    headers = retry_after(error)
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = 'ApiKey realm="neuralstream"'
    return Response(
        status,
        "application/problem+json",
        body.model_dump_json(exclude_defaults=True),
        headers,
    )
