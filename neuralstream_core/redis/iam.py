"""ElastiCache IAM authentication: a presigned request as a password.

The token is a SigV4 presigned ``GET http://{cache}/?Action=connect&User={user}&ResourceType=ServerlessCache``
without its scheme, valid for 15 minutes (AWS, "Authenticating with IAM"). Signing costs
microseconds, so every connection gets a token of its own and none can be stale. ElastiCache ends a
connection 12 hours after it authenticated; the pool replaces it like any broken one.

Signed here and not by botocore because botocore reads the clock itself and would be one more import
on a cold start; the tests hold it against botocore.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from neuralstream_core.errors import Unavailable
from neuralstream_core.time import Clock, from_micros, system_clock

__all__ = ["AwsCredentials", "environment_credentials", "iam_credentials", "iam_token"]

VALID_SECONDS = 900
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Keys that sign; never printed."""

    access_key: str
    secret_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "AwsCredentials(…)"


def iam_token(
    user: str, cache: str, region: str, credentials: AwsCredentials, clock: Clock = system_clock
) -> str:
    """A password for ``user`` on the serverless cache ``cache``, valid for 15 minutes from now."""
    stamp = from_micros(clock()).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/elasticache/aws4_request"
    host = cache.lower()
    query = {
        "Action": "connect",
        "ResourceType": "ServerlessCache",
        "User": user,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(VALID_SECONDS),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token:
        query["X-Amz-Security-Token"] = credentials.session_token
    canonical_query = "&".join(
        f"{name}={quote(query[name], safe='-_.~')}" for name in sorted(query)
    )
    request = "\n".join(("GET", "/", canonical_query, f"host:{host}\n", "host", _EMPTY_SHA256))
    to_sign = "\n".join(
        ("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest())
    )
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (stamp[:8], region, "elasticache", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return f"{host}/?{canonical_query}&X-Amz-Signature={signature}"


def environment_credentials() -> AwsCredentials:
    """What the function's role has now: from its environment, else as botocore finds them.

    Under SnapStart Lambda gives no keys in the environment; botocore knows that endpoint and renews
    them.

    Raises:
        Unavailable: there are none.
    """
    access, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if access and secret:
        return AwsCredentials(access, secret, os.environ.get("AWS_SESSION_TOKEN"))
    found = _botocore_credentials()
    if found is None:
        raise Unavailable("no AWS credentials to authenticate with", dependency="redis")
    return found


_source: list[Callable[[], AwsCredentials]] = []


def _botocore_credentials() -> AwsCredentials | None:
    if not _source:
        from botocore.session import get_session

        credentials = get_session().get_credentials()
        if credentials is None:
            return None

        def frozen() -> AwsCredentials:
            keys = credentials.get_frozen_credentials()
            return AwsCredentials(str(keys.access_key), str(keys.secret_key), keys.token)

        _source.append(frozen)
    return _source[0]()


def iam_credentials(
    user: str,
    cache: str,
    *,
    credentials: Callable[[], AwsCredentials] = environment_credentials,
    region: str | None = None,
    clock: Clock = system_clock,
) -> Callable[[], tuple[str, str]]:
    """User and a fresh token at each call.

    Args:
        region: of the cache; the function's own (``AWS_REGION``) when not given.

    Raises:
        RuntimeError: no region or no cache name, so no token could ever be valid.
    """
    where = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not where or not cache:
        raise RuntimeError("IAM authentication needs AWS_REGION and NEURALSTREAM_REDIS_CACHE_NAME")
    return lambda: (user, iam_token(user, cache, where, credentials(), clock))
