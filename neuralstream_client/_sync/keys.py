"""``ns.keys``: API keys, for a key with the scope ``keys``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from neuralstream_client._sync.transport import Transport
from neuralstream_client.answers import KeyAnswer, MintedKeyAnswer
from neuralstream_client.call import Call, path

__all__ = ["KeyScope", "Keys"]

KeyScope: TypeAlias = Literal[
    "features:read",
    "features:write",
    "models:read",
    "models:write",
    "predict",
    "outcomes",
    "monitoring",
    "keys",
]
"""What a key may do."""


class Keys:
    """API keys of people and services."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def mint(
        self,
        principal: str,
        scopes: Sequence[KeyScope],
        *,
        expires_at: datetime | None = None,
        description: str = "",
    ) -> MintedKeyAnswer:
        """Make a key; its secret is ``key`` of the answer, which nobody can show again.

        It is not sent a second time if no answer comes: there may then be a key that nobody knows, to be
        found in `list` and revoked.

        Args:
            principal: who holds it; appears in events, jobs and access logs.
            scopes: what it may do: only what the key of this client may do itself.
            expires_at: with a time zone, and not later than the key of this client; until revoked when
                not given.
            description: for people.

        Raises:
            Forbidden: the key of this client lacks the scope ``keys`` or one of ``scopes``, or ends earlier.
            Invalid: an unknown scope, a bad principal or a time that is past.
        """
        body = {
            "principal": principal,
            "scopes": list(scopes),
            "expires_at": None if expires_at is None else expires_at.isoformat(),
            "description": description,
        }
        return self._transport.fetch(MintedKeyAnswer, Call.of("POST", "/keys", body=body))

    def list(self, *, page_size: int = 50) -> Iterator[KeyAnswer]:
        """All keys by id, without their secrets, revoked and expired ones too."""
        return self._transport.pages(
            "/keys", "keys", KeyAnswer.model_validate, {"limit": page_size}
        )

    def revoke(self, key_id: str) -> KeyAnswer:
        """End a key, also the one of this client; what it is used for stops within 60 seconds.

        Revoking a key again changes nothing.

        Args:
            key_id: as `mint` and `list` give it: the key's second part.

        Raises:
            NotFound: no key has this id.
        """
        call = Call.of("DELETE", path("/keys/{}", key_id))
        return self._transport.fetch(KeyAnswer, call)
