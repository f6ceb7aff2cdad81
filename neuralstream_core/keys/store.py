"""The key store: a table of its own, so that no role that serves predictions can read or mint keys.

=================  ==============================================================
``PK``             SHA-256 of the key, hexadecimal; the only way in for a request
``SK``             ``KEY``
``GSI1PK/GSI1SK``  ``KEYS`` / key id, for listing and revoking
=================  ==============================================================
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from neuralstream_core.errors import ConditionFailed, Conflict, Invalid, NotFound
from neuralstream_core.keys.records import Actor, KeyRecord, MintedKey
from neuralstream_core.keys.scopes import Scope
from neuralstream_core.keys.secret import KEY_ID, digest_of, generate, well_formed
from neuralstream_core.table import Table
from neuralstream_core.time import Clock, Micros, system_clock

__all__ = ["KeyPage", "KeyStore"]

_SK: Final = "KEY"
_ALL: Final = "KEYS"
_MAX_PRINCIPAL: Final = 128


class KeyPage(NamedTuple):
    """Keys by id, and the token of the next page (``None`` on the last)."""

    keys: list[KeyRecord]
    next_token: str | None


class KeyStore:
    """Mints, finds, lists and revokes keys.

    Args:
        table: the keys table (the same keys and index as the registry's).
        clock: microseconds since the epoch.

    Raises (every method):
        Unavailable: the table cannot be reached.
    """

    def __init__(self, table: Table, clock: Clock = system_clock) -> None:
        self._table = table
        self._clock = clock

    def mint(
        self,
        principal: str,
        scopes: Collection[str],
        *,
        expires_at: Micros | None = None,
        description: str = "",
        by: Actor | None = None,
    ) -> MintedKey:
        """A new key; what it returns is the only copy there will ever be.

        Args:
            principal: who holds it; appears in audit events and access logs.
            scopes: at least one of `Scope`.
            expires_at: microseconds since the epoch, in the future; ``None``: until revoked.
            by: who asked for it over HTTP.

        Raises:
            Invalid: a scope that does not exist, no scope, a bad principal or a past expiry.
        """
        now = self._clock()
        _check(principal, scopes, expires_at, now)
        key_id, key = generate()
        record = KeyRecord(
            key_id=key_id,
            principal=principal,
            scopes=frozenset(scopes),
            created_at=now,
            expires_at=expires_at,
            description=description[:256],
            created_by=by,
        )
        digest = digest_of(key)
        self._table.put(
            {
                "PK": digest,
                "SK": _SK,
                "GSI1PK": _ALL,
                "GSI1SK": key_id,
                "principal": principal,
                "scopes": set(scopes),
                "created_at": now,
                "key_expires_at": expires_at,
                "description": record.description,
                "created_by": None if by is None else asdict(by),
            },
            condition="attribute_not_exists(PK)",
        )
        return MintedKey(key=key, record=record)

    def find(self, key: str) -> KeyRecord | None:
        """What is known of ``key``, revoked or not; ``None`` for a key that was never minted.

        The secret is hashed whole and only its hash is looked up, so how long an answer takes says
        nothing about how close a guess was.
        """
        if not well_formed(key):
            return None
        digest = digest_of(key)
        item = self._table.get(digest, _SK)
        if item is None or not hmac.compare_digest(item["PK"], digest):
            return None
        return _record(item)

    def list_keys(self) -> list[KeyRecord]:
        """Every key, by id; revoked ones too."""
        return [_record(item) for item in self._table.query_all(_ALL, index=True)]

    def page(self, *, limit: int = 50, token: str | None = None) -> KeyPage:
        """Keys by id, revoked ones too.

        A token is the last id of its page: DynamoDB's own would contain the hash of a key.

        Raises:
            Invalid: not a token of this listing.
        """
        if token is not None and not re.fullmatch(KEY_ID, token):
            raise Invalid.at("next_token", "not a token of this listing", code="invalid_token")
        items = self._table.query(_ALL, after=token, index=True, limit=limit)
        keys = [_record(item) for item in items]
        return KeyPage(keys, keys[-1].key_id if keys and items.next_token else None)

    def revoke(self, key_id: str, *, by: Actor | None = None) -> KeyRecord:
        """End a key now; revoking it again changes nothing.

        Args:
            by: who asked for it over HTTP.

        Raises:
            NotFound: no key has this id.
            Conflict: two keys share it (one chance in 2^40 a pair); revoke both by hand.
        """
        items = [
            item
            for item in self._table.query(_ALL, prefix=key_id, index=True)
            if item["GSI1SK"] == key_id
        ]
        if not items:
            raise NotFound(f"no key has the id {key_id}", code="key_not_found")
        if len(items) > 1:
            raise Conflict(f"{len(items)} keys have the id {key_id}")
        digest = items[0]["PK"]
        try:
            item = self._table.update(
                digest,
                _SK,
                "SET revoked_at = :now, revoked_by = :by",
                values={":now": self._clock(), ":by": None if by is None else asdict(by)},
                condition="attribute_exists(PK) AND attribute_not_exists(revoked_at)",
            )
        except ConditionFailed:
            earlier = self._table.get(digest, _SK)
            if earlier is None:
                raise NotFound(f"no key has the id {key_id}", code="key_not_found") from None
            return _record(earlier)
        return _record(item)


def _check(principal: str, scopes: Collection[str], expires_at: Micros | None, now: Micros) -> None:
    if not 1 <= len(principal) <= _MAX_PRINCIPAL or not principal.isprintable():
        raise Invalid.at("principal", f"1 to {_MAX_PRINCIPAL} printable characters")
    # API Gateway puts it between quotes into a JSON access log, and escapes nothing.
    if set(principal) & {'"', "\\"}:
        raise Invalid.at("principal", "no quotation mark and no backslash")
    if not scopes:
        raise Invalid.at("scopes", "a key needs at least one scope")
    if unknown := sorted(set(scopes) - set(Scope)):
        raise Invalid.at("scopes", f"no such scope: {', '.join(unknown)}")
    if expires_at is not None and expires_at <= now:
        raise Invalid.at("expires_at", "already past")


def _record(item: dict[str, Any]) -> KeyRecord:
    return KeyRecord(
        key_id=item["GSI1SK"],
        principal=item["principal"],
        scopes=frozenset(item["scopes"]),
        created_at=item["created_at"],
        expires_at=item.get("key_expires_at"),
        revoked_at=item.get("revoked_at"),
        description=item.get("description", ""),
        created_by=_actor(item.get("created_by")),
        revoked_by=_actor(item.get("revoked_by")),
    )


def _actor(stored: dict[str, Any] | None) -> Actor | None:
    return None if stored is None else Actor(stored["principal"], stored.get("key_id"))
