"""GET /docs, GET /openapi.json and the console's files."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path


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


CONSOLE = Path(__file__).parents[3] / "console"


def test_the_console_is_one_page_of_files_that_may_be_kept_for_good(stack):
    page = stack.request("GET", "/console")
    assert page.headers["cache-control"] == "no-cache"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(
        r"<script(?! type=\"module\"(?: async)? src=)|<style|\son\w+=", page.data.decode()
    )
    named = re.findall(r'(?:src|href)="(console/[^"]+)"', page.data.decode())
    assert {"app.js", "style.css", "vendor/htm-preact.js"} <= {
        path.split("/", 2)[2] for path in named
    }
    for path in named:
        answer = stack.request("GET", f"/{path}")
        assert answer.status == 200
        assert answer.data == (CONSOLE / path.split("/", 2)[2]).read_bytes()
        assert "immutable" in answer.headers["cache-control"]
    assert stack.request("GET", "/console/console/app.js").status == 404


def test_the_whole_console_is_small(stack):
    files = [path for path in CONSOLE.rglob("*") if path.suffix in {".js", ".css", ".svg"}]
    sent = 0
    for path in files:
        name = path.relative_to(CONSOLE).as_posix()
        answer = stack.request("GET", f"/console/{name}", headers={"accept-encoding": "gzip"})
        assert answer.status == 200, name
        sent += len(answer.data)
    assert len(files) >= 10
    assert sent <= 400_000
