"""What runs behind the API: Lambda's Invoke endpoint, the event sources, and the storage they need.

A process of its own, so that a batch job does not slow predictions down.

    python -m neuralstream_local.worker --redis-port 6379      (AWS_ENDPOINT_URL says where AWS is)

With ``--resume`` it takes the place of one that ended: the storage is there, and streams are read on from
where they were.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import threading
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

import boto3

from neuralstream_core.memory import limit_growth
from neuralstream_local.children import announce, leave_with_parent
from neuralstream_local.control import REGISTRATION_PATH, SOURCES_PATH, KeptInEmulation, ask
from neuralstream_local.environment import TimedOut
from neuralstream_local.functions import PROCESS_GROWTH, Functions
from neuralstream_local.http_server import HttpServer, Request, Response
from neuralstream_local.laptop import laptop_template
from neuralstream_local.pumps import Source, pump_queue, pump_stream, start
from neuralstream_local.scheduler import LocalScheduler, pump_schedule
from neuralstream_local.storage import create_storage

__all__ = ["Invoker", "main"]

_INVOKE = re.compile(r"^/2015-03-31/functions/([^/]+)/invocations$")
_JSON: Final = ("content-type", "application/json")

_log = logging.getLogger(__name__)


class Invoker:
    """Lambda's ``Invoke`` operation for the functions of this process, and how its event sources do."""

    def __init__(self, functions: Functions, sources: Sequence[Source] = ()) -> None:
        self._functions = functions
        self._sources = sources

    def __call__(self, request: Request) -> Response:
        if request.path == SOURCES_PATH:
            reports = [source.report() for source in self._sources]
            return Response(200, json.dumps(reports).encode(), [_JSON])
        matched = _INVOKE.match(request.path)
        function = self._functions.find(unquote(matched[1])) if matched else None
        if function is None:
            body = {"Type": "User", "Message": f"Function not found: {request.path}"}
            return Response(
                404,
                json.dumps(body).encode(),
                [_JSON, ("x-amzn-errortype", "ResourceNotFoundException")],
            )
        try:
            event = json.loads(request.body or b"{}")
        except ValueError:
            body = {"Type": "User", "Message": "Could not parse request body into json"}
            return Response(
                400,
                json.dumps(body).encode(),
                [_JSON, ("x-amzn-errortype", "InvalidRequestContentException")],
            )
        if dict(request.headers).get("x-amz-invocation-type") == "Event":
            threading.Thread(target=function, args=(event,), daemon=True).start()
            return Response(202)
        headers = [_JSON, ("x-amz-executed-version", "$LATEST")]
        try:
            return Response(200, json.dumps(function(event)).encode(), headers)
        except Exception as error:  # noqa: BLE001 - Lambda answers 200 and says in a header that it failed
            _log.exception("%s failed", function.function.logical_id)
            kind = "Sandbox.Timedout" if isinstance(error, TimedOut) else type(error).__name__
            problem = {"errorType": kind, "errorMessage": str(error)}
            return Response(
                200,
                json.dumps(problem).encode(),
                [*headers, ("x-amz-function-error", "Unhandled")],
            )


def main(argv: list[str] | None = None) -> None:
    """Create the storage, start the event sources and serve until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis-port", type=int, required=True)
    parser.add_argument("--resume", action="store_true", help="go on where another worker ended")
    options = parser.parse_args(argv)
    leave_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)

    limit_growth(PROCESS_GROWTH)
    template = laptop_template(options.redis_port)
    functions = Functions(template.functions())
    sources: list[Source] = []
    server = HttpServer(Invoker(functions, sources), 0)
    if not options.resume:
        create_storage(template)
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    _register(endpoint, f"http://127.0.0.1:{server.port}")
    stop = threading.Event()
    for queue in template.queue_events():
        call = functions[queue.function]
        sources.append(start(pump_queue, queue, call, stop, limit=call.function.timeout))
    for stream in template.stream_events():
        call = functions[stream.function]
        position = KeptInEmulation(endpoint, f"{stream.function}/{stream.table}")
        sources.append(
            start(pump_stream, stream, call, stop, position, limit=call.function.timeout)
        )
    scheduler = LocalScheduler(boto3.client("scheduler"), boto3.client("sqs"))
    sources.append(
        start(pump_schedule, scheduler, lambda due: functions.invoke(due.arn, due.event), stop)
    )
    announce(port=server.port)
    server.serve()


def _register(endpoint: str, url: str) -> None:
    """Tell the AWS emulation where functions are invoked."""
    status, _ = ask(endpoint, "PUT", REGISTRATION_PATH, url.encode())
    if status != 204:
        raise RuntimeError(f"the AWS emulation answered {status} to the registration")


if __name__ == "__main__":
    main()
