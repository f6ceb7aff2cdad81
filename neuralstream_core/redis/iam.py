"""ElastiCache IAM authentication: a presigned request, without its scheme, as the password.

See AWS, "Authenticating with IAM". ElastiCache ends a connection 12 hours after it authenticated; it is
then replaced as any broken one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Final

from neuralstream_core.errors import Unavailable

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials

__all__ = ["iam_credentials", "iam_token", "role_credentials"]

VALID_SECONDS: Final = 900


def iam_token(user: str, cache_name: str, region: str, keys: ReadOnlyCredentials) -> str:
    """A password for ``user`` on the serverless cache ``cache_name``, valid for 15 minutes from now."""
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    request = AWSRequest(
        "GET",
        f"http://{cache_name.lower()}/",
        params={"Action": "connect", "User": user, "ResourceType": "ServerlessCache"},
    )
    SigV4QueryAuth(keys, "elasticache", region, expires=VALID_SECONDS).add_auth(request)
    return str(request.url).removeprefix("http://")


@cache
def _session_credentials() -> Credentials | None:
    from botocore.session import get_session

    return get_session().get_credentials()


def role_credentials() -> ReadOnlyCredentials:
    """The keys of the function's role, as botocore finds and renews them.

    Raises:
        Unavailable: there are none.
    """
    found = _session_credentials()
    if found is None:
        _session_credentials.cache_clear()
        raise Unavailable("no AWS credentials to authenticate with", dependency="redis")
    return found.get_frozen_credentials()


def iam_credentials(
    user: str,
    cache_name: str,
    *,
    keys: Callable[[], ReadOnlyCredentials] = role_credentials,
    region: str | None = None,
) -> Callable[[], tuple[str, str]]:
    """A function that returns the user and a fresh token at each call.

    Args:
        region: of the cache; ``AWS_REGION`` when not given.

    Raises:
        RuntimeError: no region or no cache name, so no token could ever be valid.
    """
    where = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not where or not cache_name:
        raise RuntimeError("IAM authentication needs AWS_REGION and NEURALSTREAM_REDIS_CACHE_NAME")
    return lambda: (user, iam_token(user, cache_name, where, keys()))
