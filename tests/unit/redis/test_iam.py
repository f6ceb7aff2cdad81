"""IAM tokens: against a recorded signature, and against the steps of the specification."""

import hmac
import os
import subprocess
import sys
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.redis.iam import iam_credentials, iam_token

KEYS = ReadOnlyCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
RECORDED = (  # made with botocore
    "features/?Action=connect&ResourceType=ServerlessCache&User=app"
    "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-central-1%2Felasticache%2Faws4_request&X-Amz-Date=20260102T030405Z"
    "&X-Amz-Expires=900&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=9fdcfa18bdafd5ffe8a9e8182953ee49656ab4d45f990aca697106fe3f829585"
)


def by_the_specification(user, cache, region, keys, stamp):
    """The fields of the token, signed step by step as AWS documents SigV4."""
    scope = f"{stamp[:8]}/{region}/elasticache/aws4_request"
    query = {
        "Action": "connect",
        "ResourceType": "ServerlessCache",
        "User": user,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{keys.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": "900",
        "X-Amz-SignedHeaders": "host",
    }
    if keys.token:
        query["X-Amz-Security-Token"] = keys.token
    encoded = "&".join(f"{name}={quote(query[name], safe='-_.~')}" for name in sorted(query))
    request = "\n".join(
        ("GET", "/", encoded, f"host:{cache.lower()}\n", "host", sha256(b"").hexdigest())
    )
    to_sign = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, sha256(request.encode()).hexdigest()))
    key = f"AWS4{keys.secret_key}".encode()
    for part in (stamp[:8], region, "elasticache", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    query["X-Amz-Signature"] = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return query


def parts(token):
    """Host, path and fields of a token."""
    split = urlsplit("http://" + token)
    return split.netloc, split.path, dict(parse_qsl(split.query, strict_parsing=True))


def test_the_recorded_token_is_what_the_specification_says():
    expected = by_the_specification("app", "Features", "eu-central-1", KEYS, "20260102T030405Z")
    assert parts(RECORDED) == ("features", "/", expected)


@given(
    user=st.from_regex(r"[a-zA-Z][a-zA-Z0-9-]{0,20}", fullmatch=True),
    cache=st.from_regex(r"[a-zA-Z][a-zA-Z0-9-]{0,20}", fullmatch=True),
    session=st.none() | st.text("abcXYZ019+/=", min_size=1),
)
def test_a_token_is_what_the_specification_says(user, cache, session):
    keys = ReadOnlyCredentials("AKIDEXAMPLE", "secret/+", session)
    host, path, query = parts(iam_token(user, cache, "us-east-1", keys))
    assert (host, path) == (cache.lower(), "/")
    assert query == by_the_specification(user, cache, "us-east-1", keys, query["X-Amz-Date"])


def test_each_connection_gets_a_token_of_its_own_moment_and_of_the_keys_of_that_moment():
    keys = [KEYS]
    login = iam_credentials("app", "features", keys=lambda: keys[0], region="eu-central-1")
    before = datetime.now(UTC).replace(microsecond=0)
    user, first = login()
    keys[0] = ReadOnlyCredentials("AKIDROTATED", "other", "session")
    _, second = login()
    assert user == "app"
    assert "AKIDEXAMPLE" in first
    assert "AKIDROTATED" in second
    for token in (first, second):
        signed = datetime.strptime(parts(token)[2]["X-Amz-Date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
        assert before <= signed <= datetime.now(UTC)
        assert parts(token)[2]["X-Amz-Expires"] == "900"


def test_a_missing_cache_name_is_a_mistake_in_the_settings_and_not_an_outage():
    with pytest.raises(RuntimeError, match="CACHE_NAME"):
        iam_credentials("app", "", region="eu-central-1")


CREDENTIALS = """
from neuralstream_core.redis.iam import role_credentials
found = role_credentials()
print(found.access_key, found.secret_key, found.token)
"""
FILE = "[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = from-file\n"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {
                "AWS_ACCESS_KEY_ID": "AKIDENV",
                "AWS_SECRET_ACCESS_KEY": "s",
                "AWS_SESSION_TOKEN": "t",
            },
            "AKIDENV s t",
        ),
        ({}, "AKIDFILE from-file None"),
    ],
)
def test_keys_come_from_the_environment_else_from_where_botocore_finds_them(
    environ, expected, tmp_path
):
    (tmp_path / "credentials").write_text(FILE)
    clean = {name: v for name, v in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", CREDENTIALS],
        capture_output=True,
        text=True,
        check=True,
        env={**clean, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), **environ},
    )
    assert done.stdout.strip() == expected


def test_without_any_keys_the_cache_is_unavailable(tmp_path):
    clean = {name: v for name, v in os.environ.items() if not name.startswith("AWS_")}
    environ = {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    code = (
        "from neuralstream_core.errors import Unavailable\n"
        "from neuralstream_core.redis.iam import role_credentials\n"
        "try:\n    role_credentials()\n"
        "except Unavailable as error:\n    print(error.dependency)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**clean, **environ},
    )
    assert done.stdout.strip() == "redis"
