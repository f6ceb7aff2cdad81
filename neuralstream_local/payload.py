"""API Gateway's payload format 2.0: a request as an event, a handler's return as an answer."""

from __future__ import annotations

import base64
import contextlib
import secrets
import time
from typing import Any, Final
from urllib.parse import parse_qs

from neuralstream_lambda.payload import MAX_PAYLOAD, payload_size, surely_fits
from neuralstream_local.aws import ACCOUNT
from neuralstream_local.http_server import Request, Response, json_response, message

__all__ = ["event_of", "fits", "response_of"]

_TEXT_TYPES: Final = ("text/", "application/json", "application/xml", "application/javascript")


def event_of(request: Request, route_key: str, parameters: dict[str, str]) -> dict[str, Any]:
    """The event of ``request``; the authorizer's context is added by the caller."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in request.headers:
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";")]
        elif name in headers:
            headers[name] += "," + value
        else:
            headers[name] = value
    headers["x-forwarded-for"] = request.peer
    headers["x-forwarded-proto"] = "http"
    now = time.time()
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": headers.get("host", "localhost"),
            "domainPrefix": "local",
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.peer,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": secrets.token_urlsafe(11) + "=",
            "routeKey": route_key,
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if parameters:
        event["pathParameters"] = parameters
    if request.query:
        given = parse_qs(request.query, keep_blank_values=True)
        event["queryStringParameters"] = {name: ",".join(values) for name, values in given.items()}
    if request.body:
        _set_body(event, request.body, headers.get("content-type", ""))
    return event


def fits(message: Any) -> bool:
    """Whether Lambda takes ``message`` as an event or an answer, encoded as it crosses: as JSON in which
    the body is a string."""
    body = message.get("body") if isinstance(message, dict) else None
    if isinstance(body, str) and surely_fits(len(body)):
        return True
    return payload_size(message) <= MAX_PAYLOAD


def response_of(answer: Any) -> Response:
    """The HTTP answer of a handler's return value, inferring what a simple return leaves out."""
    if not fits(answer):
        return message(500, "Internal Server Error")
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return json_response(200, answer)
    body = answer.get("body") or ""
    if not isinstance(body, str):
        return message(500, "Internal Server Error")
    data = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
    headers = [
        (name.lower(), str(value))
        for name, value in (answer.get("headers") or {}).items()
        if name.lower() != "content-length"
    ]
    headers += [("set-cookie", cookie) for cookie in answer.get("cookies") or ()]
    if data and not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=utf-8"))
    return Response(int(answer["statusCode"]), data, headers)


def _set_body(event: dict[str, Any], body: bytes, content_type: str) -> None:
    """Text as it is; anything else, and text that is not UTF-8, as base64."""
    if content_type.startswith(_TEXT_TYPES) or "+json" in content_type:
        with contextlib.suppress(UnicodeDecodeError):
            event["body"] = body.decode()
            return
    event["body"] = base64.b64encode(body).decode("ascii")
    event["isBase64Encoded"] = True
