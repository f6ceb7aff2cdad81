"""Who calls a route, and whether its key allows that: what the authorizer granted against a scope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from neuralstream_core.errors import Forbidden, Unauthenticated, Unavailable
from neuralstream_core.keys.scopes import Scope

__all__ = ["PUBLIC", "Caller", "Scope", "admit"]

PUBLIC: Final[Literal["public"]] = "public"
"""In place of a scope: the route needs no key."""

_DECISION_SECONDS: Final = 60
"""How long API Gateway keeps what the authorizer said (ReauthorizeEvery in template.yaml)."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal of an API key, the key's scopes and its id.

    ``key_id`` is ``None`` where no key was asked for: on a laptop's stack without ``AUTH=on``.
    """

    principal: str
    scopes: frozenset[str]
    key_id: str | None = None

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Caller:
        """The caller of an API Gateway event; ``anonymous`` where no authorizer was asked."""
        granted = _granted(event)
        return cls(
            granted.get("principal", "anonymous"),
            frozenset(granted.get("scopes", "").split()),
            granted.get("key_id"),
        )

    @property
    def jobs_of(self) -> str | None:
        """Whose jobs the caller may see: its own; ``None``, with the scope monitoring, everybody's."""
        return None if Scope.MONITORING in self.scopes else self.principal

    def require(self, scope: Scope, what: str) -> None:
        """Hold the caller's key against a scope that only this request needs.

        Args:
            what: the part of the request that needs it.

        Raises:
            Forbidden: the key lacks it.
        """
        if scope not in self.scopes:
            raise Forbidden(f"{what}: the key lacks the scope {scope}", code="missing_scope")


def admit(event: Mapping[str, Any], scope: Scope, *others: Scope) -> None:
    """Refuse an event whose key has neither ``scope`` nor one of ``others``.

    Raises:
        Unavailable: the authorizer could not look the key up.
        Unauthenticated: no key, or an unknown one.
        Forbidden: the key lacks the scope.
    """
    granted = _granted(event)
    if granted.get("unavailable"):
        raise Unavailable(
            "keys cannot be checked just now", dependency="keys", retry_after=_DECISION_SECONDS
        )
    if not granted.get("principal"):
        raise Unauthenticated(
            "this route needs a valid key in the x-api-key header",
            code="unknown_key" if granted.get("unknown") else None,
        )
    if not {scope, *others} & set(granted.get("scopes", "").split()):
        raise Forbidden(f"the key lacks the scope {scope}", code="missing_scope")


def _granted(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return event["requestContext"].get("authorizer", {}).get("lambda") or {}
