"""The AWS emulation: moto's server in a process of its own, with the Lambda Invoke API in front.

moto runs Lambda functions in Docker. Here ``POST /2015-03-31/functions/{name}/invocations`` goes to
the worker (`neuralstream_local.worker`) instead, so that moto's Step Functions interpreter, and any AWS
client pointed at this port, calls the real handlers.

    python -m neuralstream_local.aws_server --port 8001
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import urllib3

from neuralstream_local.browsers import REFUSAL, from_elsewhere
from neuralstream_local.children import announce, start_child
from neuralstream_local.kept import CHANGES, Kept

if TYPE_CHECKING:
    from werkzeug import Request, Response

__all__ = [
    "ACCOUNT",
    "INVOKE_PATH",
    "REGION",
    "REGISTRATION_PATH",
    "RESTORE_PATH",
    "SOURCES_PATH",
    "client_environ",
]

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"
"""moto's account."""
REGISTRATION_PATH: Final = "/_neuralstream/functions"
"""PUT the base URL of the worker's server here."""
RESTORE_PATH: Final = "/_neuralstream/restore"
"""PUT, once tables and buckets are there: 200 if what an earlier process kept was put back, else 204."""
SOURCES_PATH: Final = "/_neuralstream/sources"
"""GET the reports of the worker's event sources."""
INVOKE_PATH: Final = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")

_INVOKE_SECONDS: Final = 900.0
_SOURCES_SECONDS: Final = 1.0
_KEPT_CONNECTIONS: Final = 50
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
    """WSGI: Lambda invocations go to the worker, once it has registered, everything else to moto.

    DynamoDB calls, those to its streams included, run one at a time: moto's transactions and conditional
    writes are not atomic among threads.

    Args:
        moto: the emulation itself.
        kept: where changes are kept for the next process; ``None``: nowhere.
    """

    def __init__(self, moto: WsgiApp, kept: Kept | None = None) -> None:
        self._moto = moto
        self._kept = kept
        self._one_at_a_time = threading.Lock()
        self._worker = ""
        """Its base URL; empty until it has registered."""
        self._http = urllib3.PoolManager(maxsize=_KEPT_CONNECTIONS)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        from werkzeug import Request, Response

        request = Request(environ)
        if from_elsewhere(request.headers.get("host"), request.headers.get("origin")):
            return Response(REFUSAL, status=403)(environ, start_response)
        if request.path == REGISTRATION_PATH:
            if self._worker:
                _release_messages()
            self._worker = request.get_data(as_text=True)
            return Response(status=204)(environ, start_response)
        if request.path == RESTORE_PATH:
            there = self._kept is not None and self._kept.restore(self._schedule)
            return Response(status=200 if there else 204)(environ, start_response)
        target = request.headers.get("x-amz-target", "")
        if target.startswith("DynamoDB"):
            with self._one_at_a_time:
                return list(self._ask(environ, start_response))
        if self._worker and request.path == SOURCES_PATH:
            return self._forward(request, _SOURCES_SECONDS)(environ, start_response)
        if self._worker and INVOKE_PATH.fullmatch(request.path):
            return self._forward(request, _INVOKE_SECONDS)(environ, start_response)
        return self._ask(environ, start_response)

    def _ask(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """moto's answer; what it changed is kept before the caller has it."""
        from werkzeug import Request

        if self._kept is None or environ["REQUEST_METHOD"] not in CHANGES:
            return self._moto(environ, start_response)
        body = Request(environ).get_data()
        environ["wsgi.input"] = io.BytesIO(body)
        started: list[str] = []

        def start(status: str, *rest: Any) -> Any:
            started.append(status)
            return start_response(status, *rest)

        answer = list(self._moto(environ, start))
        self._kept.note(Request(environ), body, int(started[0][:3]))
        return answer

    def _schedule(self, path: str, body: bytes) -> None:
        """Create a schedule in moto."""
        from werkzeug.test import EnvironBuilder, run_wsgi_app

        signed = [("Authorization", f"AWS4-HMAC-SHA256 Credential=local/1/{REGION}/scheduler/aws4")]
        builder = EnvironBuilder(path, method="POST", data=body, headers=signed)
        run_wsgi_app(self._moto, builder.get_environ())

    def _forward(self, request: Request, seconds: float) -> Response:
        """The worker's answer; Lambda's own error, which its clients retry, while there is no worker."""
        from werkzeug import Response

        try:
            answer = self._http.request(
                request.method,
                self._worker + quote(request.path, safe="/:"),
                body=request.get_data(),
                headers={
                    "x-amz-invocation-type": request.headers.get(
                        "x-amz-invocation-type", "RequestResponse"
                    )
                },
                timeout=seconds,
                retries=False,
            )
            response = Response(answer.data, answer.status, answer.headers.items())
        except urllib3.exceptions.HTTPError as error:
            problem = {"Type": "Service", "Message": f"no worker: {error}"}
            response = Response(json.dumps(problem), 503, content_type="application/json")
            response.headers["x-amzn-errortype"] = "ServiceException"
        # moto's Step Functions interpreter fails an execution for good over an error without one.
        response.headers["x-amzn-requestid"] = str(uuid.uuid4())
        return response


def _release_messages() -> None:
    """Give back what a worker that is gone had received: it will neither delete nor return it.

    On AWS the pollers outlive a function's failure; without this the messages would be hidden for the
    queue's whole visibility timeout.
    """
    from moto.sqs.models import sqs_backends

    for queue in list(sqs_backends[ACCOUNT][REGION].queues.values()):
        for message in list(queue.pending_messages):
            message.visible_at = 0.0


def _forget_old_stream_iterators() -> None:
    """Of the stream iterators, of which moto keeps one for each poll, keep the newest."""
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
    parser.add_argument("--keep", type=Path, default=None, help="folder that outlives the process")
    options = parser.parse_args(argv)
    start_child("AWS")

    import moto.backend_index  # noqa: F401 - fail here, before the port is taken, if moto is broken
    from moto.core.config import default_user_config
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    from neuralstream_local.moto_tables import repair

    repair()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line per request
    default_user_config["stepfunctions"]["execute_state_machine"] = True
    kept = None if options.keep is None else Kept(options.keep, ACCOUNT, REGION)
    application = InvokeFront(DomainDispatcherApplication(create_backend_app), kept)
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
    threading.Thread(target=_forget_old_stream_iterators, daemon=True).start()
    announce(port=port, endpoint=endpoint)
    server.serve_forever()


if __name__ == "__main__":
    main()
