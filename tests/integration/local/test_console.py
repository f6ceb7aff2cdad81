"""GET /docs and GET /openapi.json."""

from __future__ import annotations

import gzip
import json
import re


def test_the_page_holds_everything_it_needs(stack):
    answer = stack.request("GET", "/docs")
    page = answer.data.decode()

    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "SwaggerUIBundle" in page
    embedded = re.search(r"spec: (\{.*?\})\s*,\s*presets:", page, re.DOTALL)
    assert json.loads(embedded[1]) == stack.request("GET", "/openapi.json").json()
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?https?:", page)


def test_the_page_comes_compressed_to_who_takes_it(stack):
    small = stack.request("GET", "/docs", headers={"accept-encoding": "gzip, br"})

    assert small.headers["content-encoding"] == "gzip"
    assert len(small.data) < 600_000
    assert gzip.decompress(small.data) == stack.request("GET", "/docs").data


def test_the_document_is_served_as_json(stack):
    answer = stack.request("GET", "/openapi.json")

    assert answer.headers["content-type"] == "application/json"
    assert stack.request("GET", "/docs?format=json").data == answer.data
    assert answer.json()["openapi"] == "3.1.0"
    assert "/predict/{model_name}" in answer.json()["paths"]
