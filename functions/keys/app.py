"""API keys over HTTP: mint, list, revoke. Its role alone may write the keys table.

What was done with a key, when and with which key is kept with the key, and logged. The secret is in the
answer of minting and nowhere else.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Annotated, TypeAlias

from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import StringConstraints

from neuralstream_core.keys import Actor, Grantor, KeyRecord, KeyStore
from neuralstream_core.keys.answers import KeyAnswer, KeysAnswer, MintedKeyAnswer
from neuralstream_core.keys.requests import KeySpec
from neuralstream_core.keys.secret import KEY_ID
from neuralstream_core.settings import BaseSettings
from neuralstream_core.time import system_clock, to_micros
from neuralstream_lambda.access import Scope
from neuralstream_lambda.arguments import NextToken
from neuralstream_lambda.logs import logger
from neuralstream_lambda.resolver import Resolver, needs
from neuralstream_lambda.wiring import keys_table


class Settings(BaseSettings):
    """Which table holds the keys."""

    keys_table: str


settings = Settings.from_env(os.environ)
app = Resolver("keys")
TAGS = ["keys"]

PathKeyId: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=f"^{KEY_ID}$"),
    Path(description="`key_id` of the key: its second part"),
]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=100, description="keys of a page, 1 to 100")]


@cache
def store() -> KeyStore:
    return KeyStore(keys_table(settings.keys_table))


@app.post("/keys", tags=TAGS, status_code=201, **needs(Scope.KEYS))
def mint_key(body: KeySpec) -> MintedKeyAnswer:
    """Mint a key.

    The answer holds the secret, and is the only one that ever does. A key grants no scope that it lacks
    itself (403, `missing_scope`), and none for longer than it lasts (403, `outlives_key`). If the answer is
    lost, look for the new key in the listing, revoke it and mint another.
    """
    grantor = _grantor()
    expires_at = None if body.expires_at is None else to_micros(body.expires_at)
    grantor.check(body.scopes, expires_at)
    minted = store().mint(
        body.principal,
        [scope.value for scope in body.scopes],
        expires_at=expires_at,
        description=body.description,
        by=grantor.actor,
    )
    _log("key minted", minted.record, grantor.actor)
    return MintedKeyAnswer.minted(minted, system_clock())


@app.get("/keys", tags=TAGS, **needs(Scope.KEYS))
def list_keys(limit: Limit = 50, next_token: NextToken = None) -> KeysAnswer:
    """List keys by id.

    All that were ever minted, without secrets: who minted and who revoked each, and when. A new key may
    appear a moment later.
    """
    _grantor()
    return KeysAnswer.of(store().page(limit=limit, token=next_token), system_clock())


@app.delete("/keys/<key_id>", tags=TAGS, **needs(Scope.KEYS))
def revoke_key(key_id: PathKeyId) -> KeyAnswer:
    """Revoke a key.

    Any key, also the caller's own. It ends at once on the key routes and within 60 seconds on all others,
    for so long API Gateway keeps a decision. Revoking it again changes nothing and answers the same.
    """
    actor = _grantor().actor
    record = store().revoke(key_id, by=actor)
    _log("key revoked", record, actor)
    return KeyAnswer.of(record, system_clock())


def _grantor() -> Grantor:
    """The caller, by the present state of its key; on a laptop that asks for none, by what it was granted."""
    caller = app.caller
    if caller.key_id is None:
        return Grantor(Actor(caller.principal), caller.scopes)
    key = app.current_event.headers.get("x-api-key", "")
    return Grantor.by_key(store(), key, system_clock())


def _log(what: str, record: KeyRecord, actor: Actor) -> None:
    details = {"key_id": record.key_id, "by": actor.principal, "by_key_id": actor.key_id}
    logger("keys").info(what, extra=details)


lambda_handler = app.handler
