"""What the holder of a key may pass on: no scope that it lacks, nothing for longer than its own key."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from neuralstream_core.errors import Forbidden
from neuralstream_core.keys.records import Actor, KeyRecord
from neuralstream_core.keys.store import KeyStore
from neuralstream_core.time import Micros, iso

__all__ = ["Grantor"]


@dataclass(frozen=True, slots=True)
class Grantor:
    """Who mints, lists and revokes keys over HTTP."""

    actor: Actor
    scopes: frozenset[str]
    expires_at: Micros | None = None

    @classmethod
    def by_key(cls, store: KeyStore, key: str, now: Micros) -> Grantor:
        """The holder of ``key``, as the table has the key now.

        API Gateway keeps a decision for up to a minute. Who still used a revoked key then could mint
        another one, so the routes of keys ask the table themselves.

        Raises:
            Forbidden: the key is revoked or expired, or is none.
            Unavailable: the table cannot be reached.
        """
        record = store.find(key)
        if record is None or not record.active(now):
            raise Forbidden("the key has been revoked or has expired", code="key_ended")
        return cls.of(record)

    @classmethod
    def of(cls, record: KeyRecord) -> Grantor:
        """The holder of the key of ``record``."""
        return cls(Actor(record.principal, record.key_id), record.scopes, record.expires_at)

    def check(self, scopes: Collection[str], expires_at: Micros | None) -> None:
        """Whether it may mint a key like this.

        Args:
            expires_at: microseconds since the epoch; ``None``: until revoked.

        Raises:
            Forbidden: it lacks one of the scopes, or its own key ends earlier.
        """
        if lacking := sorted(set(scopes) - self.scopes):
            raise Forbidden(
                f"scopes: the key lacks {', '.join(lacking)} and cannot grant it",
                code="missing_scope",
            )
        if self.expires_at is not None and (expires_at is None or expires_at > self.expires_at):
            raise Forbidden(
                f"expires_at: the key ends at {iso(self.expires_at)}, and those it mints not later",
                code="outlives_key",
            )
