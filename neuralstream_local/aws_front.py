"""moto behind HTTP: what answers each request to the AWS emulation.

moto's own server closes each connection and asks Flask about each request, which takes twice as long as what
moto does with most of them. Here uvicorn keeps connections, and DynamoDB's requests go to moto's handlers at
once; those to other services take moto's own way through Flask.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import unquote

import urllib3
from moto.core.config import default_user_config
from moto.core.request import Request as MotoRequest
from moto.dynamodb.responses import DynamoHandler
from moto.dynamodbstreams.models import dynamodbstreams_backends
from moto.dynamodbstreams.responses import DynamoDBStreamsHandler
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sqs.models import sqs_backends
from werkzeug.exceptions import HTTPException
from werkzeug.test import run_wsgi_app

from neuralstream_local.aws import (
    ACCOUNT,
    INVOKE_PATH,
    REGION,
    REGISTRATION_PATH,
    RESTORE_PATH,
    SOURCES_PATH,
)
from neuralstream_local.browsers import REFUSAL, from_elsewhere
from neuralstream_local.http_server import Request, Response, json_response, message
from neuralstream_local.kept import CHANGES, Kept
from neuralstream_local.moto_tables import repair

__all__ = ["AwsFront", "moto"]

_INVOKE_SECONDS: Final = 900.0
_SOURCES_SECONDS: Final = 1.0
_KEPT_CONNECTIONS: Final = 50
_FORGET_SECONDS: Final = 60.0
_KEPT_ITERATORS: Final = 1000

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
MotoHandler = Callable[[MotoRequest, str, Any], Any]


def moto() -> WsgiApp:
    """The emulation, repaired; its stream iterators are forgotten from now on."""
    repair()
    default_user_config["stepfunctions"]["execute_state_machine"] = True
    threading.Thread(target=_forget_old_stream_iterators, daemon=True).start()
    return DomainDispatcherApplication(create_backend_app)


class AwsFront:
    """The handler of every request: Lambda invocations go to the worker, once it has registered, everything
    else to moto.

    DynamoDB calls, those to its streams included, run one at a time: moto's transactions and conditional
    writes are not atomic among threads.

    Args:
        moto: its WSGI application, for services other than DynamoDB.
        kept: where changes are kept for the next process; ``None``: nowhere.
    """

    def __init__(self, moto: WsgiApp, kept: Kept | None = None) -> None:
        self._moto = moto
        self._kept = kept
        self._one_at_a_time = threading.Lock()
        self._worker = ""
        """Its base URL; empty until it has registered."""
        self._http = urllib3.PoolManager(maxsize=_KEPT_CONNECTIONS)

    def __call__(self, request: Request) -> Response:
        headers = dict(request.headers)
        if from_elsewhere(headers.get("host"), headers.get("origin")):
            return message(403, REFUSAL)
        if request.path == REGISTRATION_PATH:
            if self._worker:
                _release_messages()
            self._worker = request.body.decode()
            return Response(204)
        if request.path == RESTORE_PATH:
            there = self._kept is not None and self._kept.restore(self._schedule)
            return Response(200 if there else 204)
        if self._worker and request.path == SOURCES_PATH:
            return self._forward(request, _SOURCES_SECONDS)
        if self._worker and INVOKE_PATH.fullmatch(unquote(request.path)):
            return self._forward(request, _INVOKE_SECONDS)
        asked = MotoRequest.from_primitives(
            request.method, f"http://{headers['host']}{_target(request)}", headers, request.body
        )
        handler = _handler(headers.get("x-amz-target", ""))
        if handler is None:
            return self._noted(asked, request, self._through_flask(asked))
        with self._one_at_a_time:  # until it is kept: another call's transaction may yet be undone
            return self._noted(asked, request, _handled(handler, asked))

    def _noted(self, asked: MotoRequest, request: Request, answer: Response) -> Response:
        """The answer, once what the request changed is kept."""
        if self._kept is not None and request.method in CHANGES:
            self._kept.note(asked, request.body, answer.status)
        return answer

    def _through_flask(self, asked: MotoRequest) -> Response:
        body, status, headers = run_wsgi_app(self._moto, asked.environ, buffered=True)
        return Response(int(status[:3]), b"".join(body), list(headers))

    def _schedule(self, path: str, body: bytes) -> None:
        """Create a schedule in moto."""
        signed = f"AWS4-HMAC-SHA256 Credential=local/1/{REGION}/scheduler/aws4"
        self._through_flask(
            MotoRequest.from_primitives(
                "POST", f"http://localhost{path}", {"Authorization": signed}, body
            )
        )

    def _forward(self, request: Request, seconds: float) -> Response:
        """The worker's answer; Lambda's own error, which its clients retry, while there is no worker."""
        kind = dict(request.headers).get("x-amz-invocation-type", "RequestResponse")
        # moto's Step Functions interpreter fails an execution for good over an error without one.
        request_id = ("x-amzn-requestid", str(uuid.uuid4()))
        try:
            answer = self._http.request(
                request.method,
                self._worker + request.path,
                body=request.body,
                headers={"x-amz-invocation-type": kind},
                timeout=seconds,
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            problem = {"Type": "Service", "Message": f"no worker: {error}"}
            unnamed = ("x-amzn-errortype", "ServiceException")
            return json_response(503, problem, unnamed, request_id)
        return Response(answer.status, answer.data, [*answer.headers.items(), request_id])


def _target(request: Request) -> str:
    return f"{request.path}?{request.query}" if request.query else request.path


def _handler(target: str) -> MotoHandler | None:
    """What answers DynamoDB's calls; ``None`` for those of other services."""
    if target.startswith("DynamoDB_"):
        return DynamoHandler.dispatch
    return DynamoDBStreamsHandler.dispatch if target.startswith("DynamoDBStreams") else None


def _handled(handler: MotoHandler, asked: MotoRequest) -> Response:
    try:
        status, headers, body = handler(asked, asked.raw_url, asked.headers)
    except HTTPException as error:
        status, headers, body = int(error.code or 500), dict(error.get_headers()), error.get_body()
    named = [(name, str(value)) for name, value in headers.items()]
    return Response(status, body.encode() if isinstance(body, str) else body, named)


def _release_messages() -> None:
    """Give back what a worker that is gone had received: it will neither delete nor return it.

    On AWS the pollers outlive a function's failure; without this the messages would be hidden for the
    queue's whole visibility timeout.
    """
    for queue in list(sqs_backends[ACCOUNT][REGION].queues.values()):
        for received in list(queue.pending_messages):
            received.visible_at = 0.0


def _forget_old_stream_iterators() -> None:
    """Of the stream iterators, of which moto keeps one for each poll, keep the newest."""
    while True:
        time.sleep(_FORGET_SECONDS)
        iterators = dynamodbstreams_backends[ACCOUNT][REGION].shard_iterators
        for key in list(iterators)[:-_KEPT_ITERATORS]:
            del iterators[key]
