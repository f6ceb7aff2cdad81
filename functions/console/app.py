"""The console, Swagger UI and the OpenAPI document, all built ahead of time (``make openapi``)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from neuralstream_lambda.access import PUBLIC
from neuralstream_lambda.arguments import AssetPath
from neuralstream_lambda.assets import Assets
from neuralstream_lambda.resolver import Resolver, Response, answers, needs

app = Resolver("console")

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_CONSOLE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HERE = Path(__file__).resolve().parent
_PACKED = _HERE / "console"
"""The console's files where functions/Makefile puts them; on a laptop they are in the repository."""

assets = Assets(_PACKED if _PACKED.exists() else _HERE.parents[1] / "console")


@cache
def document() -> str:
    return (Path(__file__).parent / "openapi.json").read_text()


@cache
def page() -> str:
    """Swagger UI with scripts, styles and document in one page, so it works without any other server."""
    # builds all of OpenAPI's models, hundreds of ms: only the first page waits for that, not every start
    from aws_lambda_powertools.event_handler.openapi import swagger_ui

    assets = Path(swagger_ui.__file__).parent
    return swagger_ui.generate_swagger_html(
        spec=document().replace("</", "<\\/"),
        swagger_js=(assets / "swagger-ui-bundle.min.js").read_text(),
        swagger_css=(assets / "swagger-ui.min.css").read_text(),
        swagger_base_url="",
        oauth2_config=None,
        persist_authorization=True,
    )


@app.get(
    "/docs",
    tags=["documentation"],
    compress=True,
    responses=answers(str, {200: "the page"}, media_type="text/html"),
    **needs(PUBLIC),
)
def docs() -> Response[str]:
    """Read and try this API in a browser.

    Swagger UI with this document, in one page that needs no other server.
    """
    if app.current_event.query_string_parameters.get("format") == "json":
        return openapi()  # the page links to its document so
    headers = {
        "Cache-Control": "public, max-age=3600",
        "Vary": "accept-encoding",
        "Content-Security-Policy": _POLICY,
    }
    return Response(200, "text/html; charset=utf-8", page(), headers)


@app.get(
    "/openapi.json",
    tags=["documentation"],
    responses=answers(dict[str, Any], {200: "the document"}),
    **needs(PUBLIC),
)
def openapi() -> Response[str]:
    """Get this API's OpenAPI 3.1 document.

    Built ahead of time from the code that serves these routes.
    """
    headers = {"Cache-Control": "public, max-age=300"}
    return Response(200, "application/json", document(), headers)


@app.get(
    "/console",
    tags=["documentation"],
    compress=True,
    responses=answers(str, {200: "the page"}, media_type="text/html"),
    **needs(PUBLIC),
)
def console() -> Response[str]:
    """See and steer the stack in a browser.

    One page that uses this API and nothing else; with `AUTH=on` it asks for a key.
    """
    headers = {
        "Cache-Control": "no-cache",
        "Vary": "accept-encoding",
        "Content-Security-Policy": _CONSOLE_POLICY,
        "Referrer-Policy": "no-referrer",
    }
    return Response(200, "text/html; charset=utf-8", assets.page(), headers)


@app.get(
    "/console/<file>",
    tags=["documentation"],
    compress=True,
    responses=answers(str, {200: "the file"}, media_type="text/javascript"),
    **needs(PUBLIC),
)
def console_file(file: AssetPath) -> Response[str]:
    """Get a file of the console's page.

    Below a folder named by the digest of them all, as the page asks for it, it may be kept for good.
    """
    asset, lasting = assets.file(file)
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if lasting else "no-cache",
        "Vary": "accept-encoding",
        "Content-Security-Policy": _CONSOLE_POLICY,
    }
    return Response(200, asset.media_type, asset.text, headers)


lambda_handler = app.handler
