"""A revoked key, behind the gateway, the real authorizer function and a real table of keys."""

from __future__ import annotations

import pytest

from neuralstream_core.keys import KeyStore, Scope
from neuralstream_local.children import ROOT
from neuralstream_local.functions import Functions
from neuralstream_local.gateway import Gateway
from neuralstream_local.http_server import Request
from neuralstream_local.template import Template
from tests.support.poll import eventually


class Impatient(Template):
    """template.yaml, but an authorizer's decision is kept for one second only."""

    def authorizer(self):
        function, header, _ = super().authorizer()
        return function, header, 1.0


@pytest.fixture
def keys(table):
    return KeyStore(table)


@pytest.fixture
def status_of(aws, table_name, monkeypatch):
    """How a gateway with a template of some kind answers a key."""
    for name, value in aws.environ.items():
        monkeypatch.setenv(name, value)

    def start(kind):
        values = {
            "AWS::Region": "us-east-1",
            "AWS::AccountId": "123456789012",
            "AWS::Partition": "aws",
            "AWS::StackName": "revocation",
            "AWS::URLSuffix": "amazonaws.com",
            "Table": table_name,
            "KeysTable": table_name,
            "DataBucket": "none",
            "Cache.Endpoint.Address": "127.0.0.1",
            "Cache.Endpoint.Port": "1",
        }
        template = kind(ROOT / "template.yaml", values)
        gateway = Gateway(template, Functions(template.functions().values()), auth=True)

        def ask(key):
            # A route that needs nothing but its scope.
            headers = [("x-api-key", key)]
            return gateway(Request("GET", "/v2/health/live", "", headers, b"", "127.0.0.1")).status

        return ask

    return start


def test_a_revoked_key_stops_when_the_kept_decision_ends_however_busily_it_is_used(status_of, keys):
    ask = status_of(Impatient)
    revoked, other = (keys.mint(name, [Scope.PREDICT]) for name in ("leaver", "stayer"))
    assert (ask(revoked.key), ask(other.key)) == (200, 200)

    keys.revoke(revoked.record.key_id)

    # Asked without a break: a decision that each use kept alive would never end.
    eventually(lambda: ask(revoked.key) == 403, seconds=10)
    assert [ask(revoked.key) for _ in range(3)] == [403] * 3
    assert ask(other.key) == 200


def test_the_deployed_api_keeps_a_decision_for_the_minute_that_is_promised(status_of, keys):
    kept = []

    class Deployed(Template):
        def authorizer(self):
            kept.append(super().authorizer())
            return kept[-1]

    ask = status_of(Deployed)
    minted = keys.mint("leaver", [Scope.PREDICT])
    assert ask(minted.key) == 200
    keys.revoke(minted.record.key_id)

    assert ask(minted.key) == 200, "the decision is kept"
    assert [seconds for _, _, seconds in kept] == [60], "and for no longer than SECURITY.md says"
    assert "60 seconds" in (ROOT / "SECURITY.md").read_text()
