"""Who calls: API Gateway's Lambda authorizer (payload 2.0, simple responses), cached for 60 s a key.

==========================  ===========================================================  ======
the request brings          what answers                                                 status
==========================  ===========================================================  ======
no ``x-api-key``            API Gateway itself; this function is not called              401
an unknown key              the route's function: the context names no principal         401
a revoked or expired key    API Gateway, since ``isAuthorized`` is false                 403
a key without the scope     the route's function, which compares the context's scopes    403
any key, keys table down    the route's function: the context says ``unavailable``       503
==========================  ===========================================================  ======

An HTTP API turns ``isAuthorized: false`` into 403 and an exception into 500, so 401 for an unknown
key and 503 for an outage can only come from the function behind it. Every function refuses a context
without a principal on every route that is not declared public, which a test holds for all routes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from neuralstream_core.keys import Gate, KeyRecord, KeyStore, Verdict
from neuralstream_core.settings import BaseSettings
from neuralstream_lambda.logs import logger
from neuralstream_lambda.tracing import traced
from neuralstream_lambda.wiring import keys_table

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class Settings(BaseSettings):
    """Which table holds the keys."""

    keys_table: str


settings = Settings.from_env(os.environ)


@cache
def gate() -> Gate:
    return Gate(KeyStore(keys_table(settings.keys_table)).find)


@traced("authorizer")
def lambda_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """``{"isAuthorized": bool, "context": {"principal", "scopes", "key_id"}}``."""
    decision = gate().decide(event["identitySource"][0])
    match decision.verdict:
        case Verdict.ACTIVE if decision.record is not None:
            return {"isAuthorized": True, "context": _context_of(decision.record)}
        case Verdict.ENDED if decision.record is not None:
            logger("authorizer").info("ended key", extra={"key_id": decision.record.key_id})
            return {"isAuthorized": False, "context": {}}
        case Verdict.UNAVAILABLE:
            logger("authorizer").error("the keys table cannot be reached")
            return {"isAuthorized": True, "context": {"unavailable": "keys"}}
        case _:
            return {"isAuthorized": True, "context": {"unknown": "key"}}


def _context_of(record: KeyRecord) -> dict[str, str]:
    return {
        "principal": record.principal,
        "scopes": " ".join(sorted(record.scopes)),
        "key_id": record.key_id,
    }
