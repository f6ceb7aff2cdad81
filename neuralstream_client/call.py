"""One HTTP call, and the JSON of its answer."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

from pydantic_core import from_json, to_json

from neuralstream_client.errors import DataError

if TYPE_CHECKING:
    import httpx

__all__ = ["Call", "encoded", "given", "parsed", "path"]

_IDEMPOTENT: Final = frozenset({"GET", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call; sending it several times has one effect if ``idempotent``.

    Args:
        method: of HTTP.
        path: below the stack's address, encoded.
        query: parameters; ``None`` leaves one out.
        content: JSON of the body.
        headers: beside those of every call.
        idempotent: whether it may be sent again.
    """

    method: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    idempotent: bool = False

    @classmethod
    def of(
        cls,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        repeatable: bool = False,
    ) -> Self:
        """A call; ``repeatable`` says that the route is safe to repeat although its method is not."""
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        content = body if isinstance(body, bytes) or body is None else encoded(body)
        headers = {} if content is None else {"content-type": "application/json"}
        return cls(method, path, given, content, headers, repeatable or method in _IDEMPOTENT)

    @classmethod
    def once(
        cls, method: str, path: str, *, body: Any = None, idempotency_key: str | None = None
    ) -> Self:
        """A command that the stack carries out once for its idempotency key, so that it may be repeated.

        Args:
            method: of HTTP.
            path: below the stack's address, encoded.
            body: to be sent as JSON.
            idempotency_key: the caller's own; a new one when not given.
        """
        call = cls.of(method, path, body=body)
        key = {"idempotency-key": idempotency_key or uuid.uuid4().hex}
        return cls(method, path, call.query, call.content, {**call.headers, **key}, idempotent=True)


def path(template: str, *parts: str) -> str:
    """``path("/models/{}/versions", "a/b")`` → ``/models/a%2Fb/versions``."""
    return template.format(*(quote(part, safe="") for part in parts))


def given(**fields: Any) -> dict[str, Any]:
    """Fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def encoded(body: Any) -> bytes:
    """``body`` as JSON.

    Raises:
        DataError: a value has no JSON form.
    """
    try:
        return to_json(body, inf_nan_mode="constants")
    except (TypeError, ValueError) as error:
        raise DataError(f"the request has no JSON form: {error}") from error


def parsed(response: httpx.Response) -> Any:
    """The JSON of an answer; its text where it is no JSON."""
    try:
        return from_json(response.content) if response.content else None
    except ValueError:
        return response.text
