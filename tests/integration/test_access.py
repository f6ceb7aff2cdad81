"""Who may call what, over real HTTP with the authorizer on: every route of template.yaml."""

from __future__ import annotations

import json

import pytest

from neuralstream_core.keys import KeyStore, Scope
from neuralstream_core.table import Table
from neuralstream_local.laptop import KEYS_TABLE, laptop_template
from neuralstream_local.openapi import routes as declared_routes

ROUTES = laptop_template(redis_port=1).routes()
GUARDED = [route.key for route in ROUTES if not route.public]


@pytest.fixture(scope="module")
def keys(stack_with_keys):
    return KeyStore(Table(stack_with_keys.client("dynamodb"), KEYS_TABLE))


@pytest.fixture(scope="module")
def declared():
    return {route.key: route for route in declared_routes()}


@pytest.fixture(scope="module")
def key_without(keys):
    """A key that has every scope but some."""

    def mint(*without):
        return keys.mint("all but some", [each for each in Scope if each not in without]).key

    return mint


def _call(stack, key, api_key=None):
    method, path = key.split(" ")
    names = ("entity_id+", "name", "model_name", "model", "version", "feature_view", "job_id")
    for name in (*names, "key_id"):
        path = path.replace(f"{{{name}}}", "v1" if name == "version" else "nobody")
    headers = {} if api_key is None else {"x-api-key": api_key}
    body = b"{}" if method in {"POST", "PUT", "PATCH"} else None
    return stack.request(method, path, body, headers)


@pytest.mark.parametrize("key", GUARDED)
def test_no_route_answers_without_a_key(stack_with_keys, key):
    answer = _call(stack_with_keys, key)

    assert (answer.status, answer.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize("key", GUARDED)
def test_no_route_answers_an_unknown_key(stack_with_keys, key):
    answer = _call(stack_with_keys, key, "ns_not-a-key")

    assert answer.status == 401
    body = answer.json()
    assert body.get("code", "unknown_key") == "unknown_key"
    assert "not-a-key" not in json.dumps(body)


@pytest.mark.parametrize("key", GUARDED)
def test_every_route_wants_its_own_scope(stack_with_keys, declared, key_without, key):
    contract = declared[key].contract
    answer = _call(stack_with_keys, key, key_without(contract.scope, *contract.others))

    assert answer.status == 403
    assert str(contract.scope) in answer.data.decode()


@pytest.mark.parametrize("key", GUARDED)
def test_the_scope_alone_opens_the_route(stack_with_keys, declared, keys, key):
    contract = declared[key].contract
    for scope in (contract.scope, *contract.others):
        minted = keys.mint("one scope", [scope])
        assert _call(stack_with_keys, key, minted.key).status not in {401, 403, 500}


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json", "/console"])
def test_public_routes_need_no_key(stack_with_keys, path):
    assert stack_with_keys.request("GET", path).status == 200


def test_a_key_revoked_before_its_first_use_is_forbidden(stack_with_keys, keys):
    minted = keys.mint("leaver", list(Scope))
    keys.revoke(minted.record.key_id)

    answer = _call(stack_with_keys, "GET /models", minted.key)
    assert (answer.status, answer.json()) == (403, {"message": "Forbidden"})
