"""Redis as the online store: one port over a single node or a cluster.

Importing this package does no I/O, and neither does `connect`: the first command opens the first
connection, so a function starts while Redis is down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from neuralstream_core.redis.connection import Options
from neuralstream_core.redis.port import Call, Command, Key, RedisPort, Reply, ReplyError, Script
from neuralstream_core.redis.single import SingleNode
from neuralstream_core.settings import RedisSettings

if TYPE_CHECKING:
    import ssl

__all__ = ["Call", "Command", "Key", "RedisPort", "Reply", "ReplyError", "Script", "connect"]


def connect(
    settings: RedisSettings,
    *,
    tls: Callable[[], ssl.SSLContext] | None = None,
    credentials: Callable[[], tuple[str, str]] | None = None,
) -> RedisPort:
    """The port that ``settings`` describes; connects on first use.

    Args:
        tls: makes the TLS context when ``redis_tls`` is set; the system's trusted roots when not
            given.
        credentials: user and password of each new connection; when not given, an IAM token if
            ``redis_iam_user`` is set, else none.
    """
    if credentials is None and settings.redis_iam_user:
        from neuralstream_core.redis.iam import iam_credentials

        credentials = iam_credentials(settings.redis_iam_user, settings.redis_cache_name)
    options = Options(
        connect_timeout=settings.redis_connect_timeout_ms / 1000,
        read_timeout=settings.redis_read_timeout_ms / 1000,
        tls=(tls or _trusted_roots) if settings.redis_tls else None,
        credentials=credentials,
    )
    address = (settings.redis_host, settings.redis_port)
    if settings.redis_cluster:
        from neuralstream_core.redis.cluster import Cluster

        return Cluster(address, options)
    return SingleNode(address, options)


def _trusted_roots() -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()
