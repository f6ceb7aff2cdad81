"""The AWS emulation: moto's server in a process of its own, with the Lambda Invoke API in front.

moto runs Lambda functions in Docker. Here ``POST /2015-03-31/functions/{name}/invocations`` goes to
the laptop's own function host instead, so that moto's Step Functions interpreter (and any AWS client
pointed at this port) calls the real handlers.

    python -m neuralstream_local.aws_server --port 8001
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote

import urllib3

from neuralstream_local.children import announce, leave_with_parent
from neuralstream_local.control import CHECKPOINT_PATH, REGISTRATION_PATH, SOURCES_PATH

__all__ = ["ACCOUNT", "REGION", "client_environ", "main"]

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"
"""moto's account."""

_INVOKE = re.compile(r"^/2015-03-31/functions/[^/]+/invocations$")
_INVOKE_SECONDS: Final = 900.0
_SOURCES_SECONDS: Final = 1.0
_KEPT_CONNECTIONS: Final = 50
_MAX_CHECKPOINTS: Final = 100
_MAX_CHECKPOINT: Final = 1024
"""Bytes."""
_FORGET_SECONDS: Final = 60.0
_KEPT_ITERATORS: Final = 1000

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def client_environ(endpoint: str) -> dict[str, str]:
    """Environment variables that send any AWS client to ``endpoint``, past any proxy."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


class InvokeFront:
    """WSGI: Lambda invocations go to the function host, once it has registered, all else to moto.

    DynamoDB calls, those to its streams included, are let through one at a time: moto's transactions and
    conditional writes are not atomic among threads (a failed transaction puts back a copy of the whole
    table, with whatever others wrote meanwhile undone).
    """

    def __init__(self, moto: WsgiApp) -> None:
        self._moto = moto
        self._one_at_a_time = threading.Lock()
        self._functions = ""
        """Base URL of the function host; empty until it has registered."""
        self._http = urllib3.PoolManager(maxsize=_KEPT_CONNECTIONS)
        self._checkpoints: dict[str, bytes] = {}

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == REGISTRATION_PATH:
            if self._functions:
                _release_messages()
            self._functions = _body(environ).decode()
            start_response("204 No Content", [])
            return []
        if path.startswith(CHECKPOINT_PATH):
            return self._checkpoint(path, environ, start_response)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target.startswith("DynamoDB"):
            with self._one_at_a_time:
                answer = list(self._moto(environ, start_response))
                if target.endswith(".TransactWriteItems"):
                    _point_iterators_at_their_tables()
                return answer
        if self._functions and path == SOURCES_PATH:
            return self._forward(environ, start_response, _SOURCES_SECONDS)
        if self._functions and _INVOKE.match(path):
            return self._forward(environ, start_response, _INVOKE_SECONDS)
        return self._moto(environ, start_response)

    def _forward(
        self, environ: dict[str, Any], start_response: Callable[..., Any], seconds: float
    ) -> list[bytes]:
        """The function host's answer; Lambda's own error, which its clients retry, while it is down."""
        invocation_type = environ.get("HTTP_X_AMZ_INVOCATION_TYPE", "RequestResponse")
        # moto's Step Functions interpreter fails an execution for good over an error without one.
        request_id = ("x-amzn-requestid", str(uuid.uuid4()))
        try:
            answer = self._http.request(
                environ["REQUEST_METHOD"],
                self._functions + quote(environ["PATH_INFO"], safe="/:"),
                body=_body(environ),
                headers={"x-amz-invocation-type": invocation_type},
                timeout=seconds,
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            kind = ("x-amzn-errortype", "ServiceException")
            json_type = ("content-type", "application/json")
            start_response("503 Service Unavailable", [json_type, kind, request_id])
            problem = {"Type": "Service", "Message": f"no function host: {error}"}
            return [json.dumps(problem).encode()]
        status = f"{answer.status} {answer.reason or ''}"
        start_response(status, [*answer.headers.items(), request_id])
        return [answer.data]

    def _checkpoint(
        self, path: str, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> list[bytes]:
        if environ["REQUEST_METHOD"] == "PUT":
            text = _body(environ)
            full = path not in self._checkpoints and len(self._checkpoints) >= _MAX_CHECKPOINTS
            if len(text) > _MAX_CHECKPOINT or full:
                start_response("413 Content Too Large", [])
                return []
            self._checkpoints[path] = text
            start_response("204 No Content", [])
            return []
        start_response("200 OK" if path in self._checkpoints else "404 Not Found", [])
        return [self._checkpoints.get(path, b"")]


def _body(environ: dict[str, Any]) -> bytes:
    data: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return data


def _point_iterators_at_their_tables() -> None:
    """Let every stream iterator read the table that is there now.

    A cancelled transaction makes moto put a copy of the table in its place, taken before the transaction.
    An iterator given out earlier still reads the table that was put away: it would see the changes that
    were undone, and never another one.
    """
    from moto.dynamodb.models import dynamodb_backends
    from moto.dynamodbstreams.models import dynamodbstreams_backends

    tables = dynamodb_backends[ACCOUNT][REGION].tables
    for iterator in list(dynamodbstreams_backends[ACCOUNT][REGION].shard_iterators.values()):
        table = tables.get(iterator.stream_shard.table.name)
        if table is not None and table.stream_shard is not None:
            iterator.stream_shard = table.stream_shard


def _release_messages() -> None:
    """Give back what a function host that is gone had received: it will neither delete nor return it.

    On AWS the pollers outlive a function's failure; without this the messages would be hidden for the
    queue's whole visibility timeout.
    """
    from moto.sqs.models import sqs_backends

    for queue in list(sqs_backends[ACCOUNT][REGION].queues.values()):
        for message in list(queue.pending_messages):
            message.visible_at = 0.0


def _forget_old_stream_iterators() -> None:
    """moto keeps every stream iterator it ever gave out, one for each poll; keep the newest."""
    from moto.dynamodbstreams.models import dynamodbstreams_backends

    while True:
        time.sleep(_FORGET_SECONDS)
        iterators = dynamodbstreams_backends[ACCOUNT][REGION].shard_iterators
        for key in list(iterators)[:-_KEPT_ITERATORS]:
            del iterators[key]


def main(argv: list[str] | None = None) -> None:
    """Serve until terminated or until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    options = parser.parse_args(argv)
    leave_with_parent()

    import moto.backend_index  # noqa: F401 - fail here, before the port is taken, if moto is broken
    from moto.core.config import default_user_config
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line per request
    default_user_config["stepfunctions"]["execute_state_machine"] = True
    application = InvokeFront(DomainDispatcherApplication(create_backend_app))
    try:
        server = make_server(
            "127.0.0.1",
            options.port,
            application,
            threaded=True,
            request_handler=MotoRequestHandler,
        )
    except (OSError, SystemExit) as error:
        announce(error=f"port {options.port} cannot be used: {error}")
        sys.exit(1)
    port = server.server_port
    endpoint = f"http://127.0.0.1:{port}"
    os.environ.update(client_environ(endpoint))
    os.environ["MOTO_PORT"] = str(port)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: os._exit(0))
    threading.Thread(target=_forget_old_stream_iterators, daemon=True).start()
    announce(port=port, endpoint=endpoint)
    server.serve_forever()


if __name__ == "__main__":
    main()
