"""What the key routes take."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from neuralstream_core.keys.scopes import Scope
from neuralstream_core.types import Frozen, UtcTime

__all__ = ["KeySpec"]


class KeySpec(Frozen):
    """A key to be minted."""

    principal: Annotated[
        str,
        StringConstraints(min_length=1, max_length=128),
        Field(
            description="who holds it: appears in events, jobs and access logs; printable characters,"
            " no quotation mark, no backslash"
        ),
    ]
    scopes: Annotated[
        list[Scope],
        Field(
            min_length=1,
            max_length=32,
            description="what it may do; only scopes that the caller's own key has",
        ),
    ]
    expires_at: UtcTime | None = Field(
        default=None,
        description="in the future, and not later than the caller's own key; null: until revoked",
    )
    description: Annotated[str, StringConstraints(max_length=256)] = Field(
        default="", description="for people"
    )
