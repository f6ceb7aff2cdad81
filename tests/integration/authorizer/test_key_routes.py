"""Keys over HTTP: what a key may pass on, what a listing tells, and that the secret is in one answer only."""

from __future__ import annotations

import base64
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from neuralstream_core.keys import KeyStore, Scope, digest_of
from neuralstream_core.table import Table
from neuralstream_core.time import to_micros
from neuralstream_local.laptop import KEYS_TABLE
from tests.support.functions import load_function


@pytest.fixture(scope="module")
def store(stack_with_keys):
    """The stack's own keys, as somebody with access to the table has them."""
    return KeyStore(Table(stack_with_keys.client("dynamodb"), KEYS_TABLE))


@pytest.fixture
def ask(stack_with_keys):
    """``ask(key, method, path, body=None)`` → the reply."""

    def send(key, method, path, body=None):
        return stack_with_keys.request(method, path, body, {"x-api-key": key})

    return send


@pytest.fixture
def admin(store):
    """A key that may make keys that read features."""
    return store.mint("admin", [Scope.KEYS, Scope.FEATURES_READ])


def listed(ask, key):
    """Every key of the listing by id, two on a page."""
    found, query = {}, "?limit=2"
    while True:
        page = ask(key, "GET", f"/keys{query}").json()
        assert len(page["keys"]) <= 2
        found |= {one["key_id"]: one for one in page["keys"]}
        if page["next_token"] is None:
            return found
        query = f"?limit=2&next_token={page['next_token']}"


def test_a_key_made_over_http_opens_what_it_was_made_for_and_nothing_else(ask, admin):
    body = {"principal": "shop", "scopes": ["features:read"], "description": "checkout"}
    reply = ask(admin.key, "POST", "/keys", body)
    assert reply.status == 201
    assert reply.headers["cache-control"] == "no-store"
    minted = reply.json()
    assert minted["key"].split("_")[1] == minted["key_id"]
    assert ask(minted["key"], "GET", "/features/views").status == 200
    assert ask(minted["key"], "GET", "/models").json()["code"] == "missing_scope"
    assert ask(minted["key"], "GET", "/keys").json()["code"] == "missing_scope"


def test_the_listing_tells_who_made_and_ended_a_key_and_no_secret_or_hash(ask, admin, store):
    body = {"principal": "leaver", "scopes": ["features:read"]}
    minted = ask(admin.key, "POST", "/keys", body).json()
    tool = store.mint("tool", [Scope.PREDICT])
    revoked = ask(admin.key, "DELETE", f"/keys/{minted['key_id']}").json()
    assert (revoked["state"], revoked["principal"]) == ("revoked", "leaver")

    found = listed(ask, admin.key)
    us = {"principal": "admin", "key_id": admin.record.key_id}
    ended = found[minted["key_id"]]
    assert ended == revoked
    assert (ended["created_by"], ended["revoked_by"]) == (us, us)
    assert ended["created_at"] < ended["revoked_at"]
    by_hand = found[tool.record.key_id]
    assert (by_hand["created_by"], by_hand["state"]) == (None, "active")

    page = ask(admin.key, "GET", "/keys?limit=2").json()
    token = page["next_token"]
    told = json.dumps(list(found.values())) + token
    told += base64.urlsafe_b64decode(token).decode("latin-1")
    for key in (minted["key"], tool.key, admin.key):
        assert key.rpartition("_")[2] not in told
        assert digest_of(key) not in told
    assert len(found) > 2


def test_revoking_again_changes_nothing_and_a_key_that_is_not_there_is_404(ask, admin, store):
    key_id = store.mint("leaver", [Scope.PREDICT]).record.key_id
    first = ask(admin.key, "DELETE", f"/keys/{key_id}")
    again = ask(admin.key, "DELETE", f"/keys/{key_id}")
    assert (first.status, again.status) == (200, 200)
    assert first.json() == again.json()
    unknown = ask(admin.key, "DELETE", "/keys/aaaaaaaa")
    assert (unknown.status, unknown.json()["code"]) == (404, "key_not_found")
    assert ask(admin.key, "DELETE", "/keys/no-key-id").status == 422


def test_a_key_that_was_ended_with_the_table_is_not_said_to_be_ended_over_http(ask, admin, store):
    key_id = store.mint("leaver", [Scope.PREDICT]).record.key_id
    store.revoke(key_id)
    answer = ask(admin.key, "DELETE", f"/keys/{key_id}").json()
    assert (answer["state"], answer["revoked_by"]) == ("revoked", None)


@pytest.mark.parametrize("scopes", [["predict"], ["keys", "features:read", "models:write"]])
def test_a_key_cannot_grant_what_it_lacks(ask, admin, scopes):
    reply = ask(admin.key, "POST", "/keys", {"principal": "x", "scopes": scopes})
    assert (reply.status, reply.json()["code"]) == (403, "missing_scope")
    assert scopes[-1] in reply.json()["detail"]


def test_a_key_mints_none_that_lasts_longer_than_itself(ask, store):
    ends = datetime.now(UTC) + timedelta(days=1)
    admin = store.mint("admin", [Scope.KEYS], expires_at=to_micros(ends))

    def mint(**more):
        return ask(admin.key, "POST", "/keys", {"principal": "x", "scopes": ["keys"], **more})

    for longer in ({}, {"expires_at": (ends + timedelta(seconds=1)).isoformat()}):
        refused = mint(**longer)
        assert (refused.status, refused.json()["code"]) == (403, "outlives_key")
    minted = mint(expires_at=ends.isoformat())
    assert minted.status == 201
    assert datetime.fromisoformat(minted.json()["expires_at"]) == ends


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"principal": 'a"b'}, "principal"),
        ({"principal": ""}, "principal"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes.0"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"key": "mine"}, "key"),
    ],
)
def test_a_wrong_key_is_refused_at_its_place(ask, admin, changes, place):
    body = {"principal": "x", "scopes": ["features:read"], **changes}
    reply = ask(admin.key, "POST", "/keys", body)
    assert (reply.status, reply.json()["errors"][0]["loc"]) == (422, place)


def test_who_still_gets_in_with_a_revoked_key_can_neither_make_another_nor_end_one(
    ask, admin, store
):
    """API Gateway keeps the decision about a key for a minute."""
    other = store.mint("other", [Scope.PREDICT]).record.key_id
    assert ask(admin.key, "GET", "/keys").status == 200
    store.revoke(admin.record.key_id)

    body = {"principal": "again", "scopes": ["keys"]}
    replies = [
        ask(admin.key, "POST", "/keys", body),
        ask(admin.key, "DELETE", f"/keys/{other}"),
        ask(admin.key, "GET", "/keys"),
    ]
    assert [(r.status, r.json().get("code")) for r in replies] == [(403, "key_ended")] * 3
    assert ask(admin.key, "GET", "/features/views").status == 200, "the decision is still kept"
    records = {record.key_id: record for record in store.list_keys()}
    assert records[other].revoked_at is None
    assert "again" not in {record.principal for record in records.values()}


def test_a_key_may_end_itself(ask, admin):
    reply = ask(admin.key, "DELETE", f"/keys/{admin.record.key_id}")
    assert (reply.status, reply.json()["state"]) == (200, "revoked")
    assert ask(admin.key, "GET", "/keys").status == 403


@pytest.mark.parametrize("token", ["x", "aaaaaaa1", "eyJQSyI6ImEifQ==", "aaaaaaaa "])
def test_a_token_of_no_listing_is_refused(ask, admin, token):
    reply = ask(admin.key, "GET", f"/keys?next_token={token.replace(' ', '%20')}")
    assert (reply.status, reply.json()["code"]) == (422, "invalid_token")


def test_a_stack_that_asks_for_no_key_makes_keys_in_the_name_of_its_laptop(stack):
    body = {"principal": "later", "scopes": ["predict"]}
    minted = stack.request("POST", "/keys", body).json()
    assert minted["created_by"] == {"principal": "local", "key_id": None}
    record = KeyStore(Table(stack.client("dynamodb"), KEYS_TABLE)).find(minted["key"])
    assert record.scopes == {"predict"}


def event(key, minted, **changes):
    """What API Gateway sends for a route, as the authorizer let ``minted`` in."""
    record = minted.record
    granted = {
        "principal": record.principal,
        "scopes": " ".join(record.scopes),
        "key_id": record.key_id,
    }
    return {
        "version": "2.0",
        "routeKey": key,
        "headers": {"x-api-key": minted.key},
        "requestContext": {
            "requestId": "r",
            "http": {"method": key.partition(" ")[0], "path": "/keys"},
            "authorizer": {"lambda": granted},
        },
        "isBase64Encoded": False,
        **changes,
    }


def test_no_secret_is_logged_at_any_level(table, table_name, caplog, capsys, monkeypatch):
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "DEBUG")
    caplog.set_level(logging.DEBUG, logger="aws_lambda_powertools")
    app = load_function("keys", {"NEURALSTREAM_KEYS_TABLE": table_name})
    admin = KeyStore(table).mint("admin", [Scope.KEYS])
    body = json.dumps({"principal": "x", "scopes": ["keys"]})
    answer = app.lambda_handler(event("POST /keys", admin, body=body), None)
    assert answer["statusCode"] == 201
    minted = json.loads(answer["body"])

    out, err = capsys.readouterr()
    logged = out + err + caplog.text
    audited = next(json.loads(line) for line in out.splitlines() if "key minted" in line)
    assert audited["key_id"] == minted["key_id"]
    assert (audited["by"], audited["by_key_id"]) == ("admin", admin.record.key_id)
    for key in (minted["key"], admin.key):
        assert key.rpartition("_")[2] not in logged
        assert digest_of(key) not in logged


def test_a_keys_table_that_does_not_answer_is_503_and_named(table):
    admin = KeyStore(table).mint("admin", [Scope.KEYS])
    app = load_function("keys", {"NEURALSTREAM_KEYS_TABLE": "gone"})
    answer = app.lambda_handler(event("GET /keys", admin), None)
    problem = json.loads(answer["body"])
    assert (answer["statusCode"], problem["code"]) == (503, "keys_unavailable")
    assert "keys table" in problem["detail"]
