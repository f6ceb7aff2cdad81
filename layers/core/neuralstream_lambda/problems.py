"""The one place where an error becomes HTTP: RFC 9457 ``application/problem+json``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from neuralstream_core import errors
from neuralstream_core.errors import FieldError, Invalid, NeuralStreamError, TooLarge

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["STATUS", "from_validation", "problem", "status_of"]

STATUS: dict[type[NeuralStreamError], tuple[int, str]] = {
    errors.Invalid: (422, "Invalid request"),
    errors.NotFound: (404, "Not found"),
    errors.Conflict: (409, "Conflict"),
    errors.TooLarge: (413, "Too large"),
    errors.Unauthenticated: (401, "Not authenticated"),
    errors.Forbidden: (403, "Forbidden"),
    errors.Unavailable: (503, "Dependency unavailable"),
}

_MAX_ERRORS = 100


def status_of(error: NeuralStreamError) -> tuple[int, str]:
    """HTTP status and title of a designed error, by its nearest base in the table."""
    for base in type(error).__mro__:
        if base in STATUS:
            return STATUS[base]
    return 500, "Internal error"


def problem(error: NeuralStreamError) -> dict[str, Any]:
    """The HTTP answer (payload 2.0) for ``error``."""
    status, title = status_of(error)
    body: dict[str, Any] = {
        "type": f"urn:neuralstream:problem:{error.code}",
        "title": title,
        "status": status,
        "detail": error.detail,
        "code": error.code,
    }
    if isinstance(error, errors.Invalid) and error.errors:
        body["errors"] = [{"loc": e.loc, "msg": e.msg} for e in error.errors[:_MAX_ERRORS]]
    headers = {"content-type": "application/problem+json"}
    if isinstance(error, errors.Unavailable):
        headers["retry-after"] = str(error.retry_after)
    if isinstance(error, errors.Unauthenticated):
        headers["www-authenticate"] = 'ApiKey realm="neuralstream"'
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}


def from_validation(error: ValidationError, where: str) -> Invalid | TooLarge:
    """A pydantic error as ours, without the offending values.

    Args:
        where: ``"body"``, ``"query"`` or ``"path"``; prefixed to places outside the body.
    """
    details = error.errors(include_url=False, include_input=False, include_context=False)
    if details and details[0]["type"] == "json_invalid":
        return Invalid.at("body", details[0]["msg"], code="invalid_json")
    places = [
        FieldError(
            ".".join(str(part) for part in ((where,) if where != "body" else ()) + e["loc"])
            or where,
            e["msg"],
        )
        for e in details[:_MAX_ERRORS]
    ]
    if details and all(
        e["type"] == "too_long" and e["loc"] and e["loc"][-1] in _SIZED for e in details
    ):
        return TooLarge(f"{places[0].loc}: {places[0].msg}")
    first = places[0]
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return Invalid(f"{first.loc}: {first.msg}{more}", errors=places)


_SIZED = frozenset({"rows", "entity_ids"})
