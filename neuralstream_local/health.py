"""The laptop's own parts in ``GET /health``, beside those that the function checks.

On AWS the services behind the API look after themselves; on a laptop the worker process and its event
sources are parts that can be down, and jobs and queued writes wait for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from neuralstream_local.control import sources
from neuralstream_local.http_server import Response

__all__ = ["ROUTE", "checks_of", "with_checks", "worker_checks"]

ROUTE: Final = "GET /health"
_KINDS: Final = {"queue": "queues", "stream": "streams", "schedule": "schedules"}
_STATES: Final = {True: "ok", False: "unavailable"}


def worker_checks(aws_endpoint: str) -> dict[str, str]:
    """``worker``, ``queues``, ``streams`` and ``schedules``, each ``ok`` or ``unavailable``."""
    return checks_of(sources(aws_endpoint))


def checks_of(reports: Sequence[Mapping[str, Any]] | None) -> dict[str, str]:
    """The same for what the worker said; ``None``: it does not answer."""
    checks = {"worker": _STATES[reports is not None]}
    for kind, name in _KINDS.items():
        well = reports is not None and all(r["ok"] for r in reports if r["kind"] == kind)
        checks[name] = _STATES[well]
    return checks


def with_checks(answer: Response, checks: Mapping[str, str]) -> Response:
    """The answer of the health function with ``checks`` among its own; 503 when one is not ``ok``.

    An answer that is not the function's own (an error of the gateway) stays as it is.
    """
    if answer.status not in {200, 503}:
        return answer
    body = json.loads(answer.body)
    if "checks" not in body:
        return answer
    body["checks"] |= checks
    headers = [(name, value) for name, value in answer.headers if name != "retry-after"]
    well = all(state == _STATES[True] for state in body["checks"].values())
    body["status"] = "ok" if well else "degraded"
    if not well:
        headers.append(("retry-after", "5"))
    return Response(200 if well else 503, json.dumps(body).encode(), headers)
