"""The HTTP API of template.yaml on 127.0.0.1: routes, authorizer and API Gateway's own errors.

python -m neuralstream_local.gateway --port 8000 --redis-port 6379 [--auth]
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Final
from urllib.parse import unquote

from cachetools import TTLCache, cachedmethod

from neuralstream_core.keys.scopes import Scope
from neuralstream_core.memory import limit_growth
from neuralstream_lambda.payload import MAX_PAYLOAD
from neuralstream_local.aws import ACCOUNT, REGION
from neuralstream_local.browsers import REFUSAL, from_elsewhere
from neuralstream_local.children import announce, start_child
from neuralstream_local.functions import PROCESS_GROWTH, Functions
from neuralstream_local.health import ROUTE as HEALTH
from neuralstream_local.health import checks_of, reports, with_checks
from neuralstream_local.http_server import WAYS_OUT, HttpServer, Request, Response, message
from neuralstream_local.laptop import laptop_template
from neuralstream_local.payload import event_of, fits, response_of
from neuralstream_local.template import HttpRoute, Template

__all__ = ["Gateway", "RouteTable", "main"]

_EVERYTHING: Final = {"principal": "local", "scopes": " ".join(Scope)}
"""The authorizer context of every request when authentication is off."""
_CACHED_IDENTITIES: Final = 10_000
_TOO_LARGE: Final = (
    f"Request Entity Too Large: Lambda takes at most {MAX_PAYLOAD} bytes, in which the body is a JSON string "
    f"(quotes, backslashes and line breaks count twice); {WAYS_OUT}"
)
_VARIABLE = re.compile(r"\{(\w+)(\+?)\}")

_log = logging.getLogger(__name__)


class RouteTable:
    """Finds the route of a request by API Gateway's rules for HTTP APIs.

    A literal segment beats ``{name}``, which beats ``{name+}`` (one or more segments). Segments are matched
    before they are percent-decoded, so an encoded slash stays inside its segment.
    """

    def __init__(self, routes: Iterable[HttpRoute]) -> None:
        ranked = [(*_ranks_and_pattern(route.path), route) for route in routes]
        ranked.sort(key=lambda entry: entry[0])
        self._routes = [(route, pattern) for _, pattern, route in ranked]

    def match(self, method: str, path: str) -> tuple[HttpRoute, dict[str, str]] | None:
        """The most specific route of a percent-encoded path, and its decoded path parameters."""
        for route, pattern in self._routes:
            if route.method in (method, "ANY") and (found := pattern.fullmatch(path)):
                return route, {name: unquote(part) for name, part in found.groupdict().items()}
        return None


def _ranks_and_pattern(path: str) -> tuple[list[int], re.Pattern[str]]:
    """For each segment 0 for a literal, 1 for ``{name}``, 2 for ``{name+}``; and what the path matches."""
    ranks, parts = [], []
    for segment in path.split("/"):
        if variable := _VARIABLE.fullmatch(segment):
            name, greedy = variable.groups()
            ranks.append(2 if greedy else 1)
            parts.append(f"(?P<{name}>{'.+' if greedy else '[^/]+'})")
        else:
            ranks.append(0)
            parts.append(re.escape(segment))
    return ranks, re.compile("/".join(parts))


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
        self._routes = RouteTable(template.routes())
        self._functions = functions
        self._authorizer = _Authorizer(template, functions) if auth else None
        self._checks = checks

    def __call__(self, request: Request) -> Response:
        if self._authorizer is None:
            headers = dict(request.headers)
            if from_elsewhere(headers.get("host"), headers.get("origin")):
                return message(403, REFUSAL)
        matched = self._routes.match(request.method, request.path)
        if matched is None:
            return message(404, "Not Found")
        route, parameters = matched
        event = event_of(request, route.key, parameters)
        if request.body and not fits(event):
            return message(413, _TOO_LARGE)
        if not route.public:
            if self._authorizer is None:
                event["requestContext"]["authorizer"] = {"lambda": _EVERYTHING}
            elif (refused := self._authorizer.authorize(event)) is not None:
                return refused
        function = self._functions[route.function]
        try:
            answer = response_of(function(event, event["requestContext"]["requestId"]))
        except Exception:  # noqa: BLE001 - whatever a function raises is API Gateway's 500
            _log.exception("%s failed", route.key)
            return message(500, "Internal Server Error")
        return with_checks(answer, self._checks()) if route.key == HEALTH else answer


class _Authorizer:
    """The template's Lambda authorizer with simple responses, cached by identity as API Gateway does."""

    def __init__(self, template: Template, functions: Functions) -> None:
        configured = template.authorizer()
        if configured is None:
            raise ValueError("template.yaml has no default authorizer")
        arn, self._header, seconds = configured
        self._function = functions[arn]
        self._decisions: TTLCache[str, dict[str, Any]] = TTLCache(_CACHED_IDENTITIES, seconds)
        self._caching = threading.Lock()

    def authorize(self, event: dict[str, Any]) -> Response | None:
        """Add the authorizer's context to ``event``, or give the refusal."""
        identity = event["headers"].get(self._header)
        if not identity:
            return message(401, "Unauthorized")
        try:
            decision = self._decide(event, identity)
        except Exception:  # noqa: BLE001 - whatever an authorizer raises is API Gateway's 500
            _log.exception("the authorizer failed")
            return message(500, "Internal Server Error")
        if decision.get("isAuthorized") is not True:
            return message(403, "Forbidden")
        event["requestContext"]["authorizer"] = {"lambda": decision.get("context") or {}}
        return None

    @cachedmethod(
        attrgetter("_decisions"),
        key=lambda _self, _event, identity: identity,
        lock=attrgetter("_caching"),
    )
    def _decide(self, event: dict[str, Any], identity: str) -> dict[str, Any]:
        asked = {name: value for name, value in event.items() if name != "body"}
        route = event["routeKey"].replace(" ", "", 1)
        asked |= {
            "type": "REQUEST",
            "identitySource": [identity],
            "routeArn": f"arn:aws:execute-api:{REGION}:{ACCOUNT}:local/$default/{route}",
        }
        decision: dict[str, Any] = self._function(asked)
        return decision


def main(argv: list[str] | None = None) -> None:
    """Serve until terminated or until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--redis-port", type=int, required=True)
    parser.add_argument("--auth", action="store_true", help="ask for an API key")
    options = parser.parse_args(argv)
    start_child("gateway")
    limit_growth(PROCESS_GROWTH)
    template = laptop_template(options.redis_port)
    functions = Functions(template.functions().values())
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    gateway = Gateway(
        template, functions, auth=options.auth, checks=lambda: checks_of(reports(endpoint))
    )
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
