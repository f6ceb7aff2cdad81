"""TLS and logins: real handshakes (a TLS proxy in front of Redis) and real users of Redis."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from neuralstream_core.errors import Unavailable
from neuralstream_core.redis import connect
from neuralstream_core.settings import RedisSettings
from neuralstream_local.embedded_redis import EmbeddedRedis, talk
from tests.support.redis import settings_for
from tests.support.tcp import Proxy


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cache")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "cache.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def proxy(redis_server: EmbeddedRedis, certificate: Path) -> Iterator[Proxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Proxy(redis_server.port, tls=context) as own:
        yield own


def settings(port: int, host: str = "127.0.0.1") -> RedisSettings:
    return RedisSettings(redis_host=host, redis_port=port, redis_tls=True)


def test_values_of_any_size_pass_through_tls(proxy, certificate):
    port = connect(settings(proxy.port), tls=lambda: ssl.create_default_context(cafile=certificate))
    keys = [b"k%d" % i for i in range(500)]
    values = [bytes([i % 256]) * (i * 20) for i in range(500)]
    port.flight([(b"SET", *pair) for pair in zip(keys, values, strict=True)])
    assert port.mget(keys) == values
    proxy.drop_all()
    assert port.mget(keys) == values, "a broken TLS connection is replaced as a plain one is"
    port.close()


def test_a_certificate_that_nobody_vouches_for_is_refused(proxy):
    port = connect(settings(proxy.port))
    with pytest.raises(Unavailable):
        port.mget([b"k"])


def test_a_certificate_for_another_name_is_refused(proxy, certificate):
    port = connect(
        settings(proxy.port, "localhost"),
        tls=lambda: ssl.create_default_context(cafile=certificate),
    )
    with pytest.raises(Unavailable):
        port.mget([b"k"])


def test_a_server_that_never_shakes_hands_is_given_up(proxy, certificate):
    proxy.silent = True
    port = connect(settings(proxy.port), tls=lambda: ssl.create_default_context(cafile=certificate))
    with pytest.raises(Unavailable, match="in time"):
        port.mget([b"k"])


def test_a_server_that_falls_silent_within_tls_is_given_up(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with EmbeddedRedis() as server, Proxy(server.port, tls=context) as proxy:
        port = connect(
            settings(proxy.port), tls=lambda: ssl.create_default_context(cafile=certificate)
        )
        port.flight([("SET", "k", "v")])
        server.pause()
        with pytest.raises(Unavailable, match="in time"):
            port.mget([b"k"])
        server.resume()
        port.close()


def test_every_new_connection_logs_in_with_the_password_of_its_moment():
    with EmbeddedRedis() as server:
        talk(server.port, ("ACL", "SETUSER", "app", "on", ">one", "~*", "+@all"))
        current = ["one"]
        port = connect(settings_for(server), credentials=lambda: ("app", current[0]))
        assert port.flight([("SET", "k", "v")]) == [b"OK"]

        talk(server.port, ("ACL", "SETUSER", "app", "resetpass", ">two"))
        talk(server.port, ("CLIENT", "KILL", "USER", "app"))
        with pytest.raises(Unavailable, match="WRONGPASS"):
            port.mget([b"k"])
        current[0] = "two"
        assert port.mget([b"k"]) == [b"v"]
        port.close()


def test_a_user_who_may_not_is_an_outage_and_not_a_wrong_answer():
    with EmbeddedRedis() as server:
        talk(server.port, ("ACL", "SETUSER", "app", "on", ">one", "~*", "+get"))
        port = connect(settings_for(server), credentials=lambda: ("app", "one"))
        with pytest.raises(Unavailable, match="NOPERM"):
            port.mget([b"k"])
        port.close()


def test_a_connection_that_has_lost_its_login_is_replaced(redis_cluster):
    """Redis forgets who a connection is when its user is deleted; the user is back a moment later."""
    for node in redis_cluster.nodes:
        talk(node.port, ("ACL", "SETUSER", "app", "on", ">one", "~*", "+@all"))
    port = connect(settings_for(redis_cluster, patient=True), credentials=lambda: ("app", "one"))
    keys = [b"k%d" % i for i in range(50)]
    port.flight([("SET", key, key) for key in keys])
    for node in redis_cluster.nodes:
        talk(node.port, ("ACL", "SETUSER", "app", "-get"))
    with pytest.raises(Unavailable, match="NOPERM"):
        port.mget(keys)
    for node in redis_cluster.nodes:
        talk(node.port, ("ACL", "DELUSER", "app"))
        talk(node.port, ("ACL", "SETUSER", "app", "on", ">one", "~*", "+@all"))
    assert port.mget(keys) == keys
    port.close()
    for node in redis_cluster.nodes:
        talk(node.port, ("ACL", "DELUSER", "app"))
