"""What is kept about a key. Never the key itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from neuralstream_core.time import Micros

__all__ = ["Actor", "KeyRecord", "MintedKey"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who minted or revoked a key over HTTP.

    ``key_id`` names the key that was used; ``None`` where the stack asked for none.
    """

    principal: str
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key, by its public id.

    ``scopes`` holds names this release may not know yet (a newer one minted the key); they are kept.
    ``created_by`` and ``revoked_by`` are ``None`` where it was done with access to the table itself.
    """

    key_id: str
    principal: str
    scopes: frozenset[str]
    created_at: Micros
    expires_at: Micros | None = None
    revoked_at: Micros | None = None
    description: str = ""
    created_by: Actor | None = None
    revoked_by: Actor | None = None

    def active(self, now: Micros) -> bool:
        """Whether the key opens anything at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A key at the one moment it is known in full."""

    key: str = field(repr=False)
    record: KeyRecord
