"""IAM tokens: against a recorded signature, and against botocore at the present moment."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_core.redis.iam import AwsCredentials, iam_credentials, iam_token
from neuralstream_core.time import to_micros

MORNING = to_micros(datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC))
KEYS = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
RECORDED = (  # made with botocore
    "features/?Action=connect&ResourceType=ServerlessCache&User=app"
    "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-central-1%2Felasticache%2Faws4_request&X-Amz-Date=20260102T030405Z"
    "&X-Amz-Expires=900&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=9fdcfa18bdafd5ffe8a9e8182953ee49656ab4d45f990aca697106fe3f829585"
)


def signed_by_botocore(user, cache, region, keys):
    """What botocore presigns now, and the moment it used."""
    request = AWSRequest(
        "GET",
        f"http://{cache.lower()}/",
        params={"Action": "connect", "User": user, "ResourceType": "ServerlessCache"},
    )
    credentials = Credentials(keys.access_key, keys.secret_key, keys.session_token)
    SigV4QueryAuth(credentials, "elasticache", region, expires=900).add_auth(request)
    url = request.prepare().url
    (stamp,) = parse_qs(urlsplit(url).query)["X-Amz-Date"]
    return url, to_micros(datetime.strptime(stamp + "+0000", "%Y%m%dT%H%M%SZ%z"))


def parts(token):
    split = urlsplit(token if "//" in token else "http://" + token)
    return split.netloc, split.path, parse_qs(split.query)


def test_the_recorded_token():
    assert iam_token("app", "Features", "eu-central-1", KEYS, lambda: MORNING) == RECORDED


@given(
    user=st.from_regex(r"[a-zA-Z][a-zA-Z0-9-]{0,20}", fullmatch=True),
    cache=st.from_regex(r"[a-zA-Z][a-zA-Z0-9-]{0,20}", fullmatch=True),
    session=st.none() | st.text("abcXYZ019+/=", min_size=1),
)
def test_botocore_signs_the_same(user, cache, session):
    keys = AwsCredentials("AKIDEXAMPLE", "secret/+", session)
    url, moment = signed_by_botocore(user, cache, "us-east-1", keys)
    assert parts(iam_token(user, cache, "us-east-1", keys, lambda: moment)) == parts(url)


def test_each_connection_gets_a_token_of_its_own_moment_and_of_the_keys_of_that_moment():
    now, keys = [MORNING], [KEYS]
    login = iam_credentials(
        "app", "features", credentials=lambda: keys[0], region="eu-central-1", clock=lambda: now[0]
    )
    user, first = login()
    now[0] += 14 * 60 * 1_000_000
    keys[0] = AwsCredentials("AKIDROTATED", "other", "session")
    _, second = login()
    assert user == "app"
    assert "X-Amz-Date=20260102T030405Z" in first
    assert "X-Amz-Expires=900" in first
    assert "X-Amz-Date=20260102T031805Z" in second
    assert "AKIDROTATED" in second


def test_a_missing_cache_name_is_a_mistake_in_the_settings_and_not_an_outage():
    with pytest.raises(RuntimeError, match="CACHE_NAME"):
        iam_credentials("app", "", region="eu-central-1")


def test_keys_do_not_print():
    assert "wJalr" not in repr(KEYS)


CREDENTIALS = """
from neuralstream_core.redis.iam import environment_credentials
found = environment_credentials()
print(found.access_key, found.secret_key, found.session_token)
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
        "from neuralstream_core.redis.iam import environment_credentials\n"
        "try:\n    environment_credentials()\n"
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
