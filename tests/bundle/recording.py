"""A proxy in front of the AWS emulation that sees who does what.

Every function signs with an access key that is its own name, so a request's signature says which
role would have to allow it; a presigned URL carries the name of the function that made it.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.policy import Call

_ARN = "arn:aws:{}:us-east-1:123456789012:{}"
_SIGNED_BY = re.compile(r"Credential=([^/,]+)/[0-9]+/[^/]+/([a-z0-9-]+)/")
_TRANSACTION = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
_SCHEDULE = {"GET": "Get", "POST": "Create", "PUT": "Update", "DELETE": "Delete"}
_OBJECT = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}


class Recording:
    """The proxy; ``calls[function]`` are the acts seen so far."""

    def __init__(self, endpoint: str) -> None:
        self.calls: dict[str, set[Call]] = defaultdict(set)
        self._target = urlsplit(endpoint)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                outer._note(self.command, self.path, self.headers, body)
                connection = http.client.HTTPConnection(
                    outer._target.hostname or "", outer._target.port, timeout=30
                )
                headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                length = answer.getheader("content-length") if self.command == "HEAD" else None
                self.send_header("content-length", length or str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                connection.close()

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - the base class's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _note(self, method: str, path: str, headers: Any, body: bytes) -> None:
        query = parse_qs(urlsplit(path).query)
        credential = query.get("X-Amz-Credential", query.get("AWSAccessKeyId", [""]))[0]
        signed = _SIGNED_BY.search(headers.get("authorization") or f"Credential={credential}/")
        if signed is None:
            if credential:
                self.calls[credential].add(_object_call(method, path))
            return
        function, service = signed.groups()
        target = headers.get("x-amz-target", "").rpartition(".")[2]
        self.calls[function].update(_calls(service, method, path, target, body))


def _calls(service: str, method: str, path: str, target: str, body: bytes) -> list[Call]:
    match service:
        case "dynamodb":
            return _table_calls(target, json.loads(body))
        case "s3":
            return [_object_call(method, path)]
        case "states":
            return [Call(f"states:{target}", json.loads(body)["stateMachineArn"])]
        case "events":
            bus = json.loads(body)["Entries"][0].get("EventBusName", "default")
            return [Call(f"events:{target}", _ARN.format("events", f"event-bus/{bus}"))]
        case "scheduler":
            url = urlsplit(path)
            group = parse_qs(url.query).get("groupName") or [json.loads(body)["GroupName"]]
            name = url.path.rpartition("/")[2]
            return [
                Call(
                    f"scheduler:{_SCHEDULE[method]}Schedule",
                    _ARN.format("scheduler", f"schedule/{group[0]}/{name}"),
                )
            ]
        case "sns":
            form = parse_qs(body.decode())
            return [Call(f"sns:{form['Action'][0]}", form["TopicArn"][0])]
        case _:
            return [Call(f"{service}:{target or method}", path)]


def _table_calls(target: str, request: dict[str, Any]) -> list[Call]:
    def call(action: str, table: str, index: str | None = None) -> Call:
        suffix = f"/index/{index}" if index else ""
        return Call(f"dynamodb:{action}", _ARN.format("dynamodb", f"table/{table}{suffix}"))

    match target:
        case "TransactWriteItems":
            return [
                call(_TRANSACTION[kind], action["TableName"])
                for item in request["TransactItems"]
                for kind, action in item.items()
            ]
        case "BatchGetItem":
            return [call(target, table) for table in request["RequestItems"]]
        case _:
            return [call(target, request["TableName"], request.get("IndexName"))]


def _object_call(method: str, path: str) -> Call:
    bucket, _, key = unquote(urlsplit(path).path).lstrip("/").partition("/")
    if not key:
        return Call("s3:ListBucket", f"arn:aws:s3:::{bucket}")
    return Call(f"s3:{_OBJECT[method]}", f"arn:aws:s3:::{bucket}/{key}")
