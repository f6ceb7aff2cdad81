"""What the key routes answer. The secret is in one answer only: that of minting."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from neuralstream_core.keys.records import Actor, KeyRecord, MintedKey
from neuralstream_core.keys.store import KeyPage
from neuralstream_core.time import Micros, from_micros
from neuralstream_core.types import NEXT_PAGE, UtcTime

__all__ = ["ActorAnswer", "KeyAnswer", "KeysAnswer", "MintedKeyAnswer"]


class ActorAnswer(BaseModel):
    """Who did something with a key over HTTP."""

    principal: str = Field(description="of the API key that was used")
    key_id: str | None = Field(description="its id; null where the stack asks for no key")

    @classmethod
    def of(cls, actor: Actor | None) -> Self | None:
        """``None`` for ``None``."""
        return None if actor is None else cls(principal=actor.principal, key_id=actor.key_id)


class KeyAnswer(BaseModel):
    """A key without its secret."""

    key_id: str = Field(description="names the key; its second part, between the underscores")
    principal: str = Field(description="who holds it")
    scopes: list[str] = Field(description="what it may do, by name")
    description: str = Field(description="for people")
    state: Literal["active", "expired", "revoked"] = Field(
        description="whether it opens anything now; a caller that used it within the last 60 s may be"
        " let in for the rest of that time"
    )
    created_at: UtcTime = Field(description="UTC")
    created_by: ActorAnswer | None = Field(
        description="null: by somebody with access to the keys table"
    )
    expires_at: UtcTime | None = Field(description="UTC; null: until revoked")
    revoked_at: UtcTime | None = Field(description="UTC; null: it is not revoked")
    revoked_by: ActorAnswer | None = Field(
        description="null: nobody, or somebody with access to the keys table"
    )

    @classmethod
    def of(cls, record: KeyRecord, now: Micros) -> Self:
        """The answer at ``now``."""
        return cls(**_fields(record, now))


class MintedKeyAnswer(KeyAnswer):
    """A new key, at the one moment at which its secret is shown."""

    key: str = Field(
        repr=False,
        description="the whole key, for the header `x-api-key`; it is not kept and cannot be shown again",
        json_schema_extra={"format": "password"},
    )

    @classmethod
    def minted(cls, minted: MintedKey, now: Micros) -> Self:
        """The answer at ``now``."""
        return cls(key=minted.key, **_fields(minted.record, now))


class KeysAnswer(BaseModel):
    """One page of keys by id, revoked and expired ones too."""

    keys: list[KeyAnswer] = Field(description="by id")
    next_token: str | None = Field(default=None, description=NEXT_PAGE)

    @classmethod
    def of(cls, page: KeyPage, now: Micros) -> Self:
        """The answer at ``now``."""
        keys = [KeyAnswer.of(record, now) for record in page.keys]
        return cls(keys=keys, next_token=page.next_token)


def _fields(record: KeyRecord, now: Micros) -> dict[str, Any]:
    state = "expired"
    if record.revoked_at is not None:
        state = "revoked"
    elif record.active(now):
        state = "active"
    return {
        "key_id": record.key_id,
        "principal": record.principal,
        "scopes": sorted(record.scopes),
        "description": record.description,
        "state": state,
        "created_at": from_micros(record.created_at),
        "created_by": ActorAnswer.of(record.created_by),
        "expires_at": None if record.expires_at is None else from_micros(record.expires_at),
        "revoked_at": None if record.revoked_at is None else from_micros(record.revoked_at),
        "revoked_by": ActorAnswer.of(record.revoked_by),
    }
