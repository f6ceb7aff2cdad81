"""What a page of another origin can do to a laptop stack that asks for no key: nothing."""

from __future__ import annotations

import json

import pytest

from neuralstream_local.browsers import from_elsewhere
from tests.support.stack import request

VIEW = json.dumps({"entity": "id", "features": [{"name": "n", "dtype": "int64"}]}).encode()
TYPES = {"content-type": "text/plain"}
"""A type for which a browser asks nobody whether it may send."""


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://example.com"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"host": "example.com:8000"},
        {"host": "example.com:8000", "origin": "http://example.com:8000"},
    ],
    ids=["page", "sandboxed frame", "another port", "rebound name", "page of a rebound name"],
)
def test_a_page_of_somebody_else_changes_and_reads_nothing(stack, headers):
    refused = request(stack.url, "PUT", "/features/views/from_elsewhere", VIEW, TYPES | headers)
    assert refused.status == 403
    assert "no page of another origin" in refused.json()["message"]
    assert request(stack.url, "GET", "/features/views/from_elsewhere").status == 404
    emulation = request(stack.aws_endpoint, "GET", "/", headers=headers)
    assert emulation.status == 403
    assert b"<Name>" not in emulation.data


def test_the_consoles_own_page_may(stack):
    host = stack.url.removeprefix("http://")
    sent = request(stack.url, "POST", "/features/batch", b"{}", {"origin": f"http://{host}"})
    assert sent.status == 422


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost", "bucket.localhost:8001", "[::1]:8000", "127.1.2.3"]
)
def test_programs_on_this_machine_are_answered(host):
    assert not from_elsewhere(host, None)
    assert not from_elsewhere(host, f"http://{host}")


@pytest.mark.parametrize(
    "host", ["localhost.example.com", "0x7f.1.example", "[::1", "", "10.0.0.1"]
)
def test_other_names_are_not_ours(host):
    assert from_elsewhere(host, None)
