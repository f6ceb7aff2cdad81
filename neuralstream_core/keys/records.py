"""What is kept about a key. Never the key itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from neuralstream_core.time import Micros

__all__ = ["KeyRecord", "MintedKey"]


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key, by its public id.

    ``scopes`` holds names this release may not know yet (a newer one minted the key); they are kept.
    """

    key_id: str
    principal: str
    scopes: frozenset[str]
    created_at: Micros
    expires_at: Micros | None = None
    revoked_at: Micros | None = None
    description: str = ""

    def active(self, now: Micros) -> bool:
        """Whether the key opens anything at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A key at the one moment it is known in full."""

    key: str = field(repr=False)
    record: KeyRecord
