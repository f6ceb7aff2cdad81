"""What the processes of the laptop stack tell each other, at the port of the AWS emulation.

The emulation is the process that all others know the address of. It passes calls of functions on to the
worker, keeps how far each stream was read, and passes on the question how the worker's event sources do.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

__all__ = [
    "KEPT_PATH",
    "REGISTRATION_PATH",
    "SOURCES_PATH",
    "Kept",
    "KeptInEmulation",
    "ask",
    "sources",
]

REGISTRATION_PATH: Final = "/_neuralstream/functions"
"""PUT the base URL of the function host here."""
SOURCES_PATH: Final = "/_neuralstream/sources"
"""GET how the event sources do, as the function host says."""
KEPT_PATH: Final = "/_neuralstream/kept/"
"""PUT and GET a short text under the name that follows."""

_SECONDS: Final = 10.0
_HEALTH_SECONDS: Final = 1.0


def ask(
    endpoint: str, method: str, path: str, body: bytes = b"", *, seconds: float = _SECONDS
) -> tuple[int, bytes]:
    """Status and body of one request.

    Raises:
        OSError: no answer within ``seconds``.
        http.client.HTTPException: the answer is not HTTP.
    """
    parts = urlsplit(endpoint)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    try:
        # moto takes a PUT without a content type for a form.
        connection.request(method, path, body, {"content-type": "application/octet-stream"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def sources(endpoint: str) -> list[Mapping[str, Any]] | None:
    """How each event source does (`neuralstream_local.pumps.Source.report`); ``None``: no worker answers."""
    try:
        status, body = ask(endpoint, "GET", SOURCES_PATH, seconds=_HEALTH_SECONDS)
        reports: list[Mapping[str, Any]] = json.loads(body)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return reports if status == 200 else None


class Kept:
    """A short text that outlives a failure of whoever keeps it here: this one, within the process."""

    def __init__(self) -> None:
        self._text: str | None = None

    def get(self) -> str | None:
        return self._text

    def put(self, text: str) -> None:
        self._text = text


class KeptInEmulation(Kept):
    """The same across processes: as long as the AWS emulation that ``endpoint`` is runs."""

    def __init__(self, endpoint: str, name: str) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._path = KEPT_PATH + quote(name, safe="")

    def get(self) -> str | None:
        status, body = ask(self._endpoint, "GET", self._path)
        return body.decode() if status == 200 else None

    def put(self, text: str) -> None:
        status, _ = ask(self._endpoint, "PUT", self._path, text.encode())
        if status != 204:
            raise RuntimeError(f"the AWS emulation answered {status} to {self._path}")
