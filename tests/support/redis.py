"""Fixtures: real Redis processes.

Every xdist worker starts its own servers. The shared ones (``redis_server``, ``redis_cluster``) are
never killed; a test that kills starts its own `EmbeddedRedis` or `EmbeddedCluster`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from neuralstream_core.redis import RedisPort, connect
from neuralstream_core.settings import RedisSettings
from neuralstream_local.embedded_redis import EmbeddedRedis
from tests.support.redis_cluster import EmbeddedCluster

__all__ = ["settings_for"]


def settings_for(
    server: EmbeddedRedis | EmbeddedCluster, *, patient: bool = False
) -> RedisSettings:
    """Settings that reach ``server``, in namespace ``test``.

    Args:
        patient: wait seconds, for tests that are not about time, so that a machine full of test
            processes does not fail them.
    """
    timeouts = {"redis_connect_timeout_ms": 5000, "redis_read_timeout_ms": 5000} if patient else {}
    return RedisSettings(
        **timeouts,
        namespace="test",
        redis_host=server.host,
        redis_port=server.port,
        redis_cluster=isinstance(server, EmbeddedCluster),
    )


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """One plain server: ``.host .port .kill() .start() .pause() .resume()``."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[EmbeddedCluster]:
    """Three primaries; ``.nodes`` are servers."""
    with EmbeddedCluster() as cluster:
        yield cluster


@pytest.fixture
def redis_settings(redis_server: EmbeddedRedis) -> RedisSettings:
    return settings_for(redis_server, patient=True)


@pytest.fixture
def redis_port(redis_server: EmbeddedRedis) -> Iterator[RedisPort]:
    """A client of the plain server, which is empty."""
    redis_server.flush()
    port = connect(settings_for(redis_server, patient=True))
    yield port
    port.close()


@pytest.fixture
def cluster_port(redis_cluster: EmbeddedCluster) -> Iterator[RedisPort]:
    """A client of the cluster, which is empty."""
    redis_cluster.flush()
    port = connect(settings_for(redis_cluster, patient=True))
    yield port
    port.close()


@pytest.fixture(params=["single", "cluster"])
def any_port(request: pytest.FixtureRequest) -> RedisPort:
    """The test runs once on the plain server and once on the cluster."""
    name = "redis_port" if request.param == "single" else "cluster_port"
    port: RedisPort = request.getfixturevalue(name)
    return port
