"""The HTTP API of template.yaml on 127.0.0.1: routes, authorizer, payload 2.0, API Gateway's own errors.

python -m neuralstream_local.gateway --port 8000 --redis-port 6379 [--auth]
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from neuralstream_core.keys.scopes import Scope
from neuralstream_core.memory import limit_growth
from neuralstream_lambda.payload import MAX_PAYLOAD
from neuralstream_local.aws_server import ACCOUNT, REGION
from neuralstream_local.children import announce, leave_with_parent
from neuralstream_local.functions import PROCESS_GROWTH, FunctionPool, Functions
from neuralstream_local.health import ROUTE as HEALTH
from neuralstream_local.health import with_checks, worker_checks
from neuralstream_local.http_server import WAYS_OUT, HttpServer, Request, Response, message
from neuralstream_local.laptop import laptop_template
from neuralstream_local.payload import event_of, fits, response_of
from neuralstream_local.routing import Router
from neuralstream_local.template import HttpRoute, Template

__all__ = ["Gateway", "main"]

_EVERYTHING: Final = {"principal": "local", "scopes": " ".join(Scope)}
"""The authorizer context of every request when authentication is off."""
_CACHED_IDENTITIES: Final = 10_000
_TOO_LARGE: Final = (
    f"Request Entity Too Large: Lambda takes at most {MAX_PAYLOAD} bytes, in which the body is a JSON string "
    f"(quotes, backslashes and line breaks count twice); {WAYS_OUT}"
)

_log = logging.getLogger(__name__)


class Gateway:
    """Answers one `Request` with the `Response` that API Gateway and the function would give.

    Args:
        template: routes and authorizer.
        functions: the functions behind them.
        auth: ask the authorizer; otherwise every request has all scopes.
        checks: further checks for ``GET /health``, by name.
    """

    def __init__(
        self,
        template: Template,
        functions: Functions,
        *,
        auth: bool,
        checks: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._router: Router[tuple[HttpRoute, FunctionPool]] = Router()
        for route in template.routes():
            self._router.add(route.method, route.path, (route, functions[route.function]))
        self._authorizer = _Authorizer.of(template, functions) if auth else None
        self._checks = checks

    def __call__(self, request: Request) -> Response:
        matched = self._router.match(request.method, request.path)
        if matched is None:
            return message(404, "Not Found")
        (route, function), parameters = matched
        event = event_of(request, route.key, parameters)
        if request.body and not fits(event):
            return message(413, _TOO_LARGE)
        if not route.public:
            if self._authorizer is None:
                event["requestContext"]["authorizer"] = {"lambda": _EVERYTHING}
            elif (refused := self._authorizer.authorize(event)) is not None:
                return refused
        try:
            answer = response_of(function(event, event["requestContext"]["requestId"]))
        except Exception:  # noqa: BLE001 - whatever a function raises is API Gateway's 500
            _log.exception("%s failed", route.key)
            return message(500, "Internal Server Error")
        return with_checks(answer, self._checks()) if route.key == HEALTH else answer


class _Authorizer:
    """A Lambda authorizer with simple responses, cached by identity as API Gateway does."""

    def __init__(self, function: FunctionPool, header: str, seconds: float) -> None:
        self._function = function
        self._header = header
        self._seconds = seconds
        self._cache: dict[str, tuple[float, dict[str, Any]]] = {}
        self._writing = threading.Lock()

    @classmethod
    def of(cls, template: Template, functions: Functions) -> _Authorizer:
        configured = template.authorizer()
        if configured is None:
            raise ValueError("template.yaml has no default authorizer")
        name, header, seconds = configured
        function = functions.find(name)
        if function is None:
            raise ValueError(f"the authorizer's function {name} is not in template.yaml")
        return cls(function, header, seconds)

    def authorize(self, event: dict[str, Any]) -> Response | None:
        """Add the authorizer's context to ``event``, or give the refusal."""
        identity = event["headers"].get(self._header)
        if not identity:
            return message(401, "Unauthorized")
        expires, decision = self._cache.get(identity, (0.0, {}))
        if expires < time.monotonic():
            try:
                decision = self._ask(event, identity)
            except Exception:  # noqa: BLE001 - whatever an authorizer raises is API Gateway's 500
                _log.exception("the authorizer failed")
                return message(500, "Internal Server Error")
        if decision.get("isAuthorized") is not True:
            return message(403, "Forbidden")
        event["requestContext"]["authorizer"] = {"lambda": decision.get("context") or {}}
        return None

    def _ask(self, event: dict[str, Any], identity: str) -> dict[str, Any]:
        asked = {name: value for name, value in event.items() if name != "body"}
        route = event["routeKey"].replace(" ", "", 1)
        asked |= {
            "type": "REQUEST",
            "identitySource": [identity],
            "routeArn": f"arn:aws:execute-api:{REGION}:{ACCOUNT}:local/$default/{route}",
        }
        decision: dict[str, Any] = self._function(asked)
        with self._writing:
            if len(self._cache) >= _CACHED_IDENTITIES:
                self._cache.clear()
            self._cache[identity] = (time.monotonic() + self._seconds, decision)
        return decision


def main(argv: list[str] | None = None) -> None:
    """Import every function behind the API, then serve until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--redis-port", type=int, required=True)
    parser.add_argument("--auth", action="store_true", help="ask for an API key")
    options = parser.parse_args(argv)
    leave_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s gateway %(levelname)s %(message)s")

    limit_growth(PROCESS_GROWTH)
    template = laptop_template(options.redis_port)
    functions = Functions(template.functions())
    checks = partial(worker_checks, os.environ["AWS_ENDPOINT_URL"])
    gateway = Gateway(template, functions, auth=options.auth, checks=checks)
    try:
        server = HttpServer(gateway, options.port)
    except OSError as error:
        announce(error=f"port {options.port} cannot be used: {error.strerror}")
        sys.exit(1)
    broken = _warm(functions, {route.function for route in template.routes()})
    gc.freeze()  # what import made stays; the collector need not look at it again
    announce(port=server.port, broken=broken)
    server.serve()


def _warm(functions: Functions, names: set[str]) -> list[str]:
    """Import the functions; the names of those that cannot be imported (their routes answer 500)."""
    broken = []
    for name in sorted(names):
        try:
            functions[name].warm()
        except Exception:  # noqa: BLE001 - one broken function leaves the others standing, as on AWS
            _log.exception("%s cannot be imported", name)
            broken.append(name)
    return broken


if __name__ == "__main__":
    main()
