"""Redis as the online store: one port over a single node or a cluster.

Importing this package does not import redis-py. `connect` does no I/O: the first command opens the
first connection, so a function starts while Redis is down.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from neuralstream_core.redis.port import Call, Command, Key, RedisPort, Reply, ReplyError, Script

if TYPE_CHECKING:
    import ssl

    from neuralstream_core.settings import RedisSettings

__all__ = ["Call", "Command", "Key", "RedisPort", "Reply", "ReplyError", "Script", "connect"]


def connect(
    settings: RedisSettings,
    *,
    tls: Callable[[], ssl.SSLContext] | None = None,
    credentials: Callable[[], tuple[str, str]] | None = None,
) -> RedisPort:
    """The port that ``settings`` describes.

    Args:
        tls: makes the TLS context when ``redis_tls`` is set; the system's trusted roots when not given.
        credentials: user and password of each new connection; when not given, an IAM token if
            ``redis_iam_user`` is set, else none.
    """
    import ssl

    from neuralstream_core.redis.cluster import Cluster
    from neuralstream_core.redis.connection import Login
    from neuralstream_core.redis.flights import SingleNode

    if credentials is None and settings.redis_iam_user:
        from neuralstream_core.redis.iam import iam_credentials

        credentials = iam_credentials(settings.redis_iam_user, settings.redis_cache_name)
    deployment = Cluster if settings.redis_cluster else SingleNode
    return deployment(
        host=settings.redis_host,
        port=settings.redis_port,
        protocol=2,
        driver_info=None,
        socket_connect_timeout=settings.redis_connect_timeout_ms / 1000,
        socket_timeout=settings.redis_read_timeout_ms / 1000,
        socket_read_size=256 * 1024,
        tls=cache(tls or ssl.create_default_context) if settings.redis_tls else None,
        credential_provider=Login(credentials) if credentials else None,
    )
