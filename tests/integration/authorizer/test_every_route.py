"""Every route of the template, over HTTP, with no key and with every kind of wrong one."""

import pytest

from neuralstream_core.keys import KeyStore, Scope
from neuralstream_core.keys.secret import generate
from neuralstream_core.table import Table
from neuralstream_local.laptop import KEYS_TABLE
from tests.support.template import functions, routes, template

PUBLIC = {
    "GET /health",
    "GET /docs",
    "GET /openapi.json",
    "GET /console",
    "GET /console/{file+}",
}
ROUTES = sorted(key for function in functions() for key in routes(function))
PROTECTED = [key for key in ROUTES if key not in PUBLIC]

JOBS = {Scope.PREDICT, Scope.FEATURES_WRITE, Scope.OUTCOMES}
"""Who starts jobs may look at them."""
OPENED_BY = {
    "GET /jobs": JOBS,
    "GET /jobs/{job_id}": JOBS,
    "POST /jobs/uploads": JOBS | {Scope.FEATURES_READ},
}
"""The routes that more than one scope opens."""

PARTS = {
    "{file+}": "app.js",
    "{entity_id+}": "u-1",
    "{version}": "v1",
    "{key_id}": "aaaaaaaa",
    "{job_id}": "job-00000000000000000000000000",
}


def path_of(key):
    """A path that matches the route; what it names need not exist."""
    template = key.partition(" ")[2]
    return "/".join(
        PARTS.get(part, "none") if part.startswith("{") else part for part in template.split("/")
    )


@pytest.fixture(scope="module")
def keys(stack_with_keys):
    """The stack's own key store."""
    return KeyStore(Table(stack_with_keys.client("dynamodb"), KEYS_TABLE))


def call(stack, key, api_key=None):
    headers = {} if api_key is None else {"x-api-key": api_key}
    method = key.partition(" ")[0]
    body = {} if method in ("POST", "PUT", "PATCH") else None
    return stack.request(method, path_of(key), body, headers)


@pytest.mark.parametrize("key", PROTECTED)
def test_a_protected_route_refuses_each_kind_of_wrong_key(stack_with_keys, wrong_keys, key):
    none = call(stack_with_keys, key)
    assert none.status == 401
    unknown = call(stack_with_keys, key, generate()[1])
    assert (unknown.status, unknown.json().get("code")) == (401, "unknown_key") or (
        key.startswith(("GET /v2", "POST /v2")) and unknown.status == 401
    )
    assert call(stack_with_keys, key, wrong_keys["malformed"]).status == 401
    assert call(stack_with_keys, key, wrong_keys["revoked"]).status == 403
    opened = {
        scope for scope in Scope if call(stack_with_keys, key, wrong_keys[scope]).status != 403
    }
    assert opened == OPENED_BY.get(key, opened), "no other scope opens a route"
    assert key in OPENED_BY or len(opened) == 1


@pytest.fixture(scope="module")
def wrong_keys(keys):
    revoked = keys.mint("revoked", list(Scope))
    keys.revoke(revoked.record.key_id)
    return {
        "malformed": "not a key",
        "revoked": revoked.key,
        **{scope: keys.mint(f"only-{scope}", [scope]).key for scope in Scope},
    }


@pytest.mark.parametrize("key", sorted(PUBLIC))
def test_a_public_route_needs_no_key(stack_with_keys, key):
    assert call(stack_with_keys, key).status == 200


def test_a_good_key_opens_its_routes(stack_with_keys, keys):
    minted = keys.mint("alice", [Scope.MODELS_READ])
    assert call(stack_with_keys, "GET /models", minted.key).status == 200


def test_a_revoked_key_stops_within_a_minute():
    """The store ends it at once; what API Gateway has cached lasts this long and no longer."""
    authorizers = template()["Resources"]["Api"]["Properties"]["Auth"]["Authorizers"]
    assert authorizers["KeyAuthorizer"]["Identity"]["ReauthorizeEvery"] <= 60


def test_an_answer_to_a_wrong_key_tells_nothing(stack_with_keys, wrong_keys):
    answer = call(stack_with_keys, "GET /models", wrong_keys["malformed"])
    assert wrong_keys["malformed"].encode() not in answer.data
    assert answer.headers["x-request-id"]
    assert answer.headers["www-authenticate"].startswith("ApiKey")
