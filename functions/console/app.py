"""Documentation: Swagger UI and the OpenAPI document, both built ahead of time (``make openapi``).

The page holds Swagger UI whole (Apache-2.0, see NOTICE), so it works without any other server.
"""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

from neuralstream_lambda import PUBLIC, Answer, Api, Caller

HERE = Path(__file__).parent

api = Api("console")


@cache
def page() -> bytes:
    """The compressed page."""
    return (HERE / "docs.html.gz").read_bytes()


@cache
def document() -> str:
    return (HERE / "openapi.json").read_text()


@api.route("GET /docs", PUBLIC, tags=("documentation",))
def docs(caller: Caller) -> Answer:
    """Read and try this API in a browser."""
    headers = {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "public, max-age=3600",
        "vary": "accept-encoding",
        "content-security-policy": (
            "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
            "img-src data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
    }
    if "gzip" in caller.headers.get("accept-encoding", ""):
        return Answer(page(), headers={**headers, "content-encoding": "gzip"})
    return Answer(gzip.decompress(page()), headers=headers)


@api.route("GET /openapi.json", PUBLIC, tags=("documentation",))
def openapi() -> Answer:
    """This API's OpenAPI 3.1 document."""
    return Answer(document(), headers={"cache-control": "public, max-age=300"})


lambda_handler = api.handler
