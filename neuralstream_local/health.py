"""The state of the worker and its event sources: in ``GET /health``, and as sentences for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import urllib3

from neuralstream_local.aws import SOURCES_PATH
from neuralstream_local.http_server import Response

__all__ = ["ROUTE", "Reports", "SourceChanges", "checks_of", "reports", "with_checks"]

ROUTE: Final = "GET /health"
Reports: TypeAlias = "Sequence[Mapping[str, Any]] | None"
"""`EventSource.report` of each event source; ``None``: the worker did not answer."""

_CHECKS: Final = {"queue": "queues", "stream": "streams", "schedule": "schedules"}
_ANSWER_SECONDS: Final = 1.0
_SILENT_LOOKS: Final = 3
"""Missing answers in a row that are told; a single one may be a busy machine."""


def reports(aws_endpoint: str) -> Reports:
    """The worker's reports, asked for through the AWS emulation."""
    try:
        answer = urllib3.request(
            "GET", aws_endpoint + SOURCES_PATH, timeout=_ANSWER_SECONDS, retries=False
        )
        found: Reports = answer.json()
    except (urllib3.exceptions.HTTPError, ValueError):
        return None
    return found if answer.status == 200 else None


def checks_of(found: Reports) -> dict[str, str]:
    """``worker``, ``queues``, ``streams`` and ``schedules``, each ``ok`` or ``unavailable``."""
    well = {"worker": found is not None}
    for kind, name in _CHECKS.items():
        well[name] = found is not None and all(r["ok"] for r in found if r["kind"] == kind)
    return {name: "ok" if ok else "unavailable" for name, ok in well.items()}


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
    well = all(state == "ok" for state in body["checks"].values())
    body["status"] = "ok" if well else "degraded"
    if not well:
        headers.append(("retry-after", "5"))
    return Response(200 if well else 503, json.dumps(body).encode(), headers)


class SourceChanges:
    """Sentences on what changed since the last reports, so that a lasting failure is told once."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[bool, int]] = {}
        """Name → whether it was well, and its failures."""
        self._silent = 0

    def of(self, found: Reports) -> list[str]:
        if found is None:
            self._silent += 1
            return ["the worker does not answer"] if self._silent == _SILENT_LOOKS else []
        said = ["the worker answers again"] if self._silent >= _SILENT_LOOKS else []
        self._silent = 0
        for report in found:
            name, ok, failures = report["name"], report["ok"], report["failures"]
            was_ok, known = self._told.get(name, (True, 0))
            if was_ok and failures > known:
                said.append(f"{name} failed and was started again: {report['error']}")
                ok = False
            elif was_ok and not ok:
                said.append(f"{name} stands still: {report['error']}")
            elif ok and not was_ok:
                said.append(f"{name} is well again")
            self._told[name] = ok, failures
        return said
