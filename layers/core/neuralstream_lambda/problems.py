"""The one place where an error becomes HTTP: RFC 9457 ``application/problem+json``."""

from __future__ import annotations

import json
from typing import Any, Final

from neuralstream_core import errors
from neuralstream_core.errors import NeuralStreamError

__all__ = ["STATUS", "problem", "status_of"]

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
        "detail": error.detail[:_MAX_TEXT],
        "code": error.code,
    }
    if isinstance(error, errors.Invalid) and error.errors:
        body["errors"] = [
            {"loc": e.loc[:_MAX_LOC], "msg": e.msg[:_MAX_TEXT]} for e in error.errors[:_MAX_ERRORS]
        ]
    headers = {"content-type": "application/problem+json"}
    if isinstance(error, errors.Unavailable):
        headers["retry-after"] = str(error.retry_after)
    if isinstance(error, errors.Unauthenticated):
        headers["www-authenticate"] = 'ApiKey realm="neuralstream"'
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
