"""The AWS emulation as the other processes of the stack know it: its account, its paths, how to reach it."""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "ACCOUNT",
    "INVOKE_PATH",
    "REGION",
    "REGISTRATION_PATH",
    "RESTORE_PATH",
    "SOURCES_PATH",
    "client_environ",
]

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"
"""moto's account."""
REGISTRATION_PATH: Final = "/_neuralstream/functions"
"""PUT the base URL of the worker's server here."""
RESTORE_PATH: Final = "/_neuralstream/restore"
"""PUT, once tables and buckets are there: 200 if what an earlier process kept was put back, else 204."""
SOURCES_PATH: Final = "/_neuralstream/sources"
"""GET the reports of the worker's event sources."""
INVOKE_PATH: Final = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")


def client_environ(endpoint: str) -> dict[str, str]:
    """Environment variables that send any AWS client to ``endpoint``, past any proxy."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
